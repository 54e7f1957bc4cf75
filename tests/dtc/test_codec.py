"""Test encoding and decoding of messages."""

import json
from collections.abc import Callable, Iterable
from enum import IntEnum
from itertools import pairwise
from typing import Any, get_args, get_type_hints

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import UNSET
from msgspec.structs import astuple, replace
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import MAX_LOGGED_ERRORS, UNSET_NUMBERS, Codec, compact_field_names
from dtc_twisted.dtc.messages import DBL_MAX, FLT_MAX, INT_MAX, MESSAGES, UINT_MAX, Message
from tests.support import slow

FEW = settings(max_examples=4, deadline=None, derandomize=True, database=None)
MANY = settings(max_examples=100, deadline=None, derandomize=True, database=None)

HEARTBEAT = b'{"Type":3,"CurrentDateTime":1456736458}'
ALIVE = dtc.Heartbeat(CurrentDateTime=1456736458)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ['{"Type":3}', '"}{', "\\", '\\"', "}\0{", "\ufeff", "Übergröße €", "\U0001f4c8"]
)


def known(value: Any) -> bool:
    return value not in UNSET_NUMBERS


def values_of(hint: Any) -> SearchStrategy[Any]:
    """Return a strategy for the values of a type, without the numbers that mean unset."""
    kind = get_args(hint)[0]
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return st.integers(-1, 400).map(kind)
    (meta,) = kind.__metadata__
    match meta.extra:
        case {"length": length}:
            return TEXTS.map(lambda text: text[: length - 1])
        case {"min": low, "max": high}:
            return st.integers(low, high).filter(known)
        case {"bytes": size}:
            floats = st.floats(width=8 * size, allow_nan=False, allow_infinity=False)
            return (floats | st.integers(-(2**53), 2**53)).filter(known)
    raise AssertionError(f"no values for {hint}")


def messages_of(kind: type[Message]) -> SearchStrategy[Message]:
    hints = get_type_hints(kind, include_extras=True)

    def build(fields: dict[str, Any]) -> Message:
        if kind.UNION and kind.UNION[0] in fields:
            fields |= dict.fromkeys(kind.UNION, fields[kind.UNION[0]])
        return kind(**fields)

    return st.fixed_dictionaries({}, optional={name: values_of(hints[name]) for name in compact_field_names(kind)}).map(
        build
    )


ANY_MESSAGE = st.sampled_from([*MESSAGES.values()]).flatmap(messages_of)


def initial(message: Message) -> Message:
    """Return the message as a compact message states it.

    An unset number is a number there.
    """
    unset = {name for name in compact_field_names(type(message)) if getattr(message, name) is UNSET}
    return replace(
        message, **{name: value for name, value in message.DEFAULTS.items() if name in unset and known(value)}
    )


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in pairwise(edges)]


class CodecTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.codec = Codec()
        events: list[LogEvent] = []
        self.events = events
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def logged(self, level: LogLevel) -> list[str]:
        return [formatEvent(event) for event in self.events if event["log_level"] is level]

    def read(self, *data: bytes) -> list[Message]:
        return [message for each in data for message in self.codec.feed(each)]

    def assert_reads(self, expected: list[Message], *data: bytes) -> None:
        self.assertEqual(self.read(*data), expected)
        self.assertEqual(self.codec.malformed_count, 0)

    def assert_garbage(self, garbage: bytes, errors: int = 1) -> None:
        """Assert that garbage is counted and logged in short, and that later messages are decoded."""
        codec = Codec()
        del self.events[:]
        self.assertEqual(codec.feed(garbage + b"\0" + HEARTBEAT + b"\0"), [ALIVE])
        self.assertEqual(codec.malformed_count, errors)
        logged = self.logged(LogLevel.error)
        self.assertEqual(len(logged), min(errors, MAX_LOGGED_ERRORS))
        for text in logged:
            self.assertIn("a malformed message", text)
            self.assertLess(len(text), 500)


