"""Define the exceptions, and their HTTP status and public name.

Those that the Python client raises by itself are in client/api_error.py.
"""

from collections.abc import Iterable
from typing import Any


class DTCError(Exception):
    """Base class. The text is for users, and contains no secrets."""


class NotLoggedOn(DTCError):
    """There is no session. Nothing was sent."""


class NotReady(NotLoggedOn):
    """There is a session, but its initial data has not arrived. Nothing was sent."""


class Busy(DTCError):
    """The gateway does too much of this kind already. Nothing was sent.

    retry_after: seconds to wait before the next attempt.
    """

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class SessionLost(DTCError):
    """The session ended before the response arrived."""


class RequestRejected(DTCError):
    """The server rejected the request. The text is its RejectText.

    retry_after: seconds to wait before the next attempt, if the server stated them.
    """

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class RequestTimedOut(DTCError):
    """The response of the server did not arrive, or not completely, in time."""


class UnusableAnswer(DTCError):
    """The response of the server has no defined meaning."""


class NoDataFile(DTCError):
    """The data folder has no file with the requested data."""


class UnusableDataFile(DTCError):
    """A data file cannot be read, or is damaged, or has another layout.

    The text names the file and the reason.
    """


class LogonRefused(DTCError):
    """LOGON_RESPONSE.Result was not LOGON_SUCCESS.

    may_retry: False if the server does not allow a reconnect.
    reconnect_address: where to log on instead, or empty.
    """

    def __init__(self, text: str, *, may_retry: bool, reconnect_address: str = "") -> None:
        super().__init__(text)
        self.may_retry = may_retry
        self.reconnect_address = reconnect_address


class NotPermitted(DTCError):
    """A limit of the gateway does not permit the order. Nothing was sent.

    The text names the limit.
    """


class TooManyOrders(NotPermitted):
    """More orders than a limit of their rate permits. Nothing was sent.

    retry_after: seconds until the next order is permitted.
    """

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Conflict(DTCError):
    """The present state does not permit the command. Nothing was sent."""


class NoSuchOrder(DTCError):
    """There is no order with this id."""


class OrderRejected(RequestRejected):
    """The server rejected an order, or a change of one. The text is its InfoText.

    updates: the ORDER_UPDATEs of all orders concerned, as dictionaries.
    """

    def __init__(self, text: str, updates: list[dict[str, Any]]) -> None:
        super().__init__(text)
        self.updates = updates


class OutcomeUnknown(DTCError):
    """The command was sent, and its outcome is not known yet.

    orders: the state of the orders concerned.
    """

    def __init__(self, text: str, orders: list[dict[str, Any]]) -> None:
        super().__init__(text)
        self.orders = orders


class JournalFailed(DTCError):
    """The journal cannot be opened, read or written. Nothing was sent."""


class DuplicateOrder(Conflict):
    """The journal has an order with this ClientOrderID. Nothing was sent."""


# -- the journal's file: caught inside the gateway


class StoreError(Exception):
    """The journal's file cannot be opened or written."""


class StoreLocked(StoreError):
    """Another gateway has the journal's file."""


class StoreDamaged(StoreError):
    """The journal's file, or a part of it, was lost or damaged."""


class RowRefused(StoreError):
    """An entry cannot be written to the journal, while others can."""


# -- other exceptions that are caught inside the package


class StartupError(SystemExit, Exception):
    """Ends the process with status 1, and prints the text alone.

    It is a SystemExit, so that no traceback is printed, and an Exception, so that twistd removes its pid file first.
    """


class MalformedMessage(ValueError):
    """The bytes are not a DTC message. The text has the reason."""


class UnfitMessages(ValueError):
    """A file is no messages module, or lacks a needed message."""


class NoZstandard(Exception):
    """The module zstandard is missing. The text says how to install it."""


class UnusableRecording(Exception):
    """A folder or file is not a recording. The text has the reason."""


class FolderInUse(Exception):
    """The folder has files that this simulator did not write."""


class SimulatorReject(Exception):
    """The simulated server answers the request by its reject message, with this text.

    fields: of the reject message, such as RejectReasonCode.
    """

    def __init__(self, text: str, **fields: Any) -> None:
        super().__init__(text)
        self.fields = fields


# -- invalid requests: nothing is sent


class BadParameter(ValueError):
    """A parameter is missing, unknown or invalid.

    The text has its name and the expected value.
    """


class BadOrder(ValueError):
    """Fields of an order are missing, unknown or invalid.

    The text has the name and the expected value of each.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        super().__init__(" ".join(problems))


class ContentTooLarge(Exception):
    """The body of a request is longer than the gateway accepts."""


class UnsupportedMediaType(Exception):
    """The Content-Type of a request is not the one that the path takes."""


class Unauthorized(Exception):
    """The request has no valid token."""


class TooManyRequests(Exception):
    """The token has sent too many requests.

    retry_after: seconds until the next request is permitted.
    """

    def __init__(self, text: str, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


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
    """The path is a WebSocket, and the request does not open one."""


# -- public names

INTERNAL_ERROR = (500, "InternalError")
"""Status and public name of every exception that is not in `PUBLIC_ERRORS`: an error of the gateway."""

PUBLIC_ERRORS: dict[type[Exception], tuple[int, str]] = {
    BadParameter: (400, "BadParameter"),
    BadOrder: (400, "BadOrder"),
    Unauthorized: (401, "Unauthorized"),
    Forbidden: (403, "Forbidden"),
    NotPermitted: (403, "NotPermitted"),
    NotFound: (404, "NotFound"),
    NoSuchOrder: (404, "NoSuchOrder"),
    NoDataFile: (404, "NoDataFile"),
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
    TooManyRequests: (429, "TooManyRequests"),
    UnusableAnswer: (502, "UnusableAnswer"),
    UnusableDataFile: (502, "UnusableDataFile"),
    NotLoggedOn: (503, "NotLoggedOn"),
    NotReady: (503, "NotReady"),
    SessionLost: (503, "SessionLost"),
    Busy: (503, "Busy"),
    JournalFailed: (503, "JournalFailed"),
    RequestTimedOut: (504, "RequestTimedOut"),
    OutcomeUnknown: (504, "OutcomeUnknown"),
}
"""HTTP status and public name (`error.type` in JSON). The names are part of the API: they do not follow the classes."""


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra of this package."""
    return f"pip install 'dtc-twisted[{extra}]', in a checkout '.[{extra}]'"


def public_error(error: BaseException | None) -> tuple[int, str]:
    """Return the HTTP status and the public name of an exception.

    They are those of its nearest class in `PUBLIC_ERRORS`.
    """
    for kind in type(error).__mro__:
        if kind in PUBLIC_ERRORS:
            return PUBLIC_ERRORS[kind]
    return INTERNAL_ERROR
