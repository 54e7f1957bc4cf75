"""Test that decoding a read at once gives the same as decoding each message."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import Codec
from dtc_twisted.dtc.messages import Message
from tests.dtc import test_codec
from tests.dtc.test_codec import ANY_MESSAGE, cut
from tests.support import slow

TRADE = dtc.MarketDataUpdateTrade(SymbolID=1, AtBidOrAsk=dtc.AtBidOrAskEnum.AT_ASK, Price=2.5, Volume=3, DateTime=0)
QUOTE = dtc.MarketDataUpdateBidAskNoTimeStamp(SymbolID=1, BidPrice=2.25, AskPrice=2.5)

ODD = [
    b'{"Type":107,"F":[1,2.0,2.5]}',
    b'{"Type":107,"F":[1.0,null,2.5]}',
    b'{"Type":107,"F":[1,2,2.5,3,4,"new",{"a":[1e999]}]}',
    b'{"Type":107,"F":[true]}',
    b'{"Type":107,"F":null}',
    b'{"Type":107,"F":["x"],"F":[2]}',
    b'{"Type":107,"F":[2],"F":["x"]}',
    b'{"Type":107,"F":[1],"Price":2}',
    b'{"Type":107,"\\u0046":[1],"Price":2}',
    b'{"Type":107,"Price":18446744073709551616,"Volume":-0.0}',
    b'{"Type":107,"F":[1,2,18446744073709551616,-0.0,0.0]}',
    b'{"Type":107,"Price":2,"Price":3}',
    b'{"Type":107,"Price":1,"X":[{"F":1},{"Type":3}]}',
    b'{"Type":107.0,"Price":2}',
    b'{"Type":107,"Type":107,"Price":2}',
    b'{"Type":107,"Type":3}',
    b'{"Type":3,"Type":107,"F":[1]}',
    b'{"Price":2,"Type":107}',
    b'{"F":[1],"Type":107}',
    b' { "Type" : 107 , "F" : [ 1 , 2 ] } ',
    b'{"Type":107,\0"Price":2}',
    b'{"Type":107,"X":{}\0,"Price":2}',
    b'{"Type":107,"X":[{}\0{}]}',
    b'{"Type":107,"X":[{}{}]}',
    b'{"Type":107,\n"Price":2}',
    b'{"Type":701,"MessageText":"F"}',
    b'{"Type":701,"MessageText":"}\0{"}',
    b'{"Type":701,"MessageText":"}{"}',
    b'{"Type":701,"X":"}\0{"}',
    b'{"Type":701,"MessageText":"\\u00fc \\""}',
    '{"Type":701,"MessageText":"ü"}'.encode(),
    b'{"Type":701,"MessageText":"\xfc"}',
    b'{"Type":9999,"F":[1]}',
    b'{"Type":9999}',
    b'{"Type":112,"F":[1,2.5,7,1456736458,1]}',
    b'{"Type":112,"F":[2.5,7,1456736458,1,1]}',
    b'{"Type":112,"F":[2.5,7,1456736458,3,1]}',
    b'{"Type":117,"F":[1,2.5,7,2.75,9,1456736458]}',
    b'{"Type":803,"F":[1,1456736458,2,3,1,2.5,100,7,40,60,1]}',
    b'{"Type":803,"OpenInterest":5,"NumTrades":6}',
    *(
        form % number.encode()
        for form in (b'{"Type":107,"Price":%s}', b'{"Type":107,"F":[1,0,%s]}', b'{"Type":138,"F":[1,%s]}')
        for number in test_codec.UnsetTests.SPELLINGS
    ),
]
"""Frames that contain several messages, or parts that resemble messages."""

ENDS = st.sampled_from([b"\0"] * 12 + [b"", b"\0\0", b"\r\n", b" \0", b"\n", b",", b"{", b"}", b"x\0"])
PIECES = st.one_of(
    st.builds(lambda message, compact: Codec(compact=compact).encode(message)[:-1], ANY_MESSAGE, st.booleans()),
    st.sampled_from(ODD),
    st.sampled_from([Codec(compact=True).encode(TRADE)[:-1], Codec().encode(TRADE)[:-1], Codec().encode(QUOTE)[:-1]]),
)
CHANGES = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.integers(0, 2), st.sampled_from(b'\0"\\F{}[],:1.eE \n\xfc')), max_size=3
)


def changed(data: bytes, changes: list[tuple[int, int, int]]) -> bytes:
    """Change data: insert or overwrite some bytes.

    changes: place, number of bytes that go, byte that comes.
    """
    for place, gone, byte in changes:
        place %= len(data) + 1
        data = data[:place] + bytes([byte]) + data[place + gone :]
    return data


class OneByOne(Codec):
    bulk_decoding = False


class Counting(Codec):
    """Count the messages that were decoded one by one."""

    slow = 0

    def _decode_piece(self, piece: bytes) -> list[Message]:
        self.slow += 1
        return super()._decode_piece(piece)


def exactly(message: Message) -> tuple[Any, ...]:
    """Return the fields of a message, with the type of each value."""
    return type(message), [(type(value), repr(value)) for value in astuple(message)]


class BulkTests(SynchronousTestCase):
    def read(self, kind: type[Codec], chunks: list[bytes], max_message: int) -> Any:
        unknown: list[tuple[int, bytes]] = []
        codec = kind(
            is_symbol_id=[1].__contains__,
            max_message=max_message,
            on_unknown=lambda number, text: unknown.append((number, text)),
        )
        received = [[exactly(message) for message in codec.feed(chunk)] for chunk in chunks]
        return received, codec.malformed_count, unknown

    @slow
    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    @given(
        st.lists(st.tuples(PIECES, ENDS), min_size=1, max_size=8),
        CHANGES,
        st.lists(st.integers(0, 1 << 16), max_size=4),
        st.sampled_from([1 << 20, 200]),
    )
    @example([(b'{"Type":107}{"Type":107,"X":"a}\0{b"}', b"\0")], [], [], 1 << 20)
    @example([(b'{"X":{"Type":3},"Type":3}{"Type":3}', b"\0"), (b'{"Type":3}', b"\0")], [], [], 1 << 20)
    def test_same(
        self,
        pieces: list[tuple[bytes, bytes]],
        changes: list[tuple[int, int, int]],
        places: list[int],
        max_message: int,
    ) -> None:
        plain = b"".join(piece + end for piece, end in pieces)
        # Twice: what was learned from the first time is used in the second.
        chunks = [*cut(changed(plain, changes), places), plain, plain]
        self.assertEqual(self.read(Codec, chunks, max_message), self.read(OneByOne, chunks, max_message))

    def test_odd_ones(self) -> None:
        """Each between ordinary ones, in both forms, and each by itself."""
        for odd in ODD:
            for form in (Codec(compact=True), Codec()):
                trade = form.encode(TRADE)
                for chunk in (trade + odd + b"\0" + trade, trade[:-1] + odd + trade[:-1], odd, odd + b"\0"):
                    with self.subTest(chunk):
                        chunks = [chunk, chunk, trade, chunk]
                        self.assertEqual(self.read(Codec, chunks, 1 << 20), self.read(OneByOne, chunks, 1 << 20))

    # -- what is read at once

    def assert_at_once(self, data: bytes, expected: list[Message], first: int = 0) -> None:
        """Assert that all messages are decoded at once, except the first ones, which show that they are compact."""
        codec = Counting()
        self.assertEqual(codec.feed(data), expected)
        self.assertEqual(codec.slow, first)
        self.assertEqual(codec.feed(data + data), expected + expected)
        self.assertEqual(codec.slow, first)

    def test_names_at_once(self) -> None:
        data = Codec().encode(TRADE) + Codec().encode(QUOTE)
        self.assert_at_once(data, [TRADE, QUOTE])

    def test_compact_at_once(self) -> None:
        data = Codec(compact=True).encode(TRADE) + Codec(compact=True).encode(QUOTE)
        self.assertEqual(data.count(b'"F"'), 1)
        self.assert_at_once(data, [TRADE, QUOTE], first=2)

    def test_union_at_once(self) -> None:
        """Two fields have one position in F."""
        bars: list[Message] = [
            dtc.HistoricalPriceDataRecordResponse(1, time, 2.0, 3.0, 1.0, 2.5, 100.0, 7, 7, 40.0, 60.0, 0)
            for time in (60, 120)
        ]
        self.assert_at_once(b"".join(map(Codec(compact=True).encode, bars)), bars, first=2)

    def test_without_nul_at_once(self) -> None:
        data = Codec(compact=True).encode(TRADE)[:-1] + Codec().encode(QUOTE)[:-1]
        self.assert_at_once(data, [TRADE, QUOTE], first=2)

    def test_unset_values_at_once(self) -> None:
        trade = dtc.MarketDataUpdateTrade(SymbolID=1, Volume=2)
        self.assert_at_once(b'{"Type":107,"F":[1,null,1.79769e+308,2,4294967295]}\0', [trade], first=1)
        self.assert_at_once(b'{"Type":107,"SymbolID":1,"Price":1.79769e+308,"Volume":2}\0', [trade])

    def test_symbol_id_first_at_once(self) -> None:
        data = b'{"Type":112,"F":[3,2.5,7,1456736458,1]}\0'
        codec = Counting(is_symbol_id=[3].__contains__)
        (trade,) = codec.feed(data)  # decides
        codec.feed(data)
        slow = codec.slow
        self.assertEqual(codec.feed(data * 3), [trade] * 3)
        self.assertEqual(codec.slow, slow)
        assert isinstance(trade, dtc.MarketDataUpdateTradeCompact)
        self.assertEqual((trade.SymbolID, trade.Price), (3, 2.5))

    def test_split_at_once(self) -> None:
        """The message that two reads share costs the others nothing."""
        data = Codec().encode(TRADE) * 10
        codec = Counting()
        self.assertEqual(codec.feed(data[:-20]) + codec.feed(data[-20:] + data), [TRADE] * 20)
        self.assertEqual(codec.slow, 0)

    def test_back_to_names(self) -> None:
        """A type that came compact once is read at once by names, too, when the server turns to them."""
        codec = Counting()
        codec.feed(Codec(compact=True).encode(TRADE))
        data = Codec().encode(TRADE)
        codec.feed(data)
        slow = codec.slow
        self.assertEqual(codec.feed(data * 3), [TRADE] * 3)
        self.assertEqual(codec.slow, slow)


class _Off(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(Codec, "bulk_decoding", False)
        super().setUp()


class CompactOneByOneTests(_Off, test_codec.CompactTests): ...


class UnsetOneByOneTests(_Off, test_codec.UnsetTests): ...


class FramingOneByOneTests(_Off, test_codec.FramingTests): ...


class TextOneByOneTests(_Off, test_codec.TextTests): ...


class UnknownTypeOneByOneTests(_Off, test_codec.UnknownTypeTests): ...


class OversizeOneByOneTests(_Off, test_codec.OversizeTests): ...


class SymbolIDOrderOneByOneTests(_Off, test_codec.SymbolIDOrderTests): ...
