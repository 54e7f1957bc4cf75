"""Security definitions, asked for once a session: what prices of a symbol mean."""

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, maybeDeferred, succeed

from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.dtc.messages import Message, SecurityDefinitionForSymbolRequest, SecurityDefinitionResponse
from dtc_twisted.dtc.session import Handlers, Session
from dtc_twisted.errors import RequestRejected


class SecurityDefinitions:
    """A SessionListener that keeps what it has asked for, until the session ends.

    ask: sends a request and gives its reply; raises or fails with a DTCError.
    """

    handlers: Handlers = {}  # what the server sends by itself is not waited for

    def __init__(self, ask: Callable[[Message], Deferred[list[Message]]]) -> None:
        self._request = ask
        self._definitions: dict[str, SecurityDefinitionResponse] = {}
        self._displays: dict[tuple[str, bool], DisplayConverter] = {}

    # -- from Orders, Stream and REST

    def definition(self, symbol: str) -> Deferred[SecurityDefinitionResponse]:
        """The definition of a symbol. Fails with NotLoggedOn, RequestRejected, RequestTimedOut or SessionLost."""
        known = self._definitions.get(symbol)
        if known is not None:
            return succeed(known)
        asked = maybeDeferred(self._request, SecurityDefinitionForSymbolRequest(Symbol=symbol))
        return asked.addCallback(self._store, symbol)

    def converter(self, symbol: str, *, times: bool = False) -> Deferred[DisplayConverter]:
        """What converts prices of a symbol, and date-times if asked to.

        Fails with NotLoggedOn, RequestRejected, RequestTimedOut or SessionLost.
        """
        known = self._displays.get((symbol, times))
        if known is not None:
            return succeed(known)

        def defined(definition: SecurityDefinitionResponse) -> DisplayConverter:
            return self._displays.setdefault((symbol, times), DisplayConverter(definition, times=times))

        return self.definition(symbol).addCallback(defined)

    def _store(self, reply: list[Message], symbol: str) -> SecurityDefinitionResponse:
        for definition in reply:
            if isinstance(definition, SecurityDefinitionResponse) and definition.Symbol == symbol:
                return self._definitions.setdefault(symbol, definition)
        raise RequestRejected(f"The server has no definition of {symbol}.")

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        self._clear()

    def detach(self, reason: str) -> None:
        self._clear()

    def _clear(self) -> None:
        self._definitions.clear()
        self._displays.clear()


def convert_payload(display: DisplayConverter, payload: bytes) -> dict[str, Any]:
    """What the hub told of a symbol, for people."""
    fields = msgspec.json.decode(payload)
    for side in ("bids", "asks", "changes"):
        for level in fields.get(side, ()):
            level["Price"] = display.price(level["Price"])
    return display(fields)
