"""Test how much work one client of a WebSocket can cause, and that others are served meanwhile."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import RequestActionEnum
from dtc_twisted.logs import LogLimit
from dtc_twisted.web.stream import stream_limits, stream_protocol
from dtc_twisted.web.stream.receive_pace import BURST, RATE, ReceivePace
from dtc_twisted.web.stream.stream_protocol import MAX_FRAGMENTS, StreamProtocol
from dtc_twisted.work_turns import TURN_SECONDS, TURN_STEPS, WorkTurns
from tests.datafiles.writer import trade, write_scid
from tests.support import MARKETDATA, GatewayTestCase, WebSocketCaller, slow

ES = "ESM20_FUT_CME"
STREAM = "ws://127.0.0.1:8080/api/v1/stream"


class TurnClock(Clock):
    """A clock that runs what is due one iteration of the reactor at a time."""

    def run_turn(self) -> None:
        due = [each for each in self.calls if each.getTime() <= self.seconds()]
        for each in due:
            self.calls.remove(each)
            each.func(*each.args, **each.kw)


class TurnCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = TurnClock()
        self.turns = WorkTurns(self.clock)
        self.done: list[str] = []

    def job(self, name: str, count: int, seconds: float = 0.0) -> Iterator[None]:
        """Return a job of so many steps that each take this time."""
        for _ in range(count):
            self.clock.rightNow += seconds
            self.done.append(name)
            yield

    def failing_job(self) -> Iterator[None]:
        yield
        raise ZeroDivisionError

    def take(self) -> str:
        """Return the names of the steps since the last call."""
        done, self.done = self.done, []
        return "".join(done)


class WorkTurnsTests(TurnCase):
    def test_short_job(self) -> None:
        self.turns.run(self.job("a", 3))
        self.assertEqual(self.take(), "aaa")
        self.clock.run_turn()
        self.assertEqual(self.clock.calls, [])

    def test_steps_of_a_turn(self) -> None:
        self.turns.run(self.job("a", 2 * TURN_STEPS + 10))
        counts = [len(self.take())]
        while self.clock.calls:
            self.clock.run_turn()
            counts.append(len(self.take()))
        self.assertEqual(counts, [TURN_STEPS, TURN_STEPS, 10])

    def test_time_of_a_turn(self) -> None:
        self.turns.run(self.job("a", 12, TURN_SECONDS / 4.5))
        self.assertEqual(len(self.take()), 5)
        self.turns.run(self.job("b", 3, TURN_SECONDS / 4.5))
        self.assertEqual(self.take(), "")  # nothing is left of this turn
        self.clock.run_turn()
        self.assertEqual(self.take(), "ababa")
        self.clock.run_turn()
        self.assertEqual(self.take(), "baaaa")

    def test_a_job_that_comes_later(self) -> None:
        """It does not begin before the others have had their turn."""
        self.turns.add(self.job("a", 3))
        self.turns.run(self.job("b", 2))
        self.assertEqual(self.take(), "")
        self.clock.run_turn()
        self.assertEqual(self.take(), "ababa")

    def test_failure(self) -> None:
        """The other jobs go on."""
        self.turns.add(self.failing_job())
        self.turns.add(self.job("a", 3))
        self.clock.run_turn()
        self.assertEqual(self.take(), "aaa")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_after_waiting(self) -> None:
        """A value is returned at once if no job waits, else after the jobs that wait now, and before later ones."""
        self.assertEqual(self.successResultOf(self.turns.after_waiting("v")), "v")
        self.turns.add(self.job("a", 1))
        self.turns.after_waiting("v").addCallback(lambda each: self.done.append(each))
        self.turns.add(self.job("b", 1))
        self.assertEqual(self.take(), "")
        self.clock.run_turn()
        self.assertEqual(self.take(), "avb")


class FrameSource:
    """Stand for the protocol: each frame is a number, and a transport that is paused."""

    def __init__(self, clock: Clock, turns: WorkTurns) -> None:
        self.frames: list[int] = []
        self.processed: list[int] = []
        self.is_reading = True
        self.pause_count = 0
        self.jobs: dict[int, Iterator[None]] = {}
        self.pace = ReceivePace(clock, turns, self, self.consume, self.paused)

    def paused(self) -> None:
        self.pause_count += 1

    def pauseProducing(self) -> None:
        self.is_reading = False

    def resumeProducing(self) -> None:
        self.is_reading = True

    def receive(self, *frames: int) -> None:
        self.pace.begin_read()
        self.frames += frames
        self.consume()

    def consume(self) -> None:
        while self.frames and self.pace.may_begin():
            frame = self.frames.pop(0)
            self.pace.charge()
            self.processed.append(frame)
            if frame in self.jobs:
                self.pace.run(self.jobs[frame])


class PaceTests(TurnCase):
    def setUp(self) -> None:
        super().setUp()
        self.source = FrameSource(self.clock, self.turns)

    def test_few_at_once(self) -> None:
        self.source.receive(1, 2, 3)
        self.assertEqual((self.source.processed, self.source.is_reading), ([1, 2, 3], True))

    def test_many_take_turns(self) -> None:
        other = FrameSource(self.clock, self.turns)
        self.source.receive(*range(1000))
        self.assertEqual((len(self.source.processed), self.source.is_reading), (TURN_STEPS, False))
        other.receive(*range(1000))
        self.assertEqual((other.processed, other.is_reading), ([], False))  # it waits for the next turn
        self.clock.run_turn()
        half = TURN_STEPS // 2
        self.assertEqual((len(self.source.processed), len(other.processed)), (TURN_STEPS + half, half))
        while self.clock.calls:
            self.clock.run_turn()
        for each in (self.source, other):
            self.assertEqual((each.processed, each.is_reading, each.pause_count), ([*range(1000)], True, 0))

    def test_rate(self) -> None:
        self.source.receive(*range(BURST + 3 * RATE))
        counts = []
        for _ in range(5):
            for _ in range(200):
                self.clock.run_turn()
            counts.append(len(self.source.processed))
            self.clock.rightNow += 1
        self.assertEqual(counts, [BURST, BURST + RATE, BURST + 2 * RATE, BURST + 3 * RATE, BURST + 3 * RATE])
        self.assertTrue(self.source.is_reading)
        self.assertEqual(self.source.processed, [*range(BURST + 3 * RATE)])
        self.assertEqual(self.source.pause_count, 4)

    @slow
    def test_slow_steady_client_is_never_paused(self) -> None:
        for number in range(3 * BURST):
            self.source.receive(number)
            self.clock.run_turn()
            self.clock.rightNow += 1.01 / RATE
        self.assertEqual((len(self.source.processed), self.source.pause_count), (3 * BURST, 0))

    def test_long_request(self) -> None:
        """Its steps count, and the frames after it wait."""
        self.source.jobs[1] = self.job("a", BURST + 50)
        self.source.receive(1, 2)
        self.assertEqual((len(self.take()), self.source.is_reading), (TURN_STEPS - 1, False))
        for _ in range(100):
            self.clock.run_turn()
        self.assertEqual(len(self.take()), BURST - TURN_STEPS)
        self.assertEqual(self.source.processed, [1])
        self.clock.rightNow += 1
        for _ in range(5):
            self.clock.run_turn()
        self.assertEqual((len(self.take()), self.source.processed, self.source.is_reading), (51, [1, 2], True))

    def test_close(self) -> None:
        self.source.jobs[1] = self.job("a", 1000)
        self.source.receive(1, 2)
        self.take()
        self.source.pace.close()
        self.clock.run_turn()
        self.assertEqual((self.take(), self.source.processed, self.source.is_reading), ("", [1], False))
        self.clock.run_turn()
        self.assertEqual(self.clock.calls, [])

    def test_close_while_waiting(self) -> None:
        self.source.receive(*range(BURST + 1))
        for _ in range(100):
            self.clock.run_turn()
        self.assertEqual(len(self.clock.calls), 1)
        self.source.pace.close()
        self.assertEqual(self.clock.calls, [])

    def test_failure(self) -> None:
        """A failure of the protocol ends the connection, as it does in the reactor."""
        aborted: list[bool] = []
        source: Any = self.source
        source.abortConnection = lambda: aborted.append(True)
        source.receive(*range(TURN_STEPS + 1))
        source.frames[0] = []  # cannot be found among the jobs
        self.clock.run_turn()
        self.assertEqual(aborted, [True])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class ClientCase(GatewayTestCase):
    """Provide clients whose work is done in turns that the test decides."""

    def setUp(self) -> None:
        super().setUp()
        self.turns: Any = self.web_service._sockets[0].limits.turns
        self._turn = self.turns._next_turn

    def begin_turns(self) -> None:
        """Let no turn follow the present one until `run_turn` or `end_turns`."""
        self.turns._next_turn = lambda: None

    def run_turn(self) -> None:
        """Run one turn."""
        self._turn()
        self.flush()

    def end_turns(self) -> None:
        self.turns._next_turn = self._turn
        self._turn()
        self.flush()

    def stream_caller(self) -> WebSocketCaller:
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM))
        return caller

    def end_of(self, caller: WebSocketCaller) -> StreamProtocol:
        """Return the gateway's end."""
        protocol = self.transport_of(caller).protocol
        assert isinstance(protocol, StreamProtocol)
        return protocol

    def refused(self, reason: str) -> int:
        return self.web_service._sockets[0].limits.refusals.counts[reason]

    def send_all(self, caller: WebSocketCaller, *messages: Any) -> None:
        for each in messages:
            caller.send(each)
        self.flush()


