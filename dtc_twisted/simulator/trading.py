"""Order entry on the simulated server: what clients send about orders, and what all of them are told."""

from collections import defaultdict
from collections.abc import Hashable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from dtc_twisted import messages as dtc
from dtc_twisted.messages import BuySellEnum, Message, OrderTypeEnum
from dtc_twisted.simulator.connection import MainConnection
from dtc_twisted.simulator.engine import Engine
from dtc_twisted.simulator.holdings import busy_orders
from dtc_twisted.simulator.instruments import DAY, present
from dtc_twisted.simulator.ledger import Ledger
from dtc_twisted.simulator.orders import REJECTED, Order, attach, pair, single
from dtc_twisted.simulator.wire import number, plain, text, value_of

if TYPE_CHECKING:
    from dtc_twisted.simulator.server import Simulator

Command = (
    dtc.SubmitNewSingleOrder
    | dtc.SubmitNewOCOOrder
    | dtc.CancelOrder
    | dtc.CancelReplaceOrder
    | dtc.SubmitFlattenPositionOrder
    | dtc.FlattenPositionsForTradeAccount
)
"""What a client sends about orders: types 201, 203, 204 and 208 to 210."""


class Trading:
    """Answers commands with what the engine makes of them, which goes to every client that is logged on."""

    def __init__(self, simulator: "Simulator") -> None:
        self._simulator = simulator
        clock, market = simulator.clock, simulator.market
        self.ledger = Ledger(clock, market)
        midnight = int(present(clock.seconds())) // DAY * DAY
        self.engine = Engine(clock, market, self.ledger, self.tell, busy_orders(midnight))
        self._with_orders = self.engine.symbols()
        self._parents: dict[Hashable, Order] = {}  # who sent it -> an order that waits for its children
        self._delayed: defaultdict[MainConnection, list[IDelayedCall]] = defaultdict(list)

    def command(self, sender: Hashable, command: Command) -> None:
        """Does what the sender wants."""
        self._obey(sender, command)
        # A symbol with orders takes part in the walk, until the first command after they are gone.
        before, self._with_orders = self._with_orders, self.engine.symbols()
        self._simulator.live.settle(before ^ self._with_orders)

    def heard(self, sender: Hashable, message: Message) -> None:
        """The sender has sent this. A parent order without its children next to it is rejected."""
        parent = self._parents.get(sender)
        if parent is not None and not (
            isinstance(message, dtc.SubmitNewOCOOrder) and text(message.ParentTriggerClientOrderID) == parent.client_id
        ):
            del self._parents[sender]
            self.engine.refuse(parent, "The orders of the bracket did not follow their parent.")

    def forget(self, connection: MainConnection) -> None:
        """The connection is gone."""
        self.heard(connection, dtc.Logoff())
        for call in self._delayed.pop(connection, []):
            if call.active():
                call.cancel()

    def tell(self, message: Message) -> None:
        """To every client that is logged on, when it is time."""
        payload, delay = self._simulator.payload([message]), self._simulator.answer_delay
        of_order = isinstance(message, dtc.OrderUpdate)
        for connection in self._simulator.logged_on():
            send = connection.send_order if of_order else connection.send_payload
            if delay > 0 and not connection.withholds and not (of_order and connection.keeps_orders):
                calls = self._delayed[connection] = [call for call in self._delayed[connection] if call.active()]
                calls.append(self._simulator.clock.callLater(delay, send, payload))
            else:
                send(payload)

    def _obey(self, sender: Hashable, command: Command) -> None:
        match command:
            case dtc.CancelOrder():
                self.engine.cancel(command)
            case dtc.CancelReplaceOrder():
                self.engine.replace(command)
            case dtc.SubmitNewSingleOrder():
                order = single(command)
                self.engine.reached.append(order.client_id)
                if number(command.IsParentOrder):
                    self._parents[sender] = order
                else:
                    self.engine.submit([order])
            case dtc.SubmitNewOCOOrder():
                self._submit_pair(sender, command)
            case dtc.SubmitFlattenPositionOrder():
                self._flatten(command, text(command.Symbol))
            case dtc.FlattenPositionsForTradeAccount():
                self._flatten(command, None)

    def _submit_pair(self, sender: Hashable, message: dtc.SubmitNewOCOOrder) -> None:
        orders = pair(message)
        self.engine.reached += [order.client_id for order in orders]
        parent, named = self._parents.pop(sender, None), text(message.ParentTriggerClientOrderID)
        if number(message.UseOffsets):
            for order in [parent, *orders] if parent else orders:
                self.engine.refuse(order, "UseOffsets is not supported.")
        elif parent is not None:
            attach(parent, orders)
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
        client_id, name = text(message.ClientOrderID), text(message.TradeAccount)
        account = self.ledger.accounts.get(name)
        held = list(account.positions.values()) if account else []
        held = [position for position in held if symbol in (None, position.Symbol)]
        orders = []
        for i, position in enumerate(held, 1):
            quantity, suffix = value_of(position.Quantity), f"-{i}" if i > 1 else ""
            orders.append(
                Order(
                    client_id=client_id[: dtc.ORDER_ID_LENGTH - 1 - len(suffix)] + suffix,
                    symbol=text(position.Symbol),
                    account=name,
                    type=OrderTypeEnum.ORDER_TYPE_MARKET,
                    side=BuySellEnum.SELL if quantity > 0 else BuySellEnum.BUY,
                    quantity=plain(abs(quantity)),
                    free_form_text=text(message.FreeFormText),
                )
            )
        self.engine.reached += [order.client_id for order in orders] or [client_id]
        for order in orders:
            self.engine.submit([order])
        if not orders:
            nothing = Order(
                client_id=client_id,
                symbol=symbol or "",
                account=name,
                type=OrderTypeEnum.ORDER_TYPE_MARKET,
                side=BuySellEnum.BUY_SELL_UNSET,
                quantity=0,
                free_form_text=text(message.FreeFormText),
            )
            self.engine.refuse(
                nothing, "There is no position to close." if account else f"{name[:32]} is not a known trade account."
            )