class RoundTripTests(CodecTestCase):
    def round_trip(self, compact: bool, expected: Callable[[Message], Message]) -> None:
        for kind in MESSAGES.values():

            @FEW
            @given(messages_of(kind))
            def check(message: Message) -> None:
                codec = Codec(compact=compact)
                data = codec.encode(message)
                self.assertTrue(data.endswith(b"\0"))
                (decoded,) = codec.feed(data)
                self.assertIs(type(decoded), type(message))
                self.assertEqual(decoded, expected(message))
                self.assertEqual(codec.malformed_count, 0)

            with self.subTest(kind.__name__):
                check()

    @slow
    def test_names(self) -> None:
        self.round_trip(False, lambda message: message)

    @slow
    def test_compact(self) -> None:
        self.round_trip(True, lambda message: initial(message) if message.COMPACT else message)

    def test_all_unset(self) -> None:
        for kind in MESSAGES.values():
            with self.subTest(kind.__name__):
                self.assert_reads([kind()], Codec().encode(kind()))

    def test_compact_form_is_used_for_compact_types_only(self) -> None:
        for kind in MESSAGES.values():
            encoded = json.loads(Codec(compact=True).encode(kind())[:-1])
            with self.subTest(kind.__name__):
                self.assertEqual("F" in encoded, kind.COMPACT)
                self.assertEqual(encoded["Type"], kind.Type)
                self.assertEqual(next(iter(encoded)), "Type")
                self.assertNotIn("F", json.loads(Codec().encode(kind())[:-1]))

    @slow
    @MANY
    @given(
        st.lists(
            st.tuples(ANY_MESSAGE, st.booleans(), st.sampled_from([b"\0", b"", b"\r\n", b"\0\0", b" \0"])), max_size=5
        ),
        st.lists(st.integers(0, 1 << 20), max_size=12),
    )
    def test_any_split(self, stream: list[tuple[Message, bool, bytes]], places: list[int]) -> None:
        """Where frames begin and end makes no difference, nor does a NUL that is missing."""
        data = b"".join(Codec(compact=compact).encode(message)[:-1] + end for message, compact, end in stream)
        codec = Codec()
        received = [message for each in cut(data, places) for message in codec.feed(each)]
        self.assertEqual(
            received,
            [initial(message) if compact and message.COMPACT else message for message, compact, _ in stream],
        )
        self.assertEqual(codec.malformed_count, 0)

    def test_byte_by_byte(self) -> None:
        data = b'{"Type":701,"MessageText":"} {\\"Type\\":3} \\\\"}' + HEARTBEAT + b"\0" + HEARTBEAT
        expected = [dtc.GeneralLogMessage(MessageText='} {"Type":3} \\'), ALIVE, ALIVE]
        self.assert_reads(expected, *(data[i : i + 1] for i in range(len(data))))


class EncodeTests(CodecTestCase):
    def test_names(self) -> None:
        trade = dtc.MarketDataUpdateTrade(SymbolID=1, AtBidOrAsk=dtc.AtBidOrAskEnum.AT_ASK, Price=0.0, Volume=2.5)
        expected = b'{"Type":107,"SymbolID":1,"AtBidOrAsk":2,"Price":0.0,"Volume":2.5}\0'
        self.assertEqual(Codec().encode(trade), expected)

    def test_compact_keeps_the_place_of_what_is_unset(self) -> None:
        quote = dtc.MarketDataUpdateBidAsk(SymbolID=1, AskPrice=2.5)
        values = json.loads(Codec(compact=True).encode(quote)[:-1])["F"]
        self.assertEqual(values, [1, DBL_MAX, None, 2.5, None, None])

    def test_union_is_one_slot(self) -> None:
        for fields in ({"NumTrades": 7}, {"OpenInterest": 7}):
            record = dtc.HistoricalPriceDataRecordResponse(RequestID=1, IsFinalRecord=1, **fields)
            values = json.loads(Codec(compact=True).encode(record)[:-1])["F"]
            self.assertEqual(values, [1, None, None, None, None, None, None, 7, None, None, 1])