class FloodTests(ClientCase):
    @slow
    def test_pings(self) -> None:
        """A flood of one client does not delay another. All are answered in the end, at the rate."""
        count = BURST + 2 * RATE
        caller, other = self.stream_caller(), self.subscriber()
        self.begin_turns()
        self.send_all(caller, *({"action": "ping", "id": each} for each in range(count)))
        self.send_json(other, {"action": "ping"})
        self.assertEqual(len(caller.messages), TURN_STEPS)
        self.run_turn()
        self.assertEqual((len(caller.messages), len(other.take())), (2 * TURN_STEPS - 2, 1))
        self.end_turns()
        self.assertEqual(len(caller.messages), BURST)
        self.send_json(other, {"action": "ping"})
        self.assertEqual(len(other.take()), 1)
        self.advance(1)
        self.assertLessEqual(len(caller.messages), BURST + RATE)
        self.advance(1.5)
        self.assertEqual([each["id"] for each in caller.messages], [*range(count)])
        self.assertGreater(self.refused("requests"), 0)

    @slow
    def test_gone_while_it_waits(self) -> None:
        timers = len(self.clock.getDelayedCalls())
        caller = self.stream_caller()
        self.send_all(caller, *[{"action": "ping"}] * (BURST + 10))
        caller.transport.abortConnection()
        self.flush()
        self.assertEqual(len(self.clock.getDelayedCalls()), timers)

    def test_pings_of_the_protocol(self) -> None:
        caller = self.stream_caller()
        self.begin_turns()
        for _ in range(1000):
            caller._ws.send_ping(b"x")
        caller._write()
        self.flush()
        self.assertEqual(len(caller.pongs), TURN_STEPS)
        self.end_turns()
        self.assertEqual(len(caller.pongs), 1000)

    @slow
    def test_fragments(self) -> None:
        caller = self.stream_caller()
        for _ in range(2):
            self.send_fragments(caller, MAX_FRAGMENTS - 2, b'{"action": "ping"}')
            self.assertEqual(caller.take(), [{"action": "pong"}])
        self.send_fragments(caller, 10 * MAX_FRAGMENTS)
        self.assertEqual(caller.close_code, 1008)
        self.assertEqual(self.refused("fragments"), 1)

    @slow
    def test_endless_empty_fragments(self) -> None:
        """Nothing is kept of what comes after too many, until the connection is dropped."""
        caller = self.stream_caller()
        protocol: Any = self.end_of(caller)
        caller.dataReceived = lambda data: None  # type: ignore[method-assign]  # does not answer the close frame
        for _ in range(5):
            self.send_fragments(caller, MAX_FRAGMENTS)
            self.advance(0.1)
        self.assertLessEqual(len(protocol.message_data), MAX_FRAGMENTS)
        self.advance(4)
        self.assertTrue(caller.lost)

    def send_fragments(self, caller: WebSocketCaller, empty: int, last: bytes | None = None) -> None:
        """Send so many empty fragments, and the last of the message."""
        begin, more = b"\x01\x80abcd", b"\x00\x80abcd"
        is_inside: Any = self.end_of(caller)
        frames = [more if is_inside.inside_message else begin, *[more] * (empty - 1)]
        if last is not None:
            frames.append(b"\x80" + bytes([0x80 | len(last)]) + bytes(4) + last)
        caller.transport.write(b"".join(frames))
        self.flush()
        self.advance(0.01)


