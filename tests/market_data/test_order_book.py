"""Test order books: built from any mixture of messages, without wrong levels."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import AtBidOrAskEnum, AtBidOrAskEnum8, FinalUpdateInBatchEnum, MarketDepthUpdateTypeEnum
from dtc_twisted.errors import MalformedMessage
from dtc_twisted.market_data import BookSnapshot, Update
from dtc_twisted.market_data.order_book import ASK, BID, DepthState
from dtc_twisted.web.stream.market_json import encode_payloads
from tests.support import slow

SYMBOL = "ESM20_FUT_CME"
Sides = dict[int, dict[float, tuple[float, int]]]


def level(side: int, price: float, quantity: float, first: int = 0, last: int = 0, orders: int = 1) -> Any:
    return dtc.MarketDepthSnapshotLevel(
        SymbolID=1,
        Side=AtBidOrAskEnum(side),
        Price=price,
        Quantity=quantity,
        IsFirstMessageInBatch=first,
        IsLastMessageInBatch=last,
        NumOrders=orders,
    )


def update(side: int, price: float, quantity: float, final: int = 1, delete: bool = False) -> Any:
    return dtc.MarketDepthUpdateLevel(
        SymbolID=1,
        Side=AtBidOrAskEnum(side),
        Price=price,
        Quantity=quantity,
        NumOrders=1,
        UpdateType=MarketDepthUpdateTypeEnum(2 if delete else 1),
        FinalUpdateInBatch=FinalUpdateInBatchEnum(final),
    )


def receive(depth: DepthState, message: Any) -> bool:
    """Return whether there is an update after this message."""
    return len(list(depth.receive([message]))) == 1


def as_json(message: Any) -> tuple[str, bytes]:
    """Return the event and JSON object of a message."""
    (payload,) = encode_payloads(Update(SYMBOL, [message], 0, {}))
    return ("book" if isinstance(message, BookSnapshot) else "changes"), payload


def news(depth: DepthState, view: int) -> tuple[str, bytes] | None:
    """Return the update of a view, at most one message."""
    messages = depth.updates(view)
    assert len(messages) <= 1
    return as_json(messages[0]) if messages else None


def snapshot(depth: DepthState, view: int = 0) -> tuple[str, bytes] | None:
    message = depth.snapshot(view)
    return None if message is None else as_json(message)


class Reader:
    """Build a subscriber's book from its messages: {side: {price: (quantity, orders)}}."""

    def __init__(self, depth: DepthState, view: int) -> None:
        self._depth = depth
        self._view = view
        self.sides: Sides = {BID: {}, ASK: {}}
        self.take(snapshot(depth, view))

    def take(self, told: tuple[str, bytes] | None) -> None:
        if told is None:
            return
        kind, payload = told
        message = json.loads(payload)
        assert (message["event"], message["symbol"]) == (kind, SYMBOL)
        if kind == "book":
            for side, name in ((BID, "bids"), (ASK, "asks")):
                self.sides[side] = {each["Price"]: (each["Quantity"], each["NumOrders"]) for each in message[name]}
                prices = list(self.sides[side])
                assert prices == sorted(prices, reverse=side == BID), "not best first"
            return
        for change in message["changes"]:
            if change["UpdateType"] == 2:
                del self.sides[change["Side"]][change["Price"]]  # a level that it does not have is a fault of ours
            else:
                self.sides[change["Side"]][change["Price"]] = (change["Quantity"], change["NumOrders"])


def best(sides: Sides, count: int) -> Sides:
    """Return the levels of a book that a view has."""
    shown = {}
    for side, levels in sides.items():
        prices = sorted(levels, reverse=side == BID)
        shown[side] = {price: levels[price] for price in (prices[:count] if count else prices)}
    return shown


class BookTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.depth = DepthState()
        self.depth.expect_snapshot()

    def book(self) -> Any:
        received = snapshot(self.depth)
        assert received is not None
        return json.loads(received[1])

    def feed(self, *messages: Any) -> list[bool]:
        return [receive(self.depth, each) for each in messages]

    def test_whole(self) -> None:
        self.assertIsNone(self.depth.snapshot(0))
        received = self.feed(level(1, 99, 5, first=1), level(1, 98, 6), level(2, 100, 7, last=1))
        self.assertEqual(received, [False, False, True])
        self.assertEqual(
            news(self.depth, 0),
            (
                "book",
                b'{"event":"book","symbol":"ESM20_FUT_CME","bids":[{"Price":99,"Quantity":5,"NumOrders":1},'
                b'{"Price":98,"Quantity":6,"NumOrders":1}],"asks":[{"Price":100,"Quantity":7,"NumOrders":1}]}',
            ),
        )

    def test_empty(self) -> None:
        message = dtc.MarketDepthSnapshotLevel(SymbolID=1, IsFirstMessageInBatch=1, IsLastMessageInBatch=1)
        self.assertEqual(self.feed(message), [True])
        self.assertEqual(self.book(), {"event": "book", "symbol": SYMBOL, "bids": [], "asks": []})

    def test_batch_is_shown_at_its_end(self) -> None:
        self.feed(level(1, 99, 5, first=1, last=1))
        before = self.book()
        self.assertEqual(self.feed(update(1, 99, 0, 3, delete=True), update(1, 98, 2, 2)), [False, False])
        self.assertEqual(self.book(), before)
        self.assertEqual(self.feed(update(2, 100, 3, 1)), [True])
        self.assertEqual([each["Price"] for each in self.book()["bids"] + self.book()["asks"]], [98, 100])
        received = news(self.depth, 0)
        assert received is not None
        changes = json.loads(received[1])["changes"]
        self.assertEqual(
            [(each["Side"], each["UpdateType"], each["Price"]) for each in changes],
            [(1, 2, 99), (1, 1, 98), (2, 1, 100)],
        )

    def test_unmarked_updates_stand_alone(self) -> None:
        self.feed(level(1, 99, 5, first=1, last=1))
        self.assertEqual(self.feed(update(1, 99, 6, 0), update(1, 99, 7, 0)), [True, True])
        self.assertEqual(self.book()["bids"][0]["Quantity"], 7)

    def test_a_new_book_replaces(self) -> None:
        self.feed(level(1, 99, 5, first=1, last=1), level(1, 90, 1, first=1, last=1))
        self.assertEqual([each["Price"] for each in self.book()["bids"]], [90])

    def test_changes_before_the_book_change_nothing(self) -> None:
        """Those of an old subscription, or that came before the answer: no ghost stays."""
        self.assertEqual(self.feed(update(1, 50, 5)), [False])
        self.feed(level(1, 99, 5, first=1, last=1))
        self.depth.expect_snapshot()
        self.assertEqual(self.feed(update(1, 50, 5), level(1, 97, 5, first=1), update(1, 60, 5)), [False] * 3)
        self.assertEqual(self.feed(level(2, 100, 1, last=1)), [True])
        self.assertEqual([each["Price"] for each in self.book()["bids"] + self.book()["asks"]], [97, 100])

    def test_rest_of_a_book_is_no_book(self) -> None:
        """The first levels of a new book follow; a server that never marks them is understood all the same."""
        self.assertEqual(self.feed(level(1, 99, 5), level(1, 98, 5, last=1)), [False, True])
        self.depth.expect_snapshot()
        self.feed(level(1, 99, 5, first=1))
        self.depth.expect_snapshot()
        self.assertEqual(self.feed(level(1, 98, 5), level(1, 97, 5, last=1)), [False, False])
        self.assertEqual(self.feed(level(1, 90, 5, first=1), level(1, 89, 5, last=1)), [False, True])
        self.assertEqual([each["Price"] for each in self.book()["bids"]], [90, 89])

    def test_only_level_of_four_bytes(self) -> None:
        """It is the last of its batch, and not marked as the first, also after books of several levels."""
        for marks in ((3, 2, 1), (1,), (3, 1), (1,)):
            self.depth.expect_snapshot()
            levels = [
                dtc.MarketDepthSnapshotLevelFloat(
                    SymbolID=1,
                    Side=AtBidOrAskEnum8(1),
                    Price=90.0 - number,
                    Quantity=1,
                    FinalUpdateInBatch=FinalUpdateInBatchEnum(mark),
                )
                for number, mark in enumerate(marks)
            ]
            self.assertEqual(self.feed(*levels), [False] * (len(marks) - 1) + [True])
            self.assertEqual(len(self.book()["bids"]), len(marks))

    def test_four_byte_types(self) -> None:
        """145 and 140: the same level by price, whatever the type that names it."""
        wide = 1.0825500488281250

        def one(price: float, side: int, final: int) -> Any:
            mark = FinalUpdateInBatchEnum(final)
            return dtc.MarketDepthSnapshotLevelFloat(
                SymbolID=1, Price=price, Quantity=3, Side=AtBidOrAskEnum8(side), FinalUpdateInBatch=mark
            )

        self.assertEqual(self.feed(one(wide, 1, 3), one(1.0826, 2, 1)), [False, True])
        self.assertEqual(self.book()["bids"][0]["Price"], 1.08255)
        self.assertEqual(self.feed(update(1, 1.08255, 9)), [True])
        self.assertEqual([each["Quantity"] for each in self.book()["bids"]], [9])
        gone = dtc.MarketDepthUpdateLevelNoTimestamp(SymbolID=1, Price=wide, Side=1, UpdateType=2)
        self.assertEqual(self.feed(gone), [True])
        self.assertEqual(self.book()["bids"], [])

    def test_a_level_of_nothing_is_none(self) -> None:
        self.feed(level(1, 99, 5, first=1, last=1), update(1, 99, 0))
        self.assertEqual(self.book()["bids"], [])

    def test_senseless_messages(self) -> None:
        self.feed(level(1, 99, 5, first=1, last=1))
        for side in (0, 7):
            self.assertRaises(MalformedMessage, self.feed, update(side, 5, 5))
        self.depth.expect_snapshot()
        self.assertEqual(self.feed(level(1, 99, 5, first=1, last=1), update(1, 12, 0, delete=True)), [True, False])
        self.assertEqual([each["Price"] for each in self.book()["bids"]], [99])

    def test_no_price(self) -> None:
        self.feed(level(1, 99, 5, first=1, last=1))
        wrong = dtc.MarketDepthUpdateLevelNoTimestamp(SymbolID=1, Price=1e39, Quantity=3, Side=1, UpdateType=1)
        self.assertRaises(MalformedMessage, self.feed, wrong)
        self.assertEqual([each["Price"] for each in self.book()["bids"]], [99])


