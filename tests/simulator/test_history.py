"""Test the simulator: the historical port."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.simulator import INSTRUMENTS, NO_HISTORY, REFUSED_HISTORY, REFUSED_TEXT, RESTRICTED, SLOW_HISTORY
from dtc_twisted.simulator.history_handler import CHUNK, SLOW_PAUSE
from dtc_twisted.simulator.market import records
from dtc_twisted.simulator.market.instruments import DAY, EPOCH
from dtc_twisted.simulator.market.sierra_json import as_float32
from tests.simulator.test_simulator import BTC, CL, ES, EURUSD, Case, Client
from tests.support import slow

NOW = EPOCH + 3600
"""Seconds since 1970, of the clock of a Case."""


class HistoryTests(Case):
    def bars(self, **fields: Any) -> list[dict[str, Any]]:
        client = self.log_on(history=True, HeartbeatIntervalInSeconds=10)
        answer = self.ask(client, **{"Type": 800, "RequestID": 4, "Symbol": ES, "RecordInterval": 60} | fields)
        self.assertTrue(client.closed_cleanly and client.lost)
        return answer

    def test_logon(self) -> None:
        response = self.log_on(history=True).messages[-1]
        self.assertEqual(response["HistoricalPriceDataSupported"], 1)
        self.assertEqual(response["OneHistoricalPriceDataRequestPerConnection"], 1)

    def test_header_and_records(self) -> None:
        header, *records = self.bars(StartDateTime=EPOCH - 3600, EndDateTime=EPOCH)
        self.assertEqual((header["Type"], header["NoRecordsToReturn"], header["RecordInterval"]), (801, 0, 60))
        rows = [record["F"] for record in records]
        self.assertEqual([row[1] for row in rows], [(EPOCH - 3600 + 60 * i) * 1_000_000 for i in range(60)])
        self.assertEqual([row[-1] for row in rows], [0] * 59 + [1])
        self.assertEqual({len(row) for row in rows}, {11})
        for _, _, first, high, low, last, volume, _, bid, ask, _ in rows:
            self.assertTrue(low <= min(first, last) and max(first, last) <= high)
            self.assertEqual(volume, bid + ask)
            self.assertEqual([price % 25 for price in (first, high, low, last)], [0, 0, 0, 0])

    def test_a_bar_does_not_depend_on_the_request(self) -> None:
        wide = self.bars(StartDateTime=EPOCH - 7200, EndDateTime=EPOCH)[1:]
        narrow = self.bars(StartDateTime=EPOCH - 3600, EndDateTime=EPOCH)[1:]
        self.assertEqual(narrow, wide[-60:])

    def test_a_bar_begins_where_the_one_before_ended(self) -> None:
        rows = [record["F"] for record in self.bars(StartDateTime=EPOCH - 3600, EndDateTime=EPOCH)[1:]]
        self.assertEqual([row[5] for row in rows[:-1]], [row[2] for row in rows[1:]])

    def test_ticks(self) -> None:
        rows = [record["F"] for record in self.bars(RecordInterval=0, StartDateTime=EPOCH, EndDateTime=EPOCH + 30)[1:]]
        self.assertEqual(len(rows), 30)
        for _, _, zero, ask, bid, price, _, num_trades, _, _, _ in rows:
            self.assertEqual((zero, num_trades), (0, 1))
            self.assertIn(price, (bid, ask))
            self.assertLess(bid, ask)

    def test_days_and_weeks(self) -> None:
        self.assertEqual(len(self.bars(RecordInterval=DAY, MaxDaysToReturn=10, EndDateTime=1)), 11)
        weeks = [record["F"][1] // 1_000_000 for record in self.bars(RecordInterval=604800, MaxDaysToReturn=100)[1:]]
        self.assertEqual({(start // DAY + 4) % 7 for start in weeks}, {0})  # Sundays

    @slow
    def test_many_records(self) -> None:
        """More than one frame, in order, the last one marked."""
        rows = [record["F"] for record in self.bars(MaxDaysToReturn=2)[1:]]
        self.assertEqual([row[-1] for row in rows], [0] * (len(rows) - 1) + [1])
        times = [row[1] for row in rows]
        self.assertEqual((times, len(times)), (sorted(set(times)), 2 * 1440))

    def test_nothing_in_the_range(self) -> None:
        (header,) = self.bars(StartDateTime=EPOCH, EndDateTime=EPOCH - 1)
        self.assertEqual(header["NoRecordsToReturn"], 1)

    def test_an_empty_record_at_the_end(self) -> None:
        self.simulator.settings.empty_final_record = True
        *_, before, last = self.bars(StartDateTime=EPOCH - 120, EndDateTime=EPOCH)
        self.assertEqual((before["F"][-1], last["F"]), (0, [4, *[0] * 9, 1]))

    def test_rejects(self) -> None:
        for fields in (
            {"Symbol": "XX"},
            {"Symbol": RESTRICTED},
            {"Symbol": ""},
            {"UseZLibCompression": 1},
            {"RecordInterval": 90000},
        ):
            (refused,) = self.bars(**fields)
            self.assertEqual((refused["Type"], refused["RequestID"], refused["RejectReasonCode"]), (802, 4, 4))
            self.assertTrue(refused["RejectText"])

    def test_no_heartbeats(self) -> None:
        client = self.log_on(history=True, HeartbeatIntervalInSeconds=1)
        client.take()
        self.advance(10, step=1)
        self.assertEqual(client.take(), [])
        self.assertFalse(client.lost)

    def test_the_main_port_has_no_history(self) -> None:
        (refused,) = self.ask(self.log_on(), Type=800, RequestID=4, Symbol=ES, RecordInterval=60)
        self.assertEqual((refused["Type"], refused["RequestID"]), (802, 4))

    def test_any_interval(self) -> None:
        for interval in (1, 7, 59, 61, 1801, 43200, DAY - 1):
            rows = [record["F"] for record in self.bars(RecordInterval=interval, StartDateTime=NOW - 20 * interval)[1:]]
            self.assertEqual({row[1] // 1_000_000 % interval for row in rows}, {0}, interval)
            self.assertIn(len(rows), (20, 21), interval)
            for _, _, first, high, low, last, *_ in rows:
                self.assertTrue(low <= min(first, last) and max(first, last) <= high)

    def test_the_unit_of_time_is_the_instruments(self) -> None:
        for symbol, unit in ((ES, 1_000_000), (CL, 1), (EURUSD, 1_000_000)):
            for interval in (60, 0):
                fields = {"Symbol": symbol, "RecordInterval": interval}
                _, *answer = self.bars(StartDateTime=EPOCH - 120, EndDateTime=EPOCH, **fields)
                times = [record["F"][1] for record in answer]
                self.assertEqual(len(times), 2 if interval else 120)
                self.assertTrue(all((EPOCH - 120) * unit <= time < EPOCH * unit for time in times), symbol)

    def test_prices_are_whole_ticks_as_elsewhere(self) -> None:
        for symbol in (EURUSD, BTC, "ZNU21_FUT_CBOT"):
            definition = self.ask(self.log_on(), Type=506, Symbol=symbol, RequestID=1)[0]
            tick = definition["MinPriceIncrement"] / definition["DisplayPriceMultiplier"]
            for record in self.bars(Symbol=symbol, StartDateTime=EPOCH - 600, EndDateTime=EPOCH)[1:]:
                for price in record["F"][2:6]:
                    self.assertAlmostEqual(price / tick, round(price / tick), 2)
                    self.assertEqual(price, round(price, 6))

    @slow
    def test_a_whole_price_has_no_point(self) -> None:
        client = self.log_on(history=True)
        self.ask(client, Type=800, RequestID=4, Symbol=ES, RecordInterval=60, MaxDaysToReturn=1)
        self.assertNotIn(b".", b"".join(client.frames))

    @slow
    def test_a_million_records_in_chunks(self) -> None:
        self.simulator.set_nul_terminator(True)
        client = self.log_on(history=True)
        client.take()
        self.simulator.drop_history_after(3500)
        self.ask(client, Type=800, RequestID=4, Symbol=ES, RecordInterval=1, StartDateTime=NOW - 1_000_000)
        self.assertEqual([frame.count(b"\0") for frame in client.frames], [1, CHUNK, CHUNK, CHUNK, 500])
        requests = dtc.HistoricalPriceDataRequest(RecordInterval=1, StartDateTime=NOW - 1_000_000)  # type: ignore[arg-type]
        found = records.record_times(requests, NOW)
        self.assertEqual(len(found), 1_000_000)

    def test_no_more_is_written_than_is_read(self) -> None:
        """The next chunk waits until the transport asks for it."""
        client = self.log_on(history=True)
        (connection,) = self.simulator.history_connections
        written: list[list[bytes]] = []
        connection.registerProducer = lambda producer, streaming: self.assertFalse(streaming)  # type: ignore[method-assign]
        connection.send_texts = written.append  # type: ignore[assignment, method-assign]
        self.ask(client, Type=800, RequestID=4, Symbol=ES, RecordInterval=1, StartDateTime=NOW - 100_000)
        self.assertEqual([len(texts) for texts in written], [1])
        for _ in range(2):
            connection.resumeProducing()  # type: ignore[attr-defined]
        self.assertEqual([len(texts) for texts in written], [1, CHUNK, CHUNK])

    def test_split_and_unterminated(self) -> None:
        self.simulator.set_frame_size(100)
        self.simulator.set_nul_terminator(False)
        client = self.dial(history=True)
        client.text(b'{"Type":1,"ProtocolVersion":8}\0')
        self.flush()
        client.frames.clear()
        client.text(b'{"Type":800,"RequestID":4,"Symbol":"%s","RecordInterval":60,"MaxDaysToReturn":1}\0' % ES.encode())
        self.flush()
        self.assertEqual(max(map(len, client.frames)), 100)
        data = b"".join(client.frames)
        self.assertNotIn(b"\0", data)
        self.assertEqual(data.count(b'{"Type":803'), 1440)


class SpecialHistoryTests(Case):
    def request(self, **fields: Any) -> tuple[Client, list[dict[str, Any]]]:
        client = self.log_on(history=True)
        requests = {"Type": 800, "RequestID": 4, "Symbol": ES, "RecordInterval": 60, "StartDateTime": NOW - 600}
        return client, self.ask(client, **requests | fields)

    def test_no_history(self) -> None:
        for kind, header in ((800, 801), (900, 901)):
            client, answer = self.request(Type=kind, Symbol=NO_HISTORY)
            self.assertEqual([(m["Type"], m["RequestID"], m["NoRecordsToReturn"]) for m in answer], [(header, 4, 1)])
            self.assertTrue(client.closed_cleanly and client.lost)

    def test_refused_history(self) -> None:
        for kind, reject in ((800, 802), (900, 902)):
            client, (refused,) = self.request(Type=kind, Symbol=REFUSED_HISTORY)
            self.assertEqual(
                (refused["Type"], refused["RequestID"], refused["RejectText"], refused["RejectReasonCode"]),
                (reject, 4, REFUSED_TEXT, 1),
            )
            self.assertEqual(refused.get("RetryTimeInSeconds"), 30 if kind == 800 else None)
            self.assertTrue(client.closed_cleanly and client.lost)

    def test_slow_history(self) -> None:
        for kind in (800, 900):
            start = (NOW - 180) * (1 if kind == 800 else 1_000_000)
            client, answer = self.request(Type=kind, Symbol=SLOW_HISTORY, StartDateTime=start)
            self.assertEqual(len(answer), 1)
            client.take()
            for _ in range(3):
                self.advance(SLOW_PAUSE * 0.9)
                self.assertEqual(client.take(), [])
                self.advance(SLOW_PAUSE * 0.2)
                self.assertEqual(len(client.take()), 1)
            if kind == 800:
                self.advance(1, step=SLOW_PAUSE)
                self.assertTrue(client.closed_cleanly and client.lost)

    def test_a_slow_answer_without_its_client(self) -> None:
        client, _ = self.request(Symbol=SLOW_HISTORY)
        self.ask(client, Type=5, Reason="enough")
        self.assertTrue(client.lost)
        self.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_these_symbols_have_a_market(self) -> None:
        client = self.log_on()
        for symbol in (NO_HISTORY, REFUSED_HISTORY, SLOW_HISTORY):
            (snapshot,) = self.ask(client, Type=101, RequestAction=3, SymbolID=1, Symbol=symbol)
            self.assertEqual(snapshot["Type"], 104)

    def test_cut_off(self) -> None:
        for kind, records_ in ((800, 7), (800, 0), (900, 7)):
            self.simulator.drop_history_after(records_)
            start = NOW - 600 if kind == 800 else (NOW - 600) * 1_000_000
            client, answer = self.request(Type=kind, StartDateTime=start)
            self.assertEqual([message["Type"] for message in answer], [kind + 1] + [kind + 3] * records_)
            self.assertTrue(client.lost)
            self.assertFalse(client.closed_cleanly)
        client, answer = self.request()
        self.assertEqual(len(answer), 11)
        self.assertTrue(client.closed_cleanly)

    def test_a_cut_waits_for_an_answer_with_records(self) -> None:
        self.simulator.drop_history_after(2)
        self.assertTrue(self.request(Symbol=NO_HISTORY)[0].closed_cleanly)
        self.assertTrue(self.request(Symbol="XX")[0].closed_cleanly)
        self.assertEqual(len(self.request()[1]), 3)

    def test_reject_next(self) -> None:
        for request, kind, reject in (
            (dtc.HistoricalPriceDataRequest, 800, 802),
            (dtc.HistoricalMarketDepthDataRequest, 900, 902),
        ):
            self.simulator.reject_next(request, "because")
            client, (refused,) = self.request(Type=kind)
            self.assertEqual((refused["Type"], refused["RequestID"], refused["RejectText"]), (reject, 4, "because"))
            self.assertEqual(refused["RejectReasonCode"], 4)
            self.assertTrue(client.closed_cleanly and client.lost)
        self.assertEqual(self.request()[1][0]["Type"], 801)

    def test_reject_next_with_other_fields(self) -> None:
        self.simulator.reject_next(
            dtc.HistoricalPriceDataRequest, "later", RejectReasonCode=1, RetryTimeInSeconds=9, NoSuchField=1
        )
        _, (refused,) = self.request()
        self.assertEqual((refused["RejectReasonCode"], refused["RetryTimeInSeconds"]), (1, 9))

    def test_ignore_next(self) -> None:
        self.simulator.ignore_next(dtc.HistoricalPriceDataRequest)
        client, answer = self.request()
        self.assertEqual(answer, [])
        self.assertFalse(client.lost)

    def test_hold_next(self) -> None:
        held = self.simulator.hold_next(dtc.HistoricalPriceDataRequest)
        client, answer = self.request()
        self.assertEqual(answer, [])
        held.release()
        self.assertEqual(len(self.messages_to(client)), 11)
        self.assertTrue(client.closed_cleanly)


class HistoricalDepthTests(Case):
    def depth(self, **fields: Any) -> list[dict[str, Any]]:
        client = self.log_on(history=True)
        answer = self.ask(client, **{"Type": 900, "RequestID": 4, "Symbol": ES} | fields)
        self.assertTrue(client.closed_cleanly and client.lost)
        return answer

    def books(self, answer: list[dict[str, Any]]) -> dict[int, dict[tuple[bool, float], int]]:
        """Return the book at the end of each batch, by time."""
        book: dict[tuple[bool, float], int] = {}
        books = {}
        for record in answer:
            command, key = record["Command"], (record["Command"] % 2 == 0, record["Price"])
            if command == 1:
                book = {}
            elif command in (2, 3):
                self.assertNotIn(key, book)
                book[key] = record["Quantity"]
            elif command in (4, 5):
                self.assertIn(key, book)
                book[key] = record["Quantity"]
            else:
                self.assertIn(command, (6, 7))
                del book[key]
            if record["Flags"] == 1:
                books[record["StartDateTime"]] = dict(book)
        return books

    def test_header_and_records(self) -> None:
        header, *answer = self.depth(StartDateTime=(NOW - 300) * 1_000_000, EndDateTime=(NOW - 60) * 1_000_000)
        self.assertEqual(header, {"Type": 901, "RequestID": 4, "UseZLibCompression": 0, "NoRecordsToReturn": 0})
        self.assertEqual({(m["Type"], m["RequestID"]) for m in answer}, {(903, 4)})
        self.assertEqual([m["IsFinalRecord"] for m in answer], [0] * (len(answer) - 1) + [1])
        times = [m["StartDateTime"] for m in answer]
        self.assertEqual(times, sorted(times))
        self.assertEqual((times[0], times[-1] < (NOW - 60) * 1_000_000), ((NOW - 300) * 1_000_000, True))
        self.assertEqual([m["Command"] for m in answer[:3]], [1, 2, 3])
        self.assertEqual(answer[-1]["Flags"], 1)
        ends = [m["StartDateTime"] for m in answer if m["Flags"] == 1]
        self.assertEqual(ends, sorted(set(times)), "one end for all of a time")
        books = self.books(answer)
        self.assertGreater(len(books), 100)
        for book in books.values():
            bids, asks = ([price for is_bid, price in book if is_bid is side] for side in (True, False))
            self.assertEqual((len(bids), len(asks)), (5, 5))
            self.assertLess(max(bids), min(asks))

    def test_answers_agree_where_they_overlap(self) -> None:
        wide = self.books(self.depth(StartDateTime=(NOW - 300) * 1_000_000)[1:])
        narrow = self.books(self.depth(StartDateTime=(NOW - 100) * 1_000_000)[1:])
        shared = wide.keys() & narrow.keys()
        self.assertGreater(len(shared), 50)
        for time in shared:
            self.assertEqual(wide[time], narrow[time])

    def test_prices_are_4_byte_floats(self) -> None:
        _, *answer = self.depth(Symbol=EURUSD, StartDateTime=(NOW - 10) * 1_000_000)
        prices = {m["Price"] for m in answer[1:]}
        self.assertEqual(prices, {as_float32(round(price, 5)) for price in prices})
        self.assertNotEqual(prices, {round(price, 5) for price in prices})

    def test_nothing_in_the_range(self) -> None:
        (header,) = self.depth(StartDateTime=NOW * 1_000_000, EndDateTime=(NOW - 1) * 1_000_000)
        self.assertEqual(header["NoRecordsToReturn"], 1)

    def test_an_empty_record_at_the_end(self) -> None:
        self.simulator.settings.empty_final_record = True
        *_, before, last = self.depth(StartDateTime=(NOW - 10) * 1_000_000)
        self.assertEqual(before["IsFinalRecord"], 0)
        self.assertEqual(last, {"Type": 903, "RequestID": 4, "StartDateTime": 0, "IsFinalRecord": 1})

    def test_rejects(self) -> None:
        for fields in ({"Symbol": "XX"}, {"Symbol": RESTRICTED}, {"Symbol": ""}, {"UseZLibCompression": 1}):
            (refused,) = self.depth(**fields)
            self.assertEqual((refused["Type"], refused["RequestID"], refused["RejectReasonCode"]), (902, 4, 4))

    def test_the_main_port_has_none(self) -> None:
        (refused,) = self.ask(self.log_on(), Type=900, RequestID=4, Symbol=ES)
        self.assertEqual((refused["Type"], refused["RequestID"]), (902, 4))


class RecordTests(SynchronousTestCase):
    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from(INSTRUMENTS),
        st.one_of(st.integers(0, DAY), st.just(records.WEEK)),
        st.integers(EPOCH - 40 * DAY, EPOCH),
        st.integers(1, 30),
        st.integers(0, 20),
    )
    def test_a_record_does_not_depend_on_the_request(
        self, instrument: Any, interval: int, start: int, count: int, later: int
    ) -> None:
        step = max(interval, 1)
        everything = range(start, start + (count + later) * step, step)
        wide, narrow = (
            list(records.price_records(instrument, interval, part, 7, empty_final=True))
            for part in (everything, everything[later:])
        )
        self.assertEqual(narrow, wide[later:])
        self.assertEqual(len(narrow), count + 1)
