"""Test that a session gives the messages of one read to a handler together, if it takes them."""

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.session import BulkHandler
from tests.dtc.test_session import Peer

TRADE, QUOTE, OTHER = dtc.MarketDataUpdateTrade(Price=1.0), dtc.MarketDataUpdateBidAsk(), dtc.MarketDepthReject()
DEPTH = dtc.MarketDepthUpdateLevel()


class BulkHandlerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.taken: list[list[Message]] = []
        self.single: list[Message] = []
        self.takes = True
        self.peer = Peer()
        self.peer.log_on()
        handler = BulkHandler(self.single.append, self.take)
        self.peer.session.set_handlers({type(TRADE): handler, type(QUOTE): handler, type(OTHER): self.single.append})

    def take(self, messages: list[Message]) -> bool:
        self.taken.append(messages)
        return self.takes

    def test_together(self) -> None:
        self.peer.session.receive([TRADE, QUOTE, TRADE])
        self.assertEqual((self.taken, self.single), ([[TRADE, QUOTE, TRADE]], []))

    def test_alone(self) -> None:
        self.peer.session.receive([TRADE])
        self.assertEqual((self.taken, self.single), ([], [TRADE]))

    def test_not_taken(self) -> None:
        self.takes = False
        self.peer.session.receive([TRADE, QUOTE])
        self.assertEqual(self.single, [TRADE, QUOTE])

    def test_with_a_message_of_another_handler(self) -> None:
        self.peer.session.receive([TRADE, OTHER, QUOTE])
        self.assertEqual((self.taken, self.single), ([], [TRADE, OTHER, QUOTE]))

    def test_of_two_handlers(self) -> None:
        self.peer.session.set_handlers({type(DEPTH): BulkHandler(self.single.append, lambda each: self.take(each))})
        self.peer.session.receive([TRADE, DEPTH])
        self.assertEqual((self.taken, self.single), ([], [TRADE, DEPTH]))

    def test_after_the_end(self) -> None:
        self.peer.session.connection_lost("the end")
        self.peer.session.receive([TRADE, QUOTE])
        self.assertEqual((self.taken, self.single), ([], []))
