"""Test that bytes are processed in small pieces, one in each iteration of the reactor."""

from itertools import pairwise
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.history.throttle import CHUNK_SIZE, MIN_PAUSE, ReadScheduler, ThrottledProtocol
from dtc_twisted.transport.client import DTCClientProtocol


class Reactor:
    """Delay calls until the next iteration, because task.Clock would make them all at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.delays: list[float] = []
        self._calls: list[Any] = []

    def seconds(self) -> float:
        return self.now

    def callLater(self, delay: float, call: Any, *args: Any) -> None:
        self.delays.append(delay)
        self._calls.append((call, args))

    def turn(self) -> int:
        """Run one iteration. Return the number of calls."""
        calls, self._calls = self._calls, []
        for call, args in calls:
            call(*args)
        return len(calls)


class ReadSchedulerTests(SynchronousTestCase):
    def work(self, seconds: float, rest: float, pieces: int) -> list[float]:
        """Return the delay before each piece, if processing and pauses take these times."""
        reactor = Reactor()
        clock: Any = reactor
        turns = ReadScheduler(clock)

        def piece() -> None:
            reactor.now += seconds
            turns.schedule(piece)

        turns.schedule(piece)
        for _ in range(pieces):
            reactor.now += rest if reactor.delays[-1] else 0
            self.assertEqual(reactor.turn(), 1)
        return reactor.delays

    def test_rests(self) -> None:
        """Twice as long as it works, however long that is, once it has begun."""
        for rest, pieces in ((0.001, 5), (0.004, 20), (0.016, 80)):
            delays = self.work(0.0001, rest, 1000)
            rests = [number for number, delay in enumerate(delays) if delay]
            self.assertTrue(rests, rest)
            gaps = {later - earlier for earlier, later in pairwise(rests[1:])}
            self.assertTrue(gaps <= {pieces, pieces + 1}, (rest, gaps))
            self.assertEqual({*delays}, {0, MIN_PAUSE})

    def test_a_long_rest_does_not_count_in_full(self) -> None:
        delays = self.work(0.001, 100.0, 100)
        rests = [number for number, delay in enumerate(delays) if delay]
        self.assertLessEqual(max(later - earlier for earlier, later in pairwise(rests)), 12)

    def test_no_wait_after_a_pause(self) -> None:
        reactor = Reactor()
        clock: Any = reactor
        turns = ReadScheduler(clock)
        for _ in range(3):
            turns.schedule(lambda: None)
            reactor.turn()
            reactor.now += 1
        self.assertEqual(reactor.delays, [0, 0, 0])


class Transport(StringTransport):
    protocol: Any
    disconnected = False

    def abortConnection(self) -> None:
        self.disconnected = True
        self.protocol.connectionLost(Failure(ConnectionDone()))


class ThrottleCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        clock: Any = self.reactor
        self.turns = ReadScheduler(clock)
        self.seen: list[Any] = []
        # What is above the pieces: Autobahn.
        self.patch(DTCClientProtocol, "dataReceived", lambda protocol, data: self.seen.append((protocol, data)))
        self.patch(DTCClientProtocol, "connectionLost", lambda protocol, reason: self.seen.append((protocol, reason)))

    def make(self) -> Any:
        owner: Any = None
        protocol: Any = ThrottledProtocol(owner, self.turns)
        protocol.state = protocol.STATE_OPEN
        protocol.transport = Transport()
        protocol.transport.protocol = protocol
        return protocol

    def turn(self) -> list[Any]:
        """Return the pieces of one iteration."""
        self.assertLessEqual(self.reactor.turn(), 1, "more than a piece a turn")
        seen, self.seen = self.seen, []
        return seen

    def test_pieces(self) -> None:
        protocol = self.make()
        data = bytes(range(256)) * (CHUNK_SIZE // 100)
        protocol.dataReceived(data)
        self.assertEqual((self.seen, protocol.transport.producerState), ([], "paused"))
        pieces = []
        while protocol.transport.producerState == "paused":
            ((_, piece),) = self.turn()
            pieces.append(piece)
        self.assertEqual([len(each) for each in pieces], [CHUNK_SIZE, CHUNK_SIZE, len(data) - 2 * CHUNK_SIZE])
        self.assertEqual(b"".join(pieces), data)
        self.assertEqual(self.turn(), [])

    def test_each_in_turn(self) -> None:
        first, second = self.make(), self.make()
        first.dataReceived(bytes(3 * CHUNK_SIZE))
        second.dataReceived(bytes(2 * CHUNK_SIZE))
        order = [protocol for _ in range(5) for protocol, _ in self.turn()]
        self.assertEqual(order, [first, second, first, second, first])

    def test_end_comes_last(self) -> None:
        protocol = self.make()
        protocol.dataReceived(bytes(CHUNK_SIZE + 1))
        protocol.connectionLost("gone")
        self.assertEqual([what for _ in range(3) for _, what in self.turn()], [bytes(CHUNK_SIZE), bytes(1), "gone"])
        protocol.resume()
        self.assertEqual(self.turn(), [], "told twice")

    def test_end_without_data(self) -> None:
        protocol = self.make()
        protocol.connectionLost("gone")
        self.assertEqual(self.seen, [(protocol, "gone")])

    def test_paused(self) -> None:
        protocol = self.make()
        protocol.dataReceived(bytes(2 * CHUNK_SIZE))
        self.turn()
        protocol.pause()
        self.assertEqual((self.turn(), self.turn()), ([], []))
        protocol.connectionLost("gone")
        self.assertEqual(self.turn(), [])
        protocol.resume()
        self.assertEqual([what for _ in range(2) for _, what in self.turn()], [bytes(CHUNK_SIZE), "gone"])

    def test_paused_with_nothing_read(self) -> None:
        protocol = self.make()
        protocol.pause()
        self.assertEqual(protocol.transport.producerState, "paused")
        protocol.resume()
        self.assertEqual(protocol.transport.producerState, "producing")

    def test_aborted(self) -> None:
        """The remaining pieces are dropped, and the end is reported once."""
        protocol = self.make()
        protocol.dataReceived(bytes(2 * CHUNK_SIZE))
        protocol.pause()
        protocol.abort()
        self.assertTrue(protocol.transport.disconnected)
        ((who, reason),) = self.turn()
        self.assertEqual((who, type(reason)), (protocol, Failure))
        self.assertEqual(self.turn(), [])

    def test_aborted_when_it_is_gone(self) -> None:
        protocol = self.make()
        protocol.dataReceived(b"x")
        protocol.pause()
        protocol.connectionLost("gone")
        protocol.abort()
        self.assertFalse(protocol.transport.disconnected)
        self.assertEqual(self.turn(), [(protocol, "gone")])

    def test_too_late(self) -> None:
        protocol = self.make()
        protocol.state = protocol.STATE_CLOSED
        protocol.dataReceived(b"x")
        self.assertEqual(self.turn(), [])
