"""Errors as callers see them: which status means what."""

import math
from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from dtc_twisted.errors import (
    BadParameter,
    Conflict,
    JournalFailed,
    NoSuchOrder,
    NotLoggedOn,
    NotPermitted,
    OutcomeUnknown,
    RequestRejected,
    RequestTimedOut,
    SessionLost,
    TooManyOrders,
    UnusableAnswer,
)
from dtc_twisted.logs import logger
from dtc_twisted.orders import BadOrder
from dtc_twisted.web.access import Forbidden, Misdirected, Unauthorized
from dtc_twisted.web.rest.json_body import ContentTooLarge, UnsupportedMediaType

_log = logger(__name__)


class UpgradeRequired(Exception):
    """The address is a WebSocket's."""


def describe_error(request: Request, failure: Failure, seconds_to_retry: Callable[[], float]) -> dict[str, Any]:
    """What is said of a failure; with the headers that go with its status.

    seconds_to_retry: until the next try to reach the server.
    """
    error = failure.value
    name, text = type(error).__name__, str(error)
    match error:
        case BadParameter() | BadOrder():
            status = 400
        case Unauthorized():
            status = 401
            request.setHeader("WWW-Authenticate", "Bearer")
        case TooManyOrders():
            status = 429
            _retry_after(request, error.retry_after)
        case Forbidden() | NotPermitted():
            status = 403
        case NoSuchOrder():
            status = 404
        case Conflict():
            status = 409
        case ContentTooLarge():
            status = 413
        case UnsupportedMediaType():
            status = 415
        case Misdirected():
            status = 421
        case RequestRejected():
            status = 422
            _retry_after(request, error.retry_after)
        case UpgradeRequired():
            status = 426
            request.setHeader("Upgrade", "websocket")
        case UnusableAnswer():
            status = 502
        case JournalFailed():
            status = 503
            _retry_after(request, 1.0)
        case NotLoggedOn() | SessionLost():
            status = 503
            _retry_after(request, seconds_to_retry())
        case RequestTimedOut() | OutcomeUnknown():
            status = 504
        case MethodNotAllowed():
            status = 405
            text = f"{request.method.decode('ascii', 'replace')} is not possible here."
            request.setHeader("Allow", ", ".join(sorted(error.valid_methods or ())))
        case HTTPException():
            status = error.code or 500
            text = f"Nothing is at {request.path.decode('utf-8', 'replace')}." if status == 404 else error.name
        case _:
            _log.failure("Failed to answer {path}", failure, path=request.path)
            status, name, text = 500, "InternalError", "The gateway failed to answer; its log says why."
    about = {each: getattr(error, each) for each in ("updates", "orders") if hasattr(error, each)}
    return {"success": False, "error": {"type": name, "message": text, "status": status} | about}


def _retry_after(request: Request, seconds: float | None) -> None:
    if seconds is not None:
        request.setHeader("Retry-After", str(max(1, math.ceil(seconds))))