class ManySymbolsCase(ClientCase):
    symbols = [f"S{number}" for number in range(1000)]

    def subscribe(self, action: str = "subscribe") -> Any:
        return {"action": action, "channel": "trades", "symbol": self.symbols}

    def requested(self, action: RequestActionEnum = RequestActionEnum.SUBSCRIBE) -> list[str]:
        return [each.Symbol for each in self.sent(dtc.MarketDataRequest) if each.RequestAction is action]

    def setUp(self) -> None:
        super().setUp()
        for _ in range(10_000):
            self.simulator.ignore_next(dtc.MarketDataRequest)


class ManySymbolsTests(ManySymbolsCase):
    @slow
    def test_in_pieces(self) -> None:
        caller, other = self.stream_caller(), self.subscriber()
        self.begin_turns()
        self.send_all(caller, self.subscribe(), self.subscribe("unsubscribe"), {"action": "ping"})
        self.assertEqual(len(self.requested()), TURN_STEPS - 1)  # the frame is one step
        self.send_json(other, {"action": "ping"})
        self.run_turn()
        self.assertEqual(len(other.take()), 1)
        self.end_turns()
        *answers, pong = caller.take()
        self.assertEqual(pong, {"action": "pong"})
        self.assertEqual([each["symbol"] for each in answers if each["action"] == "unsubscribe"], self.symbols)
        self.assertEqual(self.status()["symbols"], [])

    @slow
    def test_units(self) -> None:
        """Each symbol counts."""
        caller = self.stream_caller()
        self.send_all(caller, *[self.subscribe()] * 6)
        self.advance(0.01)
        self.send_json(caller, {"action": "ping"})
        self.assertNotIn({"action": "pong"}, caller.take())
        self.advance(1.5)
        self.assertIn({"action": "pong"}, caller.take())

    def test_disconnected_in_the_middle(self) -> None:
        caller = self.stream_caller()
        self.begin_turns()
        self.send_all(caller, self.subscribe())
        caller.transport.abortConnection()
        self.flush()
        self.end_turns()
        self.assertEqual(len(self.requested()), TURN_STEPS - 1)
        self.assertEqual(self.requested(RequestActionEnum.UNSUBSCRIBE), self.symbols[: TURN_STEPS - 1][::-1])
        self.assertEqual(self.status()["symbols"], [])

    @slow
    def test_closed_in_the_middle(self) -> None:
        """The gateway closes the connection, and the client has not answered yet."""
        caller = self.stream_caller()
        self.begin_turns()
        self.send_all(caller, self.subscribe())
        caller.dataReceived = lambda data: None  # type: ignore[method-assign]
        self.end_of(caller).close_with(4003, "the token has ended")
        self.flush()
        self.end_turns()
        self.assertEqual((len(self.requested()), self.status()["symbols"]), (TURN_STEPS - 1, []))

    @slow
    def test_leaving_in_pieces(self) -> None:
        one_by_one = [{"action": "subscribe", "symbol": each} for each in self.symbols]
        for caller, requests in ((self.stream_caller(), [self.subscribe()]), (self.subscriber(), one_by_one)):
            self.send_all(caller, *requests)
            self.advance(0.01)
            self.assertEqual(len(self.status()["symbols"]), 1000)
            again = self.call(WebSocketCaller(MARKETDATA))
            self.begin_turns()
            left = len(self.requested(RequestActionEnum.UNSUBSCRIBE)) + TURN_STEPS
            caller.leave()
            self.flush()
            self.assertEqual(len(self.requested(RequestActionEnum.UNSUBSCRIBE)), left)
            self.send_json(again, {"action": "subscribe", "symbol": self.symbols[500]})
            self.run_turn()
            more = len(self.requested(RequestActionEnum.UNSUBSCRIBE)) - left
            self.assertTrue(TURN_STEPS / 2 < more < TURN_STEPS, more)  # the other steps are those of `again`
            self.end_turns()
            self.assertEqual(self.status()["symbols"], [self.symbols[500]])
            again.leave()
            self.flush()
            self.assertEqual(self.status()["symbols"], [])

    @slow
    def test_failure_in_the_middle(self) -> None:
        caller = self.stream_caller()
        protocol: Any = self.end_of(caller)
        subscribe = protocol._subscribe

        def fail(request: Any) -> None:
            if request["symbol"] == self.symbols[500]:
                raise ArithmeticError
            subscribe(request)

        protocol._subscribe = fail
        self.send_all(caller, self.subscribe(), {"action": "ping"})
        self.advance(0.01)
        failed, pong = caller.take()
        self.assertEqual((failed["error"], pong), ("The gateway failed; its log says why.", {"action": "pong"}))
        self.assertEqual(len(self.flushLoggedErrors(ArithmeticError)), 1)


