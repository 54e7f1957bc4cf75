"""Test the state of orders, positions and balances."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins
from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc.messages import (
    AccountBalanceUpdate,
    BuySellEnum,
    HistoricalOrderFillResponse,
    OrderStatusEnum,
    OrderTypeEnum,
    OrderUpdate,
    OrderUpdateReasonEnum,
    PositionUpdate,
)
from dtc_twisted.orders import order_registry, position_table
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.earlier_fills import EarlierFills
from dtc_twisted.orders.fills import fill_from_update
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import NEW, Fields, PendingCommand
from dtc_twisted.orders.reconciliation import Reconciliation
from dtc_twisted.orders.server_snapshot import FAR_BACK, Batch, ServerSnapshot

NOW = 1_700_000_000.0
ES, CL = "ESM20_FUT_CME", "CLM20_FUT_NYM"
OPEN, FILLED, PARTLY, CANCELED, REJECTED = (
    OrderStatusEnum[f"ORDER_STATUS_{name}"] for name in ("OPEN", "FILLED", "PARTIALLY_FILLED", "CANCELED", "REJECTED")
)
ACCEPTED_ = OrderUpdate(
    RequestID=0,
    TotalNumMessages=1,
    MessageNumber=1,
    Symbol=ES,
    TradeAccount="Sim1",
    ServerOrderID="1",
    ClientOrderID="a",
    OrderStatus=OPEN,
    OrderUpdateReason=OrderUpdateReasonEnum.NEW_ORDER_ACCEPTED,
    OrderType=OrderTypeEnum.ORDER_TYPE_LIMIT,
    BuySell=BuySellEnum.BUY,
    Price1=282800.0,
    OrderQuantity=3,
    FilledQuantity=0,
    RemainingQuantity=3,
)


def filled(quantity: float, total: float, number: int, order: OrderUpdate = ACCEPTED_) -> OrderUpdate:
    whole = total == order.OrderQuantity
    return replace(
        order,
        OrderStatus=FILLED if whole else PARTLY,
        OrderUpdateReason=OrderUpdateReasonEnum.ORDER_FILLED if whole else OrderUpdateReasonEnum.ORDER_FILLED_PARTIALLY,
        FilledQuantity=total,
        RemainingQuantity=3 - total,
        AverageFillPrice=282800.0,
        LastFillPrice=282800.0,
        LastFillQuantity=quantity,
        LastFillDateTime=1_700_000_000_500 + number,
        LastFillExecutionID=f"x{number}",
    )


def listed(quantity: float, number: int, order_id: str = "1", **changes: Any) -> HistoricalOrderFillResponse:
    fields: Fields = {
        "Symbol": ES,
        "TradeAccount": "Sim1",
        "ServerOrderID": order_id,
        "BuySell": BuySellEnum.BUY,
        "Price": 282800.0,
        "DateTime": 1_700_000_000,
        "Quantity": quantity,
        "UniqueExecutionID": f"x{number}",
    }
    return HistoricalOrderFillResponse(**fields | changes)


def reconcile(
    state: AccountState,
    open_orders: Iterable[OrderUpdate],
    fills: Iterable[HistoricalOrderFillResponse],
    since: int,
    is_complete: bool,
) -> None:
    orders, listed_fills = Batch([*open_orders], is_complete), Batch([*fills], True)
    stated: dict[str, Batch | None] = {"Sim1": listed_fills}
    asked = {"Sim1": NOW - FAR_BACK}
    snapshot = ServerSnapshot(NOW, ["Sim1"], orders, stated, asked, Batch(), Batch(), since, since, since)
    Reconciliation(state, snapshot, EarlierFills(Clock(), None), {"Sim1": 1.0}, lambda order: -math.inf, 1.0, 0.0).run()


class AccountStateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.account_state = AccountState()
        self.received: list[tuple[str, Fields]] = []
        self.account_state.listeners.append(lambda channel, fields: self.received.append((channel, fields)))

    def order(self, name: str = "a") -> Order:
        order = self.account_state.order(name)
        assert order is not None
        return order

    def read(
        self,
        *open_orders: OrderUpdate,
        fills: Iterable[HistoricalOrderFillResponse] = (),
        since: int | None = None,
        is_complete: bool = False,
    ) -> None:
        """Apply the answers of the server to a read.

        since: the version when the server was asked.
        """
        reconcile(
            self.account_state, open_orders, fills, self.account_state.version if since is None else since, is_complete
        )

    def take(self) -> list[Fields]:
        received, self.received = [fields for _, fields in self.received], []
        return received


class OrderTests(AccountStateCase):
    def test_life(self) -> None:
        for each in (ACCEPTED_, filled(1, 1, 1), filled(2, 3, 2)):
            self.account_state.receive(each)
        order = self.order()
        self.assertIs(order, self.order("1"))
        self.assertEqual((order.status, order.filled, order.remaining), (FILLED, 3, 0))
        self.assertEqual([fill.execution_id for fill in order.fills], ["x1", "x2"])
        self.assertEqual(len(order.updates), 3)
        self.assertEqual(self.take(), order.updates)
        self.assertEqual(self.account_state.seqs, {"orders": 3, "positions": 0, "balances": 0})
        self.assertNotIn("TotalNumMessages", order.updates[0])

    def test_stated_twice(self) -> None:
        for each in (ACCEPTED_, ACCEPTED_, filled(1, 1, 1), filled(1, 1, 1)):
            self.account_state.receive(each)
        self.assertEqual(len(self.take()), 2)
        self.assertEqual(self.order().filled, 1)

    def test_out_of_order(self) -> None:
        """A fill that comes late is a fill; a status that comes late is none.

        The state is published again after the fill.
        """
        for each in (ACCEPTED_, filled(2, 3, 2), ACCEPTED_, filled(1, 1, 1)):
            self.account_state.receive(each)
        self.assertEqual((self.order().status, self.order().filled), (FILLED, 3))
        self.assertEqual(len(self.order().fills), 2)
        published = self.take()
        self.assertEqual(len(published), 4)
        self.assertEqual((published[-1]["OrderStatus"], published[-1]["FilledQuantity"]), (FILLED, 3))
        self.assertNotIn("LastFillQuantity", published[-1])

    def test_new_id_for_life(self) -> None:
        """A replaced order may get another ServerOrderID."""
        self.account_state.receive(ACCEPTED_)
        reason = OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_COMPLETE
        self.account_state.receive(
            replace(ACCEPTED_, ServerOrderID="2", PreviousServerOrderID="1", OrderUpdateReason=reason, Price1=282700.0)
        )
        self.assertIs(self.order("1"), self.order("2"))
        self.assertEqual(len(list(self.account_state)), 1)
        self.assertEqual(self.order().fields["Price1"], 282700.0)

    def test_name_in_use_again(self) -> None:
        """ClientOrderIDs are unique in a session of trading only."""
        self.account_state.receive(ACCEPTED_)
        self.account_state.receive(filled(3, 3, 1))
        self.account_state.receive(replace(ACCEPTED_, ServerOrderID="9"))
        self.assertEqual(self.order("1").status, FILLED)
        self.assertEqual(self.order("a").server_order_id, "9")

    def test_an_id_of_the_servers_in_use_again(self) -> None:
        """A simulated server that was started again counts from the start."""
        self.account_state.receive(ACCEPTED_)
        self.account_state.receive(filled(3, 3, 1))
        ours = Order({"ClientOrderID": "b", "OrderStatus": OrderStatusEnum.ORDER_STATUS_ORDER_SENT}, sent_at=1.0)
        self.account_state.add(ours)
        self.account_state.receive(replace(ACCEPTED_, ClientOrderID="b"))
        self.assertIs(self.order("1"), ours)
        self.assertEqual(ours.status, OPEN)
        self.account_state.receive(replace(ACCEPTED_, ClientOrderID="b", OrderStatus=CANCELED))
        self.account_state.receive(replace(ACCEPTED_, ClientOrderID="c"))  # of somebody else
        self.assertEqual([self.order(name).status for name in "abc"], [FILLED, CANCELED, OPEN])

    def test_second_order_of_a_name_is_refused(self) -> None:
        """Of which nothing is to be said of the first."""
        self.account_state.receive(ACCEPTED_)
        reason = OrderUpdateReasonEnum.NEW_ORDER_REJECTED
        self.account_state.receive(
            OrderUpdate(ClientOrderID="a", OrderStatus=REJECTED, OrderUpdateReason=reason, InfoText="Duplicate.")
        )
        self.assertEqual(self.order().status, OPEN)

    def test_update_without_a_status(self) -> None:
        self.account_state.receive(ACCEPTED_)
        self.account_state.receive(
            OrderUpdate(
                ServerOrderID="1",
                OrderStatus=OrderStatusEnum.ORDER_STATUS_UNSPECIFIED,
                OrderUpdateReason=OrderUpdateReasonEnum.ORDER_CANCEL_REJECTED,
            )
        )
        self.assertEqual(self.order().status, OPEN)
        self.assertEqual(self.take()[1]["ClientOrderID"], "a")  # what names the order is always said

    def test_old_ones_are_forgotten(self) -> None:
        self.patch(order_registry, "MAX_CLOSED_ORDERS", 2)
        for number in range(1, 5):
            order = replace(ACCEPTED_, ServerOrderID=str(number), ClientOrderID=f"a{number}")
            self.account_state.receive(order)
            self.account_state.receive(replace(order, OrderStatus=CANCELED))
        self.assertEqual([order.display_id for order in self.account_state], ["a3", "a4"])
        self.assertIsNone(self.account_state.order("1"))


class FillsOfTheJournalTests(AccountStateCase):
    """Fills are read again whose orders are in the journal only, while an order is in doubt."""

    def setUp(self) -> None:
        super().setUp()
        self.loaded: list[str] = []
        self.account_state = AccountState(self.load)
        self.sent = Order({"Symbol": ES, "TradeAccount": "Sim1", "ClientOrderID": "b", "OrderQuantity": 9.0})
        self.sent.sent_at = NOW
        self.account_state.add(self.sent)
        self.account_state.expect(self.sent, PendingCommand(NEW, "no answer"))

    def load(self, order_id: str) -> list[Order]:
        self.loaded.append(order_id)
        if order_id == "none":
            return []
        order = Order({"Symbol": ES, "TradeAccount": "Sim1", "ServerOrderID": order_id})
        update = to_builtins(filled(3, 3, int(order_id), replace(ACCEPTED_, ServerOrderID=order_id)))
        order.apply(update, fill_from_update(update))
        return [order]

    def known(self) -> int:
        return sum(any(self.account_state.index.by_server(str(number))) for number in range(1, 31))

    def read_fills(self, count: int = 30) -> None:
        fills = [listed(3, number, str(number), UniqueExecutionID=f"x{number}") for number in range(1, count + 1)]
        reconcile(self.account_state, [], fills, 1, is_complete=False)

    def test_read_once_and_not_kept(self) -> None:
        for _ in range(100):
            self.read_fills()
        self.assertEqual((len(self.loaded), self.known(), len(self.account_state.journal_fills)), (30, 0, 30))
        self.assertEqual(len([*self.account_state]), 1)

    def test_those_that_are_not_stated_any_more_are_given_up(self) -> None:
        self.read_fills()
        self.read_fills(10)
        self.assertEqual(len(self.account_state.journal_fills), 10)

    def test_another_fill_of_the_number(self) -> None:
        """It is compared with the order of the journal."""
        self.read_fills(1)
        fills = [listed(3, 1, "1", UniqueExecutionID=name, DateTime=1_700_000_009) for name in ("x1", "y")]
        reconcile(self.account_state, [], fills, 1, is_complete=False)
        self.assertEqual((self.loaded, self.known()), (["1", "1"], 1))


class ReconciledTests(AccountStateCase):
    """The answers of the server to a read are applied."""

    def test_restated(self) -> None:
        self.account_state.receive(ACCEPTED_)
        restated = replace(ACCEPTED_, OrderUpdateReason=OrderUpdateReasonEnum.OPEN_ORDERS_REQUEST_RESPONSE)
        self.read(restated)
        self.assertEqual(len(self.take()), 1)
        self.read(replace(restated, Price1=282700.0))
        (received,) = self.take()
        self.assertEqual((received["Price1"], received["Reconciled"]), (282700.0, True))

    def test_what_came_meanwhile_is_newer(self) -> None:
        self.account_state.receive(ACCEPTED_)
        requests = self.account_state.version
        self.account_state.receive(filled(3, 3, 1))
        self.read(ACCEPTED_, since=requests)
        self.assertEqual(self.order().status, FILLED)

    def test_missed_fills(self) -> None:
        self.account_state.receive(ACCEPTED_)
        self.account_state.receive(filled(1, 1, 1))
        self.take()
        for _ in (1, 2):
            self.read(fills=[listed(1, 1), listed(2, 2)])
        (received,) = self.take()
        self.assertEqual(
            (received["OrderStatus"], received["FilledQuantity"], received["LastFillQuantity"]), (FILLED, 3, 2)
        )
        self.assertEqual(received["LastFillExecutionID"], "x2")
        self.assertTrue(received["Reconciled"])
        self.account_state.receive(filled(2, 3, 2))  # stated late
        self.assertEqual(self.take(), [])

    def test_a_missed_fill_was_the_last(self) -> None:
        """The order was not known at the read, and is stated later."""
        self.account_state.receive(replace(ACCEPTED_, OrderQuantity=0))
        self.order().sent_at = NOW
        self.read(fills=[listed(3, 1)])
        self.assertEqual(self.order().status, PARTLY)
        self.take()
        for _ in (1, 2):
            self.account_state.receive(filled(3, 3, 1))
        (received,) = self.take()
        self.assertEqual((received["OrderStatus"], received["FilledQuantity"]), (FILLED, 3))
        self.assertNotIn("LastFillQuantity", received)
        self.assertEqual(len(self.order().fills), 1)

    def test_missed_fill_without_an_id(self) -> None:
        self.account_state.receive(ACCEPTED_)
        self.account_state.receive(filled(1, 1, 1))
        self.take()
        self.read(fills=[listed(1, 1, UniqueExecutionID="")])
        self.assertEqual(self.take(), [])

    def test_fill_of_another_client(self) -> None:
        self.read(fills=[listed(2, 7, "77")], is_complete=True)
        (received,) = self.take()
        self.assertEqual((received["ServerOrderID"], received["FilledQuantity"]), ("77", 2))
        self.assertEqual(self.account_state.open_orders(), [])

    def test_concluded(self) -> None:
        self.account_state.receive(ACCEPTED_)
        self.account_state.infer_status(self.order(), CANCELED, "It is gone.")
        received = self.take()[-1]
        self.assertEqual(
            (received["OrderStatus"], received["Reconciled"], received["InfoText"]), (CANCELED, True, "It is gone.")
        )
        self.assertEqual(self.account_state.open_orders(), [])
        self.account_state.receive(replace(ACCEPTED_, Price1=1.0))  # the server knows better
        self.assertEqual(self.order().status, OPEN)

    @given(st.permutations(range(4)), st.data())
    def test_any_order_of_fills(self, numbers: list[int], data: st.DataObject) -> None:
        """However they become known, and however often, fills add up."""
        account_state = AccountState()
        order = replace(ACCEPTED_, OrderQuantity=4)
        account_state.receive(order)
        for number in [*numbers, *data.draw(st.lists(st.sampled_from(numbers)))]:
            if data.draw(st.booleans()):
                reconcile(account_state, [], [listed(1, number)], account_state.version, False)
            else:
                account_state.receive(filled(1, number + 1, number, order))
        found = account_state.order("a")
        assert found is not None
        self.assertEqual(sorted(fill.execution_id for fill in found.fills), ["x0", "x1", "x2", "x3"])
        self.assertEqual(sum(fill.quantity for fill in found.fills), 4)


class PositionTests(AccountStateCase):
    def test_positions(self) -> None:
        self.account_state.receive(PositionUpdate(Symbol=ES, TradeAccount="Sim1", Quantity=-2, AveragePrice=282800.0))
        self.assertEqual(self.account_state.position("Sim1", ES), -2)
        self.assertEqual(self.account_state.symbols_held("Sim1"), [ES])
        self.assertEqual(self.account_state.symbols_held("Sim1", CL), [])
        self.account_state.receive(PositionUpdate(Symbol=ES, TradeAccount="Sim1", Quantity=0))
        self.assertEqual(self.account_state.snapshot("positions"), [])
        self.assertEqual([each["Quantity"] for each in self.take()], [-2, 0])

    def position(self, name: str, quantity: float, since: int | None = None) -> Any:
        fields: dict[str, Any] = {"PositionIdentifier": name} if name else {}
        message = PositionUpdate(Symbol=ES, TradeAccount="Sim1", Quantity=quantity, **fields)
        return self.account_state.update_position(message, since)

    def quantities(self) -> list[float]:
        return [each["Quantity"] for each in self.account_state.snapshot("positions")]

    def test_versions_of_closed_positions_are_bounded(self) -> None:
        """A server may give each position another identifier."""
        self.patch(position_table, "MAX_CLOSED", 10)
        self.account_state.positions.has_several = True
        self.position("kept", 1)
        since = self.account_state.version
        for number in range(100):
            self.position(f"p{number}", 1, since if number % 2 else None)
            self.position(f"p{number}", 0)
        table = self.account_state.positions
        self.assertLessEqual(len(table._versions), 21)
        self.assertLessEqual(len(table._read_since), 1)
        self.position("p99", 1, since)  # of a read that was begun before
        self.assertEqual(self.quantities(), [1])
        since = self.account_state.version
        self.position("kept", 3)
        self.position("kept", 1, since)
        self.assertEqual(self.quantities(), [3])

    def test_several_of_one_symbol(self) -> None:
        """Their sum counts, whether the server said that it may have several or not."""
        for several in (False, True):
            self.account_state = AccountState()
            self.account_state.positions.has_several = several
            reads: list[str] = []
            self.account_state.read_listeners.append(partial(reads.append, "read"))
            self.position("p1", 2)
            self.position("p2", 5)
            self.assertEqual(self.account_state.position("Sim1", ES), 7)
            self.assertEqual(len(reads), 0 if several else 1)
            self.position("p1", 0)
            self.assertEqual(self.quantities(), [5])

    def test_several_in_one_read(self) -> None:
        for names in (("p1", "p2"), ("", "p2"), ("p2", "")):
            self.account_state = AccountState()
            self.position("p2", 1)
            for _ in range(2):
                since = self.account_state.version
                keys = [self.position(name, quantity, since) for name, quantity in zip(names, (2, 5), strict=True)]
                self.account_state.remove_absent(keys, [], since)
                self.assertEqual(self.account_state.position("Sim1", ES), 7, names)

    def test_identifier_that_is_left_out(self) -> None:
        """It is the same position."""
        self.position("p1", 2)
        self.position("", 3)
        self.assertEqual(self.quantities(), [3])
        self.position("p1", 4)
        self.assertEqual(self.quantities(), [4])
        since = self.account_state.version
        self.assertEqual(self.position("", 4, since), ("Sim1", ES, ""))
        self.assertEqual(self.quantities(), [4])
        self.position("p1", 0)
        self.position("", 4, since)  # the answer was on its way
        self.assertEqual(self.quantities(), [])

    def test_identifier_that_is_replaced(self) -> None:
        self.position("p1", 2)
        self.position("p2", 5)
        since = self.account_state.version
        self.account_state.remove_absent([self.position("p2", 5, since)], [], since)
        self.assertEqual(self.quantities(), [5])

    def test_positions_that_cancel_out(self) -> None:
        self.position("p1", 2)
        self.position("p2", -2)
        self.assertEqual(self.account_state.position("Sim1", ES), 0)
        self.assertEqual(self.account_state.symbols_held("Sim1"), [ES])

    def test_asked(self) -> None:
        one = PositionUpdate(Symbol=ES, TradeAccount="Sim1", Quantity=2)
        other = PositionUpdate(Symbol=CL, TradeAccount="Sim1", Quantity=1)
        self.account_state.receive(other)
        self.take()
        keys = [self.account_state.update_position(one, self.account_state.version) for _ in (1, 2)]
        (received,) = self.take()
        self.assertEqual((received["Quantity"], received["Reconciled"]), (2, True))
        self.account_state.remove_absent(keys, [], self.account_state.version)
        (received,) = self.take()
        self.assertEqual((received["Symbol"], received["Quantity"], received["Reconciled"]), (CL, 0, True))

    def test_asked_before_it_changed(self) -> None:
        requests = self.account_state.version
        self.account_state.receive(PositionUpdate(Symbol=ES, TradeAccount="Sim1", Quantity=2))
        self.account_state.update_position(PositionUpdate(Symbol=ES, TradeAccount="Sim1", Quantity=1), requests)
        self.account_state.remove_absent([], [], requests)
        self.assertEqual(self.account_state.position("Sim1", ES), 2)

    def test_balances(self) -> None:
        self.account_state.receive(AccountBalanceUpdate(TradeAccount="Sim1", CashBalance=5.0))
        self.account_state.update_balance(
            AccountBalanceUpdate(TradeAccount="Sim1", CashBalance=5.0), self.account_state.version
        )
        self.assertEqual(len(self.take()), 1)
        self.account_state.update_balance(
            AccountBalanceUpdate(TradeAccount="Sim1", CashBalance=6.0), self.account_state.version
        )
        self.assertEqual([each["CashBalance"] for each in self.account_state.snapshot("balances")], [6.0])
