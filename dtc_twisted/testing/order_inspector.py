"""Inspect the orders of the simulated server, and act as another client of it."""

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.simulator.market.sierra_json import str_or_empty
from dtc_twisted.simulator.order_handler import OrderCommand
from dtc_twisted.simulator.server import Simulator
from dtc_twisted.simulator.trading.simulated_orders import REJECTED, SimulatedOrder


class OrderInspector(Simulator):
    """A simulated server that shows its orders, positions, balances and fills."""

    @property
    def orders(self) -> dict[str, SimulatedOrder]:
        """ServerOrderID -> order, including those that have ended or were rejected."""
        return self.trading.engine.orders

    def order(self, client_order_id: str) -> SimulatedOrder:
        """Return the order with this ClientOrderID. Raises KeyError if there is none."""
        found = [order for order in self.orders.values() if order.client_id == client_order_id]
        if not found:
            raise KeyError(client_order_id)
        return next((order for order in found if order.status != REJECTED), found[0])

    @property
    def positions(self) -> dict[tuple[str, str], dtc.PositionUpdate]:
        """(TradeAccount, Symbol) -> position at the last price, without flat ones."""
        portfolio = self.trading.portfolio
        return {
            (account.name, str_or_empty(position.Symbol)): position
            for account in portfolio.accounts.values()
            for position in portfolio.positions_of(account)
        }

    @property
    def balances(self) -> dict[str, dtc.AccountBalanceUpdate]:
        """TradeAccount -> balance, of the accounts that have one."""
        portfolio = self.trading.portfolio
        return {each.name: portfolio.balance(each) for each in portfolio.accounts.values() if each.cash is not None}

    @property
    def fills(self) -> list[dtc.HistoricalOrderFillResponse]:
        """The fills of all accounts, oldest first."""
        return self.trading.portfolio.fills

    @property
    def reached(self) -> list[str]:
        """The ClientOrderID of every order that was received, with duplicates."""
        return self.trading.engine.received_ids

    def submit(self, command: OrderCommand) -> None:
        """Execute a command of another client, which is not connected."""
        self.trading.on_message(None, command)
        self.trading.execute(None, command)

    def cancel(self, client_order_id: str) -> None:
        """Cancel an order as another client. Raises KeyError if there is none."""
        order = self.order(client_order_id)
        self.submit(dtc.CancelOrder(ServerOrderID=order.server_id, ClientOrderID=client_order_id))
