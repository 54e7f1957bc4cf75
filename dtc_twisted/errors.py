"""What can go wrong between us and the DTC server, by meaning. `rest` and `stream` turn these into answers."""

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


class BadParameter(ValueError):
    """A parameter is missing, unknown or of the wrong kind. The text names it and says what was expected."""
