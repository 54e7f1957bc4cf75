"""What can go wrong between us and the DTC server, by meaning. `rest` and `stream` turn these into answers."""


class DTCError(Exception):
    """The text is for people and holds nothing secret."""


class NotLoggedOn(DTCError):
    """There is no session to send this over; nothing was sent."""


class SessionLost(DTCError):
    """The session ended while this was waiting for an answer."""


class RequestRejected(DTCError):
    """The server refused; the text is the server's RejectText."""


class RequestTimedOut(DTCError):
    """The server was asked and did not answer, or did not finish its answer, in time."""


class LogonRefused(DTCError):
    """LOGON_RESPONSE.Result was not LOGON_SUCCESS.

    may_retry: False when the server asked not to be connected to again.
    reconnect_address: where to log on instead, or empty.
    """

    def __init__(self, text: str, *, may_retry: bool, reconnect_address: str = "") -> None:
        super().__init__(text)
        self.may_retry = may_retry
        self.reconnect_address = reconnect_address
