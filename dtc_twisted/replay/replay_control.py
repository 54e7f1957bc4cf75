"""Run the clock of a replay: play, pause, seek, speed, loop."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.logs import logger
from dtc_twisted.replay.replay_source import ReplayEvent, ReplaySource
from dtc_twisted.replay_options import MAX, ReplaySettings, iso_time

_log = logger(__name__)

SLICE = 0.01
"""Seconds of work in one iteration of the reactor."""

SHORTEST_PAUSE = 0.001
"""Seconds until the next event at least.

A shorter pause may be less than the clock can show.
"""

LONGEST_PAUSE = 0.25
"""Seconds between two moves of the clock while nothing happens."""


class ReplayStage(Protocol):
    """Does what the events of a replay say."""

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
        self._anchor = (0.0, 0)  # seconds of the reactor, and the position then
        self._call: IDelayedCall | None = None

    # -- called by the server

    def start(self) -> None:
        """Go to the first time. Raises the errors of the source."""
        self._go_to(self.first)
        self._schedule(0)

    def stop(self) -> None:
        """Stop for good."""
        if self._call is not None and self._call.active():
            self._call.cancel()

    # -- called by REST

    def pause(self) -> None:
        """Stop the clock until `resume`."""
        if self.state in ("playing", "waiting"):
            self._set_state("paused")

    def resume(self) -> None:
        """Continue after `pause`; after the end, from the start."""
        if self.state == "ended":
            self.seek(self.first)
        elif self.state == "paused":
            self._set_anchor()
            self._set_state("playing" if self._stage.is_wanted else "waiting")
            self._schedule(0)

    def seek(self, position: int) -> None:
        """Go to a time, microseconds since 1970, UTC. A paused replay stays paused.

        Raises ValueError if the time is outside of the replay.
        """
        if not self.first <= position <= self.last:
            raise ValueError(f"expected a time from {iso_time(self.first)} to {iso_time(self.last)}")
        is_paused = self.state == "paused"
        self._go_to(position)
        self._set_state("paused" if is_paused else "waiting")
        self._schedule(0)

    def set_speed(self, speed: float) -> None:
        """Set the speed; MAX: without pauses."""
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

    def _go_to(self, position: int) -> None:
        self._stage.begin_at(position / 1e6)
        self._events = self._source.events(position)
        self._next = next(self._events, None)
        while self._next is not None and (self._next.time < position or self._next.is_state):
            self._stage.prepare(self._next)
            self._next = next(self._events, None)
        self.position = position
        self._set_anchor()

    def _set_anchor(self) -> None:
        self._anchor = (self._reactor.seconds(), self.position)

    def _set_state(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self.on_change()

    def _schedule(self, delay: float) -> None:
        self.stop()
        self._call = self._reactor.callLater(delay, self._run)

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
        self._play_until(target)
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
            self._stage.play(event)
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

    def _end(self) -> None:
        self._move(self.last)
        if self._loop:
            _log.info("The replay begins again.")
            self.seek(self.first)
        else:
            _log.info("The replay has ended.")
            self._set_state("ended")
