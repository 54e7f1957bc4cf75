"""Answer requests for lists of symbols in a replay."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.replay.recorded_source import LIST_REQUESTS
from dtc_twisted.replay.replay_source import ReplaySource, request_key
from dtc_twisted.simulator.list_requests import unknown_definition
from dtc_twisted.simulator.market.sierra_json import int_or_zero, str_or_empty


class RecordedRequests:
    """Answer as the recorded server did, or else with the symbols of the recording."""

    def __init__(self, source: ReplaySource) -> None:
        self._source = source

    def answer(self, request: Message) -> Sequence[Message] | None:
        """Return the messages of the answer.

        None: the request is not for a list of symbols.
        """
        if not isinstance(request, LIST_REQUESTS):
            return None
        recorded = self._source.answers.get(request_key(request))
        request_id = int_or_zero(request.RequestID)
        if recorded:
            return [replace(message, RequestID=request_id) for message in recorded]
        if isinstance(request, dtc.ExchangeListRequest):
            return self._exchanges(request_id)
        if isinstance(request, dtc.SecurityDefinitionForSymbolRequest):
            symbol = str_or_empty(request.Symbol)
            found = self._source.definitions.get(symbol)
            return [_single(found, request_id) if found is not None else unknown_definition(symbol, request_id)]
        return self._list(request_id, _matches(request))

    def _exchanges(self, request_id: int) -> Sequence[Message]:
        names = sorted({str_or_empty(each.Exchange) for each in self._source.definitions.values()} - {""}) or [""]
        return [
            dtc.ExchangeListResponse(
                RequestID=request_id, Exchange=name, IsFinalMessage=int(name == names[-1]), Description=name
            )
            for name in names
        ]

    def _list(self, request_id: int, matches: Callable[[Any], bool]) -> Sequence[Message]:
        definitions = self._source.definitions
        known = [
            definitions.get(symbol) or dtc.SecurityDefinitionResponse(Symbol=symbol)
            for symbol in sorted(self._source.symbols)
        ]
        found = [each for each in known if matches(each)]
        if not found:
            return [dtc.SecurityDefinitionResponse(RequestID=request_id, Symbol="", IsFinalMessage=1)]
        return [replace(each, RequestID=request_id, IsFinalMessage=int(each is found[-1])) for each in found]


def _single(definition: dtc.SecurityDefinitionResponse, request_id: int) -> Message:
    return replace(definition, RequestID=request_id, IsFinalMessage=1)


def _matches(request: Any) -> Callable[[Any], bool]:
    """Return a test of whether a definition is in the answer."""
    exchange = str_or_empty(getattr(request, "Exchange", ""))
    symbol = str_or_empty(getattr(request, "Symbol", ""))
    underlying = str_or_empty(getattr(request, "UnderlyingSymbol", ""))
    search = str_or_empty(getattr(request, "SearchText", "")).casefold()
    by_description = getattr(request, "SearchType", 0) == dtc.SearchTypeEnum.SEARCH_TYPE_BY_DESCRIPTION

    def test(definition: Any) -> bool:
        text = str_or_empty(definition.Description if by_description else definition.Symbol).casefold()
        return (
            exchange in ("", str_or_empty(definition.Exchange))
            and symbol in ("", definition.Symbol)
            and underlying in ("", str_or_empty(definition.UnderlyingSymbol))
            and search in text
        )

    return test
