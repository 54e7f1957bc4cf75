"""Test display prices and ISO date-times."""

import ast
import inspect
import math
import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.definitions import converter
from dtc_twisted.definitions.converter import DisplayConverter, conversion_plan
from dtc_twisted.definitions.prices import shortest_float32, snap_to_tick, to_server_price
from dtc_twisted.definitions.times import format_iso
from dtc_twisted.dtc import fields
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import GUESS_MILLISECONDS, GUESS_UNIT, MICROSECONDS, MILLISECONDS, SECONDS
from dtc_twisted.dtc.messages import MESSAGES, SecurityDefinitionResponse
from tests.support import slow

NOT_PRICES = {
    *("StrikePrice", "MinPriceIncrement", "PriceDisplayFormat", "DisplayPriceMultiplier"),
    *("FloatToIntPriceMultiplier", "IntToFloatPriceDivisor"),
    *("HistoricalPriceDataSupported", "OneHistoricalPriceDataRequestPerConnection"),
    *("Price1IsSet", "Price2IsSet", "UpdatePrice1OffsetToParent", "MaintainSamePricesOnParentFill"),
    *("Price1AsString", "Price2AsString", "Price1_1AsString", "Price2_1AsString", "Price1_2AsString"),
    *("Price2_2AsString", "OpenPositionsProfitLossBasedOnSettlementPrice"),
}
NOT_DATE_TIMES = {"RetryTimeInSeconds", "TimeInForce"}
TYPEDEFS = {
    "t_DateTime": SECONDS,
    "t_DateTime4Byte": SECONDS,
    "t_DateTimeWithMilliseconds": SECONDS,  # with a fraction
    "t_DateTimeWithMillisecondsInt": MILLISECONDS,
    "t_DateTimeWithMicrosecondsInt": MICROSECONDS,
}


