"""Write rows to an HTTP caller as they arrive.

If the source of rows fails after the first row was sent, the answer ends with a row that contains the error (in CSV a
line that begins with `# error:`). Then the connection is closed without the end of the body that HTTP requires, so that
no caller takes the answer for complete.
"""

import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from dtc_twisted.dtc.messages import Message
from dtc_twisted.logs import logger
from dtc_twisted.web.output.formats import Row, RowEncoder
from dtc_twisted.work_turns import WorkTurns

ROWS_PER_FLUSH = 40
"""Rows written in one step.

All other work waits meanwhile: one or two tenths of a millisecond.
"""

MAX_BUFFERED_ROWS = 20_000
"""Rows (about 20 MB) buffered for a caller that reads slowly, if the source cannot be paused."""

STALL_TIMEOUT = 120.0
"""Seconds without progress after which a caller is disconnected, because it occupies a connection to the server."""

SEND_BUFFER_SIZE = 256 * 1024
"""Send buffer of the socket (SO_SNDBUF), in bytes. With the system's default of megabytes, a caller that reads slowly
could not be distinguished for minutes from one that does not read at all."""

_log = logger(__name__)


class Source(Protocol):
    """Describe a source of rows that can be paused (as IPushProducer)."""

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...


@implementer(IPushProducer)
class StreamingResponse:
    """Write the rows of one answer.

    request: the request of twisted.web.
    encoding: encodes the rows.
    describe: makes the JSON error of a failure.
    convert_rows: converts rows before they are encoded; None: they are not converted.
    turns: shared with other answers, which are written in turns; None: this answer is written alone.

    Rows are written in turns after the reactor's iteration in which they arrived, ROWS_PER_FLUSH in each step.
    While the caller reads too slowly, no rows are written, and their source is paused. The caller is disconnected if it
    reads nothing for STALL_TIMEOUT, or if MAX_BUFFERED_ROWS rows wait. An answer that is complete before its first row
    was written, and is short, has a Content-Length.
    """

    def __init__(
        self,
        request: Request,
        encoding: RowEncoder,
        clock: IReactorTime,
        describe: Callable[[Failure], dict[str, Any]],
        turns: WorkTurns | None = None,
    ) -> None:
        self._request = request
        self._encoding = encoding
        self._clock = clock
        self._describe = describe
        self.convert_rows: Callable[[Sequence[Message]], Sequence[Row]] | None = None
        self._rows: deque[Message] = deque()
        self._started = False
        self._complete = False  # no more rows will be added
        self._failure: Failure | None = None  # why rows are missing, if the answer is complete without them
        self._is_closed = False
        self._paused = False
        self._turns = WorkTurns(clock) if turns is None else turns
        self._is_scheduled = False
        self._timer: IDelayedCall | None = None
        self._source: Source | None = None
        self._done: Deferred[Any] | None = None
        self._result: Deferred[bytes | None]

    # -- called by the source of the rows

    def extend(self, rows: Iterable[Message]) -> None:
        """Add rows."""
        if self._is_closed:
            return
        self._rows.extend(rows)
        if len(self._rows) > MAX_BUFFERED_ROWS and self._source is None:
            self.drop(f"{MAX_BUFFERED_ROWS} rows were waiting for it")
        else:
            self._schedule_flush()

    def append(self, row: Message) -> None:
        """Add one row."""
        self.extend((row,))

    # -- called by RestApi

    @property
    def unread(self) -> int:
        """Number of rows that are not written yet."""
        return len(self._rows)

    @property
    def is_paused(self) -> bool:
        """Whether the caller reads too slowly."""
        return self._paused

    def write_all(self, rows: Sequence[Message]) -> bytes | Deferred[bytes | None]:
        """Write rows that have all arrived.

        The result is the whole body if they are few, otherwise that of `stream`.
        """
        self._rows.extend(rows)
        if self._is_closed or len(rows) > ROWS_PER_FLUSH:
            return self.stream(succeed(None))
        return self._whole_body()

    def drop(self, why: str) -> None:
        """Abort the connection. The request then cancels the result."""
        _log.warn(
            "Closed the connection of a caller of {path}: {why}.",
            path=self._request.path.decode("utf-8", "replace"),
            why=why,
        )
        self._on_client_lost()
        transport: Any = self._request.transport
        transport.abortConnection()

    def stream(self, done: Deferred[Any], source: Source | None = None) -> Deferred[bytes | None]:
        """Write rows until `done` fires.

        The result is the whole body, or None if the body was written in parts.

        done: fires after the last row. If it fails before the first row was sent, the result fails. If it fails later,
            the connection is closed. It is cancelled when the result is.
        source: paused while the caller reads too slowly; None: rows are buffered meanwhile.
        """
        self._source, self._done = source, done
        self._result = Deferred(lambda _result: self._on_client_lost())
        done.addCallbacks(lambda _result: self._finish(), self._fail)
        return self._result

    # -- called by the transport (IPushProducer)

    def pauseProducing(self) -> None:
        self._paused = True
        self._cancel_calls()
        if not self._is_closed:
            self._timer = self._clock.callLater(STALL_TIMEOUT, self.drop, f"it read nothing for {STALL_TIMEOUT:g} s")
            if self._source is not None:
                self._source.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        if self._is_closed:
            return
        self._cancel_calls()
        self._schedule_flush()
        if self._source is not None:
            self._source.resumeProducing()

    def stopProducing(self) -> None:
        """Stop writing, because the connection is lost.

        The request then cancels the result.
        """
        self._paused = True
        self._cancel_calls()

    # -- inside

    def _schedule_flush(self) -> None:
        if (self._rows or self._complete) and not self._paused and not self._is_scheduled:
            self._is_scheduled = True
            self._turns.call(self._take_turn)

    def _take_turn(self) -> None:
        self._is_scheduled = False
        if not self._is_closed and not self._paused:
            self._flush()

    def _flush(self) -> None:
        """Write at most ROWS_PER_FLUSH rows, and the end of the body after the last row."""
        try:
            body = self._encode_next(ROWS_PER_FLUSH)
        except Exception:
            self._abort_source(Failure())
            return
        if not self._started:
            self._started = True
            self._request.setHeader("Content-Type", self._encoding.content_type)
            if self._request.method == b"HEAD":
                self._abort_source(None)
                return
            self._request.registerProducer(self, True)
            limit_buffer(self._request.transport)
        if self._complete and not self._rows:
            self._end(body)
            return
        self._request.write(body)  # the transport may call pauseProducing here
        self._schedule_flush()

    def _finish(self) -> None:
        if self._is_closed:
            return
        self._complete = True
        if self._started or len(self._rows) > ROWS_PER_FLUSH:
            if len(self._rows) <= ROWS_PER_FLUSH and not self._paused:
                self._cancel_calls()
                self._flush()
            else:
                self._schedule_flush()
            return
        try:
            body = self._whole_body()
        except Exception:
            self._fail(Failure())
            return
        self._result.callback(body)

    def _fail(self, failure: Failure) -> None:
        """Fail the result, or end the answer with an error if rows were sent already."""
        if self._is_closed:
            return
        if self._started:
            self._failure = failure
            self._finish()
        else:
            self._close()
            self._result.errback(failure)

    def _end(self, body: bytes) -> None:
        """Write the last rows, then the end of the body or the error."""
        failure = self._failure
        self._close()
        self._request.unregisterProducer()
        if failure is None:
            self._request.write(body + self._encoding.end())
            self._result.callback(None)
        else:
            self._request.write(body + self._encoding.error(self._describe(failure)) + self._encoding.end())
            # The chunk that ends a complete body is not sent. The result is not fired, because the request cancels it.
            self._request.loseConnection()

    def _abort_source(self, failure: Failure | None) -> None:
        """Cancel the source of the rows.

        failure: why rows cannot be encoded; None: rows are not needed, because the method is HEAD.
        """
        assert self._done is not None
        if failure is None:
            self._close()
            self._result.callback(None)
        else:
            self._rows.clear()
            self._fail(failure)
        self._done.cancel()

    def _on_client_lost(self) -> None:
        """Discard the rows and cancel their source, because the connection has ended."""
        if not self._is_closed:
            self._close()
            if self._done is not None:
                self._done.cancel()

    def _close(self) -> None:
        self._is_closed = True
        self._rows.clear()
        self._cancel_calls()

    def _cancel_calls(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _encode_next(self, most: int) -> bytes:
        """Remove at most `most` rows from the buffer, and return them encoded."""
        rows: Sequence[Message] = [self._rows.popleft() for _ in range(min(most, len(self._rows)))]
        if not rows:
            return b""
        return self._encoding.rows(rows if self.convert_rows is None else self.convert_rows(rows))

    def _whole_body(self) -> bytes:
        """Return the body of a short answer, and set its headers.

        None of its rows is written yet.
        """
        body = self._encode_next(ROWS_PER_FLUSH) + self._encoding.end()
        self._close()
        self._request.setHeader("Content-Type", self._encoding.content_type)
        self._request.setHeader("Content-Length", str(len(body)))
        return body


def limit_buffer(transport: Any) -> None:
    """Limit the send buffer of a connection's socket."""
    if hasattr(transport, "getHandle"):  # not every transport has a socket
        transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_SIZE)
