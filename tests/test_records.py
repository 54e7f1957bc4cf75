"""Batches of records: exactly what Codec would have made of them; and prices as whole numbers."""

import json
import random
from typing import Any

from msgspec import UNSET
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted import messages as dtc
from dtc_twisted.codec import Codec
from dtc_twisted.history import records
from dtc_twisted.history.records import Batches, divided, is_whole
from dtc_twisted.messages import DBL_MAX, UINT_MAX, Message

BAR = {"Type": 803, "F": [1, 1456736458000000, 2058.75, 2060, 2058.5, 2059.25, 12, 3, 5.5, 6, 0]}
TICK = {"Type": 804, "F": [1, 1456736458.25, 2, 2058.75, 12, 0]}
WHOLE_BAR = {"Type": 805, "F": [1, 1456736458, 205875, 206000, 205850, 205925, 12, 3, 5, 7, 0]}
WHOLE_TICK = {"Type": 806, "F": [1, 1456736458.25, 205875, 12, 2, 0]}
DEPTH = {"Type": 903, "RequestID": 1, "StartDateTime": 1456736458000000, "Command": 2, "Price": 2058.75, "Quantity": 7}
RECORDS = (BAR, TICK, WHOLE_BAR, WHOLE_TICK, DEPTH)

HEADER = {"Type": 801, "RequestID": 1, "RecordInterval": 60, "IntToFloatPriceDivisor": 100}
ODD: tuple[Any, ...] = (
    HEADER,
    {"Type": 807, "RequestID": 1, "FinalRecordLastDateTime": 1456736458000000},
    {"Type": 803, "RequestID": 1, "StartDateTime": 1456736458000000, "OpenPrice": 1.5},
    {"Type": 803, "F": [1, 1456736458000000, 1.5]},
    {"Type": 803, "F": [*BAR["F"], "more"]},  # type: ignore[misc]
    {"Type": 803, "F": [1, None, DBL_MAX, 1, 1, 1, 1, UINT_MAX, 1, 1, 0]},
    {"Type": 803, "F": [1, "text", 1, 1, 1, 1, 1, 1, 1, 1, 0]},
    {"Type": 803, "F": []},
    {"Type": 803},
    {"Type": 903, "F": [1, 1456736458000000]},
    {**DEPTH, "Price": DBL_MAX},
    {**DEPTH, "Note": "Öl"},
    {"Type": 12345, "F": [1]},
    {"F": [1], "Type": 803},
    5,
)


def wire(*messages: Any) -> bytes:
    return b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\0" for each in messages)


class BatchesTests(SynchronousTestCase):
    def read(self, data: bytes, size: int) -> list[Message]:
        batches = Batches(Codec().feed)
        return [each for start in range(0, len(data), size) for each in batches.feed(data[start : start + size])]

    def test_fast(self) -> None:
        """Whole batches do not go through the codec."""
        for record in RECORDS:
            expected = Codec().feed(wire(record) * 20)
            self.assertEqual(len(expected), 20)

            def feed(data: bytes) -> list[Message]:
                raise AssertionError(data)

            batches = Batches(feed)
            data = wire(record) * 20
            self.assertEqual([*batches.feed(data[:333]), *batches.feed(data[333:])], expected)

    def test_union(self) -> None:
        for record in (BAR, WHOLE_BAR):
            (row,) = self.read(wire(record), 4096)
            assert isinstance(row, dtc.HistoricalPriceDataRecordResponse | dtc.HistoricalPriceDataRecordResponse_Int)
            self.assertEqual((row.OpenInterest, row.NumTrades), (3, 3))

    def test_same_as_the_codec(self) -> None:
        """Any messages, in any pieces, with and without NUL between them."""
        chance = random.Random(1)
        for _ in range(400):
            odd = chance.choice((0.0, 0.05, 0.5))
            kind = chance.choice(RECORDS)
            parts = [
                wire(chance.choice(ODD if chance.random() < odd else (kind, kind, kind, chance.choice(RECORDS))))
                for _ in range(60)
            ]
            parts += chance.choices((b"\0", b" \0", b"garbage\0", b"\xd6\0", wire(BAR)[:-1], b""), k=3)
            chance.shuffle(parts)
            data = b"".join(parts)
            expected = Codec().feed(data)
            self.assertTrue(len(expected) > 20)
            for size in (7, 64, 1000, 4096, len(data)):
                self.assertEqual(self.read(data, size), expected, data)

    def test_unset(self) -> None:
        row: Any
        for number, expected in ((None, UNSET), (DBL_MAX, UNSET), (0, 0), (2.5, 2.5)):
            _, row = self.read(wire(BAR, {"Type": 803, "F": [1, 1456736458000000, number]}), 4096)
            self.assertEqual((row.OpenPrice, row.HighPrice), (expected, UNSET))

    def test_without_nul(self) -> None:
        """A server that ends no message with NUL is understood as well."""
        data = wire(BAR, BAR, HEADER, BAR).replace(b"\0", b"")
        self.assertEqual(self.read(data, 50), Codec().feed(data))
        self.assertEqual(len(self.read(data, 50)), 4)

    def test_all_kinds_are_read(self) -> None:
        self.assertEqual({kind.Type for kind in records._KINDS}, {record["Type"] for record in RECORDS})


class WholeTests(SynchronousTestCase):
    def decode(self, record: Any) -> Any:
        (row,) = Codec().feed(wire(record))
        return row

    def test_bar(self) -> None:
        row: Any = divided(self.decode(WHOLE_BAR), 100.0)
        self.assertIs(type(row), dtc.HistoricalPriceDataRecordResponse)
        self.assertEqual((row.OpenPrice, row.HighPrice, row.LowPrice, row.LastPrice), (2058.75, 2060, 2058.5, 2059.25))
        self.assertEqual((row.RequestID, row.StartDateTime, row.Volume), (1, 1456736458, 12))
        self.assertEqual((row.OpenInterest, row.NumTrades, row.BidVolume, row.AskVolume), (3, 3, 5, 7))
        self.assertEqual(row.IsFinalRecord, 0)

    def test_tick(self) -> None:
        row: Any = divided(self.decode(WHOLE_TICK), 100.0)
        self.assertIs(type(row), dtc.HistoricalPriceDataTickRecordResponse)
        self.assertEqual((row.DateTime, row.Price, row.Volume, row.AtBidOrAsk), (1456736458.25, 2058.75, 12, 2))

    def test_unset(self) -> None:
        row: Any = divided(self.decode({"Type": 805, "F": [1, 1456736458, 205875]}), 100.0)
        self.assertEqual((row.OpenPrice, row.HighPrice, row.IsFinalRecord), (2058.75, UNSET, UNSET))

    def test_which(self) -> None:
        self.assertEqual([is_whole(self.decode(each)) for each in RECORDS], [False, False, True, True, False])
