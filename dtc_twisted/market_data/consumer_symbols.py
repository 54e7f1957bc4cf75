"""Keep the symbols of each consumer."""

from collections.abc import Set

from dtc_twisted.market_data.subscriber import Consumer


class ConsumerSymbols:
    """Keep the symbols that each consumer is subscribed to."""

    def __init__(self) -> None:
        self.total = 0
        """Number of subscriptions of all consumers."""
        self._symbols: dict[Consumer, set[str]] = {}

    def of(self, consumer: Consumer) -> Set[str]:
        """Return the symbols of a consumer."""
        return self._symbols.get(consumer, frozenset())

    def add(self, consumer: Consumer, symbol: str) -> None:
        """Add a symbol to those of a consumer. It may be there."""
        symbols = self._symbols.setdefault(consumer, set())
        self.total += symbol not in symbols
        symbols.add(symbol)

    def remove(self, consumer: Consumer, symbol: str) -> None:
        """Remove a symbol from those of a consumer.

        Raises KeyError if it is not there.
        """
        symbols = self._symbols[consumer]
        symbols.remove(symbol)
        self.total -= 1
        if not symbols:
            del self._symbols[consumer]
