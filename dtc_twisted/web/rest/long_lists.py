"""Request lists from the server. A list can have many thousands of rows.

Lists and live data arrive on one connection, in the order in which the server sends them. So a list is asked for after
the one before has ended, and after a pause in which only live data arrive. The pause is as long as its rows took to
arrive, and up to a second if lists are asked for without end; one of less than MIN_PAUSE is left out. While lists are
that short, two are asked for at once. A list of which no row has arrived for SILENT_SECONDS keeps no other waiting.
Callers whose requests are read in the same iteration of the reactor share a list.
"""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.responses import RESPONSES
from dtc_twisted.errors import Busy
from dtc_twisted.refusals import Refusals
from dtc_twisted.web.rest.routes import GET_REQUESTS, STREAMED_REQUESTS
from dtc_twisted.work_turns import TimeShare

MAX_WAITING = 16
"""Lists that wait until the server is asked for them."""
MAX_ASKED = 8
"""Lists that the server was asked for and has not completed."""
FEW_CALLERS = 8
"""Callers that may wait to be answered when a second list is asked for. With more, sharing a list is quicker."""
SILENT_SECONDS = 0.5
"""Seconds without a row of a list after which the next one is asked for."""
MAX_ANSWERS = 64
"""Answers to callers that wait for a list or are being written."""
MAX_UNREAD_ROWS = 40_000
"""Rows (about 40 MB) that callers may have unread when the next list is requested. Above that, the caller that has read
slowly for the longest time is disconnected first."""
SHARE = 0.01
"""Part of the time in which rows of lists may arrive, if lists are asked for without end."""
BURST = 0.05
"""Seconds in which rows may arrive before the pauses grow."""
MIN_PAUSE = 0.001
"""Shortest pause, in seconds. Timers are no more precise."""
MAX_PAUSE = 1.0
"""Longest pause between two lists, in seconds."""
ANSWER_SECONDS = 0.001
"""Time for which callers are answered before live data are processed. The last answer may end later."""
RETRY_SECONDS = 1.0
"""Seconds after which a refused caller may try again."""

T = TypeVar("T")

Request = Callable[[Message, Callable[[Message], None]], Deferred[list[Message]]]


class Answer(Protocol):
    """Write rows to a caller.

    unread: number of rows that are not written yet.
    is_paused: whether the caller reads too slowly.
    """

    @property
    def unread(self) -> int: ...

    @property
    def is_paused(self) -> bool: ...

    def extend(self, rows: Sequence[Message], /) -> None: ...

    def drop(self, why: str) -> None:
        """Abort the connection."""


class _ServerList:
    """Hold one list, and the callers who share it."""

    def __init__(self, request: Message) -> None:
        self.request = request
        self.callers: dict[Answer, Deferred[list[Message]]] = {}
        self.rows: list[Message] = []  # those that were not passed to the callers
        self.began: float | None = None  # when the first row arrived
        self.expected_until = 0.0  # until then, the next list waits for its rows


