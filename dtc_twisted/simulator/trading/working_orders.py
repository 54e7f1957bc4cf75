"""Keep the working orders of each symbol, sorted by priority."""

from bisect import insort

from dtc_twisted.simulator.trading.simulated_orders import SimulatedOrder


class WorkingOrders:
    """Sort the working orders of each symbol by priority.

    Market orders are first, then those with the best price, then the oldest.
    """

    def __init__(self) -> None:
        self._by_symbol: dict[str, list[SimulatedOrder]] = {}
        self._last_priority = 0

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._by_symbol

    def symbols(self) -> frozenset[str]:
        """Return the symbols with working orders."""
        return frozenset(self._by_symbol)

    def of(self, symbol: str) -> tuple[SimulatedOrder, ...]:
        """Return the working orders of a symbol by priority."""
        return tuple(self._by_symbol.get(symbol, ()))

    def add(self, order: SimulatedOrder) -> None:
        """Add an order, if it is working, after those at the same price."""
        self.remove(order)
        if order.working:
            self._last_priority += 1
            order.priority = self._last_priority
            insort(self._by_symbol.setdefault(order.symbol, []), order, key=_priority)

    def remove(self, order: SimulatedOrder) -> None:
        """Remove an order, if it is there."""
        orders = self._by_symbol.get(order.symbol, [])
        if order in orders:
            orders.remove(order)
            if not orders:
                del self._by_symbol[order.symbol]


def _priority(order: SimulatedOrder) -> tuple[bool, float, int]:
    return (order.limit is not None, -order.sign * (order.limit or 0), order.priority)
