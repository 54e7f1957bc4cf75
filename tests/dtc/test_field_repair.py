"""Fields of the wrong type, and numbers that do not fit their fields."""

from typing import Any

from msgspec import UNSET
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import Codec, field_repair
from dtc_twisted.dtc.codec.field_repair import repair_count
from dtc_twisted.dtc.messages import DBL_MAX, MESSAGES, Message
from tests.support import slow

HUGE = "9" * 309


class FieldRepairCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(field_repair, "_noted", set())

    def read(self, text: str) -> list[Message]:
        self.codec = Codec()
        return self.codec.feed(text.encode() + b"\0")

    def lines(self) -> list[str]:
        """Return a list to which further lines of the log are added."""
        lines: list[str] = []

        def observe(event: Any) -> None:
            lines.append(formatEvent(event))

        observer: Any = observe
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return lines

    def check_malformed(self, text: str) -> None:
        self.assertEqual((self.read(text), self.codec.malformed_count), ([], 1), text[:100])


class WrongTypeTests(FieldRepairCase):
    def test_numbers_and_texts_are_converted(self) -> None:
        before = repair_count.converted
        (row,) = self.read('{"Type":301,"ServerOrderID":123,"OrderQuantity":"2.5","OrderStatus":"4","NoOrders":true}')
        self.assertEqual(
            row, dtc.OrderUpdate(ServerOrderID="123", OrderQuantity=2.5, OrderStatus=dtc.OrderStatusEnum(4), NoOrders=1)
        )
        self.assertEqual((self.codec.malformed_count, repair_count.converted - before), (0, 4))

    def test_whole_number_with_a_fraction_of_zero(self) -> None:
        """A server may write 1.0 for 1, also of an enumeration."""
        self.assertEqual(self.read('{"Type":2,"Result":1.0}'), [dtc.LogonResponse(Result=dtc.LogonStatusEnum(1))])
        self.assertEqual(
            self.read('{"Type":301,"ServerOrderID":"7","OrderStatus":4.0,"TotalNumMessages":2.0}'),
            [dtc.OrderUpdate(ServerOrderID="7", OrderStatus=dtc.OrderStatusEnum(4), TotalNumMessages=2)],
        )
        self.assertEqual(
            self.read('{"Type":107,"F":[1.0,2.0,5,2.0]}'),
            [dtc.MarketDataUpdateTrade(SymbolID=1, AtBidOrAsk=dtc.AtBidOrAskEnum(2), Price=5, Volume=2)],
        )
        self.check_malformed('{"Type":2,"Result":1.5}')

    def test_in_every_message(self) -> None:
        self.assertEqual(
            self.read('{"Type":107,"SymbolID":"1","Price":"282800","Volume":2}'),
            [dtc.MarketDataUpdateTrade(SymbolID=1, Price=282800, Volume=2)],
        )
        self.assertEqual(
            self.read('{"Type":507,"RequestID":"3","Symbol":5,"MinPriceIncrement":"0.25"}'),
            [dtc.SecurityDefinitionResponse(RequestID=3, Symbol="5", MinPriceIncrement=0.25)],
        )

    def test_field_that_can_be_absent_is_left_out(self) -> None:
        before = repair_count.left_out
        self.assertEqual(
            self.read('{"Type":107,"SymbolID":1,"Price":5,"Volume":2,"DateTime":"noon"}'),
            [dtc.MarketDataUpdateTrade(SymbolID=1, Price=5, Volume=2)],
        )
        self.assertEqual(repair_count.left_out - before, 1)

    def test_field_that_cannot_be_absent(self) -> None:
        for text in (
            '{"Type":107,"SymbolID":1,"Price":"high","Volume":2}',
            '{"Type":106,"SymbolID":1,"Side":"left","Price":5,"Quantity":2,"UpdateType":1}',
            '{"Type":507,"RequestID":[],"Symbol":"A"}',
            '{"Type":803,"RequestID":1,"StartDateTime":1456736400,"LastPrice":2.5,"NumTrades":"many"}',
        ):
            self.check_malformed(text)

    def test_type_of_the_message(self) -> None:
        expected = dtc.MarketDataUpdateTrade(SymbolID=1, Price=5, Volume=2)
        for kind in ('"107"', "107.0"):
            self.assertEqual(self.read(f'{{"Type":{kind},"SymbolID":1,"Price":5,"Volume":2}}'), [expected])
            self.assertEqual(self.read(f'{{"Type":{kind},"F":[1,null,5,2]}}'), [expected])
            self.assertEqual(self.codec.malformed_count, 0)
        self.assertEqual(self.read('{"Type":"3"}'), [dtc.Heartbeat()])
        for kind in ('"12345"', '"trade"', "107.5", "null", "[]", "true"):
            self.check_malformed(f'{{"Type":{kind},"SymbolID":1,"Price":5,"Volume":2}}')

    def test_unset_numbers_as_text(self) -> None:
        """A server that sends numbers as text sends the largest number of a type, which means "unset", as text too."""
        for text in (
            '"Price":"5","Volume":"1.7976931348623157e+308"',
            '"Price":"5","Volume":"1.79769313486232e+308"',
        ):
            self.assertEqual(
                self.read(f'{{"Type":107,"SymbolID":"1",{text}}}'), [dtc.MarketDataUpdateTrade(SymbolID=1, Price=5)]
            )
        self.assertEqual(
            self.read('{"Type":107,"F":["1","1","5","1.7976931348623157e+308"]}'),
            [dtc.MarketDataUpdateTrade(SymbolID=1, AtBidOrAsk=dtc.AtBidOrAskEnum(1), Price=5)],
        )
        self.assertEqual(
            self.read(
                '{"Type":301,"ServerOrderID":7,"Price1":"1.7976931348623157e+308","GoodTillDateTime":"2147483647"}'
            ),
            [dtc.OrderUpdate(ServerOrderID="7")],
        )

    def test_unset_number_of_any_number_of_digits(self) -> None:
        """Rounded to 10, 11, 15 or 16 digits it is larger than any number of 8 bytes."""
        trade = dtc.MarketDataUpdateTrade(SymbolID=1, AtBidOrAsk=dtc.AtBidOrAskEnum(1), Price=5)
        for digits in range(6, 18):
            number = f"{DBL_MAX:.{digits - 1}e}"
            for value in (number, number.replace("+", ""), number.upper(), f'"{number}"'):
                self.assertEqual(
                    self.read(f'{{"Type":107,"SymbolID":1,"AtBidOrAsk":1,"Price":5,"Volume":{value}}}'), [trade], value
                )
                self.assertEqual(self.read(f'{{"Type":107,"F":[1,1,5,{value}]}}'), [trade], value)
                self.assertEqual(self.codec.malformed_count, 0)

    def test_one_line_for_each_field(self) -> None:
        """Whatever values the server sends: a value of Unsolicited is converted, and the others are left out."""
        lines = self.lines()
        for number in range(100):
            self.read(f'{{"Type":306,"Symbol":"A","NoPositions":{300 + number},"Unsolicited":"{number}e999"}}')
        self.read(f'{{"Type":306,"Symbol":"A","QuantityLimit":"{"9" * 10**6}"}}')
        self.assertEqual(len(lines), 4, lines)
        self.assertLess(max(map(len, lines)), 500)

    def test_text_that_is_no_number(self) -> None:
        for value in ("NaN", "Infinity", "nan", "-inf", "1e999", ""):
            self.check_malformed(f'{{"Type":107,"SymbolID":1,"Price":"{value}"}}')


