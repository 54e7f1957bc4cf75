"""Answer programs that monitor the gateway: /healthz, /readyz and /metrics."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from dtc_twisted.web.openapi.gateway_operations import HEALTHZ, METRICS, READYZ
from dtc_twisted.web.query import query_args, reject_unknown
from dtc_twisted.web.rest.api import RestApi
from dtc_twisted.web.rest.resource import json_response

REUSE = 20
"""The metrics are read again after this many times the time that the last reading took."""

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MonitoringRoutes:
    """Add the paths to `rest`.

    registry: the metrics.
    problems: returns a text for each failed check of readiness, by its name; empty: the gateway is ready.
    clock: measures how long the metrics take.

    /healthz and /readyz need no token, because the programs that ask for them often cannot send one. Their texts
    contain no host, no account and no symbol.
    """

    def __init__(
        self,
        rest: RestApi,
        registry: CollectorRegistry,
        problems: Callable[[], dict[str, str]],
        clock: IReactorTime,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._text = b""  # the last metrics
        self._valid_until = 0.0
        self._problems = problems
        rest.route("GET", "/healthz", self._healthz, HEALTHZ, prefix="", public=True)
        rest.route("GET", "/readyz", self._readyz, READYZ, prefix="", public=True)
        rest.route("GET", "/metrics", self._metrics, METRICS, prefix="")

    def _healthz(self, request: Request) -> bytes:
        reject_unknown(query_args(request), ())
        return json_response(request, {"healthy": True})

    def _readyz(self, request: Request) -> bytes:
        reject_unknown(query_args(request), ())
        problems = self._problems()
        answer: dict[str, Any] = {"ready": not problems, "problems": problems}
        return json_response(request, answer, 503 if problems else 200)

    def _metrics(self, request: Request) -> bytes:
        reject_unknown(query_args(request), ())
        data = self._measure()
        request.setHeader("Content-Type", _CONTENT_TYPE)
        request.setHeader("Content-Length", str(len(data)))
        return data

    def _measure(self) -> bytes:
        """Return the metrics.

        They take milliseconds, so that many callers get the same ones.
        """
        began = self._clock.seconds()
        if began >= self._valid_until:
            self._text = generate_latest(self._registry)
            ended = self._clock.seconds()
            self._valid_until = ended + REUSE * (ended - began)
        return self._text
