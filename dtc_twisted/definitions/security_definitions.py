"""Request the security definition of a symbol, once for each session."""

from collections.abc import Callable

from twisted.internet.defer import Deferred, maybeDeferred, succeed

from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.definitions.prices import PriceFormat
from dtc_twisted.dtc.messages import Message, SecurityDefinitionForSymbolRequest, SecurityDefinitionResponse
from dtc_twisted.dtc.session import Handlers, Session
from dtc_twisted.errors import RequestRejected


class SecurityDefinitions:
    """Cache security definitions until the session ends. A SessionListener.

    request: sends a request and returns its responses; raises or fails with a DTCError.
    """

    handlers: Handlers = {}  # no unsolicited messages are needed

    def __init__(self, request: Callable[[Message], Deferred[list[Message]]]) -> None:
        self._request = request
        self._definitions: dict[str, SecurityDefinitionResponse] = {}
        self._displays: dict[tuple[str, bool], DisplayConverter] = {}
        self._former: dict[tuple[str, bool], tuple[object, DisplayConverter]] = {}  # of earlier sessions too

    @property
    def known(self) -> list[SecurityDefinitionResponse]:
        """The definitions of this session."""
        return [*self._definitions.values()]

    # -- called by orders, the stream and REST

    def is_known(self, symbol: str) -> bool:
        """Return whether `definition` does not ask the server."""
        return symbol in self._definitions

    def definition(self, symbol: str) -> Deferred[SecurityDefinitionResponse]:
        """Return the definition of a symbol.

        Fails with NotLoggedOn, RequestRejected, RequestTimedOut or SessionLost.
        """
        known = self._definitions.get(symbol)
        if known is not None:
            return succeed(known)
        asked = maybeDeferred(self._request, SecurityDefinitionForSymbolRequest(Symbol=symbol))
        return asked.addCallback(self._store, symbol)

    def converter(self, symbol: str, *, times: bool = False) -> Deferred[DisplayConverter]:
        """Return the converter of a symbol's prices and, if `times`, of date-times.

        Fails with NotLoggedOn, RequestRejected, RequestTimedOut or SessionLost.
        """
        known = self._displays.get((symbol, times))
        if known is not None:
            return succeed(known)

        def defined(definition: SecurityDefinitionResponse) -> DisplayConverter:
            # The same prices have the same converter also after a reconnect: its subscribers share an encoder.
            prices = PriceFormat(definition)
            form = (prices.multiplier, prices.divisor, prices.tick)
            former_form, converter = self._former.get((symbol, times), (None, None))
            if converter is None or former_form != form:
                converter = DisplayConverter(definition, times=times)
                self._former[symbol, times] = (form, converter)
            return self._displays.setdefault((symbol, times), converter)

        return self.definition(symbol).addCallback(defined)

    def _store(self, reply: list[Message], symbol: str) -> SecurityDefinitionResponse:
        for definition in reply:
            if isinstance(definition, SecurityDefinitionResponse) and definition.Symbol == symbol:
                return self._definitions.setdefault(symbol, definition)
        raise RequestRejected(f"The server has no definition of {symbol}.")

    # -- called by Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        self._clear()

    def detach(self, reason: str) -> None:
        self._clear()

    def _clear(self) -> None:
        self._definitions.clear()
        self._displays.clear()
