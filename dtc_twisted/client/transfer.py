"""Decide how calls are sent, repeated and read, for both clients."""

import os
from collections.abc import Callable
from typing import Any

import msgspec

from dtc_twisted.client.api_error import ApiError, GatewayUnreachable, make_api_error
from dtc_twisted.client.calls import Call
from dtc_twisted.dtc.messages import Message

DEFAULT_URL = "http://127.0.0.1:8080"
RETRY_PAUSE = 0.5
"""Seconds until an order whose outcome is unknown is sent again, with the same ClientOrderID."""

_REPEATED_TYPES = ("OutcomeUnknown", "NotLoggedOn", "NotReady", "SessionLost", "JournalFailed")
"""Errors after which an order is sent again: it was not sent, or its outcome is not known yet."""


def base_url(given: str | None) -> str:
    """Return the address of the gateway: given, of DTC_URL, or the default."""
    return (given or os.environ.get("DTC_URL") or DEFAULT_URL).rstrip("/")


def auth_headers(given: str | None) -> dict[str, str]:
    """Return the headers with the token: given, or of DTC_TOKEN."""
    token = given or os.environ.get("DTC_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def stream_url(url: str) -> str:
    """Return the address of /stream."""
    return f"ws{url.removeprefix('http')}/api/v1/stream"


def error_of(status: int, body: bytes, headers: Any) -> ApiError:
    """Make the exception of an error answer."""
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError:
        value = None
    after = headers.get("Retry-After", "")
    return make_api_error(status, value, float(after) if after.isdigit() else None)


def pause_before_repeat(call: Call[Any], error: Exception, left: float) -> float | None:
    """Return the seconds to wait before a call is sent again; None if it must not be.

    left: seconds that remain for it.
    """
    repeats = isinstance(error, GatewayUnreachable) or (isinstance(error, ApiError) and error.type in _REPEATED_TYPES)
    if not (call.is_repeatable and repeats):
        return None
    stated = error.retry_after if isinstance(error, ApiError) else None
    pause = RETRY_PAUSE if stated is None else stated
    return pause if pause < left else None


OnRows = Callable[[int, Message], None]
"""Is called with the number of rows so far, and the last one."""


def ignore_rows(count: int, last: Message) -> None:
    """Do nothing."""


class LineBuffer:
    """Split a stream of bytes into whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return the whole lines so far, and keep the rest."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        return data[:end]

    def finish(self) -> bytes:
        """Return the last line if it has no end."""
        rest, self._rest = self._rest, b""
        return rest
