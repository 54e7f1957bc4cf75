"""Test that the order path reads nothing of the journal from the disk."""

from dtc_twisted.journal import Journal
from tests.orders.test_orders import ES, OrdersCase
from tests.support import slow


class NoSelectTests(OrdersCase):
    """No order command makes a SELECT in the reactor's thread."""

    def setUp(self) -> None:
        super().setUp()
        self.submit("a")
        self.advance(1)
        journal = next(each for each in self.service if isinstance(each, Journal))
        assert journal._store is not None
        self.selects: list[str] = []
        self.connection = journal._store.reader._connection
        self.connection.set_trace_callback(self.selects.append)

    def tearDown(self) -> None:
        self.connection.set_trace_callback(None)
        super().tearDown()

    @slow
    def test_commands(self) -> None:
        self.assertEqual(self.submit("b").status, 201)
        self.assertEqual(self.submit("b").status, 201)  # repeated
        self.assertEqual(self.post("/orders/b", "PATCH", Quantity=1).status, 200)
        self.assertEqual(self.post("/orders/b", "DELETE").status, 200)
        self.post("/flatten", TradeAccount="Sim1", Symbol=ES)
        self.assertEqual(self.selects, [])

    def test_journal(self) -> None:
        self.assertGreater(len(self.fetch("/journal").json), 2)
        self.assertEqual(self.selects, [])
