"""Each field of each message, blank, of another type, or out of its range, in one read with good messages."""

import json
from typing import Any

from dtc_twisted.dtc.messages import MESSAGES, Message
from tests.support import GatewayTestCase, WebSocketCaller, slow

ES = "ESM20_FUT_CME"
URL = "ws://127.0.0.1:8080/api/v1/stream"
_SESSION = {1, 2, 5}
"""Types that begin or end a session."""

_VALUES = (
    *("null", '""', '"x"', "true", "[]", "{}", "-1", "0", "7", "-0.0", "1.5", "65536", "4294967296", "1e308", "1e999"),
    *('"NaN"', '"Infinity"', "NaN", "Infinity", "9" * 30, "9" * 310, '"1"', '"\\ud800"', f'"{"y" * 300}"'),
    *("9223372036854775807", "-9223372036854775808"),
    *("1700000000", "1700000000000", "1700000000000000", "253402300800", "-62135596801"),  # in any unit; without a date
)

_GOOD: dict[str, Any] = {
    "SymbolID": 1,
    "Symbol": ES,
    "TradeAccount": "Sim1",
    "ServerOrderID": "77",
    "ClientOrderID": "c77",
    "Unsolicited": 1,
    "Price": 282800,
    "Quantity": 2,
    "Side": 1,
    "UpdateType": 1,
    "Volume": 3,
    "AtBidOrAsk": 1,
    "OrderStatus": 4,
    "OrderUpdateReason": 2,
    "BuySell": 1,
    "Price1": 282000,
    "OrderQuantity": 2,
}


def variations(kind: type[Message]) -> list[tuple[str, str]]:
    """Return each field with texts of messages in which it is absent or has another value."""
    found = []
    for name in kind.__struct_fields__:
        rest = {"Type": kind.Type, **{other: _GOOD[other] for other in kind.__struct_fields__ if other in _GOOD}}
        rest.pop(name, None)
        text = json.dumps(rest)
        found.append((name, "\0".join([text, *(f'{text[:-1]}, "{name}": {value}}}' for value in _VALUES)])))
    return found


class EachFieldTests(GatewayTestCase):
    options: tuple[str, ...] = ("--host", "127.0.0.1", "--allow-trading")

    def setUp(self) -> None:
        self.options = (*self.options, "--journal", self.mktemp())
        super().setUp()

    def stream(self) -> WebSocketCaller:
        caller: WebSocketCaller = self.call(WebSocketCaller(URL))
        wanted = [{"channel": name, "symbol": ES} for name in ("marketdata", "marketdepth")]
        wanted += [{"channel": name, "symbol": ES, "prices": "display"} for name in ("trades",)]
        for each in (*wanted, *({"channel": name} for name in ("orders", "positions", "balances"))):
            self.send_json(caller, {"action": "subscribe", **each})
        return caller

    @slow
    def test_no_error_and_later_messages_arrive(self) -> None:
        for number, kind in enumerate(each for each in MESSAGES.values() if each.Type not in _SESSION):
            with self.subTest(kind.__name__):
                caller = self.stream()
                for name, texts in variations(kind):
                    self.simulator.send_raw(texts.encode() + b"\0")
                    self.flush()
                    self.assertEqual(self.flushLoggedErrors(), [], name)
                caller.leave()
                self.flush()
                caller = self.stream()
                self.advance(2)  # a book is requested again
                caller.take()
                last = f'{{"Type":107,"SymbolID":1,"Price":282800,"Volume":{1000 + number},"AtBidOrAsk":1}}\0'
                level = f'{{"Type":106,"SymbolID":1,"Side":1,"Price":{1000 + number},"Quantity":1,"UpdateType":1}}\0'
                self.simulator.send_raw((last + level).encode())
                self.flush()
                received = [each for each in caller.take() if each.get("event") in (None, "changes")]  # not `live`
                self.assertEqual(sorted(each["channel"] for each in received), ["marketdata", "marketdepth", "trades"])
                caller.leave()
                self.flush()
                self.assertEqual(self.status()["state"], "ready")
                for path in ("/orders", "/positions", "/balances", f"/marketdata?Symbol={ES}&times=iso"):
                    self.advance(1)
                    self.assertEqual(self.fetch(path).status, 200, path)
