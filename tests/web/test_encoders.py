"""Test that there is one encoding for each distinct output."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.market_data import Update
from dtc_twisted.web.stream.encoders import PLAIN, ChannelEncoder
from dtc_twisted.web.stream.market_json import encode_payloads

ES = "ESM20_FUT_CME"


class CountingConverter(DisplayConverter):
    """Count the messages that are converted."""

    count = 0

    def __call__(self, message: Any, kind: Any = None) -> dict[str, Any]:
        self.count += 1
        return super().__call__(message, kind)


class SharedEncodingTests(SynchronousTestCase):
    def setUp(self) -> None:
        trade = dtc.MarketDataUpdateTrade(SymbolID=1, Price=282825.0)
        quote = dtc.MarketDataUpdateBidAsk(SymbolID=1, BidPrice=282800.0)
        counts: dict[type, int] = {dtc.MarketDataUpdateTrade: 3, dtc.MarketDataUpdateBidAsk: 2}
        self.update = Update(ES, [trade, quote], 0, counts)

    def test_display_prices_are_converted_once_for_all_channels(self) -> None:
        converter = CountingConverter(dtc.SecurityDefinitionResponse(DisplayPriceMultiplier=0.01))
        for channel in ("marketdata", "trades", "quotes"):
            self.assertIsNotNone(ChannelEncoder(channel, converter)(self.update))
        self.assertEqual(converter.count, 2)

    def test_a_channel_converts_only_its_own_messages(self) -> None:
        converter = CountingConverter()
        ChannelEncoder("trades", converter)(self.update)
        self.assertEqual(converter.count, 1)

    def test_plain_and_channel_output_share_the_payload(self) -> None:
        PLAIN(self.update)
        payloads = encode_payloads(self.update)
        ChannelEncoder("trades")(self.update)
        self.assertIs(encode_payloads(self.update), payloads)

    def test_numbers_of_a_channel_count_its_own_messages(self) -> None:
        for channel, numbers in (("marketdata", [4, 5]), ("trades", [3]), ("quotes", [2])):
            prepared = ChannelEncoder(channel)(self.update)
            assert prepared is not None
            for number, frame in zip(numbers, prepared.frames, strict=True):
                self.assertIn(b'{"channel":"%b","seq":%d,' % (channel.encode(), number), frame)
