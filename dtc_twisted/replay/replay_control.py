"""Run the clock of a replay: play, pause, seek, speed, loop."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool

from dtc_twisted.daemon_threads import DaemonThreadPool
from dtc_twisted.errors import Conflict
from dtc_twisted.iso_times import iso_time
from dtc_twisted.logs import call_safely, logger
from dtc_twisted.replay.replay_source import ReplayEvent, ReplaySource
from dtc_twisted.replay_options import MAX, ReplaySettings

_log = logger(__name__)

SEEKING = "seeking"
"""State on the way to another time."""

SLICE = 0.01
"""Seconds of work in one iteration of the reactor."""

SHORTEST_PAUSE = 0.001
"""Seconds until the next event at least.

A shorter pause may be less than the clock can show.
"""

READ_EVENTS = 200
"""Events that are read in one piece on the way to another time."""

LONGEST_PAUSE = 0.25
"""Seconds between two moves of the clock while nothing happens."""


class ReplayStage(Protocol):
    """Carry out the events of a replay."""

    def play(self, event: ReplayEvent) -> None:
        """Apply an event, and send it to the clients."""

    def prepare(self, event: ReplayEvent) -> None:
        """Apply an event before the time at which the replay starts."""

    def move_clock(self, seconds: float) -> None:
        """Show a later time, in seconds since 1970."""

    def begin_at(self, seconds: float) -> None:
        """Drop all state: the replay continues at another time, in seconds since 1970."""

    @property
    def is_wanted(self) -> bool:
        """Whether a client is logged on."""

    @property
    def is_blocked(self) -> bool:
        """Whether a client is still to read what was sent."""


class ReplayControl:
    """Play the events of a source at their times.

    The replay waits for the first client. At MAX it waits for clients that read slowly.

    reactor: IReactorTime. If it has threads (IReactorThreads), what is before another time is read in one of them.
    on_change: called when the state or the speed changes.
    """

    def __init__(
        self, reactor: IReactorTime, source: ReplaySource, stage: ReplayStage, settings: ReplaySettings
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.state = "waiting"
        self.speed = settings.speed
        self._reactor = reactor
        self._source = source
        self._stage = stage
        self._folder = settings.folder
        self._loop = settings.loop
        wanted = settings.range
        self.first = source.first if wanted.start is None else max(source.first, wanted.start)
        self.last = source.last if wanted.end is None else min(source.last, wanted.end)
        self.position = self.first
        """Time that the replay shows, microseconds since 1970, UTC."""
        self._events: Iterator[ReplayEvent] = iter(())
        self._next: ReplayEvent | None = None
        self._run_blocking: Callable[..., Deferred[Any]] = execute
        self._threads: DaemonThreadPool | None = None
        if IReactorThreads.providedBy(reactor):
            self._threads = DaemonThreadPool(0, 1, "replay")
            self._threads.start()
            self._run_blocking = partial(deferToThreadPool, reactor, self._threads)
        self._is_stopped = False
        self._anchor = (0.0, 0)  # seconds of the reactor, and the position then
        self._call: IDelayedCall | None = None

    # -- called by the server

    def start(self) -> None:
        """Go to the first time. Raises the errors of the source."""
        self._begin_at(self.first)
        is_ready = False
        while not is_ready:
            is_ready = self._prepare(self._read())
        self._set_anchor()
        self._schedule(0)

    def stop(self) -> None:
        """Stop for good."""
        self._is_stopped = True
        self._cancel_call()
        if self._threads is not None:
            self._threads.stop_within(0)

    # -- called by REST. Each raises Conflict during a seek.

    def pause(self) -> None:
        """Stop the clock until `resume`."""
        self._require_no_seek()
        if self.state in ("playing", "waiting"):
            self._set_state("paused")

    def resume(self) -> Deferred[None]:
        """Continue after `pause`; after the end, from the start."""
        self._require_no_seek()
        if self.state == "ended":
            return self.seek(self.first)
        if self.state == "paused":
            self._set_anchor()
            self._set_state("playing" if self._stage.is_wanted else "waiting")
            self._schedule(0)
        return succeed(None)

    def seek(self, position: int) -> Deferred[None]:
        """Go to a time, microseconds since 1970, UTC. A paused replay stays paused.

        Fires when the replay is there, and can be cancelled without an effect on it. If the source fails, the Deferred
        does so too, and the replay has ended.

        Raises ValueError if the time is outside of the replay.
        """
        self._require_no_seek()
        if not self.first <= position <= self.last:
            raise ValueError(f"expected a time from {iso_time(self.first)} to {iso_time(self.last)}")
        state = "paused" if self.state == "paused" else "waiting"
        self._cancel_call()
        self._set_state(SEEKING)
        self._begin_at(position)
        arrived: Deferred[None] = Deferred()
        Deferred.fromCoroutine(self._read_on(state)).chainDeferred(arrived)
        return arrived

    def set_speed(self, speed: float) -> None:
        """Set the speed; MAX: without pauses."""
        self._require_no_seek()
        self.speed = speed
        self._set_anchor()
        self.on_change()
        self._schedule(0)

    def status(self) -> dict[str, Any]:
        """Return the clock, for /status. docs/recording.md describes the keys."""
        return {
            "state": self.state,
            "time": iso_time(self.position),
            "speed": "max" if self.speed == MAX else self.speed,
            "from": iso_time(self.first),
            "to": iso_time(self.last),
            "loop": self._loop,
            "folder": self._folder,
        }

    # -- inside

    def _require_no_seek(self) -> None:
        if self.state == SEEKING:
            raise Conflict("The replay is on the way to another time.")

    def _begin_at(self, position: int) -> None:
        self._stage.begin_at(position / 1e6)
        self._events = self._source.events(position)
        self._next = None
        self.position = position

    def _read(self) -> list[ReplayEvent | None]:
        """Return some of the next events, up to the one to play next.

        None: there are no more events. Called in a thread, except at the start.
        """
        found: list[ReplayEvent | None] = []
        while len(found) < READ_EVENTS and (not found or self._is_before(found[-1])):
            found.append(next(self._events, None))
        return found

    def _is_before(self, event: ReplayEvent | None) -> bool:
        return event is not None and (event.time < self.position or event.is_state)

    def _prepare(self, events: list[ReplayEvent | None]) -> bool:
        """Apply events before the position. Return whether the last is to be played."""
        for event in events:
            if event is None or not self._is_before(event):
                self._next = event
                return True
            self._stage.prepare(event)
        return False

    async def _read_on(self, state: str) -> None:
        """Read and apply the events up to the position, and continue with a state."""
        try:
            is_ready = False
            while not is_ready:
                events = await self._run_blocking(self._read)
                if self._is_stopped:
                    return
                is_ready = self._prepare(events)
        except Exception as error:
            self._end_with(error)
            raise
        self._set_anchor()
        self._set_state(state)
        self._schedule(0)

    def _set_anchor(self) -> None:
        self._anchor = (self._reactor.seconds(), self.position)

    def _set_state(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self.on_change()

    def _schedule(self, delay: float) -> None:
        self._cancel_call()
        self._call = self._reactor.callLater(delay, self._run)

    def _cancel_call(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _run(self) -> None:
        if self.state == "waiting" and self._stage.is_wanted:
            self._set_anchor()
            self._set_state("playing")
        if self.state == "waiting":
            self._schedule(LONGEST_PAUSE)
        if self.state != "playing":
            return
        if self.speed == MAX:
            target = self.last
        else:
            began, position = self._anchor
            target = min(self.last, position + int((self._reactor.seconds() - began) * 1e6 * self.speed))
        try:
            self._play_until(target)
        except Exception as error:
            self._end_with(error)
            return
        if target >= self.last and (self._next is None or self._next.time > self.last):
            self._end()
            return
        self._schedule(self._delay(target))

    def _play_until(self, target: int) -> None:
        """Play the events up to a time, as many as fit into one iteration."""
        deadline = self._reactor.seconds() + SLICE
        count = 0
        while (event := self._next) is not None and event.time <= target:
            if self.speed == MAX and self._stage.is_blocked:
                return
            self._move(event.time)
            self._next = next(self._events, None)
            call_safely(self._stage.play, event)
            count += 1
            if count % 16 == 0 and self._reactor.seconds() >= deadline:
                return
            if self.state != "playing":
                return
        if self.speed != MAX or self._next is None:
            self._move(target)

    def _move(self, time: int) -> None:
        if time > self.position:
            self.position = time
            self._stage.move_clock(time / 1e6)

    def _delay(self, target: int) -> float:
        if self.speed == MAX:
            return 0.001 if self._stage.is_blocked else 0.0
        if self._next is None:
            return LONGEST_PAUSE
        return min(max(SHORTEST_PAUSE, (self._next.time - target) / 1e6 / self.speed), LONGEST_PAUSE)

    def _end_with(self, error: Exception) -> None:
        _log.error("The replay has ended: {text}", text=str(error))
        self._set_state("ended")

    def _end(self) -> None:
        self._move(self.last)
        if self._loop:
            _log.info("The replay begins again.")
            self.seek(self.first).addErrback(lambda failure: None)  # it is logged
        else:
            _log.info("The replay has ended.")
            self._set_state("ended")
