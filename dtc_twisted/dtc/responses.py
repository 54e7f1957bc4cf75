# ruff: noqa: E501
"""List the response types of each request, and recognize its last response."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

from msgspec import UNSET

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message


@dataclass(frozen=True)
class ResponseSpec:
    """The responses to one type of request.

    types: message types of the responses.
    reject: message type of the rejection, if there is one.
    is_last: returns whether a response is the last one.
    has_data: returns False for a response that only states that there is no data, or no more.
    is_unknown: returns True for a response about a symbol that the server does not know.
    is_damaged: returns True for a response without the data that it must have.
    is_whole: returns True for a request and a response that is its whole answer, whatever its flags are.
    """

    types: tuple[type[Message], ...]
    reject: type[Message] | None
    is_last: Callable[[Any], bool]
    has_data: Callable[[Any], bool]
    is_unknown: Callable[[Any], bool] = lambda response: False
    is_damaged: Callable[[Any], bool] = lambda response: False
    is_whole: Callable[[Any, Any], bool] | None = None

    @property
    def row_type(self) -> type[Message]:
        """The message type of a row: the first response that is no header."""
        return next(each for each in self.types if each not in _HEADERS)

    @cached_property
    def is_numbered(self) -> bool:
        """Whether each response states the number of responses."""
        return bool(self._total_field)

    def total(self, response: Any) -> int:
        """Return the number of responses that a response states; 0 if it states none."""
        return int(getattr(response, self._total_field, 0) or 0)

    def number(self, response: Any) -> int:
        """Return the number of a response among all; 0 if the server omitted it."""
        return int(getattr(response, "MessageNumber", 0) or 0)

    def is_empty(self, response: Any) -> bool:
        """Return whether a response states that there is no data."""
        return bool(getattr(response, self._empty_flag, 0) == 1)

    @cached_property
    def _total_field(self) -> str:
        """Field with the number of responses; empty if there is none."""
        return self._field_of(_TOTALS)

    @cached_property
    def _empty_flag(self) -> str:
        """Flag of a response without data; empty if there is none."""
        return self._field_of(EMPTY_FLAGS)

    def _field_of(self, names: Collection[str]) -> str:
        return next((each for each in self.types[0].__struct_fields__ if each in names), "")


_TOTALS = ("TotalNumberMessages", "TotalNumMessages")
EMPTY_FLAGS = ("NoOrders", "NoOrderFills", "NoPositions", "NoAccountBalances")
"""Fields of responses that are 1 if there is no data."""


def is_surplus(response: Any) -> bool:
    """Return whether a response is beyond the number of responses that it states."""
    total = max(getattr(response, name, 0) or 0 for name in _TOTALS)
    return 0 < total < (response.MessageNumber or 0)


def _flag_set(*names: str) -> Callable[[Any], bool]:
    return lambda response: any(getattr(response, name) == 1 for name in names)


def _flag_not_set(name: str) -> Callable[[Any], bool]:
    return lambda response: getattr(response, name) != 1


def _field_set(name: str) -> Callable[[Any], bool]:
    return lambda response: bool(getattr(response, name))


def _is_last_of(total: str, empty: str = "") -> Callable[[Any], bool]:
    """Make a test for the last response, by its MessageNumber or by a flag.

    total: field with the number of responses.
    empty: flag of a response without data.

    A response with neither number is the only one. A response without `total` alone is not the last.
    """

    def is_last(response: Any) -> bool:
        number, of = response.MessageNumber or 0, getattr(response, total) or 0
        return getattr(response, empty, 0) == 1 or (number >= of if of else not number)

    return is_last


def _is_last_record(response: Any) -> bool:
    flags = (getattr(response, name, 0) for name in ("NoRecordsToReturn", "IsFinalRecord"))
    return 1 in flags or isinstance(response, dtc.HistoricalPriceDataResponseTrailer)


def _is_record(response: Any) -> bool:
    """Return whether a message is a record with data.

    Headers, trailers and an empty final record have none.
    """
    return bool(getattr(response, "StartDateTime", 0) or getattr(response, "DateTime", 0))


def _is_damaged_record(response: Any) -> bool:
    """Return whether a message is a record without a time.

    The final record may be empty.
    """
    return getattr(response, "IsFinalRecord", 1) != 1 and not _is_record(response)


def _is_record_or_divisor(response: Any) -> bool:
    """Return whether a message is a record, or a header with a price divisor."""
    return _is_record(response) or bool(getattr(response, "IntToFloatPriceDivisor", 0))


_TOTAL = "TotalNumberMessages"
_DEFINITIONS = ResponseSpec(
    (dtc.SecurityDefinitionResponse,), dtc.SecurityDefinitionReject, _flag_set("IsFinalMessage"), _field_set("Symbol")
)
_DEFINITION = replace(
    # Sierra Chart does not reject an unknown symbol. Its definition has no price increment and no description.
    _DEFINITIONS,
    is_unknown=lambda response: bool(response.Symbol) and response.MinPriceIncrement == 0 and not response.Description,
    # A symbol has one definition. A server may leave out IsFinalMessage, or leave it at 0.
    is_whole=lambda request, response: response.Symbol == request.Symbol,
)
_HEADERS = (dtc.HistoricalPriceDataResponseHeader, dtc.HistoricalMarketDepthDataResponseHeader)
_PRICE_RECORDS = (
    dtc.HistoricalPriceDataResponseHeader,
    dtc.HistoricalPriceDataRecordResponse,
    dtc.HistoricalPriceDataTickRecordResponse,
    dtc.HistoricalPriceDataRecordResponse_Int,
    dtc.HistoricalPriceDataTickRecordResponse_Int,
    dtc.HistoricalPriceDataResponseTrailer,
)
_DEPTH_RECORDS = (dtc.HistoricalMarketDepthDataResponseHeader, dtc.HistoricalMarketDepthDataRecordResponse)

# fmt: off
RESPONSES: dict[type[Message], ResponseSpec] = {
    dtc.TradeAccountsRequest: ResponseSpec((dtc.TradeAccountResponse,), None, _is_last_of(_TOTAL), _field_set("TradeAccount")),
    dtc.ExchangeListRequest: ResponseSpec((dtc.ExchangeListResponse,), None, _flag_set("IsFinalMessage"), _field_set("Exchange")),
    dtc.SymbolsForExchangeRequest: _DEFINITIONS,
    dtc.UnderlyingSymbolsForExchangeRequest: _DEFINITIONS,
    dtc.SymbolsForUnderlyingRequest: _DEFINITIONS,
    dtc.SecurityDefinitionForSymbolRequest: _DEFINITION,
    dtc.SymbolSearchRequest: _DEFINITIONS,
    dtc.AccountBalanceRequest: ResponseSpec((dtc.AccountBalanceUpdate,), dtc.AccountBalanceReject, _is_last_of(_TOTAL, "NoAccountBalances"), _flag_not_set("NoAccountBalances")),
    dtc.HistoricalAccountBalancesRequest: ResponseSpec((dtc.HistoricalAccountBalanceResponse,), dtc.HistoricalAccountBalancesReject, _flag_set("IsFinalResponse", "NoAccountBalances"), _flag_not_set("NoAccountBalances")),
    dtc.OpenOrdersRequest: ResponseSpec((dtc.OrderUpdate,), dtc.OpenOrdersReject, _is_last_of("TotalNumMessages", "NoOrders"), _flag_not_set("NoOrders")),
    dtc.HistoricalOrderFillsRequest: ResponseSpec((dtc.HistoricalOrderFillResponse,), dtc.HistoricalOrderFillsReject, _is_last_of(_TOTAL, "NoOrderFills"), _flag_not_set("NoOrderFills")),
    dtc.CurrentPositionsRequest: ResponseSpec((dtc.PositionUpdate,), dtc.CurrentPositionsReject, _is_last_of(_TOTAL, "NoPositions"), _flag_not_set("NoPositions")),
    dtc.HistoricalTradesRequest: ResponseSpec((dtc.HistoricalTradesResponse,), dtc.HistoricalTradesReject, _flag_set("IsFinalMessage"), _field_set("Symbol")),
    dtc.HistoricalPriceDataRequest: ResponseSpec(_PRICE_RECORDS, dtc.HistoricalPriceDataReject, _is_last_record, _is_record_or_divisor, is_damaged=_is_damaged_record),
    dtc.HistoricalMarketDepthDataRequest: ResponseSpec(_DEPTH_RECORDS, dtc.HistoricalMarketDepthDataReject, _is_last_record, _is_record, is_damaged=_is_damaged_record),
    dtc.JournalEntriesRequest: ResponseSpec((dtc.JournalEntryResponse,), dtc.JournalEntriesReject, _flag_set("IsFinalResponse"), _field_set("JournalEntry")),
}
# fmt: on
RESPONSE_TYPES = {
    response for spec in RESPONSES.values() for response in (*spec.types, spec.reject) if response is not None
}
"""Message types of all responses and rejections."""

_TIMES_OF_RECORDS: dict[type[Message], Callable[[Any], Any]] = {
    kind: attrgetter("StartDateTime" if "StartDateTime" in kind.__struct_fields__ else "DateTime")
    for kind in (*_PRICE_RECORDS, *_DEPTH_RECORDS)
    if "IsFinalRecord" in kind.__struct_fields__
}
"""Message type of a record -> the function that returns its time."""
RECORD_TYPES = frozenset(_TIMES_OF_RECORDS)
"""Message types of the records of a download."""
_request_id = attrgetter("RequestID")
_is_final = attrgetter("IsFinalRecord")


def are_records_before_final(messages: Sequence[Any]) -> bool:
    """Return whether messages are records before the final one.

    All are of one type and one answer, and have a time. Each check is one call for all messages, because a download has
    millions of them.
    """
    time = _TIMES_OF_RECORDS.get(type(messages[0]))
    return (
        time is not None
        and len(set(map(type, messages))) == 1
        and len(set(map(_request_id, messages))) == 1
        and all(map(time, messages))
        and 1 not in map(_is_final, messages)
    )


def rows_of_account(rows: Iterable[Message], account: object) -> list[Message]:
    """Return the rows of an account, and those that state none.

    A server may ignore the account of a request.
    """
    return [row for row in rows if getattr(row, "TradeAccount", UNSET) in (account, "", UNSET)]


def rows_of_order(rows: Iterable[Message], server_order_id: object) -> list[Message]:
    """Return the rows of an order, and those that state none.

    A server may ignore the order of a request.
    """
    wanted = (server_order_id, "", UNSET)
    return [
        row
        for row in rows
        if getattr(row, "ServerOrderID", UNSET) in wanted
        or getattr(row, "PreviousServerOrderID", "") == server_order_id
    ]
