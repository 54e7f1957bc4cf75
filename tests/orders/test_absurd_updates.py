"""Absurd numbers stop no trading, also not after a restart, and absurd times hide no fills."""

from typing import Any

from tests.scripted_case import ES, MARKET, ScriptedCase
from tests.scripted_server import HEARTBEAT, SUBMIT, lost, with_fields
from tests.support import slow


class AbsurdUpdateTests(ScriptedCase):
    @slow
    def test_trading_goes_on(self) -> None:
        fill: dict[str, Any] = {"OrderUpdateReason": 4, "LastFillQuantity": 1}
        absurd: tuple[dict[str, Any], ...] = (
            {"OrderQuantity": 1e308},
            fill | {"FilledQuantity": 1e308, "LastFillQuantity": 1e308, "LastFillPrice": 1e308},
            fill | {"LastFillDateTime": 9e18},
            fill | {"LastFillDateTime": 2**62},
            {"OrderStatus": 4294967290},
            {"BuySell": 77},
            {"OrderReceivedDateTime": 2**62},
        )
        for number, fields in enumerate(absurd):
            update: dict[str, Any] = {
                "Type": 301,
                "ServerOrderID": f"x{number}",
                "TradeAccount": "Sim2",
                "Symbol": ES,
                "BuySell": 1,
            }
            self.server.send(update | {"OrderStatus": 4, "OrderUpdateReason": 1, "OrderQuantity": 1} | fields)
            self.flush()
            self.restart()
            self.advance(10)
            self.assertTrue(self.status()["trading"]["ready"], fields)
            self.assertEqual(self.submit(f"a{number}").status, 201, fields)


class AbsurdTimeTests(ScriptedCase):
    def test_clock_of_the_server(self) -> None:
        """In milliseconds, or no time at all: the fill of an order whose answer was lost is found."""
        for number, value in enumerate((1795539600000, 2**62, -(2**62), 1)):
            self.server.always(HEARTBEAT, with_fields(CurrentDateTime=value))
            self.advance(41)
            self.server.next(SUBMIT, lost)
            self.assertEqual(self.market(f"m{number}").status, 504, value)
            self.advance(90)
            self.assertEqual(self.order(f"m{number}")["FilledQuantity"], 2, value)

    def test_fill_in_the_far_future(self) -> None:
        """Fills after it that the gateway did not receive are found, after a restart too."""
        order: dict[str, Any] = {"Type": 301, "TradeAccount": "Sim1", "Symbol": ES, "BuySell": 1, "OrderQuantity": 1}
        filled = order | {"OrderStatus": 7, "OrderUpdateReason": 4, "FilledQuantity": 1, "LastFillQuantity": 1}
        self.push(filled | {"ServerOrderID": "far", "LastFillPrice": 282000, "LastFillDateTime": 2**62})
        for name in ("x", "y"):
            self.server.accepts = False
            self.server.drop()
            self.advance(300, step=5)
            number = self.server.exchange.submit(MARKET | {"OrderType": 1, "BuySell": 1, "ClientOrderID": name})
            self.server.accepts = True
            self.advance(60)
            self.assertIn(number[0]["ServerOrderID"], [each["ServerOrderID"] for each in self.orders()], name)
            self.restart()
            self.advance(10)
