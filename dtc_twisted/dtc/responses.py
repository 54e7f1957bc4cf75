# ruff: noqa: E501
"""When a request is answered: one line a request, as PROTOCOL's table has them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message


@dataclass(frozen=True)
class ResponseSpec:
    """How a request is answered.

    answers: the types that answer it.
    reject: the type that refuses it, if there is one.
    is_last: whether an answer completes the reply.
    has_data: whether an answer is more than the statement that there is nothing, or nothing more.
    """

    types: tuple[type[Message], ...]
    reject: type[Message] | None
    is_last: Callable[[Any], bool]
    has_data: Callable[[Any], bool]

    @property
    def is_numbered(self) -> bool:
        """Whether each answer says how many there are."""
        return any(name in self.types[0].__struct_fields__ for name in _TOTALS)

    def total(self, answer: Any) -> int:
        """How many answers there are, as one of them says; 0: it does not."""
        return max(int(getattr(answer, name, 0) or 0) for name in _TOTALS)


_TOTALS = ("TotalNumberMessages", "TotalNumMessages")


def _flag_set(*names: str) -> Callable[[Any], bool]:
    return lambda answer: any(getattr(answer, name) == 1 for name in names)


def _flag_not_set(name: str) -> Callable[[Any], bool]:
    return lambda answer: getattr(answer, name) != 1


def _field_set(name: str) -> Callable[[Any], bool]:
    return lambda answer: bool(getattr(answer, name))


def _is_last_of(total: str, empty: str = "") -> Callable[[Any], bool]:
    """MessageNumber has reached `total`, or the flag `empty` says that there is nothing to count.

    An answer with neither number is the only one; one that has lost `total` alone need not be the last.
    """

    def is_last(answer: Any) -> bool:
        number, of = answer.MessageNumber or 0, getattr(answer, total) or 0
        return getattr(answer, empty, 0) == 1 or (number >= of if of else not number)

    return is_last


def _is_last_record(answer: Any) -> bool:
    flags = (getattr(answer, name, 0) for name in ("NoRecordsToReturn", "IsFinalRecord"))
    return 1 in flags or isinstance(answer, dtc.HistoricalPriceDataResponseTrailer)


def _is_record(answer: Any) -> bool:
    """Headers and trailers are none; the final record may be an empty one."""
    return bool(getattr(answer, "StartDateTime", 0) or getattr(answer, "DateTime", 0))


def _is_record_or_divisor(answer: Any) -> bool:
    """The header of prices says what they have to be divided by, if they are whole numbers."""
    return _is_record(answer) or bool(getattr(answer, "IntToFloatPriceDivisor", 0))


_TOTAL = "TotalNumberMessages"
_DEFINITIONS = ResponseSpec(
    (dtc.SecurityDefinitionResponse,), dtc.SecurityDefinitionReject, _flag_set("IsFinalMessage"), _field_set("Symbol")
)
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
    dtc.SecurityDefinitionForSymbolRequest: _DEFINITIONS,
    dtc.SymbolSearchRequest: _DEFINITIONS,
    dtc.AccountBalanceRequest: ResponseSpec((dtc.AccountBalanceUpdate,), dtc.AccountBalanceReject, _is_last_of(_TOTAL, "NoAccountBalances"), _flag_not_set("NoAccountBalances")),
    dtc.HistoricalAccountBalancesRequest: ResponseSpec((dtc.HistoricalAccountBalanceResponse,), dtc.HistoricalAccountBalancesReject, _flag_set("IsFinalResponse", "NoAccountBalances"), _flag_not_set("NoAccountBalances")),
    dtc.OpenOrdersRequest: ResponseSpec((dtc.OrderUpdate,), dtc.OpenOrdersReject, _is_last_of("TotalNumMessages", "NoOrders"), _flag_not_set("NoOrders")),
    dtc.HistoricalOrderFillsRequest: ResponseSpec((dtc.HistoricalOrderFillResponse,), dtc.HistoricalOrderFillsReject, _is_last_of(_TOTAL, "NoOrderFills"), _flag_not_set("NoOrderFills")),
    dtc.CurrentPositionsRequest: ResponseSpec((dtc.PositionUpdate,), dtc.CurrentPositionsReject, _is_last_of(_TOTAL, "NoPositions"), _flag_not_set("NoPositions")),
    dtc.HistoricalTradesRequest: ResponseSpec((dtc.HistoricalTradesResponse,), dtc.HistoricalTradesReject, _flag_set("IsFinalMessage"), _field_set("Symbol")),
    dtc.HistoricalPriceDataRequest: ResponseSpec(_PRICE_RECORDS, dtc.HistoricalPriceDataReject, _is_last_record, _is_record_or_divisor),
    dtc.HistoricalMarketDepthDataRequest: ResponseSpec(_DEPTH_RECORDS, dtc.HistoricalMarketDepthDataReject, _is_last_record, _is_record),
    dtc.JournalEntriesRequest: ResponseSpec((dtc.JournalEntryResponse,), dtc.JournalEntriesReject, _flag_set("IsFinalResponse"), _field_set("JournalEntry")),
}
# fmt: on
RESPONSE_TYPES = {
    answer for reply in RESPONSES.values() for answer in (*reply.types, reply.reject) if answer is not None
}
"""All types that answer a request."""
