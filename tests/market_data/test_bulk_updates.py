"""Test that the updates of one read have the same effect together as one by one."""

from typing import Any

from msgspec.structs import replace

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import MarketDataFeedStatusEnum
from dtc_twisted.dtc.session import BulkHandler
from tests.market_data.test_hub import CL, ES, HubCase

TRADES = [dtc.MarketDataUpdateTrade(SymbolID=1, Price=price, Volume=1) for price in (282825, 282850, 282800)]


class BulkUpdateTests(HubCase):
    def take(self, messages: list[Any]) -> bool:
        """Offer the messages of one read together."""
        handler = self.hub.handlers[type(messages[0])]
        assert isinstance(handler, BulkHandler)
        taken = handler.many(messages)
        self.batch.flush()
        return taken

    def test_one_symbol(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        consumer.take()
        quote = dtc.MarketDataUpdateBidAsk(SymbolID=1, BidPrice=282800, AskPrice=282825)
        flushes = consumer.flushes
        self.assertTrue(self.take([*TRADES, quote]))
        self.assertEqual(consumer.names(), ["107", "107", "107", "108"])
        self.assertEqual(consumer.flushes, flushes + 1)

    def test_after_another_symbol(self) -> None:
        consumer = self.consumer(ES, CL)
        self.snapshot(ES)
        self.snapshot(CL)
        consumer.take()
        self.hub.handlers[dtc.MarketDataUpdateTrade](replace(TRADES[0], SymbolID=2))
        self.assertTrue(self.take(TRADES))
        self.assertEqual([event[1] for event in consumer.take()], [CL, ES, ES, ES])

    def test_other_reads_are_not_taken(self) -> None:
        consumer = self.consumer(ES, CL)
        self.assertFalse(self.take(TRADES), "not confirmed")
        self.snapshot(ES)
        self.snapshot(CL)
        consumer.take()
        self.assertFalse(self.take([*TRADES, replace(TRADES[0], SymbolID=2)]), "two symbols")
        self.assertFalse(self.take([replace(each, SymbolID=9) for each in TRADES]), "no such symbol")
        status = MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE
        self.receive(dtc.MarketDataFeedSymbolStatus(SymbolID=1, Status=status))
        consumer.take()
        self.assertFalse(self.take(TRADES), "stale")
        self.assertEqual(consumer.take(), [])