class WidthTests(FieldRepairCase):
    """The header states the width of each number."""

    def test_numbers_beyond_the_width(self) -> None:
        for name, value in (
            ("SymbolID", "4294967296"),
            ("SymbolID", "-1"),
            ("SymbolID", HUGE),
            ("Price", HUGE),
            ("Price", "1e309"),
            ("Volume", "-" + HUGE),
            ("AtBidOrAsk", "4294967296"),
            ("AtBidOrAsk", HUGE),
        ):
            fields: dict[str, Any] = {"SymbolID": 1, "Price": 5, "Volume": 2, "AtBidOrAsk": 1} | {name: "@"}
            text = ",".join(f'"{key}":{each}' for key, each in fields.items()).replace("@", value)
            self.check_malformed(f'{{"Type":107,{text}}}')
            compact = ",".join(str(fields[each]) for each in ("SymbolID", "AtBidOrAsk", "Price", "Volume"))
            self.check_malformed(f'{{"Type":107,"F":[{compact}]}}'.replace("@", value))

    def test_limits(self) -> None:
        cases: tuple[tuple[Any, str, int, int], ...] = (
            (dtc.MarketDataUpdateTrade, "SymbolID", 0, 2**32 - 2),
            (dtc.OrderUpdate, "RequestID", -(2**31), 2**31 - 2),
            (dtc.HistoricalMarketDepthDataRecordResponse, "StartDateTime", -(2**63), 2**63 - 1),
            (dtc.MarketOrdersAdd, "OrderID", 0, 2**64 - 1),
        )
        for kind, name, low, high in cases:
            for value in (low, high):
                self.assertEqual(self.read(f'{{"Type":{kind.Type},"{name}":{value}}}'), [kind(**{name: value})], name)
            for value in (low - 1, high + 3):
                found = self.read(f'{{"Type":{kind.Type},"{name}":{value},"Symbol":"A","Quantity":1}}')
                self.assertTrue(not found or getattr(found[0], name) is UNSET, (name, value))

    def test_order_keeps_its_other_fields(self) -> None:
        self.assertEqual(
            self.read(f'{{"Type":301,"ServerOrderID":"7","OrderQuantity":{HUGE},"FilledQuantity":1}}'),
            [dtc.OrderUpdate(ServerOrderID="7", FilledQuantity=1)],
        )

    def test_whole_number_in_a_field_with_fractions(self) -> None:
        (row,) = self.read('{"Type":107,"SymbolID":1,"Price":5,"Volume":100000000000000000000}')
        self.assertEqual(row, dtc.MarketDataUpdateTrade(SymbolID=1, Price=5, Volume=1e20))

    def test_numbers_of_4_bytes(self) -> None:
        self.check_malformed('{"Type":145,"SymbolID":1,"Price":1e39,"Quantity":1,"Side":1}')
        (row,) = self.read('{"Type":145,"SymbolID":1,"Price":3.4028235e38,"Quantity":1,"Side":1}')
        self.assertIs(row.Price, UNSET)  # type: ignore[attr-defined]

    @slow
    def test_each_message_has_limits(self) -> None:
        """No number of any message may be as long as a server likes."""
        for kind in MESSAGES.values():
            for name in kind.__struct_fields__:
                found = self.read(f'{{"Type":{kind.Type},"{name}":{HUGE}}}')
                for message in found:
                    self.assertIn(type(getattr(message, name)), (str, type(UNSET)), (kind, name))
