"""Exceptions, and their HTTP status and public name in one table: `PUBLIC_ERRORS`."""

from collections.abc import Iterable
from typing import Any


class DTCError(Exception):
    """The text is for people and holds nothing secret."""


class NotLoggedOn(DTCError):
    """There is no session to send this over; nothing was sent."""


class NotReady(NotLoggedOn):
    """There is a session, but what must be known first is not; nothing was sent."""


class SessionLost(DTCError):
    """The session ended while this was waiting for an answer."""


class RequestRejected(DTCError):
    """The server refused; the text is the server's RejectText.

    retry_after: seconds after which the server is ready to be asked again, if it said so.
    """

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class RequestTimedOut(DTCError):
    """The server was asked and did not answer, or did not finish its answer, in time."""


class UnusableAnswer(DTCError):
    """The server answered, and nobody can tell what that means."""


class LogonRefused(DTCError):
    """LOGON_RESPONSE.Result was not LOGON_SUCCESS.

    may_retry: False when the server asked not to be connected to again.
    reconnect_address: where to log on instead, or empty.
    """

    def __init__(self, text: str, *, may_retry: bool, reconnect_address: str = "") -> None:
        super().__init__(text)
        self.may_retry = may_retry
        self.reconnect_address = reconnect_address


class NotPermitted(DTCError):
    """The gateway does not let this order through; nothing was sent. The text names the option that says so."""


class TooManyOrders(NotPermitted):
    """More orders than --max-orders-per-minute.

    retry_after: seconds until there is room again.
    """

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Conflict(DTCError):
    """As things stand this cannot be done; nothing was sent."""


class NoSuchOrder(DTCError):
    """No order has this id."""


class OrderRejected(RequestRejected):
    """The server refused an order, or a change of one; the text is its InfoText.

    updates: the ORDER_UPDATEs, by field names, of all orders concerned.
    """

    def __init__(self, text: str, updates: list[dict[str, Any]]) -> None:
        super().__init__(text)
        self.updates = updates


class OutcomeUnknown(DTCError):
    """It was sent, and nobody knows what became of it yet.

    orders: what is known of the orders concerned.
    """

    def __init__(self, text: str, orders: list[dict[str, Any]]) -> None:
        super().__init__(text)
        self.orders = orders


class JournalFailed(DTCError):
    """The journal of orders cannot be opened or read, or the disk does not take it; nothing was sent."""


class DuplicateOrder(Conflict):
    """An order of this ClientOrderID is in the journal already; nothing was sent."""


# -- faults of a request, found before anything is sent


class BadParameter(ValueError):
    """A parameter is missing, unknown or of the wrong kind. The text names it and says what was expected."""


class BadOrder(ValueError):
    """Fields of an order are missing, unknown or wrong. The text names each and says what was expected."""

    def __init__(self, problems: Iterable[str]) -> None:
        super().__init__(" ".join(problems))


class ContentTooLarge(Exception):
    """The body of a request is longer than the gateway accepts."""


class UnsupportedMediaType(Exception):
    """The Content-Type of a request is not the one that the path takes."""


class Unauthorized(Exception):
    """The request has no valid token."""


class Forbidden(Exception):
    """The principal, the origin or an option does not permit the request."""


class Misdirected(Exception):
    """The Host header names another host."""


class NotFound(Exception):
    """The path does not exist."""


class MethodNotAllowed(Exception):
    """The path exists, but not with this method.

    allowed: the methods that the path has.
    """

    def __init__(self, text: str, allowed: Iterable[str]) -> None:
        super().__init__(text)
        self.allowed = sorted(allowed)


class UpgradeRequired(Exception):
    """The path is a WebSocket's, and the request is none."""


# -- public names

INTERNAL_ERROR = (500, "InternalError")
"""Status and public name of every exception that is not in `PUBLIC_ERRORS`: a fault of the gateway."""

PUBLIC_ERRORS: dict[type[Exception], tuple[int, str]] = {
    BadParameter: (400, "BadParameter"),
    BadOrder: (400, "BadOrder"),
    Unauthorized: (401, "Unauthorized"),
    Forbidden: (403, "Forbidden"),
    NotPermitted: (403, "NotPermitted"),
    NotFound: (404, "NotFound"),
    NoSuchOrder: (404, "NoSuchOrder"),
    MethodNotAllowed: (405, "MethodNotAllowed"),
    Conflict: (409, "Conflict"),
    DuplicateOrder: (409, "DuplicateOrder"),
    ContentTooLarge: (413, "ContentTooLarge"),
    UnsupportedMediaType: (415, "UnsupportedMediaType"),
    Misdirected: (421, "Misdirected"),
    RequestRejected: (422, "RequestRejected"),
    OrderRejected: (422, "OrderRejected"),
    UpgradeRequired: (426, "UpgradeRequired"),
    TooManyOrders: (429, "TooManyOrders"),
    UnusableAnswer: (502, "UnusableAnswer"),
    NotLoggedOn: (503, "NotLoggedOn"),
    NotReady: (503, "NotReady"),
    SessionLost: (503, "SessionLost"),
    JournalFailed: (503, "JournalFailed"),
    RequestTimedOut: (504, "RequestTimedOut"),
    OutcomeUnknown: (504, "OutcomeUnknown"),
}
"""HTTP status and public name (`error.type` in JSON). The names are part of the API: they do not follow the classes."""


def public_error(error: BaseException | None) -> tuple[int, str]:
    """Give the HTTP status and the public name of an exception: those of its nearest class in `PUBLIC_ERRORS`."""
    for kind in type(error).__mro__:
        if kind in PUBLIC_ERRORS:
            return PUBLIC_ERRORS[kind]
    return INTERNAL_ERROR
