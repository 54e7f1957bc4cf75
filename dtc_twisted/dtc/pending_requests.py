"""Hold the requests whose last response has not arrived."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.responses import RESPONSES, ResponseSpec, are_records_before_final
from dtc_twisted.errors import RequestRejected, RequestTimedOut, UnusableAnswer
from dtc_twisted.logs import shorten

_NUMBERED_LIMIT = 6
"""Timeouts that an answer may take as a whole if its responses are numbered."""

_LIST_LIMIT = 60
"""Timeouts that a list may take. It may have many thousands of rows."""

_UNREADABLE = "A message of the server's answer cannot be read."


@dataclass
class _Pending:
    """A request whose last response has not arrived.

    ends_at: time at which the request fails, whatever arrives.
    """

    request: Message
    spec: ResponseSpec
    result: Deferred[list[Message]]
    timeout: float | None
    timer: IDelayedCall | None
    ends_at: float
    responses: list[Message]
    on_response: Callable[[Message], None]
    numbers: set[int] = field(default_factory=set)
    unnumbered: int = 0
    total: int = 0

    @property
    def has_responses(self) -> bool:
        """Return whether a response has arrived."""
        return bool(self.numbers or self.unnumbered)

    def is_repeated(self, response: Message) -> bool:
        """Return whether a response with this MessageNumber has arrived before."""
        return self.spec.is_numbered and self.spec.number(response) in self.numbers

    def is_complete(self, response: Message) -> bool:
        """Count a response, and return whether all have arrived.

        Numbered responses are counted by their numbers, because they can arrive in another order, or twice. A response
        whose number the server omitted counts as one more.
        """
        number = self.spec.number(response) if self.spec.is_numbered else 0
        if number:
            self.numbers.add(number)
        else:
            self.unnumbered += 1
        if self.spec.is_numbered:
            self.total = max(self.total, self.spec.total(response))
        if self.total and not self.spec.is_empty(response):
            return len(self.numbers) + self.unnumbered >= self.total
        is_whole = self.spec.is_whole
        return self.spec.is_last(response) or (is_whole is not None and is_whole(self.request, response))


class PendingRequests:
    """The requests of one session, by RequestID."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._pending: dict[int, _Pending] = {}
        self._last_id = 0

    # -- called by Session

    @property
    def is_waiting(self) -> bool:
        """Whether a request has no complete answer yet."""
        return bool(self._pending)

    def add(
        self, request: Message, timeout: float | None, on_response: Callable[[Message], None] | None
    ) -> tuple[int, Deferred[list[Message]]]:
        """Register a request. Return its RequestID and its result.

        The arguments and the result are those of Session.request.
        """
        self._last_id += 1
        request_id = self._last_id
        spec = RESPONSES[type(request)]
        result: Deferred[list[Message]] = Deferred(lambda _result: self._cancel(request_id))
        responses: list[Message] = []
        timer, ends_at = None, 0.0
        if timeout is not None:
            timer = self._clock.callLater(timeout, self._time_out, request_id)
            ends_at = self._clock.seconds() + timeout * (_NUMBERED_LIMIT if spec.is_numbered else _LIST_LIMIT)
        take = on_response or responses.append
        self._pending[request_id] = _Pending(request, spec, result, timeout, timer, ends_at, responses, take)
        return request_id, result

    def fail(self, request_id: int, failure: Failure) -> None:
        """Fail a request, unless it has ended."""
        if request_id in self._pending:
            self._pop(request_id).result.errback(failure)

    def fail_all(self, error: Exception) -> None:
        """Fail all requests."""
        while self._pending:  # an errback may cancel other requests
            self._pop(next(iter(self._pending))).result.errback(error)

    def receive(self, message: Message) -> bool:
        """Process a response or a rejection. Return False if it belongs to no request."""
        request_id = self._request_id_of(message)
        pending = None if request_id is None else self._pending.get(request_id)
        if pending is None or request_id is None or type(message) not in (*pending.spec.types, pending.spec.reject):
            return False
        if type(message) is pending.spec.reject:
            text = getattr(message, "RejectText", "") or "The server gave no reason."
            retry_after = getattr(message, "RetryTimeInSeconds", 0) or None  # in 802, where it may be 0
            self._pop(request_id).result.errback(RequestRejected(shorten(text), retry_after))
        elif pending.spec.is_unknown(message):
            text = f"The server does not know the symbol {getattr(message, 'Symbol', '')}."
            self._pop(request_id).result.errback(RequestRejected(text))
        elif not pending.is_repeated(message):
            if pending.spec.has_data(message):
                pending.on_response(message)
            elif pending.spec.is_damaged(message):
                self.fail(request_id, Failure(UnusableAnswer(_UNREADABLE)))
            if request_id not in self._pending:
                return True  # on_response has cancelled the request, or it has failed
            if pending.is_complete(message):
                self._pop(request_id).result.callback(pending.responses)
            else:
                self._restart_timer(pending)
        return True

    def receive_records(self, messages: list[Message]) -> bool:
        """Process records of one answer that does not end with them.

        Return False if they have to be processed one by one.
        """
        first: Any = messages[0]
        request_id = first.RequestID
        pending = self._pending.get(request_id)
        if pending is None or type(first) not in pending.spec.types or not are_records_before_final(messages):
            return False
        for message in messages:
            if request_id not in self._pending:
                return True  # on_response has cancelled the request
            pending.on_response(message)
        pending.unnumbered += len(messages)
        if request_id in self._pending:
            self._restart_timer(pending)
        return True

    def receive_malformed(self, request_id: int | None, kind: int | None) -> None:
        """Fail the requests to whose answers a message may belong that cannot be read.

        If the responses are numbered, nothing is done, because the missing one is noticed.

        request_id, kind: RequestID and Type of the message; None: they cannot be read either, or are not named.
        """
        for each, pending in [*self._pending.items()]:
            is_of_kind = kind is None or any(kind == response.Type for response in pending.spec.types)
            is_of_request = each == request_id or (request_id is None and is_of_kind)
            if is_of_request and not pending.spec.is_numbered:
                self.fail(each, Failure(UnusableAnswer(_UNREADABLE)))

    # -- inside

    def _restart_timer(self, pending: _Pending) -> None:
        """Restart the timeout of a request, within the limit of the whole answer."""
        if pending.timer is not None and pending.timeout is not None:
            left = pending.ends_at - self._clock.seconds()
            pending.timer.reset(max(0.0, min(pending.timeout, left)))

    def _request_id_of(self, message: Message) -> int | None:
        """Return the RequestID that a message responds to; None if it is unsolicited."""
        if getattr(message, "Unsolicited", 0) == 1:
            return None
        if not hasattr(message, "RequestID"):  # JOURNAL_ENTRY_RESPONSE: the oldest request of its kind
            waiting = (number for number, each in self._pending.items() if type(message) in each.spec.types)
            return next(waiting, None)
        return message.RequestID or None

    def _time_out(self, request_id: int) -> None:
        pending = self._pop(request_id)
        if pending.has_responses and pending.spec.is_numbered and not pending.total:
            pending.result.callback(pending.responses)  # no response stated the number of responses: these are all
            return
        text = f"The server did not answer within {pending.timeout:g} s."
        if pending.has_responses and self._clock.seconds() >= pending.ends_at:
            text = "The server did not complete its answer in time."
        pending.result.errback(RequestTimedOut(text))

    def _cancel(self, request_id: int) -> None:
        self._pop(request_id)

    def _pop(self, request_id: int) -> _Pending:
        pending = self._pending.pop(request_id)
        if pending.timer is not None and pending.timer.active():
            pending.timer.cancel()
        return pending
