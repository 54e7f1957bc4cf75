"""Make the messages of the server that state an order book."""

from dtc_twisted.dtc.messages import AtBidOrAskEnum, MarketDepthSnapshotLevel
from dtc_twisted.market_data.order_book import ASK, BID, BookSnapshot


def book_messages(book: BookSnapshot, symbol_id: int) -> list[MarketDepthSnapshotLevel]:
    """Return a book as the server sends it.

    An empty book is one message, first and last.
    """
    levels = [(BID, each) for each in book.bids] + [(ASK, each) for each in book.asks]
    if not levels:
        return [MarketDepthSnapshotLevel(SymbolID=symbol_id, IsFirstMessageInBatch=1, IsLastMessageInBatch=1)]
    return [
        MarketDepthSnapshotLevel(
            SymbolID=symbol_id,
            Side=AtBidOrAskEnum(side),
            Price=level.Price,
            Quantity=level.Quantity,
            NumOrders=level.NumOrders,
            IsFirstMessageInBatch=int(index == 0),
            IsLastMessageInBatch=int(index == len(levels) - 1),
        )
        for index, (side, level) in enumerate(levels)
    ]
