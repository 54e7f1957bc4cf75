"""Answer requests for lists of symbols."""

from collections.abc import Iterable, Iterator, Sequence
from functools import singledispatchmethod

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import SimulatorReject
from dtc_twisted.simulator.market.catalogue import EXCHANGES, CatalogueEntry, all_instruments, find_instrument
from dtc_twisted.simulator.market.instruments import Instrument
from dtc_twisted.simulator.market.sierra_json import int_or_zero, str_or_empty
from dtc_twisted.simulator.settings import ServerSettings


class SymbolRequests:
    """Answer the requests of types 500 to 508 from the security definitions."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings

    @singledispatchmethod
    def answer(self, request: Message) -> Iterable[Message] | None:
        """Return the messages of the answer; None for other requests.

        Raises SimulatorReject.
        """
        return None

    @answer.register
    def _(self, request: dtc.ExchangeListRequest) -> Iterable[Message]:
        last = len(EXCHANGES) - 1
        return [
            dtc.ExchangeListResponse(
                RequestID=int_or_zero(request.RequestID),
                Exchange=exchange,
                IsFinalMessage=int(i == last),
                Description=description,
            )
            for i, (exchange, description) in enumerate(EXCHANGES.items())
        ]

    @answer.register
    def _(self, request: dtc.SymbolsForExchangeRequest) -> Iterable[Message]:
        symbol = str_or_empty(request.Symbol)
        found = [each for each in _listed(request) if symbol in ("", each.symbol)]
        return _definitions(found, int_or_zero(request.RequestID))

    @answer.register
    def _(self, request: dtc.UnderlyingSymbolsForExchangeRequest) -> Iterable[Message]:
        underlying = {each.underlying: each for each in _listed(request)}
        last = len(underlying) - 1
        return [
            dtc.SecurityDefinitionResponse(
                RequestID=int_or_zero(request.RequestID),
                Symbol=symbol,
                SecurityType=instrument.security_type,
                UnderlyingSymbol=symbol,
                IsFinalMessage=int(i == last),
            )
            for i, (symbol, instrument) in enumerate(underlying.items())
        ] or _definitions([], int_or_zero(request.RequestID))

    @answer.register
    def _(self, request: dtc.SymbolsForUnderlyingRequest) -> Iterable[Message]:
        underlying = str_or_empty(request.UnderlyingSymbol)
        found = [each for each in _listed(request) if each.underlying == underlying]
        return _definitions(found, int_or_zero(request.RequestID))

    @answer.register
    def _(self, request: dtc.SecurityDefinitionForSymbolRequest) -> Iterable[Message]:
        symbol = str_or_empty(request.Symbol)
        if not symbol:
            raise SimulatorReject("Symbol is not set.")
        found = find_instrument(symbol)
        if found is None and self._settings.reject_unknown_symbols:
            raise SimulatorReject(f"{symbol[:40]} is not a known symbol.")
        if found is None:
            return [unknown_definition(symbol, int_or_zero(request.RequestID))]
        return _definitions([found], int_or_zero(request.RequestID))

    @answer.register
    def _(self, request: dtc.SymbolSearchRequest) -> Iterable[Message]:
        search_text = str_or_empty(request.SearchText).casefold()
        if not search_text:
            raise SimulatorReject("SearchText is not set.")
        found = _listed(request)
        if request.SearchType == dtc.SearchTypeEnum.SEARCH_TYPE_BY_DESCRIPTION:
            found = [each for each in found if search_text in each.description.casefold()]
        else:
            found = [each for each in found if search_text in each.symbol.casefold()]
        return _definitions(found, int_or_zero(request.RequestID))


_Listing = (
    dtc.SymbolsForExchangeRequest
    | dtc.UnderlyingSymbolsForExchangeRequest
    | dtc.SymbolsForUnderlyingRequest
    | dtc.SymbolSearchRequest
)


def _listed(request: _Listing) -> Sequence[Instrument | CatalogueEntry]:
    """Return the instruments of the requested Exchange and SecurityType.

    Without them, instruments of all exchanges and types are returned.
    """
    exchange, kind = str_or_empty(request.Exchange), int_or_zero(request.SecurityType)
    return [
        each
        for each in all_instruments()
        if (not exchange or each.exchange == exchange) and (not kind or each.security_type == kind)
    ]


def _definitions(found: Sequence[Instrument | CatalogueEntry], request_id: int) -> Iterator[Message]:
    if not found:
        yield dtc.SecurityDefinitionResponse(RequestID=request_id, Symbol="", IsFinalMessage=1)
    for each in found:
        instrument = each.instrument if isinstance(each, CatalogueEntry) else each
        yield instrument.definition(request_id, final=each is found[-1])


def unknown_definition(symbol: str, request_id: int) -> dtc.SecurityDefinitionResponse:
    """Return the definition that Sierra Chart sends for an unknown symbol.

    The definition has no price increment and no description.
    """
    return dtc.SecurityDefinitionResponse(
        RequestID=request_id, Symbol=symbol, Description="", MinPriceIncrement=0.0, IsFinalMessage=1
    )
