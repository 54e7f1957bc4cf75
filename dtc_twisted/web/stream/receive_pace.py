"""Limit what one client can make the gateway do.

Each frame is one unit of work, and so is each symbol of a list. A client has BURST units, and RATE more each second.
What it sends beyond stays unread in its socket until there are units again. If it sends many frames at once, those of
other clients are processed in between.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.work_turns import TURN_STEPS, Job, WorkTurns

RATE = 1000
"""Units of work of one client in a second, on average."""
BURST = 5000
"""Units of work of a client that was silent."""
_WAITED_FOR = 100
"""Units that a client waits for when it has none, so that it is not served one by one."""
_END = object()


class ReceivePace:
    """Decide when the frames of one client are processed.

    turns: of all clients.
    transport: is not read while frames wait.
    consume: processes the bytes that have arrived. It calls `may_begin` before each frame, and `charge` after it.
    on_pause: called when the client has sent more than its rate.
    """

    def __init__(
        self,
        clock: IReactorTime,
        turns: WorkTurns,
        transport: Any,
        consume: Callable[[], None],
        on_pause: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._turns = turns
        self._transport = transport
        self._consume = consume
        self._on_pause = on_pause
        self._units = float(BURST)
        self._counted_at = clock.seconds()
        self._allowed = TURN_STEPS  # units before others have their turn
        self._job: Job | None = None  # of the present request
        self._timer: IDelayedCall | None = None
        self._is_held = False
        self._is_closed = False

    # -- called by the protocol

    def begin_read(self) -> None:
        """Note that bytes have arrived, in another iteration of the reactor."""
        if not self._is_held:
            self._allowed = TURN_STEPS

    def may_begin(self) -> bool:
        """Return whether the next frame may be processed now.

        If not, `consume` is called again.
        """
        if self._is_held:
            return self._allowed > 0
        if self._job is None and self._may_work():
            return True
        self._hold()
        return False

    def charge(self, units: int = 1) -> None:
        """Count work of the client."""
        self._units -= units
        self._allowed -= units

    def run(self, job: Job) -> None:
        """Do the work of a request in steps, before the next frame.

        Each step is one unit.
        """
        self._job = job
        while self._job is not None and self._may_work():
            self._do_step(self._job)
        if self._job is not None and not self._is_held:
            self._hold()

    def drop_job(self) -> None:
        """Do no further step of the present request."""
        self._job = None

    def close(self) -> None:
        """Stop, because the connection has ended."""
        self._is_closed = True
        self._job = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- frames that wait

    def _may_work(self) -> bool:
        return self._allowed > 0 and self._units > 0 and self._turns.has_time()

    def _hold(self) -> None:
        self._is_held = True
        self._allowed = 0
        self._transport.pauseProducing()
        self._continue()

    def _continue(self) -> None:
        """Go on in a later turn, or when there are units again."""
        self._timer = None
        now = self._clock.seconds()
        self._units = min(float(BURST), self._units + max(0.0, now - self._counted_at) * RATE)
        self._counted_at = now
        if self._units > 0:
            self._turns.add(self._steps())
        else:
            self._on_pause()
            self._timer = self._clock.callLater((_WAITED_FOR - self._units) / RATE, self._continue)

    def _do_step(self, job: Job) -> None:
        self.charge()
        if next(job, _END) is _END:
            self._job = None

    def _consume_frame(self) -> None:
        try:
            self._consume()
        except Exception:  # as the reactor does after an error in dataReceived
            self._transport.abortConnection()
            raise

    def _steps(self) -> Job:
        while not self._is_closed:
            if self._job is not None:
                self._do_step(self._job)
            else:
                self._allowed = 1
                self._consume_frame()
                if self._allowed > 0:  # no frame was complete enough to begin
                    break
            self._allowed = 0
            if self._units <= 0:
                self._continue()
                return
            yield
        if not self._is_closed:
            self._is_held = False
            self._allowed = TURN_STEPS
            self._transport.resumeProducing()
