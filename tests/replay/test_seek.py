"""Test that a replay moves to another time without holding up the gateway."""

import json
from typing import Any

from twisted.internet.defer import Deferred, execute

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.errors import UnusableRecording
from dtc_twisted.replay import replay_control
from tests.replay.test_controls import ES, PRICES, ControlCase, dtc_time
from tests.support import slow


class ReadingThread:
    """Read when a test says so, in place of a thread.

    waiting: functions that have not been run.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Any]] = []

    def __call__(self, read: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, read))
        return done

    def go(self) -> int:
        """Run until nothing waits. Return the number of functions that were run."""
        count = 0
        while self.waiting:
            done, read = self.waiting.pop(0)
            execute(read).addBoth(done.callback)
            count += 1
        return count


class SeekTests(ControlCase):
    def setUp(self) -> None:
        super().setUp()
        self.replay()
        self.advance(3)
        self.thread = ReadingThread()
        self.control._run_blocking = self.thread
        self.patch(replay_control, "READ_EVENTS", 20)

    def begin_seek(self, index: float) -> Any:
        body = json.dumps({"time": dtc_time(self.began + index + 0.5)}).encode()
        caller = self.begin("/replay/seek", "POST", body=body)
        self.flush()
        return caller

    def answer(self, caller: Any) -> Any:
        self.flush()
        head, _, body = caller.received.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])

    @slow
    def test_answered_when_it_is_there(self) -> None:
        caller = self.begin_seek(60)
        self.advance(1)
        self.assertEqual((caller.received, self.status()["replay"]["state"]), (b"", "seeking"))
        self.assertGreater(self.thread.go(), 1)
        status, clock = self.answer(caller)
        self.assertEqual((status, clock["state"], clock["time"][:19]), (200, "waiting", dtc_time(self.began + 60)[:19]))
        self.advance(6)
        self.assert_near(self.last_price(), PRICES[63], 75)

    @slow
    def test_other_requests_meanwhile(self) -> None:
        caller = self.begin_seek(60)
        for action, body in (
            ("pause", {}),
            ("resume", {}),
            ("speed", {"speed": 2}),
            ("seek", {"time": dtc_time(self.began + 9)}),
        ):
            answer = self.post(action, **body)
            self.assertEqual((answer.status, answer.json["error"]["type"]), (409, "Conflict"), action)
        self.thread.go()
        self.assertEqual(self.answer(caller)[1]["speed"], 1)
        self.assertEqual(self.post("speed", speed=2).json["speed"], 2)

    @slow
    def test_a_paused_replay_stays_paused(self) -> None:
        self.post("pause")
        caller = self.begin_seek(60)
        self.thread.go()
        self.assertEqual(self.answer(caller)[1]["state"], "paused")
        self.advance(4)
        self.assertEqual(self.last_price(), PRICES[60])

    @slow
    def test_no_client_sees_what_is_not_complete(self) -> None:
        self.subscriber(ES).take()
        logons = len([each for each in self.simulator.received if isinstance(each, dtc.LogonRequest)])
        self.begin_seek(60)
        self.advance(5)
        attempts = [each for each in self.simulator.received if isinstance(each, dtc.LogonRequest)]
        self.assertGreater(len(attempts), logons)
        self.assertEqual(self.simulator.clients.logged_on(), [])
        self.assertIn("on the way to another time", self.status()["reason"])
        self.thread.go()
        self.advance(10)
        self.assertEqual(len(self.simulator.clients.logged_on()), 1)

    @slow
    def test_begin_again_after_the_end(self) -> None:
        self.post("speed", speed="max")
        self.advance(3)
        self.assertEqual(self.status()["replay"]["state"], "ended")
        caller = self.begin("/replay/resume", "POST")
        self.flush()
        self.assertEqual(caller.received, b"")
        self.thread.go()
        self.assertEqual(self.answer(caller)[1]["time"], self.control.status()["from"])

    def test_unreadable(self) -> None:
        caller = self.begin_seek(60)
        self.thread.waiting.pop()[0].errback(UnusableRecording("it is gone"))
        self.assertEqual(self.answer(caller)[0], 500)
        self.assertEqual(self.status()["replay"]["state"], "ended")
        self.assertEqual(len(self.flushLoggedErrors(UnusableRecording)), 1)
        caller = self.begin_seek(60)
        self.thread.go()
        self.assertEqual(self.answer(caller)[0], 200)

    @slow
    def test_the_caller_leaves_meanwhile(self) -> None:
        """The replay goes there nevertheless."""
        caller = self.begin_seek(60)
        caller.transport.abortConnection()
        self.flush()
        self.thread.go()
        self.advance(6)
        self.assertEqual(self.status()["replay"]["state"], "playing")
        self.assert_near(self.last_price(), PRICES[63], 75)

    def test_stopped_meanwhile(self) -> None:
        self.begin_seek(60)
        self.control.stop()
        self.assertEqual(self.thread.go(), 1)
        self.assertEqual(self.status()["replay"]["state"], "seeking")