class CompactTests(CodecTestCase):
    def test_as_the_sample(self) -> None:
        trade = dtc.MarketDataUpdateTrade(
            SymbolID=1, AtBidOrAsk=dtc.AtBidOrAskEnum.BID_ASK_UNSET, Price=2058.75, Volume=12, DateTime=1456736458
        )
        self.assert_reads([trade], b'{"Type":107,"F":[1,0,2058.75,12,1456736458]}\0')

    def test_names_for_a_type_that_is_compact_here(self) -> None:
        self.assert_reads(
            [dtc.MarketDataUpdateTrade(SymbolID=1, Price=2.5)], b'{"Type":107,"Price":2.5,"SymbolID":1}\0'
        )

    def test_compact_for_a_type_that_has_names_here(self) -> None:
        self.assertFalse(dtc.Logoff.COMPACT)
        self.assert_reads([dtc.Logoff(Reason="Bye", DoNotReconnect=1)], b'{"Type":5,"F":["Bye",1]}\0')

    def test_shorter_than_known(self) -> None:
        self.assert_reads([dtc.MarketDataUpdateTrade(SymbolID=1)], b'{"Type":107,"F":[1]}\0')
        self.assert_reads([dtc.MarketDataUpdateTrade()], b'{"Type":107,"F":[]}\0')

    def test_longer_than_known(self) -> None:
        self.assert_reads(
            [dtc.Heartbeat(NumDroppedMessages=0, CurrentDateTime=5)], b'{"Type":3,"F":[0,5,"new",[1],{}]}\0'
        )

    def test_union_is_one_slot(self) -> None:
        (record,) = self.read(b'{"Type":803,"F":[1,1456736458,2,3,1,2.5,100,7,40,60,1]}\0')
        expected = dtc.HistoricalPriceDataRecordResponse(
            RequestID=1,
            StartDateTime=1456736458,
            OpenPrice=2,
            HighPrice=3,
            LowPrice=1,
            LastPrice=2.5,
            Volume=100,
            OpenInterest=7,
            NumTrades=7,
            BidVolume=40,
            AskVolume=60,
            IsFinalRecord=1,
        )
        self.assertEqual(record, expected)


