"""Build the gateway, and start and stop it.

composition.py puts it together. It is the only place where all parts meet.
"""

from dtc_twisted.gateway.cluster_parts import make_edge
from dtc_twisted.gateway.composition import make_check, make_gateway
from dtc_twisted.gateway.gateway_services import DemoService, WebService

__all__ = ["DemoService", "WebService", "make_check", "make_edge", "make_gateway"]
