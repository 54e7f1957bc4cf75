"""Send a subscriber that connects again what it missed.

    -> {"action": "subscribe", "channel": "trades", "symbol": "ESM20_FUT_CME", "epoch": 1795368190123, "from_seq": 17}
    <- {"action": "subscribe", ..., "epoch": 1795368190123, "seq": 20, "resumed": true, "success": true}
    <- messages 17 to 20, and then each one

or, if they are not all in the buffer any more:

    <- {"action": "subscribe", ..., "epoch": 1795368190123, "seq": 20, "resumed": false, "missed": 4, "success": true}
    <- a snapshot, where the channel has one, and then each message

"missed" is null if it is not known, because the epoch is another one.

The missed messages are sent piece by piece, as fast as the client reads. Meanwhile live messages of the client's other
subscriptions are not conflated.
"""

from collections import deque
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.market_data import RecentMessages
from dtc_twisted.web.stream.send_queue import SendQueue

TURN_BYTES = 64 * 1024
"""Bytes that are sent to one client before other work of the reactor is done."""


class CatchUpOwner(Protocol):
    """Describe a subscription that misses messages."""

    def send_missed(self, frames: list[bytes], kinds: list[Any], /) -> None:
        """Send missed messages."""

    def send_missed_event(self, seq: int, name: str, text: str, /) -> None:
        """Send an event. seq: the number of the message before it."""

    def join(self, seq: int, /) -> bool:
        """Receive live messages from a number on.

        False: messages before it are not sent yet.
        """

    def restart(self, missed: int, /) -> None:
        """Subscribe from the start, because the buffer does not have the rest any more.

        missed: number of messages that were dropped before they were sent.
        """


class CatchUp:
    """Send one subscription what it missed, piece by piece."""

    def __init__(self, recent: RecentMessages, seq: int, owner: CatchUpOwner) -> None:
        self.owner = owner
        self._recent = recent
        self._seq = seq  # of the next message to send
        self._event = recent.first_event(seq)

    def step(self) -> tuple[int, bool]:
        """Send a piece. Return its size in bytes, and whether there may be more."""
        recent = self._recent
        if not recent.has(self._seq):
            self.owner.restart(max(0, recent.next_seq - self._seq))
            return 0, False
        event = recent.event(self._event)
        frames, kinds = recent.read(self._seq, recent.next_seq if event is None else event[0])
        if frames:
            self._seq += len(frames)
            self.owner.send_missed(frames, kinds)
            return sum(map(len, frames)), True
        if event is not None:
            self._event += 1
            self.owner.send_missed_event(event[0] - 1, *event[1:])
            return 0, True
        return 0, not self.owner.join(self._seq)


class CatchUps:
    """Send one client what it missed, one subscription after the other."""

    def __init__(self, clock: IReactorTime, outgoing: SendQueue) -> None:
        self._clock = clock
        self._outgoing = outgoing
        self._waiting: deque[CatchUp] = deque()
        self._timer: IDelayedCall | None = None
        outgoing.on_drained = self._run

    def start(self, catch_up: CatchUp) -> None:
        """Send what a subscription misses, as soon as the client reads."""
        self._waiting.append(catch_up)
        self._run()

    def stop(self, owner: CatchUpOwner) -> None:
        """Send nothing more to a subscription."""
        self._waiting = deque(each for each in self._waiting if each.owner is not owner)

    def close(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        if self._timer is not None or not self._waiting:
            return
        self._outgoing.is_resuming = True
        rest = TURN_BYTES
        while self._waiting and rest > 0 and self._outgoing.is_drained:
            catch_up = self._waiting[0]
            size, has_more = catch_up.step()
            rest -= size
            if not has_more and self._waiting and self._waiting[0] is catch_up:
                self._waiting.popleft()
        self._outgoing.is_resuming = bool(self._waiting)
        if self._waiting and self._outgoing.is_drained:
            self._timer = self._clock.callLater(0, self._continue)

    def _continue(self) -> None:
        self._timer = None
        self._run()