class UnsetTests(CodecTestCase):
    SPELLINGS = (
        "null",
        "1.7976931348623157e308",
        "1.7976931348623157E+308",
        "1.79769e+308",
        "1.797693e+308",
        "3.4028234663852886e38",
        "3.4028234663852886e+38",
        "3.40282e+38",
        "3.402823e+38",
        "3.4028235e38",
        "3.40282347e+38",
        "340282346638528859811704183484516925440",
        "340282346638528859811704183484516925440.0",
        "4294967295",
        "4294967295.0",
        "2147483647",
        "2147483647.0",
    )

    def test_sentinels(self) -> None:
        for spelling in self.SPELLINGS:
            with self.subTest(spelling):
                by_name = b'{"Type":107,"SymbolID":1,"Price":%s}\0' % spelling.encode()
                in_f = b'{"Type":107,"F":[1,null,%s]}\0' % spelling.encode()
                expected = dtc.MarketDataUpdateTrade(SymbolID=1)
                self.assert_reads([expected, expected], by_name, in_f)

    def test_in_integers_and_enums(self) -> None:
        for number in ("null", str(INT_MAX), str(UINT_MAX)):
            data = b'{"Type":135,"SymbolID":1,"NumTrades":%s}\0{"Type":138,"SymbolID":1,"Status":%s}\0'
            expected = [dtc.MarketDataUpdateSessionNumTrades(SymbolID=1), dtc.TradingSymbolStatus(SymbolID=1)]
            self.assert_reads(expected, data % (number.encode(), number.encode()))

    def test_constants(self) -> None:
        self.assertLessEqual({DBL_MAX, FLT_MAX, INT_MAX, UINT_MAX}, UNSET_NUMBERS)

    def test_every_field_may_be_null(self) -> None:
        for kind in MESSAGES.values():
            fields = ",".join(f'"{name}":null' for name in kind.__struct_fields__)
            with self.subTest(kind.__name__):
                self.assert_reads([kind()], b'{"Type":%d,%s}\0' % (kind.Type, fields.encode()))

    def test_zero_is_kept(self) -> None:
        snapshot = b'{"Type":104,"SymbolID":1,"BidPrice":0,"AskPrice":0.0,"TradingStatus":0}\0'
        (decoded,) = self.read(snapshot)
        assert isinstance(decoded, dtc.MarketDataSnapshot)
        self.assertEqual((decoded.BidPrice, decoded.AskPrice, decoded.TradingStatus), (0, 0, 0))
        self.assertIs(decoded.LastTradePrice, UNSET)

    def test_other_large_numbers_are_kept(self) -> None:
        self.assert_reads(
            [dtc.MarketDataUpdateTrade(Price=-DBL_MAX)], b'{"Type":107,"Price":-1.7976931348623157e308}\0'
        )
        self.assert_reads([dtc.MarketDataUpdateTrade(Price=INT_MAX - 1)], b'{"Type":107,"Price":2147483646}\0')

    def test_unknown_fields_and_enum_numbers(self) -> None:
        (update,) = self.read(b'{"Type":301,"OrderStatus":99,"NewField":{"a":[1]},"BuySell":null}\0')
        assert isinstance(update, dtc.OrderUpdate)
        self.assertEqual(update.OrderStatus, 99)
        self.assertIs(update.BuySell, UNSET)


class FramingTests(CodecTestCase):
    def test_several_in_a_frame(self) -> None:
        self.assert_reads([ALIVE, ALIVE], HEARTBEAT + b"\0" + HEARTBEAT + b"\0")

    def test_without_nul(self) -> None:
        self.assert_reads([ALIVE], HEARTBEAT)
        self.assert_reads([ALIVE, ALIVE], HEARTBEAT + b"\r\n" + HEARTBEAT)

    def test_nul_of_its_own(self) -> None:
        self.assert_reads([ALIVE], HEARTBEAT, b"\0", b"", b"\r\n")

    def test_some_nuls_missing(self) -> None:
        self.assert_reads([ALIVE] * 4, HEARTBEAT * 3 + b"\0" + HEARTBEAT)

    def test_one_over_several_frames(self) -> None:
        self.assert_reads([], HEARTBEAT[:5], HEARTBEAT[5:20])
        self.assert_reads([ALIVE], HEARTBEAT[20:])

    def test_split_within_a_text(self) -> None:
        """Braces and quotes of a text are not those of the object."""
        whole = b'{"Type":701,"MessageText":"a } b \\" } { \\\\"}'
        for place in range(1, len(whole)):
            with self.subTest(place):
                expected = dtc.GeneralLogMessage(MessageText='a } b " } { \\')
                self.assert_reads([expected, ALIVE], whole[:place], whole[place:] + HEARTBEAT)

    def test_type_not_first(self) -> None:
        self.assert_reads(
            [ALIVE, ALIVE], b'{"CurrentDateTime":1456736458, "Type" : 3}{ "Type":3,"F":[null,1456736458]}\0'
        )

    def test_stump_then_a_whole_message(self) -> None:
        """A message whose end was lost costs itself only, wherever it broke off, and however the next one arrives."""
        lost = b'{"Type":701,"MessageText":"a \\" { b"}'
        for place in range(1, len(lost)):
            for after in ([HEARTBEAT], [HEARTBEAT + b"\0"], [HEARTBEAT * 2], [HEARTBEAT[:12], HEARTBEAT[12:]]):
                codec = Codec()
                received = [message for data in (lost[:place], *after) for message in codec.feed(data)]
                with self.subTest(place, after=after):
                    self.assertEqual(received, [ALIVE] * b"".join(after).count(HEARTBEAT))
                    self.assertEqual(codec.malformed_count, 1)

    def test_stump_within_a_frame(self) -> None:
        for stump in (b'{"Type":107,"F":[1,0,20', b'{"Type":701,"MessageText":"a', b'{"Ty'):
            with self.subTest(stump):
                codec = Codec()
                self.assertEqual(codec.feed(stump + HEARTBEAT + b"\0" + HEARTBEAT), [ALIVE, ALIVE])
                self.assertEqual(codec.malformed_count, 1)


