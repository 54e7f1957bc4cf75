"""Raise the errors of the API as exceptions of their own types."""

from functools import cache
from typing import Any

from dtc_twisted import errors
from dtc_twisted.errors import PUBLIC_ERRORS


class ApiError(Exception):
    """An error that the gateway answered with.

    It is also of the class of that name in `dtc_twisted.errors`, so that both `except ApiError` and, for example,
    `except errors.OutcomeUnknown` catch it.

    type: the public name, such as "BadParameter".
    status: the HTTP status.
    updates, orders: ORDER_UPDATEs by field names that the answer has; empty if there are none.
    retry_after: seconds to wait before the next attempt; None if the gateway stated none.
    """

    def __init__(self, kind: str, status: int, message: str, about: dict[str, Any], retry_after: float | None) -> None:
        Exception.__init__(self, message)
        self.type = kind
        self.status = status
        self.updates: list[dict[str, Any]] = about.get("updates", [])
        self.orders: list[dict[str, Any]] = about.get("orders", [])
        self.retry_after = retry_after
        self.allowed: list[str] = []

    def __str__(self) -> str:
        return f"{self.type}: {self.args[0]}"


class GatewayUnreachable(Exception):
    """The gateway cannot be reached, or the connection ended before the answer."""


@cache
def _error_class(kind: str) -> type[ApiError]:
    """Return a class that is an ApiError and the error of this public name."""
    named = [each for each, (_, name) in PUBLIC_ERRORS.items() if name == kind]
    return type(kind, (ApiError, *named), {"__init__": ApiError.__init__, "__module__": errors.__name__})


def make_api_error(status: int, body: Any, retry_after: float | None = None) -> ApiError:
    """Make the exception of an error answer.

    body: the JSON value of the answer; anything else than an error of the gateway is an InternalError.
    """
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return _error_class("InternalError")("InternalError", status, f"HTTP status {status}", {}, retry_after)
    kind = str(error.get("type", "InternalError"))
    if retry_after is None:
        retry_after = error.get("retry_after")
    return _error_class(kind)(kind, status, str(error.get("message", "")), error, retry_after)
