"""Execute the order commands of clients, and send the results to all clients."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import BuySellEnum, Message, OrderTypeEnum
from dtc_twisted.simulator.clients import ClientRegistry
from dtc_twisted.simulator.connection import MainConnection
from dtc_twisted.simulator.market.instruments import DAY, simulated_time
from dtc_twisted.simulator.market.sierra_json import float_or_zero, int_or_zero, str_or_empty, without_noise
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.settings import ServerSettings
from dtc_twisted.simulator.trading.demo_accounts import TradeAccount, make_active_orders
from dtc_twisted.simulator.trading.engine import MatchingEngine
from dtc_twisted.simulator.trading.portfolio import Portfolio
from dtc_twisted.simulator.trading.simulated_orders import (
    SimulatedOrder,
    link_children,
    oco_orders_from,
    order_from,
)

OrderCommand = (
    dtc.SubmitNewSingleOrder
    | dtc.SubmitNewOCOOrder
    | dtc.CancelOrder
    | dtc.CancelReplaceOrder
    | dtc.SubmitFlattenPositionOrder
    | dtc.FlattenPositionsForTradeAccount
)
"""The order commands: types 201, 203, 204 and 208 to 210."""


class OrderHandler:
    """Execute commands, and send the engine's updates to all clients.

    on_demand: called with symbols when their first working order begins, or their last ends.
    accounts: None: the demo accounts, with their orders.
    last_id: see MatchingEngine.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: ServerSettings,
        clients: ClientRegistry,
        market: Market,
        on_demand: Callable[[Iterable[str]], None],
        accounts: Sequence[TradeAccount] | None = None,
        last_id: int | None = None,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._clients = clients
        self._on_demand = on_demand
        self.portfolio = Portfolio(clock, market, accounts)
        midnight = int(simulated_time(clock.seconds())) // DAY * DAY
        orders = make_active_orders(midnight) if accounts is None else ()
        self.engine = MatchingEngine(clock, market, self.portfolio, self.broadcast, orders, last_id)
        self._with_orders = self.engine.symbols()
        self._parents: dict[Hashable, SimulatedOrder] = {}  # sender -> an order that waits for its children
        self._delayed: defaultdict[MainConnection, list[IDelayedCall]] = defaultdict(list)

    def execute(self, sender: Hashable, command: OrderCommand) -> None:
        """Execute a command."""
        self._execute(sender, command)
        # A symbol with orders takes part in the walk, until the first command after their end.
        before, self._with_orders = self._with_orders, self.engine.symbols()
        self._on_demand(before ^ self._with_orders)

    def on_message(self, sender: Hashable, message: Message) -> None:
        """Reject a parent order whose children are not in the next message of its sender."""
        parent = self._parents.get(sender)
        if parent is not None and not (
            isinstance(message, dtc.SubmitNewOCOOrder)
            and str_or_empty(message.ParentTriggerClientOrderID) == parent.client_id
        ):
            del self._parents[sender]
            self.engine.refuse(parent, "The orders of the bracket did not follow their parent.")

    def connection_lost(self, connection: MainConnection) -> None:
        """Discard the pending parent order of a lost connection."""
        self.on_message(connection, dtc.Logoff())
        for call in self._delayed.pop(connection, []):
            if call.active():
                call.cancel()

    def broadcast(self, message: Message) -> None:
        """Send a message to each client that is logged on, after the set delay."""
        texts, delay = self._settings.encode([message]), self._settings.answer_delay
        of_order = isinstance(message, dtc.OrderUpdate)
        for connection in self._clients.logged_on():
            send = connection.send_order if of_order else connection.send_texts
            if delay > 0 and not connection.is_capturing and not (of_order and connection.delays_order_updates):
                calls = self._delayed[connection] = [call for call in self._delayed[connection] if call.active()]
                calls.append(self._clock.callLater(delay, send, texts))
            else:
                send(texts)

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
        """Submit market orders that close the position of one symbol, or of all.

        Resting orders stay. The first order has the ClientOrderID of the message. The others have the same with the
        suffix -2, -3 and so on.
        """
        client_id, name = str_or_empty(message.ClientOrderID), str_or_empty(message.TradeAccount)
        account = self.portfolio.accounts.get(name)
        positions = list(account.positions.values()) if account else []
        positions = [position for position in positions if symbol in (None, position.Symbol)]
        orders = []
        for i, position in enumerate(positions, 1):
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
