"""Test the parsing of queries."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.field_parser import _Enum, field_parsers
from dtc_twisted.errors import BadParameter
from dtc_twisted.web.query import OutputOptions, RequestSpec, message_from_json, parse_output_options, parse_request

INT64 = 2**63
SYMBOLS = RequestSpec(dtc.SymbolSearchRequest, optional=("SearchText", "SecurityType", "SearchType"))
EXCHANGE = RequestSpec(dtc.SymbolsForExchangeRequest, optional=("RequestAction",))
PRICES = RequestSpec(
    dtc.HistoricalPriceDataRequest, required=("RecordInterval",), optional=("StartDateTime", "EndDateTime")
)
DEPTH = RequestSpec(dtc.HistoricalMarketDepthDataRequest, optional=("StartDateTime", "EndDateTime"))
TYPES = (
    "one of UNSET, FUTURES, STOCK, FOREX, INDEX, FUTURES_STRATEGY, FUTURES_OPTION, STOCK_OPTION, INDEX_OPTION, BOND, "
    "MUTUAL_FUND, or its number"
)
DATE_TIME = (
    "whole seconds, milliseconds or microseconds since 1970, or a date-time in ISO 8601 to the second, "
    "in UTC when it names no zone (2026-01-31, 2026-01-31T13:30:00Z)"
)
INTERVAL = "seconds from 0 (ticks) to 86400 or 604800 (a week), or tick, 1s, 5m, 2h, 1d, 1w or the like"


def args(**values: str) -> dict[bytes, list[bytes]]:
    return {name.encode(): [value.encode("utf-8", "surrogateescape")] for name, value in values.items()}


class QueryCase(SynchronousTestCase):
    def value(self, get: RequestSpec, name: str, text: str) -> Any:
        given = args(**{name: text})
        if get is PRICES and name != "RecordInterval":
            given |= args(RecordInterval="0")
        return getattr(parse_request(get, given), name)

    def refuse(self, get: RequestSpec, name: str, text: str, expected: str) -> None:
        with self.assertRaises(BadParameter) as caught:
            self.value(get, name, text)
        self.assertEqual(str(caught.exception), f"{name}: {text!r} was given; expected {expected}.")


class ShapeTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        given = args(Symbol="x")
        self.assertEqual(parse_output_options(given), (OutputOptions(), given))
        self.assertEqual(OutputOptions(), OutputOptions(format=None, display_prices=False, iso_times=False))

    def test_values(self) -> None:
        for name in ("json", "ndjson", "csv"):
            self.assertEqual(parse_output_options(args(format=name)), (OutputOptions(format=name), {}))
        self.assertEqual(parse_output_options(args(prices="server", times="dtc"))[0], OutputOptions())
        self.assertEqual(parse_output_options(args(prices="display", times="iso"))[0], OutputOptions(None, True, True))

    def test_takes_out_its_own(self) -> None:
        given = args(format="csv", Symbol="x", prices="display", times="iso")
        self.assertEqual(parse_output_options(given)[1], args(Symbol="x"))
        self.assertEqual(len(given), 4)  # the caller's stay

    def test_errors(self) -> None:
        for requests, text in (
            (args(format="xml"), "format: 'xml' was given; expected json, ndjson, csv, arrow or parquet."),
            (args(format="CSV"), "format: 'CSV' was given; expected json, ndjson, csv, arrow or parquet."),
            (args(format=""), "format: '' was given; expected json, ndjson, csv, arrow or parquet."),
            (args(prices="raw"), "prices: 'raw' was given; expected server or display."),
            (args(times="unix"), "times: 'unix' was given; expected dtc or iso."),
            (args(times="\udcff"), "times: '\\\\xff' was given; expected dtc or iso."),
            ({b"times": [b"iso", b"iso"]}, "times: given 2 times; expected once."),
        ):
            with self.assertRaises(BadParameter) as caught:
                parse_output_options(requests)
            self.assertEqual(str(caught.exception), text)


class EnumTests(QueryCase):
    def test_values(self) -> None:
        for name, text, value in (
            ("SecurityType", "1", 1),
            ("SecurityType", "FUTURES", 1),
            ("SecurityType", "SECURITY_TYPE_FUTURES", 1),
            ("SecurityType", "futures_Option", 7),
            ("SecurityType", "0", 0),
            ("SearchType", "BY_SYMBOL", 1),
            ("SearchType", "2", 2),
            ("SearchType", "search_type_by_description", 2),
        ):
            found = self.value(SYMBOLS, name, text)
            self.assertEqual(found, value)
            self.assertIsInstance(found, dtc.DTCEnum)
        self.assertEqual(self.value(EXCHANGE, "RequestAction", "subscribe"), 1)  # its names have nothing in common

    def test_errors(self) -> None:
        for text in ("", "FUTURE", "SECURITY_TYPE_", "TYPE_FUTURES", "11", "-1", "01", "1.0", " 1", "FUTURES "):
            self.refuse(SYMBOLS, "SecurityType", text, TYPES)
        self.refuse(SYMBOLS, "SearchType", "x", "one of UNSET, BY_SYMBOL, BY_DESCRIPTION, or its number")

    def test_every_name_is_one_member(self) -> None:
        """No short name stands for two."""
        for enum in dtc.DTCEnum.__subclasses__():
            kind = _Enum(enum)
            shorts = kind.expected.removeprefix("one of ").removesuffix(", or its number").split(", ")
            self.assertEqual([kind.parse_text(each) for each in shorts], [*enum])
            self.assertEqual([kind.parse_text(each.name) for each in enum], [*enum])


class IntervalTests(QueryCase):
    def test_values(self) -> None:
        for text, seconds in (
            *(("0", 0), ("7", 7), ("86400", 86400), ("604800", 604800)),
            *(("tick", 0), ("TICK", 0), ("INTERVAL_TICK", 0), ("1_minute", 60), ("INTERVAL_1_WEEK", 604800)),
            *(("1s", 1), ("30s", 30), ("86400s", 86400), ("1m", 60), ("5m", 300), ("90m", 5400), ("1440m", 86400)),
            *(("1h", 3600), ("2h", 7200), ("24h", 86400), ("1d", 86400), ("1w", 604800)),
        ):
            self.assertEqual(self.value(PRICES, "RecordInterval", text), seconds)

    def test_goes_out_as_a_number(self) -> None:
        for text in ("7", "1d"):
            requests = parse_request(PRICES, args(RecordInterval=text))
            self.assertIn("RecordInterval", msgspec.to_builtins(requests))
            self.assertIs(type(msgspec.to_builtins(requests)["RecordInterval"]), int)

    def test_errors(self) -> None:
        for text in (
            "",
            "-1",
            "86401",
            "604801",
            "1.5",
            "0s",
            "86401s",
            "25h",
            "168h",
            "2d",
            "7d",
            "2w",
            "1M",
            "1y",
            "s",
        ):
            self.refuse(PRICES, "RecordInterval", text, INTERVAL)

    def test_missing(self) -> None:
        with self.assertRaises(BadParameter) as caught:
            parse_request(PRICES, {})
        self.assertEqual(str(caught.exception), f"RecordInterval: missing; expected {INTERVAL}.")


class DateTimeTests(QueryCase):
    def test_seconds(self) -> None:
        for text, value in (
            ("0", 0),
            ("-1", -1),
            ("1769866200", 1769866200),
            ("1769866200000", 1769866200),
            ("1769866200999999", 1769866200),
            ("-1769866200000000", -1769866200),
            ("1970-01-01", 0),
            ("2026-01-31", 1769817600),
            ("2026-01-31T13:30", 1769866200),
            ("2026-01-31T13:30:00", 1769866200),
            ("2026-01-31 13:30:00", 1769866200),
            ("2026-01-31T13:30:00Z", 1769866200),
            ("2026-01-31T14:30:00+01:00", 1769866200),
            ("2026-01-31T14:30:00+0100", 1769866200),
            ("2026-01-31T14:30:00 01:00", 1769866200),  # what becomes of a + in a URL
            ("2026-01-31T08:00:00-05:30", 1769866200),
        ):
            self.assertEqual(self.value(PRICES, "StartDateTime", text), value, text)

    def test_microseconds(self) -> None:
        for text, value in (
            ("0", 0),
            ("1769866200", 1769866200_000000),
            ("2026-01-31T13:30:00Z", 1769866200_000000),
            ("2026-01-31T13:30:00.25Z", 1769866200_250000),
            ("2026-01-31T13:30:00.000001", 1769866200_000001),
            ("1969-12-31T23:59:59.999999", -1),
            ("1769866200250", 1769866200_250000),
            ("1769866200250001", 1769866200_250001),
            (str(INT64 - 1), INT64 - 1),
            (str(-INT64), -INT64),
        ):
            self.assertEqual(self.value(DEPTH, "EndDateTime", text), value, text)

    def test_errors(self) -> None:
        for text in (
            *("", "today", "2026-1-31", "2026-02-30", "2026-13-01", "31.01.2026", "20260131T133000"),
            *("2026-W05-6", "2026-01-31T", "2026-01-31T13", "2026-01-31T25:00", "2026-01-31T13:30:00.5Z"),
            *("2026-01-31T13:30:00,5", "2026-01-31Z", "2026-01-31T13:30z", "2026-01-31T13:30+25:00", "1e9", "1.5"),
            *("2026-01-31T13:30:00UTC", " 2026-01-31", "0000-01-01", "\u0662026-01-31"),
        ):
            self.refuse(PRICES, "StartDateTime", text, DATE_TIME)
        more = DATE_TIME.replace("second,", "second or microseconds,")
        for text in ("2026-01-31T13:30:00.1234567", "2026-01-31T13:30.5", "1.5"):
            self.refuse(DEPTH, "StartDateTime", text, more)

    def test_numbers_that_do_not_fit(self) -> None:
        self.refuse(PRICES, "StartDateTime", str(INT64), f"a whole number from {-INT64} to {INT64 - 1}")
        self.refuse(DEPTH, "StartDateTime", str(INT64), f"a whole number from {-INT64} to {INT64 - 1}")

    @given(st.datetimes(), st.integers(-14 * 60, 14 * 60))
    def test_every_moment(self, moment: datetime, minutes: int) -> None:
        aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
        since = aware - datetime(1970, 1, 1, tzinfo=UTC)
        self.assertEqual(self.value(DEPTH, "StartDateTime", aware.isoformat()), since // timedelta(microseconds=1))
        whole = aware.replace(microsecond=0)
        since = whole - datetime(1970, 1, 1, tzinfo=UTC)
        self.assertEqual(self.value(PRICES, "StartDateTime", whole.isoformat()), since // timedelta(seconds=1))


class OtherTests(QueryCase):
    def test_every_request_has_kinds(self) -> None:
        """Every text, whole number, date-time and enum that a client sends can come from a query."""
        for kind in dtc.MESSAGES.values():
            names = tuple(name for name in kind.__struct_fields__ if kind.__annotations__[name] is not dtc.double)
            names = tuple(name for name in names if kind.__annotations__[name] is not dtc.float_t)
            if (kind.__doc__ or "").find("client to server") < 0 or "CurrentDateTime" in names:
                continue
            made = parse_request(RequestSpec(kind, optional=names), args(**dict.fromkeys(names, "1")))
            for name in names:
                self.assertIn(getattr(made, name), (1, "1", 1_000_000))

    @given(st.text(max_size=40))
    def test_anything_is_read_or_refused(self, text: str) -> None:
        for get, name in ((PRICES, "StartDateTime"), (PRICES, "RecordInterval"), (DEPTH, "StartDateTime")):
            with contextlib.suppress(BadParameter):
                self.assertIsInstance(self.value(get, name, text), int)


class JSONTests(SynchronousTestCase):
    def test_values(self) -> None:
        known = field_parsers(dtc.SubmitNewSingleOrder)
        for name, value, read in (
            ("Symbol", "ES", "ES"),
            ("BuySell", "BUY", dtc.BuySellEnum.BUY),
            ("BuySell", 2, dtc.BuySellEnum.SELL),
            ("GoodTillDateTime", "1970-01-01T00:01:00Z", 60),
            ("GoodTillDateTime", 60, 60),
            ("IsAutomatedOrder", 1, 1),
            ("Price1", 282800, 282800),
            ("Price1", -2827.5, -2827.5),
        ):
            self.assertEqual(known[name].parse_json(value), read)
            self.assertIs(type(known[name].parse_json(value)), type(read))

    def test_errors(self) -> None:
        known = field_parsers(dtc.SubmitNewSingleOrder)
        for name, value in (
            ("Symbol", 5),
            ("Symbol", ""),
            ("Symbol", None),
            ("BuySell", True),
            ("BuySell", 1.0),
            ("BuySell", [1]),
            ("BuySell", "HOLD"),
            ("GoodTillDateTime", {}),
            ("IsAutomatedOrder", "1"),
            ("IsAutomatedOrder", True),
            ("Price1", "2827.5"),
            ("Price1", True),
            ("Price1", float("nan")),
            ("Price1", float("-inf")),
            ("Price1", [1]),
        ):
            self.assertIsNone(known[name].parse_json(value), (name, value))

    def test_unset_is_no_number(self) -> None:
        for kind, name in ((dtc.SubmitNewSingleOrder, "Price1"), (dtc.MarketDataUpdateBidAskCompact, "BidPrice")):
            for value in (dtc.DBL_MAX, dtc.FLT_MAX, 1e15, -1e15):
                self.assertIsNone(field_parsers(kind)[name].parse_json(value))
            self.assertEqual(field_parsers(kind)[name].parse_json(-9.9e14), -9.9e14)

    def test_numbers_in_a_query(self) -> None:
        kind = field_parsers(dtc.SubmitNewSingleOrder)["Price1"]
        for text, value in (("282800", 282800), ("-0.5", -0.5), ("1e3", 1000.0), ("2E-3", 0.002)):
            self.assertEqual(kind.parse_text(text), value)
        for text in ("", "nan", "inf", "1e999", "1_0", " 1", "1 ", "01", ".5", "5.", "0x1", "+1", "\u0663"):
            self.assertIsNone(kind.parse_text(text), text)

    def test_messages(self) -> None:
        given = {"Symbol": "ES", "BuySell": "SELL", "Price1": 2827.5, "Price2": None}
        expected = dtc.SubmitNewSingleOrder(Symbol="ES", BuySell=dtc.BuySellEnum.SELL, Price1=2827.5)
        self.assertEqual(message_from_json(dtc.SubmitNewSingleOrder, given), expected)
        made: Any = message_from_json(dtc.OpenOrdersRequest, {"RequestAllOrders": None})
        self.assertIs(made.RequestAllOrders, msgspec.UNSET)
        for fields, words in (
            ({"Symbol": 5}, "Symbol: 5 was given; expected a text in UTF-8 of 1 to 63 characters."),
            ({"Price1": "12"}, 'Price1: "12" was given; expected a number.'),
            (
                {"BuySell": "HOLD"},
                'BuySell: "HOLD" was given; expected one of BUY_SELL_UNSET, BUY, SELL, or its number.',
            ),
            ({"Symbol": "ES", "price1": 1}, "price1: not a field of SubmitNewSingleOrder; expected Symbol, Exchange"),
            ({"Symbol": "x" * 5000}, f'Symbol: "{"x" * 99} was given; expected a text'),
        ):
            with self.assertRaises(BadParameter) as caught:
                message_from_json(dtc.SubmitNewSingleOrder, fields)
            self.assertIn(words, str(caught.exception))
