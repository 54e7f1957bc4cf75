"""Updates and records that cannot be read, or not be processed."""

import json
from collections.abc import Sequence
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.market_data import order_book
from dtc_twisted.market_data.feed_repair import REPAIR_INTERVAL
from dtc_twisted.simulator.history_handler import HistoryConnection
from tests.history.test_download import ES, MINUTES, HistoryCase
from tests.support import Answer, GatewayTestCase, WebSocketCaller
from tests.web.test_output import unchunked

MARKETDEPTH = "ws://127.0.0.1:8080/api/v1/marketdepth"
HUGE = "9" * 309
BAD = '{"Type":106,"SymbolID":1,"Side":1,"Price":"x"}'
CHANGE = '{"Type":106,"SymbolID":1,"Side":1,"Price":282000,"Quantity":7,"UpdateType":1}'


class DepthTests(GatewayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.caller = self.call(WebSocketCaller(MARKETDEPTH))
        self.send_json(self.caller, {"action": "subscribe", "symbol": ES})
        self.caller.take()

    def events(self) -> list[Any]:
        """Return the names of events, and "book" for a whole book."""
        return [each.get("event") or ("book" if "bids" in each else "changes") for each in self.caller.take()]

    def send_raw(self, text: str) -> None:
        self.simulator.send_raw(text.encode() + b"\0")
        self.flush()

    def test_malformed_update(self) -> None:
        self.send_raw(f'{{"Type":106,"SymbolID":1,"Side":1,"Price":{HUGE},"Quantity":1,"UpdateType":1}}')
        self.assertEqual(self.events(), ["stale", "live", "book"])
        self.assertEqual(self.status()["garbage"], 1)

    def test_compact_update(self) -> None:
        """Nothing states its symbol."""
        self.send_raw(f'{{"Type":106,"F":[1,1,{HUGE}]}}')
        self.assertEqual(self.events(), ["stale", "live", "book"])

    def test_other_malformed_messages(self) -> None:
        self.send_raw(f'{{"Type":107,"SymbolID":1,"Price":{HUGE}}}')
        self.send_raw('{"Type":106,"SymbolID":99,"Side":1,"Price":"x"}')
        self.assertEqual(self.events(), [])

    def test_update_that_raises(self) -> None:
        upstream: Any = next(each for each in self.service if hasattr(each, "listeners"))
        hub = next(each for each in upstream.listeners if ES in getattr(each, "symbols", ()))
        state = hub._feeds[ES].state
        receive = state.receive
        self.patch(state, "receive", lambda messages: 1 / 0)
        self.send_raw('{"Type":106,"SymbolID":1,"Side":1,"Price":1,"Quantity":1,"UpdateType":1}')
        self.assertEqual(self.events(), ["stale"])
        state.receive = receive
        self.advance(REPAIR_INTERVAL)
        self.assertEqual(self.events(), ["live", "book"])
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_flood_is_not_answered_by_a_flood(self) -> None:
        before = len(self.sent(dtc.MarketDepthRequest))
        for _ in range(100):
            self.send_raw('{"Type":106,"SymbolID":1,"Side":1,"Price":"x"}')
        self.advance(REPAIR_INTERVAL)
        self.assertEqual(len(self.sent(dtc.MarketDepthRequest)) - before, 2)

    def levels(self, *places: str) -> list[str]:
        """Return the levels of a book.

        places: "first", "between" or "last"; "bad" for one that cannot be read.
        """
        return [
            f'{{"Type":122,"SymbolID":1,"Side":1,"Price":{"{}" if place == "bad" else number},"Quantity":1,'
            f'"IsFirstMessageInBatch":{int(place == "first")},"IsLastMessageInBatch":{int(place == "last")}}}'
            for number, place in enumerate(places, 1)
        ]

    def test_not_live_before_the_whole_book(self) -> None:
        """A change that follows a lost one is not published, and does not end the stale state."""
        self.send_raw(BAD)
        self.assertEqual(self.events(), ["stale", "live", "book"])
        self.send_raw(BAD)
        self.assertEqual(self.events(), ["stale"])
        self.send_raw(CHANGE)
        self.send_raw('{"Type":116,"SymbolID":1,"Status":2}')
        self.send_raw('{"Type":100,"Status":2}')
        self.assertEqual(self.events(), [])
        self.advance(REPAIR_INTERVAL)
        self.assertEqual(self.events(), ["live", "book"])
        self.send_raw(CHANGE)
        self.assertEqual(self.events(), ["changes"])

    def test_changes_that_change_an_unknown_level(self) -> None:
        """A field is missing, or has a value that the protocol does not have."""
        whole = {"Type": 106, "SymbolID": 1, "Side": 1, "Price": 282000, "Quantity": 7, "UpdateType": 1}
        for name, value in (("Price", None), ("Side", None), ("Side", 0), ("Side", 7), ("SymbolID", None)):
            fields = {**whole, name: value}
            damaged = json.dumps({name: each for name, each in fields.items() if each is not None})
            for texts in ([damaged], [CHANGE, damaged, CHANGE], [damaged, damaged]):
                self.simulator.send_raw("".join(f"{each}\0" for each in texts).encode())
                self.flush()
                self.advance(REPAIR_INTERVAL)
                events = self.events()
                self.assertEqual(events[-3:], ["stale", "live", "book"], (name, value, texts))
                self.assertLessEqual(events.count("stale"), 1)
        self.assertEqual(self.status()["garbage"], 0)

    def test_level_without_a_price_or_a_side(self) -> None:
        for name in ("Price", "Side"):
            texts = self.levels("first", "between", "last")
            damaged = json.loads(texts[1])
            del damaged[name]
            texts[1] = json.dumps(damaged)
            self.simulator.send_raw("".join(f"{each}\0" for each in texts).encode())
            self.flush()
            self.advance(REPAIR_INTERVAL)
            messages = self.caller.take()
            self.assertEqual([each.get("event", "book") for each in messages], ["stale", "live", "book"], name)
            self.assertGreater(len(messages[-1]["bids"]), 5, name)

    def test_book_with_a_level_that_cannot_be_read(self) -> None:
        """Whatever part of the book arrives in the read of that level, no part of a book is published."""
        texts = self.levels("first", "between", "bad", "between", "last")
        for cut in range(len(texts) + 1):
            self.simulator.send_raw("".join(f"{each}\0" for each in texts[:cut]).encode())
            self.flush()
            self.simulator.send_raw("".join(f"{each}\0" for each in texts[cut:]).encode())
            self.flush()
            self.advance(REPAIR_INTERVAL)
            messages = self.caller.take()
            self.assertEqual([each.get("event", "book") for each in messages], ["stale", "live", "book"], cut)
            self.assertGreater(len(messages[-1]["bids"]), 5, cut)

    def test_book_without_its_last_level(self) -> None:
        """The changes that follow are of a book that is not known."""
        first, second = self.levels("first", "between")
        self.send_raw(first)
        self.send_raw(second)
        self.assertEqual(self.events(), [])
        self.send_raw(CHANGE)
        self.assertEqual(self.events(), ["stale", "live", "book"])
        self.send_raw(CHANGE)
        self.assertEqual(self.events(), ["changes"])

    def batch(self, *marks: int) -> None:
        for price, mark in enumerate(marks, 1):
            self.send_raw(
                f'{{"Type":106,"SymbolID":1,"Side":1,"Price":{price},"Quantity":7,"UpdateType":1,'
                f'"FinalUpdateInBatch":{mark}}}'
            )

    def test_batch_without_its_end(self) -> None:
        """It is noticed at the begin of the next, or when there are too many changes."""
        self.patch(order_book, "MAX_BATCH", 4)
        self.batch(3, 2, 1)
        self.assertEqual(self.events(), ["changes"])
        self.batch(3, 2)
        self.assertEqual(self.events(), [])
        self.batch(3)
        self.assertEqual(self.events(), ["stale", "live", "book"])
        self.batch(2, 2, 2, 2)
        self.assertEqual(self.events(), [])
        self.batch(2)
        self.assertEqual(self.events(), ["stale"])
        self.advance(REPAIR_INTERVAL)
        self.assertEqual(self.events(), ["live", "book"])

    def test_callers_get_the_new_book(self) -> None:
        self.send_raw(BAD)
        self.send_raw(BAD)  # the server is asked again after REPAIR_INTERVAL
        caller = self.begin(f"/marketdepth?Symbol={ES}")
        self.assertFalse(caller.lost)
        self.send_raw(CHANGE)
        self.assertFalse(caller.lost)
        self.advance(REPAIR_INTERVAL)
        answer = Answer(caller.received)
        self.assertEqual((answer.status, "stale" in answer.json), (200, False))
        self.assertGreater(len(answer.json["bids"]), 5)

    def test_callers_get_no_old_book(self) -> None:
        self.simulator.ignore_next(dtc.MarketDepthRequest)
        self.send_raw(BAD)
        caller = self.begin(f"/marketdepth?Symbol={ES}")
        self.advance(6)
        answer = Answer(caller.received)
        self.assertEqual(answer.status, 504)
        self.assertIn("cannot be read", answer.json["error"]["message"])
        self.assertEqual(self.events(), ["stale"])

    def test_callers_are_told_that_a_book_is_stale(self) -> None:
        self.send_raw('{"Type":116,"SymbolID":1,"Status":1}')
        path = f"/marketdepth?Symbol={ES}&NumLevels=1"
        reason = self.fetch(path).json["stale"]
        self.assertIn("no data feed", reason)
        self.assertEqual(self.fetch(f"{path}&format=csv").body.decode().splitlines()[0].split(",")[-1], "stale")
        lines = [json.loads(each) for each in self.fetch(f"{path}&format=ndjson").body.splitlines()]
        self.assertEqual([each["stale"] for each in lines], [reason, reason])
        self.send_raw('{"Type":116,"SymbolID":1,"Status":2}')
        self.assertNotIn("stale", self.fetch(path).json)

    def test_dropped_updates_again_and_again(self) -> None:
        before = len(self.sent(dtc.MarketDepthRequest))
        for _ in range(100):
            self.send_raw('{"Type":3,"NumDroppedMessages":1}')
        self.advance(REPAIR_INTERVAL)
        self.assertEqual(len(self.sent(dtc.MarketDepthRequest)) - before, 2)


class RecordTests(HistoryCase):
    """A record of a history cannot be read."""

    def send_damaged(self, text: bytes) -> None:
        """Send this message in place of record 700."""
        send_texts = HistoryConnection.send_texts
        count = 0

        def send_damaged(connection: HistoryConnection, texts: Sequence[bytes]) -> None:
            nonlocal count
            texts = [*texts]
            if count <= 700 < count + len(texts):
                texts[700 - count] = text
            count += len(texts)
            send_texts(connection, texts)

        self.patch(HistoryConnection, "send_texts", send_damaged)

    def check(self, name: str = "json") -> None:
        """Check that an answer ends with the error."""
        caller = self.begin(f"{MINUTES}&format={name}")
        self.assertTrue(caller.lost)
        self.assertFalse(caller.received.endswith(b"0\r\n\r\n"), "looks whole")
        lines = unchunked(Answer(caller.received)).body.decode()
        self.assertIn("UnusableAnswer", lines[-500:])
        self.assertIn("A record cannot be read; cut off after", lines[-500:])
        rows = json.loads(lines)[:-1] if name == "json" else lines.splitlines()[1:-1]
        self.assertTrue(600 < len(rows) <= 700, len(rows))

    def test_answer_ends_with_the_error(self) -> None:
        for name in ("json", "ndjson", "csv"):
            self.send_damaged(b'{"Type":803,"F":[1,' + HUGE.encode() + b"]}")
            self.check(name)

    def test_record_without_a_time_or_a_request(self) -> None:
        """A row that is left out is as bad as one that cannot be read."""
        for text in (
            b'{"Type":803,"F":[1,null,1,2,3,4,5,6]}',
            b'{"Type":803,"RequestID":1,"LastPrice":3}',
            b'{"Type":803,"F":[1,0,1,2,3,4,5,6]}',
            b'{"Type":803,"F":[]}',
            b'{"Type":803,"F":[null,1456736400,1,2,3,4,5,6]}',
            b'{"Type":803,"StartDateTime":1456736400,"LastPrice":3}',
            b'{"Type":804,"RequestID":1,"DateTime":null,"Price":3}',
        ):
            self.send_damaged(text)
            self.check()

    def test_header_without_the_request(self) -> None:
        """It has no data of its own."""
        self.send_damaged(b'{"Type":801}')
        self.assertTrue(self.begin(MINUTES).received.endswith(b"0\r\n\r\n"))


class LogTests(GatewayTestCase):
    def test_long_texts_of_the_server_are_cut(self) -> None:
        self.simulator.send(dtc.GeneralLogMessage(MessageText="m" * 10**6))
        self.simulator.log_off("r" * 10**6)
        self.flush()
        self.assertLess(len(self.log_text()), 5000)
        self.assertLess(len(self.status()["reason"]), 1000)
        self.advance(5)
