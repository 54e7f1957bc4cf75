"""Describe failed requests: JSON body and headers."""

import math
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug import exceptions as werkzeug

from dtc_twisted.errors import (
    JournalFailed,
    MethodNotAllowed,
    NotFound,
    NotLoggedOn,
    SessionLost,
    Unauthorized,
    UpgradeRequired,
)
from dtc_twisted.web.error_json import error_json

_JOURNAL_RETRY = 1.0
"""Seconds until a request that needs the journal may be tried again."""


def describe_error(
    request: Request,
    failure: Failure,
    seconds_to_retry: Callable[[], float],
    allowed_methods: Callable[[bytes], Collection[str]] = lambda path: (),
) -> dict[str, Any]:
    """Make the JSON value of a failure, and set the headers that belong to it.

    seconds_to_retry: seconds until the next try to reach the server.
    allowed_methods: returns the methods of exactly this path, without variable parts.
    """
    error = _own_error(request, failure.value, allowed_methods(unquote_to_bytes(request.path)))
    for header, value in _headers(error, seconds_to_retry).items():
        request.setHeader(header, value)
    return error_json(failure, error, request.path.decode("utf-8", "replace"))


def _own_error(request: Request, error: BaseException | None, allowed: Collection[str]) -> BaseException | None:
    """Translate the exceptions of Klein's router."""
    if not isinstance(error, werkzeug.NotFound | werkzeug.MethodNotAllowed):
        return error
    methods = allowed or getattr(error, "valid_methods", None)
    if not methods:
        return NotFound(f"Nothing is at {request.path.decode('utf-8', 'replace')}.")
    return MethodNotAllowed(f"{request.method.decode('ascii', 'replace')} is not possible here.", methods)


def _headers(error: BaseException | None, seconds_to_retry: Callable[[], float]) -> dict[str, str]:
    """Return the headers that belong to an error, such as Retry-After."""
    match error:
        case Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case MethodNotAllowed():
            return {"Allow": ", ".join(error.allowed)}
        case UpgradeRequired():
            return {"Upgrade": "websocket"}
        case JournalFailed():
            seconds: float | None = _JOURNAL_RETRY
        case NotLoggedOn() | SessionLost():
            seconds = seconds_to_retry()
        case _:
            seconds = getattr(error, "retry_after", None)
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}