def narrow(value: float) -> float:
    """Round a price as a 4-byte float does."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def definition(multiplier: float, tick: float, divisor: float = 1.0) -> SecurityDefinitionResponse:
    return SecurityDefinitionResponse(
        DisplayPriceMultiplier=narrow(multiplier),
        MinPriceIncrement=narrow(tick),
        IntToFloatPriceDivisor=narrow(divisor),
    )


ES = definition(0.01, 0.25)
FOREX = definition(1, 0.00005)
FORMATS = {
    "ES": ("0.01", "0.25"),
    "CL": ("0.01", "0.01"),
    "NQ in display prices": ("1", "0.25"),
    "GC": ("0.1", "0.1"),
    "forex": ("1", "0.00005"),
    "forex, tenths of a pip": ("1", "0.00001"),
    "yen": ("0.0000001", "0.0000005"),
    "crypto": ("1", "0.5"),
    "crypto, eight decimals": ("1", "0.00000001"),
    "whole": ("1", "1"),
    "thousandfold": ("1000", "5"),
    **{f"1/{n}": ("1", str(Decimal(1) / n)) for n in (2, 4, 8, 16, 32, 64, 128, 256)},
    **{f"1/{n} in hundredths": ("0.01", str(Decimal(1) / n)) for n in (32, 64, 128, 256)},
}


class ClassifiedTests(SynchronousTestCase):
    """Every field of every message is classified."""

    def typedefs(self) -> dict[str, dict[str, str]]:
        """Return the name of each field's type in messages.py, by class and field.

        The names are not available at runtime.
        """
        tree = ast.parse(inspect.getsource(dtc))
        return {
            node.name: {
                each.target.id: ast.unparse(each.annotation)
                for each in node.body
                if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            }
            for node in tree.body
            if isinstance(node, ast.ClassDef)
        }

    def test_prices(self) -> None:
        names = {name for kind in MESSAGES.values() for name in kind.__struct_fields__}
        self.assertEqual({name for name in names if "Price" in name} - fields.PRICES, NOT_PRICES)
        self.assertEqual(fields.PRICES - names, set())
        self.assertEqual(fields.PRICES & NOT_PRICES, set())
        self.assertEqual(
            {name for name in fields.PRICES if "Price" not in name}, {"OffsetFromParent1", "OffsetFromParent2"}
        )

    def test_how_prices_are_made(self) -> None:
        for kind in MESSAGES.values():
            types = self.types[kind.__name__]
            makes = {"float_t": "float", "double": "double", "int32_t": "int"}
            prices = () if kind in fields.NO_PRICE_CLASSES else [name for name in types if name in fields.PRICES]
            self.assertEqual(dict(conversion_plan(kind).prices), {name: makes[types[name]] for name in prices}, kind)

    def test_messages_without_prices(self) -> None:
        having = {kind for kind in MESSAGES.values() if "Divisor" in kind.__struct_fields__}
        self.assertEqual({*fields.NO_PRICE_CLASSES}, having)

    def test_date_times(self) -> None:
        maybe, either = set(), set()
        for kind in MESSAGES.values():
            types = self.types[kind.__name__]
            found = dict(conversion_plan(kind).times)
            either |= {(kind.Type, name) for name, unit in found.items() if unit == GUESS_MILLISECONDS}
            found = {name: unit for name, unit in found.items() if unit != GUESS_MILLISECONDS}
            types = {name: each for name, each in types.items() if (kind.Type, name) not in either}
            maybe |= {(kind.Type, name) for name, unit in found.items() if unit == GUESS_UNIT}
            units = {name: unit or MICROSECONDS for name, unit in found.items()}
            self.assertEqual(units, {name: TYPEDEFS[each] for name, each in types.items() if each in TYPEDEFS}, kind)
        self.assertEqual(maybe, {(803, "StartDateTime"), (807, "FinalRecordLastDateTime")})
        self.assertEqual(either, {(301, "LastFillDateTime"), (301, "OrderReceivedDateTime")})

    def test_names_of_date_times(self) -> None:
        names = {name for kind in MESSAGES.values() for name in kind.__struct_fields__}
        timely = {name for name in names if "Time" in name or name.endswith("Date")}
        self.assertEqual(timely - fields.DATE_TIMES, NOT_DATE_TIMES)
        self.assertEqual(fields.DATE_TIMES - names, set())

    def test_docstring_names_all(self) -> None:
        self.assertEqual([name for name in fields.PRICES if name not in str(converter.__doc__)], [])

    def setUp(self) -> None:
        self.types = self.typedefs()


class IsoTests(SynchronousTestCase):
    def test_values(self) -> None:
        for value, unit, text in (
            (0, SECONDS, "1970-01-01T00:00:00Z"),
            (-1, SECONDS, "1969-12-31T23:59:59Z"),
            (1769866200, SECONDS, "2026-01-31T13:30:00Z"),
            (1769866200.0, SECONDS, "2026-01-31T13:30:00Z"),
            (1769866200.25, SECONDS, "2026-01-31T13:30:00.250Z"),
            (1769866200.929, SECONDS, "2026-01-31T13:30:00.929Z"),
            (1769866200.929701, SECONDS, "2026-01-31T13:30:00.929701Z"),
            (1769866200000, MILLISECONDS, "2026-01-31T13:30:00Z"),
            (1769866200007, MILLISECONDS, "2026-01-31T13:30:00.007Z"),
            (1769866200000000, MICROSECONDS, "2026-01-31T13:30:00Z"),
            (1769866200250000, MICROSECONDS, "2026-01-31T13:30:00.250Z"),
            (1769866200000001, MICROSECONDS, "2026-01-31T13:30:00.000001Z"),
            (1769866200, GUESS_UNIT, "2026-01-31T13:30:00Z"),
            (1769866200.5, GUESS_UNIT, "2026-01-31T13:30:00.500Z"),
            (1769866200000001, GUESS_UNIT, "2026-01-31T13:30:00.000001Z"),
            (253402300799, SECONDS, "9999-12-31T23:59:59Z"),
            (-62135596800, SECONDS, "0001-01-01T00:00:00Z"),
        ):
            self.assertEqual(format_iso(value, unit), text)

    def test_errors(self) -> None:
        for value in (253402300800, -62135596801, 2**63, -(2**63), 10**300, 1e300, math.inf, -math.inf, math.nan):
            for unit in (SECONDS, GUESS_UNIT):
                if unit == SECONDS or abs(value) > 10**19:
                    self.assertRaises(ValueError, format_iso, value, unit)

    @given(st.datetimes())
    def test_round_trip(self, moment: datetime) -> None:
        moment = moment.replace(tzinfo=UTC)
        micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        for unit, value in (
            (MICROSECONDS, micros),
            (MILLISECONDS, micros // 1000),
            (SECONDS, micros // 1_000_000),
        ):
            text = format_iso(value, unit)
            step = MICROSECONDS // unit
            self.assertEqual(
                datetime.fromisoformat(text),
                datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros // step * step),
            )

    @slow
    @given(st.integers(0, 4_102_444_800_000))
    def test_milliseconds_in_a_float(self, millis: int) -> None:
        self.assertEqual(format_iso(millis / 1000, SECONDS), format_iso(millis, MILLISECONDS))


class ShortestTests(SynchronousTestCase):
    def test_values(self) -> None:
        for text in ("0.01", "0.25", "0.00005", "0.00001", "1", "1000", "0.00390625", "0.0078125", "1e-8", "0.3"):
            self.assertEqual(shortest_float32(narrow(float(text))), Decimal(text))
            self.assertEqual(shortest_float32(float(text)), Decimal(text))
        self.assertEqual(shortest_float32(0.009999999776482582), Decimal("0.01"))

    def test_errors(self) -> None:
        for value in (1e300, -1e300, math.nan, math.inf):
            self.assertRaises(ValueError, shortest_float32, value)

    @given(st.floats(width=32, allow_nan=False, allow_infinity=False))
    @example(dtc.FLT_MAX)
    def test_same_number(self, value: float) -> None:
        self.assertEqual(narrow(float(shortest_float32(value))), value)


class PriceTests(SynchronousTestCase):
    def test_values(self) -> None:
        for about, server, display in (
            (ES, 282825, 2828.25),
            (ES, 282825.0, 2828.25),
            (ES, 282800, 2828.0),
            (ES, 0, 0.0),
            (ES, -25, -0.25),
            (ES, 282825.1, 2828.251),  # a spread, or a block trade: not on the tick, and said so
            (ES, 282833.3333333333, 2828.33333333333),
            (definition(0.01, 0.01), 7123, 71.23),
            (definition(0.01, 0.01), -3763, -37.63),  # oil, April 2020
            (FOREX, 1.0825500488, 1.08255),
            (FOREX, narrow(1.08255), 1.08255),
            (definition(1, 0.5), narrow(100000.5), 100000.5),
            (definition(1, 1 / 32), 110.03125, 110.03125),
            (definition(1, 1 / 256), 110.00390625, 110.00390625),
            (definition(1, 0), 2828.251, 2828.251),
            (None, 1.1 + 2.2, 3.3),
            (SecurityDefinitionResponse(), 282825, 282825.0),
        ):
            found = DisplayConverter(about).price(server)
            self.assertEqual(repr(found), repr(display))

    def test_definition_of_nonsense(self) -> None:
        for value in (0.0, -0.01, math.nan, math.inf, 1e300, dtc.DBL_MAX):
            about = SecurityDefinitionResponse(DisplayPriceMultiplier=value, MinPriceIncrement=value)
            self.assertEqual(DisplayConverter(about).price(282825.5), 282825.5)
            self.assertEqual(to_server_price(282825.5, about), 282825.5)

    def test_no_price(self) -> None:
        for about in (None, ES):
            for value in (dtc.DBL_MAX, dtc.FLT_MAX, math.inf, -math.inf):
                self.assertEqual(DisplayConverter(about).price(value), value)
            self.assertTrue(math.isnan(DisplayConverter(about).price(math.nan)))

    def test_server_price(self) -> None:
        for about, display, server in (
            (ES, 2828.25, 282825.0),
            (ES, 2828, 282800.0),
            (ES, 2828.3, 282830.0),  # the server may refuse it; we do not improve it
            (definition(0.01, 0.1), 0.1 + 0.2, 30.0),
            (FOREX, 1.08255, 1.08255),
            (None, 1.5, 1.5),
        ):
            self.assertEqual(to_server_price(display, about), server)
        for value in (math.nan, math.inf):
            self.assertRaises(ValueError, to_server_price, value, ES)

    @given(st.sampled_from(sorted(FORMATS)), st.integers(-(10**7), 10**7))
    def test_on_tick(self, name: str, ticks: int) -> None:
        multiplier, tick = (Decimal(each) for each in FORMATS[name])
        about = definition(float(multiplier), float(tick))
        self.assertIsNotNone(snap_to_tick(float(ticks * tick / multiplier), about))
        self.assertIsNone(snap_to_tick(float((ticks * tick + tick / 4) / multiplier), about))

    def test_no_tick_to_be_off(self) -> None:
        for about in (None, definition(1, 0)):
            self.assertEqual(snap_to_tick(1.23456, about), 1.23456)

    def test_snap(self) -> None:
        about = definition(1, 0.01)
        for price, snapped in ((999.99999999999, 1000.0), (0.1 + 0.2, 0.3), (0, 0.0), (-0.7 - 0.1, -0.8)):
            self.assertEqual(snap_to_tick(price, about), snapped)
        self.assertIsNone(snap_to_tick(1.005, about))

    @given(st.sampled_from(sorted(FORMATS)), st.integers(-(10**7), 10**7))
    def test_there_and_back(self, name: str, ticks: int) -> None:
        multiplier, tick = (Decimal(each) for each in FORMATS[name])
        about = definition(float(multiplier), float(tick))
        exact = ticks * tick
        server = float(exact / multiplier)
        display = DisplayConverter(about).price(server)
        self.assertEqual(display, float(exact))
        self.assertEqual(to_server_price(display, about), server)

    @given(st.sampled_from(sorted(FORMATS)), st.integers(-(10**5), 10**5))
    def test_from_four_bytes(self, name: str, ticks: int) -> None:
        multiplier, tick = (Decimal(each) for each in FORMATS[name])
        about = definition(float(multiplier), float(tick))
        trade = dtc.MarketDataUpdateTradeCompact(Price=narrow(float(ticks * tick / multiplier)))
        self.assertEqual(DisplayConverter(about)(trade)["Price"], float(ticks * tick))


class MessageTests(SynchronousTestCase):
    def check(self, message: dtc.Message | dict[str, Any], expected: dict[str, Any], **options: Any) -> None:
        about = options.pop("about", ES)
        found = DisplayConverter(about, **options)(message)
        self.assertEqual(found, expected)
        self.assertEqual([*found], [*expected])

    def test_trade(self) -> None:
        trade = dtc.MarketDataUpdateTrade(
            SymbolID=1,
            AtBidOrAsk=dtc.AtBidOrAskEnum.AT_ASK,
            Price=282825.0,
            Volume=3.0,
            DateTime=1769866200.25,
        )
        fields = {"Type": 107, "SymbolID": 1, "AtBidOrAsk": 2, "Price": 282825.0, "Volume": 3.0}
        raw = {**fields, "DateTime": 1769866200.25}
        self.check(trade, raw, prices=False)
        self.check(trade, {**raw, "Price": 2828.25})
        self.check(trade, {**fields, "DateTime": "2026-01-31T13:30:00.250Z"}, prices=False, times=True)
        self.check(trade, {**fields, "Price": 2828.25, "DateTime": "2026-01-31T13:30:00.250Z"}, times=True)

    def test_dict(self) -> None:
        fields = {"Type": 306, "AveragePrice": 282837.5, "OpenProfitLoss": 125.0, "EntryDateTime": 0, "Symbol": "ES"}
        before = dict(fields)
        self.check(fields, {"Type": 306, "AveragePrice": 2828.375, "OpenProfitLoss": 125.0, "Symbol": "ES"}, times=True)
        self.assertEqual(fields, before)
        merged = {"BidPrice": 282825.0, "AskPrice": UNSET}
        self.assertEqual(DisplayConverter(ES)(merged, dtc.MarketDataSnapshot), {"BidPrice": 2828.25})
        self.assertEqual(DisplayConverter(ES)({"Type": 99999, "Price": 1.0}), {"Type": 99999, "Price": 1.0})
        self.assertEqual(DisplayConverter(ES)({"Price": 1.0}), {"Price": 1.0})

    def test_unset_is_absent(self) -> None:
        for kind in MESSAGES.values():
            expected = {"Type": kind.Type}
            self.assertEqual({**expected, **DisplayConverter(ES, times=True)(kind())}.keys() & fields.PRICES, set())

    def test_zeros(self) -> None:
        snapshot = dtc.MarketDataSnapshot(SymbolID=1, BidPrice=0.0, AskPrice=0, SessionOpenPrice=0.0, BidQuantity=0.0)
        self.check(snapshot, {"Type": 104, "SymbolID": 1, "BidQuantity": 0.0})
        zero = {"Type": 104, "SymbolID": 1, "SessionOpenPrice": 0.0, "BidPrice": 0.0, "AskPrice": 0}
        self.check(snapshot, {**zero, "BidQuantity": 0.0}, prices=False)
        some = dtc.MarketDataSnapshot(BidPrice=0.0, AskPrice=282825.0)
        self.check(some, {"Type": 104, "BidPrice": 0.0, "AskPrice": 2828.25})
        tick = dtc.HistoricalPriceDataRecordResponse(StartDateTime=0, OpenPrice=0.0, LastPrice=282825.0)
        self.check(tick, {"Type": 803, "OpenPrice": 0.0, "LastPrice": 2828.25}, times=True)

    def test_integer_prices(self) -> None:
        trade = dtc.MarketDataUpdateTrade_Int(Price=282825)
        self.check(trade, {"Type": 126, "Price": 2828.25}, about=definition(1, 0.25, 100))
        self.check(trade, {"Type": 126, "Price": 2828.25}, about=definition(0.1, 0.25, 10))
        order = dtc.SubmitNewSingleOrderInt(Price1=282825)
        self.check(order, {"Type": 206, "Price1": 282825})

    def test_definition(self) -> None:
        """A security definition is about prices, and has none."""
        self.assertEqual(DisplayConverter(ES)(ES)["MinPriceIncrement"], 0.25)

    def test_off_tick_in_four_bytes(self) -> None:
        trade = dtc.MarketDataUpdateTradeCompact(Price=narrow(12.345))
        self.check(trade, {"Type": 112, "Price": 12.345}, about=definition(1, 0.01))
        self.check(trade, {"Type": 112, "Price": 12.345}, about=None)

    def test_no_calendar_has_it(self) -> None:
        self.check(dtc.Heartbeat(CurrentDateTime=2**62), {"Type": 3, "CurrentDateTime": 2**62}, times=True)

    def test_units(self) -> None:
        for message, name in (
            (dtc.OrderUpdate(LastFillDateTime=1769866200250), "LastFillDateTime"),
            (dtc.OrderUpdate(LatestTransactionDateTime=1769866200.25), "LatestTransactionDateTime"),
            (dtc.MarketDataUpdateTradeWithUnbundledIndicator2(DateTime=1769866200250000), "DateTime"),
            (dtc.HistoricalPriceDataRecordResponse(StartDateTime=1769866200250000), "StartDateTime"),
        ):
            self.assertEqual(DisplayConverter(None, times=True)(message)[name], "2026-01-31T13:30:00.250Z")
