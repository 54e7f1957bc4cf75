"""An ORDER_UPDATE with absurd numbers stops no trading, also not after a restart."""

from typing import Any

from tests.scripted_case import ES, ScriptedCase


class AbsurdUpdateTests(ScriptedCase):
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
