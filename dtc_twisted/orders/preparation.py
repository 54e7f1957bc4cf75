"""Keep the new orders that are being checked, so that they can be canceled."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dtc_twisted.dtc.messages import OrderStatusEnum, OrderUpdate
from dtc_twisted.errors import Conflict
from dtc_twisted.orders.outcomes import Fields


@dataclass(eq=False)
class PreparedOrders:
    """Hold the new orders of one command. principal: name of the principal."""

    client_order_ids: Sequence[str]
    trade_account: str
    symbol: str
    principal: str
    is_canceled: bool = False

    def rows(self) -> list[Fields]:
        """Return an ORDER_UPDATE made by the gateway for each canceled order."""
        stated = {
            "Type": OrderUpdate.Type,
            "TradeAccount": self.trade_account,
            "Symbol": self.symbol,
            "OrderStatus": int(OrderStatusEnum.ORDER_STATUS_CANCELED),
            "InfoText": "It was not sent.",
            "Reconciled": True,
        }
        return [stated | {"ClientOrderID": name} for name in self.client_order_ids]


class OrderPreparation:
    """The commands whose orders are being checked."""

    def __init__(self) -> None:
        self._prepared: list[PreparedOrders] = []

    @contextmanager
    def watch(self, orders: PreparedOrders) -> Iterator[None]:
        """Keep orders while they are checked.

        Raises Conflict at the end, if they were canceled meanwhile.
        """
        self._prepared.append(orders)
        try:
            yield
        finally:
            self._prepared.remove(orders)
        if orders.is_canceled:
            raise Conflict(f"Order {orders.client_order_ids[0]} was canceled before it was sent.")

    def cancel(self, is_meant: Callable[[PreparedOrders], bool]) -> list[Fields]:
        """Cancel the orders of some commands; return a row for each order.

        They will not be sent.
        """
        rows: list[Fields] = []
        for orders in self._prepared:
            if is_meant(orders):
                orders.is_canceled = True
                rows += orders.rows()
        return rows