class LongLists:
    """Ask for one list after the other, and beside those that do not arrive.

    A list that others wait for is asked once, for all of them.

    clock: measures how long lists take.
    request: sends a request, and passes each response to the given function as it arrives.
    streamed: requests whose rows are written as they arrive. Their answers do not change within a session.
    refusals: counts the callers who are refused.
    """

    def __init__(
        self, clock: IReactorTime, request: Request, streamed: Collection[type[Message]], refusals: Refusals
    ) -> None:
        self._clock = clock
        self._request = request
        self._streamed = streamed
        self._refusals = refusals
        self._waiting: list[_ServerList] = []
        self._asked: list[_ServerList] = []
        self._answers: dict[Answer, None] = {}
        self._resume_at = 0.0  # end of the pause
        self._are_short = False  # the last list needs no pause
        self._share = TimeShare(SHARE, BURST)
        self._unanswered: deque[tuple[Deferred[list[Message]], object]] = deque()  # callers and rows of ended lists
        self._timer: IDelayedCall | None = None

    def ask(self, request: Message, answer: Answer) -> Deferred[list[Message]]:
        """Ask for a list, and return its rows.

        If they are written as they arrive, the result is an empty list, after the last was appended to the answer.
        `release` has to be called with the answer at its end. Fails as `request` does. Raises Busy.
        """
        known = self._shared(request)
        if known is None and len(self._waiting) >= MAX_WAITING:
            self._refuse(f"{MAX_WAITING} lists wait for the server")
        if len(self._answers) >= MAX_ANSWERS:
            self._drop_oldest_paused()
        if len(self._answers) >= MAX_ANSWERS:
            self._refuse(f"{MAX_ANSWERS} callers wait for lists")
        if known is None:
            known = _ServerList(request)
            self._waiting.append(known)
        rows: Deferred[list[Message]] = Deferred(lambda _rows: self._leave(known, answer))
        known.callers[answer] = rows
        self._answers[answer] = None
        self._start_after(0.0)
        return rows

    def release(self, result: T, answer: Answer) -> T:
        """Remove an answer that was written, or whose caller has left.

        result: the result of the answer's Deferred, which is returned.
        """
        self._answers.pop(answer, None)
        return result

    # -- inside

    def _shared(self, request: Message) -> _ServerList | None:
        """Return a list for which this request need not be sent again.

        An answer that began before may be out of date, or lacks its first rows for a further caller.
        """
        asked = [each for each in self._asked if each.began is None] if type(request) in self._streamed else []
        return next((each for each in (*asked, *self._waiting) if each.request == request), None)

    def _refuse(self, why: str) -> None:
        self._refusals.add("lists")
        raise Busy(f"{why}; nothing was sent.", RETRY_SECONDS)

    def _leave(self, left: _ServerList, answer: Answer) -> None:
        """Remove a caller.

        A list that the server was asked for has to arrive nevertheless.
        """
        left.callers.pop(answer, None)
        if not left.callers and left in self._waiting:
            self._waiting.remove(left)

    def _start_after(self, seconds: float) -> None:
        """Ask for the next list after some seconds, unless a timer does so before."""
        if self._timer is None:
            self._timer = self._clock.callLater(seconds, self._start_next)
        elif self._timer.getTime() > self._clock.seconds() + seconds:
            self._timer.reset(seconds)

    def _start_next(self) -> None:
        """Ask for the next list, or set a timer.

        The timer ends with the pause, or when rows of another list are not expected any more.
        """
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        if not self._waiting or len(self._asked) >= MAX_ASKED:
            return
        expected = sorted(each.expected_until for each in self._asked)
        if self._are_short and len(self._unanswered) <= FEW_CALLERS:
            expected = expected[:-1]
        resume_at = max((self._resume_at, *expected))
        left = resume_at - self._clock.seconds()
        if left >= MIN_PAUSE:
            self._start_after(left)
            return
        while sum(each.unread for each in self._answers) > MAX_UNREAD_ROWS and self._drop_oldest_paused():
            pass
        # a caller that was dropped may have been the last
        chosen = next(filter(self._is_distinct, self._waiting), None)
        if chosen is not None:
            self._waiting.remove(chosen)
            self._send(chosen)

    def _is_distinct(self, waiting: _ServerList) -> bool:
        """Return whether rows of a list cannot be taken for those of a list asked for."""
        kind = type(waiting.request)
        return hasattr(RESPONSES[kind].types[0], "RequestID") or all(
            type(each.request) is not kind for each in self._asked
        )

    def _send(self, chosen: _ServerList) -> None:
        self._asked.append(chosen)
        chosen.expected_until = self._clock.seconds() + SILENT_SECONDS
        ended: Deferred[Any] = maybeDeferred(self._request, chosen.request, partial(self._deliver, chosen))
        ended.addBoth(self._ended, chosen)
        self._start_next()

    def _deliver(self, asked: _ServerList, row: Message) -> None:
        now = self._clock.seconds()
        asked.expected_until = now + SILENT_SECONDS
        if asked.began is None:
            asked.began = now
        asked.rows.append(row)
        if type(asked.request) in self._streamed and len(asked.rows) == 1:
            self._clock.callLater(0, self._pass_on, asked)

    def _pass_on(self, asked: _ServerList) -> None:
        """Pass the rows of one iteration of the reactor to all callers at once."""
        rows, asked.rows = asked.rows, []
        for answer in [*asked.callers] if rows else ():
            answer.extend(rows)

    def _ended(self, result: object, ended: _ServerList) -> None:
        self._asked.remove(ended)
        if ended.began is not None:
            self._pause_for(self._clock.seconds(), ended.began)
        if type(ended.request) in self._streamed:
            self._pass_on(ended)
        is_answering = bool(self._unanswered)
        rows = result if isinstance(result, Failure) else ended.rows
        self._unanswered += [(caller, rows) for caller in ended.callers.values()]
        self._start_next()  # first, so that the server works while callers are answered
        if not is_answering:
            self._answer_callers()

    def _pause_for(self, now: float, began: float) -> None:
        """Set the end of the pause after a list whose rows arrived from `began` to now."""
        seconds = now - began
        pause = min(max(seconds, self._share.pause_after(seconds, now)), MAX_PAUSE)
        self._resume_at = now + pause
        self._are_short = pause < MIN_PAUSE

    def _answer_callers(self) -> None:
        """Pass the rows to callers, for ANSWER_SECONDS in each iteration of the reactor."""
        ends_at = self._clock.seconds() + ANSWER_SECONDS
        while self._unanswered and self._clock.seconds() < ends_at:
            caller, rows = self._unanswered.popleft()
            if caller.called:
                continue  # it has left
            if isinstance(rows, Failure):
                caller.errback(rows.value)
            else:
                caller.callback(rows)  # type: ignore[arg-type]
        if self._unanswered:
            self._clock.callLater(0, self._answer_callers)
        self._start_next()

    def _drop_oldest_paused(self) -> bool:
        """Disconnect the caller that reads too slowly for the longest time.

        Return False if there is none.
        """
        paused = next((each for each in self._answers if each.is_paused), None)
        if paused is None:
            return False
        del self._answers[paused]
        paused.drop("it read slowly while others waited for lists")
        return True


def make_lists(clock: IReactorTime, request: Request, refusals: Refusals) -> dict[type[Message], LongLists]:
    """Make the queues of requests for lists, by request.

    The requests of one queue do not wait for those of another, which a server may leave unanswered.
    """
    names = {spec.request: spec.queue for spec in GET_REQUESTS.values() if spec.queue}
    queues = {name: LongLists(clock, request, STREAMED_REQUESTS, refusals) for name in {*names.values()}}
    return {kind: queues[name] for kind, name in names.items()}
