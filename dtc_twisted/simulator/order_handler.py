"""Order entry on the simulated server: what clients send about orders, and what all of them are told."""

from collections import defaultdict
from collections.abc import Hashable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import BuySellEnum, Message, OrderTypeEnum
from dtc_twisted.simulator.connection import MainConnection
from dtc_twisted.simulator.market.instruments import DAY, simulated_time
from dtc_twisted.simulator.market.sierra_json import float_or_zero, int_or_zero, str_or_empty, without_noise
from dtc_twisted.simulator.trading.demo_accounts import make_active_orders
from dtc_twisted.simulator.trading.engine import MatchingEngine
from dtc_twisted.simulator.trading.portfolio import Portfolio
from dtc_twisted.simulator.trading.simulated_orders import (
    REJECTED,
    SimulatedOrder,
    link_children,
    oco_orders_from,
    order_from,
)

if TYPE_CHECKING:
    from dtc_twisted.simulator.server import Simulator

OrderCommand = (
    dtc.SubmitNewSingleOrder
    | dtc.SubmitNewOCOOrder
    | dtc.CancelOrder
    | dtc.CancelReplaceOrder
    | dtc.SubmitFlattenPositionOrder
    | dtc.FlattenPositionsForTradeAccount
)
"""What a client sends about orders: types 201, 203, 204 and 208 to 210."""


class OrderHandler:
    """Answers commands with what the engine makes of them, which goes to every client that is logged on."""

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator
        clock, market = simulator.clock, simulator.market
        self.portfolio = Portfolio(clock, market)
        midnight = int(simulated_time(clock.seconds())) // DAY * DAY
        self.engine = MatchingEngine(clock, market, self.portfolio, self.broadcast, make_active_orders(midnight))
        self._with_orders = self.engine.symbols()
        self._parents: dict[Hashable, SimulatedOrder] = {}  # who sent it -> an order that waits for its children
        self._delayed: defaultdict[MainConnection, list[IDelayedCall]] = defaultdict(list)

    def execute(self, sender: Hashable, command: OrderCommand) -> None:
        """Does what the sender wants."""
        self._execute(sender, command)
        # A symbol with orders takes part in the walk, until the first command after they are gone.
        before, self._with_orders = self._with_orders, self.engine.symbols()
        self._simulator.live.update_demand(before ^ self._with_orders)

    def on_message(self, sender: Hashable, message: Message) -> None:
        """The sender has sent this. A parent order without its children next to it is rejected."""
        parent = self._parents.get(sender)
        if parent is not None and not (
            isinstance(message, dtc.SubmitNewOCOOrder)
            and str_or_empty(message.ParentTriggerClientOrderID) == parent.client_id
        ):
            del self._parents[sender]
            self.engine.refuse(parent, "The orders of the bracket did not follow their parent.")

    def connection_lost(self, connection: MainConnection) -> None:
        """The connection is gone."""
        self.on_message(connection, dtc.Logoff())
        for call in self._delayed.pop(connection, []):
            if call.active():
                call.cancel()

    def broadcast(self, message: Message) -> None:
        """To every client that is logged on, when it is time."""
        payload, delay = self._simulator.payload([message]), self._simulator.answer_delay
        of_order = isinstance(message, dtc.OrderUpdate)
        for connection in self._simulator.logged_on():
            send = connection.send_order if of_order else connection.send_payload
            if delay > 0 and not connection.is_capturing and not (of_order and connection.delays_order_updates):
                calls = self._delayed[connection] = [call for call in self._delayed[connection] if call.active()]
                calls.append(self._simulator.clock.callLater(delay, send, payload))
            else:
                send(payload)

    def _execute(self, sender: Hashable, command: OrderCommand) -> None:
        match command:
            case dtc.CancelOrder():
                self.engine.cancel(command)
            case dtc.CancelReplaceOrder():
                self.engine.replace(command)
            case dtc.SubmitNewSingleOrder():
                order = order_from(command)
                self.engine.received_ids.append(order.client_id)
                if int_or_zero(command.IsParentOrder):
                    self._parents[sender] = order
                else:
                    self.engine.submit([order])
            case dtc.SubmitNewOCOOrder():
                self._submit_pair(sender, command)
            case dtc.SubmitFlattenPositionOrder():
                self._flatten(command, str_or_empty(command.Symbol))
            case dtc.FlattenPositionsForTradeAccount():
                self._flatten(command, None)

    def _submit_pair(self, sender: Hashable, message: dtc.SubmitNewOCOOrder) -> None:
        orders = oco_orders_from(message)
        self.engine.received_ids += [order.client_id for order in orders]
        parent, named = self._parents.pop(sender, None), str_or_empty(message.ParentTriggerClientOrderID)
        if int_or_zero(message.UseOffsets):
            for order in [parent, *orders] if parent else orders:
                self.engine.refuse(order, "UseOffsets is not supported.")
        elif parent is not None:
            link_children(parent, orders)
            self.engine.submit([parent, *orders])
        elif named:
            for order in orders:
                self.engine.refuse(order, "ParentTriggerClientOrderID does not name the order just before.")
        else:
            self.engine.submit(orders)

    def _flatten(
        self, message: dtc.SubmitFlattenPositionOrder | dtc.FlattenPositionsForTradeAccount, symbol: str | None
    ) -> None:
        """Market orders that close the position of one symbol, or of all; orders that rest stay.

        The first has the ClientOrderID of the message, the others that with -2, -3 and so on behind it.
        """
        client_id, name = str_or_empty(message.ClientOrderID), str_or_empty(message.TradeAccount)
        account = self.portfolio.accounts.get(name)
        held = list(account.positions.values()) if account else []
        held = [position for position in held if symbol in (None, position.Symbol)]
        orders = []
        for i, position in enumerate(held, 1):
            quantity, suffix = float_or_zero(position.Quantity), f"-{i}" if i > 1 else ""
            orders.append(
                SimulatedOrder(
                    client_id=client_id[: dtc.ORDER_ID_LENGTH - 1 - len(suffix)] + suffix,
                    symbol=str_or_empty(position.Symbol),
                    account=name,
                    type=OrderTypeEnum.ORDER_TYPE_MARKET,
                    side=BuySellEnum.SELL if quantity > 0 else BuySellEnum.BUY,
                    quantity=without_noise(abs(quantity)),
                    free_form_text=str_or_empty(message.FreeFormText),
                )
            )
        self.engine.received_ids += [order.client_id for order in orders] or [client_id]
        for order in orders:
            self.engine.submit([order])
        if not orders:
            nothing = SimulatedOrder(
                client_id=client_id,
                symbol=symbol or "",
                account=name,
                type=OrderTypeEnum.ORDER_TYPE_MARKET,
                side=BuySellEnum.BUY_SELL_UNSET,
                quantity=0,
                free_form_text=str_or_empty(message.FreeFormText),
            )
            self.engine.refuse(
                nothing, "There is no position to close." if account else f"{name[:32]} is not a known trade account."
            )