class Desk:
    """Orders as a test sees them: what is true of them, and what others do."""

    trading: Trading

    @property
    def orders(self) -> dict[str, Order]:
        """ServerOrderID -> order, those that have ended or were rejected too."""
        return self.trading.engine.orders

    def order(self, client_order_id: str) -> Order:
        """The order with this ClientOrderID; of several the one that was taken. Raises KeyError when there is none."""
        found = [order for order in self.orders.values() if order.client_id == client_order_id]
        if not found:
            raise KeyError(client_order_id)
        return next((order for order in found if order.status != REJECTED), found[0])

    @property
    def positions(self) -> dict[tuple[str, str], dtc.PositionUpdate]:
        """(TradeAccount, Symbol) -> the position at the last price; those that are not flat."""
        ledger = self.trading.ledger
        return {
            (account.name, text(position.Symbol)): position
            for account in ledger.accounts.values()
            for position in ledger.positions_of(account)
        }

    @property
    def balances(self) -> dict[str, dtc.AccountBalanceUpdate]:
        """TradeAccount -> its balance, of those that have one."""
        ledger = self.trading.ledger
        return {each.name: ledger.balance(each) for each in ledger.accounts.values() if each.cash is not None}

    @property
    def fills(self) -> list[dtc.HistoricalOrderFillResponse]:
        """Of all accounts, oldest first."""
        return self.trading.ledger.fills

    @property
    def reached(self) -> list[str]:
        """The ClientOrderID of every new order that arrived at the engine; one that came twice is here twice."""
        return self.trading.engine.reached

    def submit(self, command: Command) -> None:
        """What another client, not connected here, sends about orders. Everybody is told what comes of it."""
        self.trading.heard(None, command)
        self.trading.command(None, command)

    def cancel(self, client_order_id: str) -> None:
        """Another client cancels this order. Raises KeyError when there is none."""
        order = self.order(client_order_id)
        self.submit(dtc.CancelOrder(ServerOrderID=order.server_id, ClientOrderID=client_order_id))