class BoundTests(ClientCase):
    def test_subscriptions_of_a_stream(self) -> None:
        self.patch(stream_protocol, "MAX_SUBSCRIPTIONS", 2)
        caller = self.stream_caller()
        request = {"action": "subscribe", "channel": "trades", "symbol": [ES, "CLM20_FUT_NYMEX"]}
        quotes = request | {"channel": "quotes", "symbol": ES}
        for each in (request, request, quotes):
            self.send_json(caller, each)
        answers = [each for each in caller.take() if "action" in each]
        self.assertEqual([each["success"] for each in answers], [True] * 4 + [False])
        self.assertIn("symbol: expected at most", answers[-1]["error"])
        self.assertEqual(self.refused("subscriptions"), 1)
        self.send_json(caller, request | {"action": "unsubscribe", "symbol": ES})
        caller.take()
        self.send_json(caller, quotes)
        self.assertTrue(caller.take()[0]["success"])

    def test_subscriptions_of_one_channel(self) -> None:
        self.patch(stream_protocol, "MAX_SUBSCRIPTIONS", 1)
        caller = self.subscriber(ES, "CLM20_FUT_NYMEX", ES)
        self.assertEqual([each["success"] for each in caller.take() if "action" in each], [True, False, True])
        self.assertEqual((self.refused("subscriptions"), self.status()["symbols"]), (1, [ES]))

    def test_subscriptions_of_all(self) -> None:
        self.patch(stream_limits, "MAX_ALL_SUBSCRIPTIONS", 2)
        callers = [self.subscriber(ES) for _ in range(3)]
        self.send_json(callers[0], {"action": "subscribe", "symbol": ES})
        answers = [[each["success"] for each in caller.take() if "action" in each] for caller in callers]
        self.assertEqual(answers, [[True, True], [True], [False]])
        self.assertEqual(self.refused("subscriptions_of_all"), 1)
        callers[0].leave()
        self.flush()
        self.send_json(callers[2], {"action": "subscribe", "symbol": ES})
        self.assertTrue(callers[2].take()[0]["success"])

    @slow
    def test_lines_in_the_log(self) -> None:
        for _ in range(200):
            caller = self.stream_caller()
            self.end_of(caller).outgoing.overflow()
            caller.transport.write(b"\xff\xff\xff\xff")  # violates the protocol
            self.flush()
        self.assertEqual(self.log_text().count("the client does not read"), LogLimit.MAX_LINES)
        self.assertNotIn("handshake", self.log_text())

    def test_id(self) -> None:
        caller = self.stream_caller()
        request = {"action": "subscribe", "channel": "trades", "symbol": ES}
        for value in ("x" * 254, [1] * 127, "\u00f6" * 127, None, {"a": 1.5}):
            self.send_json(caller, request | {"id": value})
            self.assertEqual(caller.take()[0]["id"], value)
        for value in ("x" * 255, [1] * 128, "\u00f6" * 128):
            for more in (request, {"action": "list"}, {"action": "submit", "order": {}}):
                self.send_json(caller, more | {"id": value})
                (answer,) = caller.take()
                self.assertFalse(answer["success"])
                self.assertIn("id: expected at most 256 bytes of JSON.", str(answer["error"]))