class OrderInspector:
    """Orders as a test sees them: what is true of them, and what others do."""

    trading: OrderHandler

    @property
    def orders(self) -> dict[str, SimulatedOrder]:
        """ServerOrderID -> order, those that have ended or were rejected too."""
        return self.trading.engine.orders

    def order(self, client_order_id: str) -> SimulatedOrder:
        """The order with this ClientOrderID; of several the one that was taken. Raises KeyError when there is none."""
        found = [order for order in self.orders.values() if order.client_id == client_order_id]
        if not found:
            raise KeyError(client_order_id)
        return next((order for order in found if order.status != REJECTED), found[0])

    @property
    def positions(self) -> dict[tuple[str, str], dtc.PositionUpdate]:
        """(TradeAccount, Symbol) -> the position at the last price; those that are not flat."""
        portfolio = self.trading.portfolio
        return {
            (account.name, str_or_empty(position.Symbol)): position
            for account in portfolio.accounts.values()
            for position in portfolio.positions_of(account)
        }

    @property
    def balances(self) -> dict[str, dtc.AccountBalanceUpdate]:
        """TradeAccount -> its balance, of those that have one."""
        portfolio = self.trading.portfolio
        return {each.name: portfolio.balance(each) for each in portfolio.accounts.values() if each.cash is not None}

    @property
    def fills(self) -> list[dtc.HistoricalOrderFillResponse]:
        """Of all accounts, oldest first."""
        return self.trading.portfolio.fills

    @property
    def reached(self) -> list[str]:
        """The ClientOrderID of every new order that arrived at the engine; one that came twice is here twice."""
        return self.trading.engine.received_ids

    def submit(self, command: OrderCommand) -> None:
        """What another client, not connected here, sends about orders. Everybody is told what comes of it."""
        self.trading.on_message(None, command)
        self.trading.execute(None, command)

    def cancel(self, client_order_id: str) -> None:
        """Another client cancels this order. Raises KeyError when there is none."""
        order = self.order(client_order_id)
        self.submit(dtc.CancelOrder(ServerOrderID=order.server_id, ClientOrderID=client_order_id))