class TextTests(CodecTestCase):
    def text(self, *data: bytes) -> Any:
        (message,) = self.read(*data)
        assert isinstance(message, dtc.GeneralLogMessage)
        self.assertEqual(self.codec.malformed_count, 0)
        return message.MessageText

    def test_utf8(self) -> None:
        self.assertEqual(self.text('{"Type":701,"MessageText":"Größe €"}\0'.encode()), "Größe €")

    def test_latin_1(self) -> None:
        self.assertEqual(self.text(b'{"Type":701,"MessageText":"Gr\xf6\xdfe"}\0'), "Größe")

    def test_latin_1_within_utf8(self) -> None:
        self.assertEqual(self.text(b'{"Type":701,"MessageText":"\xe2\x82\xac \xf6 \xc3\xb6 \xff"}\0'), "€ ö ö ÿ")

    def test_latin_1_in_f(self) -> None:
        self.assertEqual(self.text(b'{"Type":701,"F":["\xf6"]}\0'), "ö")

    def test_split_within_a_character(self) -> None:
        self.assertEqual(self.text(b'{"Type":701,"MessageText":"\xe2\x82', b'\xac"}\0'), "€")

    def test_escapes(self) -> None:
        self.assertEqual(self.text(b'{"Type":701,"MessageText":"\\u20ac \\ud83d\\udcc8"}\0'), "€ \U0001f4c8")


class UnknownTypeTests(CodecTestCase):
    def test_logged_once_for_each_type(self) -> None:
        data = b'{"Type":9999,"A":1}\0{"Type":9998,"F":[1]}\0{"Type":9999,"A":2}\0' + HEARTBEAT + b"\0"
        self.assert_reads([ALIVE, ALIVE], data, data)
        logged = self.logged(LogLevel.info)
        self.assertEqual(["9999" in text for text in logged], [True, False])
        self.assertIn("9998", logged[1])

    def test_secrets_are_masked(self) -> None:
        """Also in what is not whole, or no message at all."""
        secret = 'open \\"sesame'
        for data in (
            f'{{"Type":9999,"Password": "{secret}","A":1}}',
            f'{{"Type":9998,"A":"{"x" * 140}","Username":"{secret * 20}"}}',
            f'{{"Type":"9997","Password":"{secret}"}}',
        ):
            self.read(data.encode() + b"\0")
        logged = [*self.logged(LogLevel.info), *self.logged(LogLevel.error)]
        self.assertEqual(len(logged), 3)
        for text in logged:
            self.assertIn('"********"', text)
            self.assertNotIn("sesame", text)
        self.assertIn('"A":1}', logged[0])

    def test_passed_on(self) -> None:
        """Each of them, as it came, its text in UTF-8."""
        received: list[tuple[int, bytes]] = []
        codec = Codec(on_unknown=lambda number, text: received.append((number, text)))
        data = b'{"Type":9999,"A":"\xfc"}\0{"Type":9998,"F":[1.50]}{"Type":9999}\0{"Type":9999\0' + HEARTBEAT + b"\0"
        for start in range(0, len(data), 7):
            codec.feed(data[start : start + 7])
        self.assertEqual(
            received,
            [
                (9999, '{"Type":9999,"A":"ü"}'.encode()),
                (9998, b'{"Type":9998,"F":[1.50]}'),
                (9999, b'{"Type":9999}'),
            ],
        )
        self.assertEqual(codec.malformed_count, 1)

    def test_long_ones_are_cut(self) -> None:
        self.read(b'{"Type":9999,"A":"' + b"x" * 100_000 + b'"}\0')
        (text,) = self.logged(LogLevel.info)
        self.assertLess(len(text), 500)