class FileTests(ClientCase):
    symbols = [f"S{number}" for number in range(TURN_STEPS + 20)]

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        for symbol in self.symbols:
            write_scid(folder / f"{symbol}.scid", [trade(1_600_000_000 * 10**6, 100)])
        self.options = (*self.options, "--data-folder", str(folder))
        super().setUp()

    def test_rejected_while_it_leaves(self) -> None:
        """A client that has gone is not subscribed to the data file instead."""
        held = [self.simulator.hold_next(dtc.MarketDataRequest) for _ in self.symbols]
        caller = self.subscriber()
        self.send_all(caller, *({"action": "subscribe", "symbol": each} for each in self.symbols))
        self.begin_turns()
        caller.leave()
        self.flush()
        self.assertEqual(len(self.status()["symbols"]), 20)
        for each in held:
            each.release()
        self.flush()
        self.end_turns()
        self.advance(6)
        self.assertEqual(self.status()["symbols"], [])


class LongAnswerTests(ManySymbolsCase):
    @slow
    def test_list(self) -> None:
        caller = self.stream_caller()
        self.symbols = self.symbols[:100]
        self.send_all(caller, self.subscribe(), {"action": "subscribe", "channel": "unknown"})
        self.advance(0.01)
        caller.take()
        self.begin_turns()
        self.send_all(caller, *[{"action": "list"}] * 60)
        first = caller.take()
        self.assertLess(len(first), TURN_STEPS / (100 / 20))
        self.end_turns()
        answers = first + caller.take()
        self.assertEqual(len(answers), 60)
        *listed, last = answers[0]["subscriptions"]
        self.assertEqual([each["symbol"] for each in listed], self.symbols)
        self.assertEqual(listed[0], {"channel": "trades", "symbol": "S0", "last_update": None})
        self.assertEqual(last["channel"], "unknown")
        self.assertEqual(answers[1:], answers[:1] * 59)

    def test_snapshots(self) -> None:
        """Each is the work of a turn. Others are served in the next one."""
        caller, other = self.stream_caller(), self.subscriber()
        self.begin_turns()
        self.send_all(caller, *[{"action": "subscribe", "channel": "status"}] * 3)
        self.send_json(other, {"action": "ping"})
        self.assertEqual([len(caller.take()), len(other.take())], [2, 0])
        self.run_turn()
        self.assertEqual((len(caller.take()), len(other.take())), (4, 1))
