"""Test the facts about fields of the protocol."""

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.fields import MICROSECONDS, SECONDS, field_types
from dtc_twisted.dtc.messages import MESSAGES
from dtc_twisted.dtc.symbols import MAX_SYMBOL_LENGTH, is_symbol


class FieldTypeCase(SynchronousTestCase):
    def test_every_field_of_every_message_has_a_type(self) -> None:
        for message in MESSAGES.values():
            self.assertEqual([*field_types(message)], [*message.__struct_fields__], message.__name__)

    def test_numbers(self) -> None:
        fields = field_types(dtc.MarketDataUpdateBidAskCompact)
        self.assertEqual((fields["BidPrice"].base, fields["BidPrice"].width), (float, 4))
        self.assertEqual((fields["SymbolID"].base, fields["SymbolID"].maximum), (int, 2**32 - 1))
        self.assertEqual((fields["BidPrice"].is_price, fields["BidQuantity"].is_price), (True, False))

    def test_texts_and_enumerations(self) -> None:
        fields = field_types(dtc.SubmitNewSingleOrder)
        self.assertEqual((fields["Symbol"].base, fields["Symbol"].length), (str, 64))
        self.assertIs(fields["BuySell"].enum, dtc.BuySellEnum)

    def test_units_of_date_times(self) -> None:
        self.assertEqual(field_types(dtc.Heartbeat)["CurrentDateTime"].unit, SECONDS)
        self.assertEqual(field_types(dtc.HistoricalMarketDepthDataRequest)["EndDateTime"].unit, MICROSECONDS)
        self.assertIsNone(field_types(dtc.Heartbeat)["NumDroppedMessages"].unit)

    def test_an_integer_order_has_no_prices_in_the_format_of_its_symbol(self) -> None:
        self.assertFalse(field_types(dtc.SubmitNewSingleOrderInt)["Price1"].is_price)


class SymbolCase(SynchronousTestCase):
    def test_the_longest_symbol_is_the_longest_text_of_the_field(self) -> None:
        for message in (dtc.MarketDataRequest, dtc.MarketDepthRequest, dtc.SubmitNewSingleOrder):
            self.assertEqual(field_types(message)["Symbol"].length - 1, MAX_SYMBOL_LENGTH)

    def test_what_a_symbol_can_be(self) -> None:
        self.assertEqual(
            [is_symbol(value) for value in ("E", "E" * 63, "", "E" * 64, 1, None)], [True, True, *[False] * 4]
        )
