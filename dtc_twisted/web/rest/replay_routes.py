"""Control a replay: pause, resume, seek, speed."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.web.server import Request

from dtc_twisted.errors import BadParameter
from dtc_twisted.iso_times import parse_iso_time
from dtc_twisted.replay.replay_control import ReplayControl
from dtc_twisted.replay_options import parse_speed
from dtc_twisted.web.openapi.replay_operations import REPLAY_OPERATIONS
from dtc_twisted.web.query import query_args, reject_unknown
from dtc_twisted.web.rest.api import RestApi
from dtc_twisted.web.rest.json_body import json_object
from dtc_twisted.web.rest.resource import json_response


class ReplayRoutes:
    """Add the paths to `rest`.

    They need the scope trade, because they change what everybody receives, and cancel open orders.
    """

    def __init__(self, rest: RestApi, control: ReplayControl) -> None:
        self._control = control
        for action, handler in (
            ("pause", self._pause),
            ("resume", self._resume),
            ("seek", self._seek),
            ("speed", self._speed),
        ):
            self._route(rest, action, handler)

    def _route(self, rest: RestApi, action: str, handler: Callable[[Request], Deferred[None] | None]) -> None:
        def respond(request: Request) -> Deferred[bytes]:
            reject_unknown(query_args(request), ())
            done = handler(request) or succeed(None)
            return done.addCallback(lambda _: json_response(request, self._control.status()))

        path = f"/replay/{action}"
        rest.route("POST", path, respond, REPLAY_OPERATIONS[path], trade=True)

    def _pause(self, request: Request) -> None:
        self._control.pause()

    def _resume(self, request: Request) -> Deferred[None]:
        return self._control.resume()

    def _seek(self, request: Request) -> Deferred[None]:
        time = _only(request, "time")
        try:
            position = parse_iso_time(time) if isinstance(time, str) else None
        except (ValueError, OverflowError):
            position = None
        if position is None:
            raise BadParameter(f"time: expected a time such as 2026-11-25T14:30:00Z, not {time!r}.")
        try:
            return self._control.seek(position)
        except ValueError as error:
            raise BadParameter(f"time: {error}.") from None

    def _speed(self, request: Request) -> None:
        value = _only(request, "speed")
        try:
            speed = parse_speed(value)
        except ValueError as error:
            raise BadParameter(f"speed: {error}.") from None
        self._control.set_speed(speed)


def _only(request: Request, name: str) -> Any:
    """Return the one field of the body. Raises BadParameter."""
    body = json_object(request)
    for other in body:
        if other != name:
            raise BadParameter(f"{other}: unknown; expected {name}.")
    if name not in body:
        raise BadParameter(f"{name}: missing.")
    return body[name]
