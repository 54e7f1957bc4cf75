"""What a stream yields for what arrives, and what it states as missed."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.client import (
    AccountUpdate,
    Book,
    BookChange,
    Ended,
    Gap,
    LocalBook,
    LocalQuotes,
    MarketUpdate,
    Skipped,
    Stale,
    StreamEvent,
    Subscribed,
)
from dtc_twisted.client.stream_state import StreamState
from dtc_twisted.dtc.messages import MarketDataSnapshot, MarketDataUpdateTrade, OrderStatusEnum
from tests.support import slow

ES = "ESM20_FUT_CME"


class StateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.state = StreamState(lambda: self.now)

    def receive(self, **fields: Any) -> list[StreamEvent]:
        return self.state.receive(json.dumps(fields))

    def subscribe(self, channel: str = "trades", *symbols: str, **reply: Any) -> None:
        default = () if channel == "orders" else (ES,)
        for message in self.state.subscribe(channel, symbols or default):
            self.receive(**json.loads(message), success=True, **reply)

    def trade(self, seq: int) -> list[StreamEvent]:
        return self.receive(channel="trades", seq=seq, Symbol=ES, Type=107, Price=2827.75, Volume=3)

    def reconnect(self, **reply: Any) -> None:
        for message in self.state.connected():
            self.receive(**json.loads(message) | {"success": True} | reply)


class SubscriptionTests(StateCase):
    def test_messages(self) -> None:
        (message,) = self.state.subscribe("quotes", [ES], max_rate=5)
        self.assertEqual(
            json.loads(message),
            {"action": "subscribe", "channel": "quotes", "symbol": ES, "max_rate": 5, "prices": "display"},
        )
        (message,) = self.state.subscribe("orders", [])
        self.assertEqual(json.loads(message), {"action": "subscribe", "channel": "orders"})

    def test_all_are_asked_for_again(self) -> None:
        self.subscribe("trades", ES, "CL")
        self.subscribe("marketdepth", ES)
        self.state.unsubscribe("trades", ["CL"])
        asked = [(each["channel"], each["symbol"]) for each in map(json.loads, self.state.connected())]
        self.assertEqual(asked, [("trades", ES), ("marketdepth", ES)])

    def test_refused_is_not_asked_for_again(self) -> None:
        self.state.subscribe("trades", ["NONE"])
        (event,) = self.receive(action="subscribe", channel="trades", symbol="NONE", success=False, error="unknown")
        self.assertEqual(event, Subscribed("trades", "NONE", "unknown"))
        self.assertEqual(self.state.connected(), [])

    def test_ended_is_not_asked_for_again(self) -> None:
        self.subscribe()
        self.assertEqual(
            self.receive(event="ended", channel="trades", symbol=ES, error="gone"), [Ended("trades", ES, "gone")]
        )
        self.assertEqual(self.state.connected(), [])

    def test_after_unsubscribing_nothing_is_yielded(self) -> None:
        self.subscribe()
        self.state.unsubscribe("trades", [ES])
        self.assertEqual(self.trade(1), [])


class EventTests(StateCase):
    def test_trade(self) -> None:
        self.subscribe()
        (event,) = self.trade(1)
        assert isinstance(event, MarketUpdate) and isinstance(event.message, MarketDataUpdateTrade)
        self.assertEqual((event.seq, event.symbol, event.message.Price), (1, ES, 2827.75))

    def test_order(self) -> None:
        self.subscribe("orders")
        row = {"Type": 301, "ClientOrderID": "a", "OrderStatus": 99, "OutcomeUnknown": "no answer"}
        snapshot, update = [
            *self.receive(channel="orders", event="snapshot", seq=1, orders=[row]),
            *self.receive(channel="orders", seq=2, **row),
        ]
        assert isinstance(snapshot, AccountUpdate) and isinstance(update, AccountUpdate)
        self.assertTrue(snapshot.is_snapshot)
        self.assertEqual(update.item.status, OrderStatusEnum(99))  # type: ignore[union-attr]
        self.assertEqual(update.item.outcome_unknown, "no answer")  # type: ignore[union-attr]

    def test_skipped(self) -> None:
        self.assertEqual(self.receive(event="skipped", messages=7), [Skipped(7)])

    def test_unknown_type_and_channel(self) -> None:
        self.subscribe()
        self.assertEqual(self.receive(channel="trades", seq=1, Symbol=ES, Type=31999), [])
        self.assertEqual(self.receive(channel="other", seq=1), [])


class GapTests(StateCase):
    def test_in_a_connection(self) -> None:
        self.subscribe()
        self.trade(1)
        self.now = 105.0
        gap, _ = self.trade(4)
        self.assertEqual(gap, Gap("trades", ES, 1, 4, 2, 100.0, 105.0))

    def test_over_a_reconnect(self) -> None:
        self.subscribe(epoch=7)
        self.trade(1)
        self.reconnect(epoch=7)
        gap, _ = self.trade(10)
        self.assertEqual((gap.missed, gap.after, gap.before), (8, 1, 10))  # type: ignore[union-attr]

    def test_continues(self) -> None:
        self.subscribe(epoch=7, seq=3)
        (first,) = map(json.loads, self.state.connected())
        self.assertEqual((first["epoch"], first["from_seq"]), (7, 4))
        self.trade(4)
        (second,) = map(json.loads, self.state.connected())
        self.assertEqual((second["epoch"], second["from_seq"]), (7, 5))
        self.reconnect(epoch=7, seq=6, resumed=True)
        self.assertEqual([len(self.trade(each)) for each in (5, 6, 7)], [1, 1, 1])

    def test_cannot_continue(self) -> None:
        """What is missed is an event at once, and only one."""
        for missed, epoch in ((5, 7), (None, 8)):
            self.setUp()
            self.subscribe(epoch=7, seq=0)
            self.trade(1)
            self.now = 105.0
            (message,) = map(json.loads, self.state.connected())
            reply = message | {"epoch": epoch, "seq": 6, "resumed": False, "missed": missed}
            self.assertEqual(
                self.receive(**reply, success=True),
                [Subscribed("trades", ES), Gap("trades", ES, 1, 7, missed, 100.0, 105.0)],
            )
            self.assertEqual(len(self.trade(7)), 1)

    def test_first_message_after_a_restart(self) -> None:
        """The snapshot of the server has the number 1, and states itself."""
        self.subscribe(epoch=7, seq=0)
        self.trade(1)
        (message,) = map(json.loads, self.state.connected())
        reply = message | {"epoch": 8, "seq": 0, "resumed": False, "missed": None}
        self.assertEqual(len(self.receive(**reply, success=True)), 2)
        snapshot = self.receive(Type=MarketDataSnapshot.Type, channel="trades", Symbol=ES, seq=1)
        self.assertEqual([type(each).__name__ for each in snapshot], ["MarketUpdate"])

    def test_nothing_missed(self) -> None:
        self.subscribe()
        self.trade(1)
        self.reconnect()
        self.assertEqual(len(self.trade(2)), 1)

    def test_restarted_gateway(self) -> None:
        """Numbers of another epoch do not state how many were missed, even if they are larger."""
        for seq in (1, 50):
            self.setUp()
            self.subscribe(epoch=7)
            self.trade(9)
            self.reconnect(epoch=8)
            gap, _ = self.trade(seq)
            self.assertEqual((gap.missed, gap.after), (None, 9))  # type: ignore[union-attr]
            self.assertEqual(len(self.trade(seq + 1)), 1)

    def test_smaller_number_without_an_epoch(self) -> None:
        self.subscribe()
        self.trade(9)
        self.reconnect()
        gap, _ = self.trade(3)
        self.assertIsNone(gap.missed)  # type: ignore[union-attr]

    def test_snapshot_states_all_up_to_its_number(self) -> None:
        self.subscribe("marketdepth")
        book = {"channel": "marketdepth", "event": "book", "symbol": ES, "bids": [], "asks": []}
        self.receive(**book, seq=5)
        self.reconnect()
        self.assertEqual(len(self.receive(**book, seq=5)), 1)
        self.reconnect()
        gap, _ = self.receive(**book, seq=8)
        self.assertEqual(gap.missed, 3)  # type: ignore[union-attr]

    @slow
    @given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.sets(st.integers(0, 29)))
    def test_every_missed_number_is_in_a_gap(self, steps: list[int], reconnects: set[int]) -> None:
        self.setUp()
        self.subscribe()
        seq, missed, stated = 0, 0, 0
        for number, step in enumerate(steps):
            if number in reconnects and number:
                self.reconnect()
            seq += step
            missed += step - 1 if number else 0
            stated += sum(event.missed or 0 for event in self.trade(seq) if isinstance(event, Gap))
        self.assertEqual(stated, missed)


class LocalBookTests(StateCase):
    def test_book(self) -> None:
        self.subscribe("marketdepth")
        book = LocalBook(ES)
        level = {"Price": 10.0, "Quantity": 5, "NumOrders": 1}
        events = [
            *self.receive(channel="marketdepth", event="book", seq=1, symbol=ES, bids=[level], asks=[]),
            *self.receive(
                channel="marketdepth",
                event="changes",
                seq=2,
                symbol=ES,
                changes=[
                    {"Side": 1, "UpdateType": 1, "Price": 11.0, "Quantity": 2, "NumOrders": 1},
                    {"Side": 1, "UpdateType": 2, "Price": 10.0},
                    {"Side": 2, "UpdateType": 1, "Price": 12.0, "Quantity": 4, "NumOrders": 1},
                ],
            ),
        ]
        self.assertEqual([type(event) for event in events], [Book, BookChange])
        for event in events:
            self.assertTrue(book.apply(event))
        self.assertEqual([(each.price, each.quantity) for each in book.bids], [(11.0, 2)])
        self.assertEqual([(each.price, each.quantity) for each in book.asks], [(12.0, 4)])
        self.assertTrue(book.is_current)
        book.apply(Stale("marketdepth", ES, "away"))
        self.assertFalse(book.is_current)

    def test_of_another_symbol(self) -> None:
        self.assertFalse(LocalBook(ES).apply(Book("marketdepth", "CL", 1, (), ())))


class LocalQuotesTests(StateCase):
    def test_values(self) -> None:
        self.subscribe("marketdata")
        quotes = LocalQuotes()
        self.assertNotIn(ES, quotes)
        about = {"channel": "marketdata", "Symbol": ES}
        updates: list[dict[str, Any]] = [
            {"Type": 104, "LastTradePrice": 1.0, "BidPrice": 0.5, "SessionVolume": 9},
            {"Type": 107, "Price": 2.0, "Volume": 3},
            {"Type": 108, "BidPrice": 1.5, "AskPrice": 2.5},
            {"Type": 113, "Volume": 12},
        ]
        for seq, fields in enumerate(updates, 1):
            for event in self.receive(**about, seq=seq, **fields):
                quotes.apply(event)
        last = quotes[ES]
        self.assertEqual(
            (last.LastTradePrice, last.LastTradeVolume, last.BidPrice, last.AskPrice, last.SessionVolume),
            (2.0, 3, 1.5, 2.5, 12),
        )
