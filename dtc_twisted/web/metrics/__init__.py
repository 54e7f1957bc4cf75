"""Measure the gateway, and report metrics in the text format of Prometheus."""

from dtc_twisted.web.metrics.collector import GatewayCollector as GatewayCollector
from dtc_twisted.web.metrics.collector import MetricSources as MetricSources
from dtc_twisted.web.metrics.measurements import LoopLag as LoopLag
from dtc_twisted.web.metrics.measurements import Measurements as Measurements
