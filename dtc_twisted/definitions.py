"""Security definitions, asked for once a session: what prices of a symbol mean."""

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed

from dtc_twisted.display import Display
from dtc_twisted.errors import RequestRejected
from dtc_twisted.messages import Message, SecurityDefinitionForSymbolRequest, SecurityDefinitionResponse
from dtc_twisted.session import Session


class Definitions:
    """A SessionListener that keeps what it has asked for, until the session ends.

    ask: sends a request and gives its reply; raises or fails with a DTCError.
    """

    def __init__(self, ask: Callable[[Message], Deferred[list[Message]]]) -> None:
        self._ask = ask
        self._displays: dict[str, Display] = {}

    # -- from Stream and REST

    def display(self, symbol: str) -> Deferred[Display]:
        """What converts prices of a symbol. Fails with NotLoggedOn, RequestRejected, RequestTimedOut or SessionLost."""
        known = self._displays.get(symbol)
        if known is not None:
            return succeed(known)
        return self._ask(SecurityDefinitionForSymbolRequest(Symbol=symbol)).addCallback(self._keep, symbol)

    def _keep(self, reply: list[Message], symbol: str) -> Display:
        for definition in reply:
            if isinstance(definition, SecurityDefinitionResponse) and definition.Symbol == symbol:
                return self._displays.setdefault(symbol, Display(definition))
        raise RequestRejected(f"The server has no definition of {symbol}.")

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        self._displays.clear()

    def detach(self, reason: str) -> None:
        self._displays.clear()

    def receive(self, message: Message) -> None:
        """Definitions that the server sends by itself are not waited for."""