_side = st.sampled_from((BID, ASK))
_price = st.integers(90, 110)
_quantity = st.integers(1, 9)
_change = st.tuples(_side, _price, _quantity, st.booleans())
_batches = st.lists(st.one_of(st.lists(_change, min_size=1, max_size=6), st.just("book")), max_size=40)


class ModelTests(SynchronousTestCase):
    @slow
    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(_batches, st.lists(st.sampled_from((0, 1, 2, 5)), min_size=40, max_size=40))
    def test_every_view_equals_the_book(self, batches: list[Any], joins: list[int]) -> None:
        """Readers who come at any time, of any view, have what the server has, after each batch."""
        depth = DepthState()
        depth.expect_snapshot()
        truth: Sides = {BID: {}, ASK: {}}
        readers: list[tuple[int, Reader]] = []
        for batch, view in zip(["book", *batches], [0, *joins], strict=False):
            if batch == "book":
                messages = [level(side, price, held[0]) for side in truth for price, held in truth[side].items()]
                messages = messages or [dtc.MarketDepthSnapshotLevel(SymbolID=1)]
                messages[0].IsFirstMessageInBatch = messages[-1].IsLastMessageInBatch = 1
            else:
                messages = []
                for side, price, quantity, delete in batch:
                    messages.append(update(side, price, quantity, 2, delete))
                    if delete:
                        truth[side].pop(price, None)
                    else:
                        truth[side][price] = (quantity, 1)
                messages[-1].FinalUpdateInBatch = FinalUpdateInBatchEnum.FINAL_UPDATE_TRUE
            received = [receive(depth, each) for each in messages]
            self.assertNotIn(True, received[:-1])
            views = {view for view, _ in readers} if received[-1] else set()
            told_to = {view: news(depth, view) for view in views}
            for seen, reader in readers:
                reader.take(told_to.get(seen))
                self.assertEqual(reader.sides, best(truth, seen))
            readers.append((view, Reader(depth, view)))
            self.assertEqual(readers[-1][1].sides, best(truth, view))
