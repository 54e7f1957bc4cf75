"""Historical fills and lists of accounts of which fields are missing, wrong or cannot be read: they are not "none"."""

from typing import Any

from tests.exchange import FILLED
from tests.scripted_case import ScriptedCase
from tests.scripted_server import ACCOUNTS, FILLS, SUBMIT, edited, ignored, lost, with_fields
from tests.support import slow


class UnreadableFillTests(ScriptedCase):
    """Two market orders are filled, and their answers lost. The position is as before, so it does not decide."""

    def lose_two(self) -> None:
        self.server.next(SUBMIT, lost, lost)
        self.begin_market("m")
        self.begin_market("s", BuySell="SELL")
        self.advance(30)

    def check_filled(self) -> None:
        for name in ("m", "s"):
            self.assertEqual((self.order(name)["OrderStatus"], self.order(name)["FilledQuantity"]), (FILLED, 2))
        self.assertEqual(self.unknown(), [])

    def check_unknown(self, **fields: Any) -> None:
        self.server.always(FILLS, with_fields(**fields))
        self.lose_two()
        self.assertEqual(self.unknown(), ["m", "s"])
        self.server.always(FILLS, None)
        self.advance(70)
        self.check_filled()

    @slow
    def test_quantity(self) -> None:
        self.check_unknown(Quantity="?")

    @slow
    def test_quantity_is_missing(self) -> None:
        self.check_unknown(Quantity=None)

    @slow
    def test_server_order_id(self) -> None:
        self.check_unknown(ServerOrderID=[5001])

    @slow
    def test_server_order_id_is_missing(self) -> None:
        self.check_unknown(ServerOrderID=None)

    def test_side_that_is_none(self) -> None:
        self.server.always(FILLS, with_fields(BuySell=7))
        self.lose_two()
        self.check_filled()

    def test_a_record_of_the_start_of_the_day(self) -> None:
        """It has no ServerOrderID, and keeps no order in doubt."""
        record = {"Type": 304, "TradeAccount": "Sim1", "Symbol": "ESM20_FUT_CME", "Quantity": 2, "Price": 282000}
        self.server.exchange.fills.append(record | {"BuySell": 1, "DateTime": int(self.server.exchange.now()) - 7200})
        self.restart()
        self.server.next(SUBMIT, ignored)
        self.begin_market("m")
        self.advance(30)
        self.check_error(self.market("m"), 422, "OrderRejected")


class FillTimeTests(ScriptedCase):
    def test_a_time_in_the_future(self) -> None:
        """One fill with an impossible time does not hide the fills after it."""
        for number, time in enumerate((17 * 10**14, 9 * 10**18, 4 * 10**12)):
            self.server.exchange.last_price = None
            self.market(f"p{number}")
            fill, position = self.server.exchange.fill(f"p{number}", 2, 282000)
            self.push(fill | {"LastFillDateTime": time}, position)
            self.submit(f"a{number}")
            self.server.drop()
            self.server.exchange.fill(f"a{number}", 2, 282000)
            self.advance(20)
            self.assertEqual(self.order(f"a{number}")["OrderStatus"], FILLED)


class AccountListTests(ScriptedCase):
    @slow
    def test_a_list_that_is_not_complete(self) -> None:
        """An account that was listed before is not refused because a row is missing or cannot be read."""
        self.fetch("/orders")
        missing = edited(lambda messages: messages[1:])
        unreadable = edited(lambda messages: [messages[0] | {"TradeAccount": [5]}, *messages[1:]])
        for number, action in enumerate((missing, unreadable)):
            self.server.next(ACCOUNTS, action)
            self.server.drop()
            self.advance(20)
            self.assertEqual(self.submit(f"a{number}").status, 201)

    def test_an_account_that_is_gone(self) -> None:
        self.fetch("/orders")
        self.server.exchange.accounts.remove("Sim1")
        self.server.drop()
        self.advance(20)
        self.check_error(self.submit(), 403, "NotPermitted", "is not one of the server's: Sim2")
