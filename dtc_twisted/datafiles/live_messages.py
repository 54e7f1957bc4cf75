"""Make market data messages of records."""

from collections.abc import Iterable, Iterator
from typing import Any

from dtc_twisted.datafiles.file_tail import ScidRecord, is_one_trade, is_quote
from dtc_twisted.datafiles.intraday import UNBUNDLED_FIRST, UNBUNDLED_LAST
from dtc_twisted.datafiles.sessions import SECOND
from dtc_twisted.dtc.messages import (
    AtBidOrAskEnum8,
    MarketDataSnapshot,
    MarketDataUpdateBidAskFloatWithMicroseconds,
    MarketDataUpdateTradeWithUnbundledIndicator2,
    Message,
    UnbundledTradeIndicatorEnum,
)

_INDICATORS = {
    UNBUNDLED_FIRST: UnbundledTradeIndicatorEnum.FIRST_SUB_TRADE_OF_UNBUNDLED_TRADE,
    UNBUNDLED_LAST: UnbundledTradeIndicatorEnum.LAST_SUB_TRADE_OF_UNBUNDLED_TRADE,
}
_NOT_UNBUNDLED = UnbundledTradeIndicatorEnum.UNBUNDLED_TRADE_NONE


class LiveMessages:
    """Make the messages of one symbol.

    A change of bid or ask becomes a message before that of the trade.
    """

    def __init__(self, symbol_id: int) -> None:
        self._symbol_id = symbol_id
        self._quote = (0.0, 0.0)

    def snapshot(self, records: Iterable[ScidRecord]) -> MarketDataSnapshot:
        """Return the last trade and the last quote as a snapshot."""
        fields: dict[str, Any] = {}
        for record in records:
            time, _, high, low, close, _, volume, _, _ = record
            if not is_quote(record):
                fields |= {"LastTradePrice": close, "LastTradeVolume": volume, "LastTradeDateTime": time / SECOND}
            if is_one_trade(record) and low and high:
                self._quote = (low, high)
                fields |= {"BidPrice": low, "AskPrice": high, "BidAskDateTime": time // SECOND}
        return MarketDataSnapshot(SymbolID=self._symbol_id, **fields)

    def updates(self, records: Iterable[ScidRecord]) -> Iterator[Message]:
        """Yield the messages of records that were added."""
        for record in records:
            time, open_, high, low, close, _, volume, at_bid, at_ask = record
            is_trade = is_one_trade(record)
            if is_trade and low and high and (low, high) != self._quote:
                self._quote = (low, high)
                yield MarketDataUpdateBidAskFloatWithMicroseconds(
                    SymbolID=self._symbol_id, BidPrice=low, AskPrice=high, DateTime=time
                )
            if not is_quote(record):
                side = AtBidOrAskEnum8((at_ask > at_bid) * 2 or int(at_bid > 0))
                indicator = _INDICATORS.get(open_, _NOT_UNBUNDLED) if is_trade else _NOT_UNBUNDLED
                yield MarketDataUpdateTradeWithUnbundledIndicator2(
                    SymbolID=self._symbol_id,
                    Price=close,
                    Volume=volume,
                    DateTime=time,
                    AtBidOrAsk=side,
                    UnbundledTradeIndicator=indicator,
                )