class GarbageTests(CodecTestCase):
    def test_garbage(self) -> None:
        for garbage in (
            b"hello",
            b"[1,2]",
            b"42",
            b'"text"',
            b"null",
            b"{",
            b"}",
            b"{}",
            b'{"A":1}',
            b'{"Type":null}',
            b'{"Type":true}',
            b'{"Type":3.5}',
            b'{"Type":3,"F":1}',
            b'{"Type":3,"F":{"a":1}}',
            b'{"Type":3,"CurrentDateTime":"now"}',
            b'{"Type":3,"CurrentDateTime":1.5}',
            b'{"Type":3,"CurrentDateTime":[1]}',
            b'{"Type":3,"F":["now",[]]}',
            b'{"Type":701,"MessageText":[5]}',
            b'{"Type":301,"BuySell":"BUY"}',
            b'{"Type":107,"Price":"one"}',
            b'{"Type":107,"Price":1e999}',
            b'{"Type":107,"Price":NaN}',
            b'{"Type":3,}',
            b"{'Type':3}",
            b'{"Type":701,"MessageText":"\\ud800"}',
            b'{"Type":701,"MessageText":"\\udc00\\ud800"}',
            b'{"Type":701,"MessageText":"\\x"}',
            b'{"Type":701,"MessageText":"a\nb"}',
            b"\xff\xfe\xfd",
            b"\x16\x03\x01\x02",
        ):
            with self.subTest(garbage):
                self.assert_garbage(garbage)

    def test_nesting(self) -> None:
        for deep in (b"[" * 100_000, b'{"Type":' * 100, b'{"a":' * 100_000, b'{"Type":3,"A":' + b"[" * 100_000):
            with self.subTest(deep[:20]):
                self.assert_garbage(deep, errors=deep.count(b'{"Type"') or 1)
        self.assert_garbage(b'{"Type":3,"A":' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    @slow
    def test_payload_is_not_logged_whole(self) -> None:
        for garbage in (b"x" * 50_000, b'{"Type":"' + b"x" * 50_000 + b'"}', b"}" * 50_000, b"\xff" * 50_000):
            with self.subTest(garbage[:20]):
                self.assert_garbage(garbage)

    def test_many_pieces_are_not_logged_one_by_one(self) -> None:
        for count, logged in ((3 * MAX_LOGGED_ERRORS, 2), (10 * MAX_LOGGED_ERRORS, 9), (35 * MAX_LOGGED_ERRORS, 11)):
            new = count - self.codec.malformed_count
            self.assertEqual(self.codec.feed(b"{}" * new + HEARTBEAT), [ALIVE])
            self.assertEqual(len(self.logged(LogLevel.error)), MAX_LOGGED_ERRORS + logged, count)

    def test_without_nul(self) -> None:
        """Where no NUL ends the garbage, the message after it does."""
        for garbage in (b"hello ", b"}}", b'{"Type":3,"A":"', b"{{{", b"\xef\xbb\xbf", b"[1,2]"):
            with self.subTest(garbage):
                codec = Codec()
                self.assertEqual(codec.feed(garbage) + codec.feed(HEARTBEAT), [ALIVE])
                self.assertEqual(codec.malformed_count, 1)

    def test_in_front_of_a_message(self) -> None:
        for garbage in (b"hello ", b"}}", b"\xef\xbb\xbf"):
            with self.subTest(garbage):
                self.assertEqual(self.read(garbage + HEARTBEAT + b"\0"), [ALIVE])
                self.assertEqual(self.read(garbage + HEARTBEAT), [ALIVE])

    @slow
    @MANY
    @given(
        st.lists(
            st.binary(max_size=60) | st.sampled_from([HEARTBEAT, b"\0", b'{"Type":', b'"', b"}", b'{"F":[']), max_size=8
        )
    )
    @example([b'{"Type":112,"F":[[],[],[],[],[]]}', b'{"Type":117,"F":[{},{},{},{},{},{}]}'])
    def test_never_raises(self, chunks: list[bytes]) -> None:
        codec = Codec(max_message=50)
        for chunk in chunks:
            codec.feed(chunk)
        codec.feed(b"\0")
        self.assertEqual(codec.feed(HEARTBEAT + b"\0"), [ALIVE])

    @slow
    @MANY
    @given(
        st.sampled_from([*MESSAGES]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=8,
        ),
        st.booleans(),
    )
    def test_never_raises_on_any_json(self, number: int, value: Any, in_f: bool) -> None:
        codec = Codec()
        fields = {"F": value} if in_f else dict.fromkeys(MESSAGES[number].__struct_fields__, value)
        codec.feed(json.dumps({"Type": number, **fields}).encode() + b"\0")
        self.assertEqual(codec.feed(HEARTBEAT), [ALIVE])


class OversizeTests(CodecTestCase):
    LONG = b'{"Type":701,"MessageText":"' + b"x" * 1000 + b'"}'

    def setUp(self) -> None:
        super().setUp()
        self.codec = Codec(max_message=500)

    def assert_one_error(self) -> None:
        self.assertEqual(self.codec.malformed_count, 1)
        (text,) = self.logged(LogLevel.error)
        self.assertIn("longer than 500 bytes", text)

    def test_in_one_frame(self) -> None:
        for end in (b"\0", b""):
            with self.subTest(end):
                self.codec = Codec(max_message=500)
                self.assertEqual(self.read(self.LONG + end + HEARTBEAT + end), [ALIVE])
                self.assertEqual(self.codec.malformed_count, 1)

    def test_goes_on_after_the_nul(self) -> None:
        self.assertEqual(self.read(self.LONG[:600], self.LONG[600:], b"more\0" + HEARTBEAT + b"\0"), [ALIVE])
        self.assert_one_error()

    def test_goes_on_at_the_next_message(self) -> None:
        self.assertEqual(self.read(self.LONG[:600], self.LONG[600:], HEARTBEAT, HEARTBEAT), [ALIVE, ALIVE])
        self.assert_one_error()

    def test_keeps_nothing_of_it(self) -> None:
        for _ in range(100):
            self.assertEqual(self.read(b"x" * 100), [])
        self.assert_one_error()
        self.assertEqual(self.read(b"\0" + HEARTBEAT), [ALIVE])

    def test_many_in_a_frame_are_not_one(self) -> None:
        self.assert_reads([ALIVE] * 20, HEARTBEAT * 20 + b"\0")
        self.assert_reads([ALIVE] * 20, HEARTBEAT * 20)


class SymbolIDOrderTests(CodecTestCase):
    """F of types 112 and 117, whose order differs between servers."""

    TRADE = dtc.MarketDataUpdateTradeCompact(
        Price=2.5, Volume=7, DateTime=1456736458, SymbolID=3, AtBidOrAsk=dtc.AtBidOrAskEnum.AT_BID
    )
    QUOTE = dtc.MarketDataUpdateBidAskCompact(
        BidPrice=2.25, BidQuantity=5, AskPrice=2.5, AskQuantity=6, DateTime=1456736458, SymbolID=3
    )
    TRADE_BY_HEADER = b'{"Type":112,"F":[2.5,7,1456736458,3,1]}\0'
    QUOTE_BY_HEADER = b'{"Type":117,"F":[2.25,5,2.5,6,1456736458,3]}\0'
    TRADE_OF_2020 = b'{"Type":112,"F":[3,2.5,7,1456736458,1]}\0'
    QUOTE_OF_2020 = b'{"Type":117,"F":[3,2.25,5,2.5,6,1456736458]}\0'

    def setUp(self) -> None:
        super().setUp()
        self.ours: list[object] = [1, 3]
        self.codec = Codec(is_symbol_id=self.ours.__contains__)

    def test_by_header(self) -> None:
        self.assert_reads([self.TRADE, self.QUOTE], self.TRADE_BY_HEADER, self.QUOTE_BY_HEADER)

    def test_of_2020(self) -> None:
        self.assert_reads([self.TRADE, self.QUOTE], self.TRADE_OF_2020, self.QUOTE_OF_2020)

    def test_quote_decides_as_well(self) -> None:
        self.assert_reads([self.QUOTE, self.TRADE], self.QUOTE_OF_2020, self.TRADE_OF_2020)

    def test_decided_once(self) -> None:
        self.read(self.TRADE_OF_2020, self.QUOTE_OF_2020, self.TRADE_OF_2020)
        (text,) = self.logged(LogLevel.info)
        self.assertIn("first", text)
        # What is the price by the header is an id now, also where both could be.
        (trade,) = self.read(b'{"Type":112,"F":[1,2.5,7,3,1]}\0')
        assert isinstance(trade, dtc.MarketDataUpdateTradeCompact)
        self.assertEqual((trade.SymbolID, trade.DateTime), (1, 3))

    def test_header_is_believed_where_both_could_be(self) -> None:
        (trade,) = self.read(b'{"Type":112,"F":[1,7,1456736458,3,1]}\0')
        assert isinstance(trade, dtc.MarketDataUpdateTradeCompact)
        self.assertEqual((trade.SymbolID, trade.Price), (3, 1))
        (text,) = self.logged(LogLevel.info)
        self.assertIn("in the order of the protocol", text)

    def test_not_decided_by_an_id_that_is_not_ours(self) -> None:
        for strange in (b'{"Type":112,"F":[2.5,7,1456736458,99,1]}\0', b'{"Type":112,"F":[99,2.5,7,1456736458,1]}\0'):
            (trade,) = self.read(strange)
            assert isinstance(trade, dtc.MarketDataUpdateTradeCompact)
        self.assertEqual(self.logged(LogLevel.info), [])
        self.assert_reads([self.TRADE], self.TRADE_OF_2020)

    def test_names_decide_nothing(self) -> None:
        self.assert_reads([dtc.MarketDataUpdateTradeCompact(SymbolID=3)], b'{"Type":112,"SymbolID":3}\0')
        self.assertEqual(self.logged(LogLevel.info), [])

    def test_short(self) -> None:
        self.assert_reads([dtc.MarketDataUpdateTradeCompact()], b'{"Type":112,"F":[]}\0')
        expected = dtc.MarketDataUpdateTradeCompact(SymbolID=3, Price=2.5)
        self.assert_reads([expected], b'{"Type":112,"F":[3,2.5]}\0')

    def test_of_each_connection(self) -> None:
        self.read(self.TRADE_OF_2020)
        self.codec = Codec(is_symbol_id=self.ours.__contains__)
        self.assert_reads([self.TRADE], self.TRADE_BY_HEADER)


class SlotsTests(SynchronousTestCase):
    def test_as_declared(self) -> None:
        self.assertEqual(compact_field_names(dtc.Heartbeat), ("NumDroppedMessages", "CurrentDateTime"))
        for kind in MESSAGES.values():
            self.assertEqual(len(compact_field_names(kind)), len(astuple(kind())) - len(kind.UNION[1:]))
