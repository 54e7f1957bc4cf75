"""Test when a transaction of the journal begins: after the read of the server's socket."""

from dtc_twisted.orders import OrderManager
from tests.scripted_case import LIMIT, ScriptedCase

LIMIT_OF_THE_SERVER = LIMIT | {"OrderType": 2, "BuySell": 1}


class ReadTests(ScriptedCase):
    def test_begins_after_the_read(self) -> None:
        """An update that follows an order update in the same read does not wait for the transaction."""
        manager = next(each for each in self.service if isinstance(each, OrderManager))
        events: list[str] = []

        def on_order(*_: object) -> None:
            manager.journal.when_written(lambda: events.append("written"))

        manager._state.order_listeners.append(on_order)
        manager._state.order_listeners.append(lambda *_: events.append("update"))
        updates = [*self.server.exchange.submit(LIMIT_OF_THE_SERVER), *self.server.exchange.submit(LIMIT_OF_THE_SERVER)]
        self.server.send(*updates)
        self.flush()
        self.assertEqual(events, ["update"] * 2 + ["written"] * 2)
