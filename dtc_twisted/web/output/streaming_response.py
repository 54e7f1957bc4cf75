"""The flow of rows from where they come to an HTTP caller.

An answer that breaks off after its first row ends with a row (in CSV a line that begins with `# error:`) that says why,
and then without the end that HTTP expects, so that no caller can take it for a whole one.
"""

import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from dtc_twisted.dtc.messages import Message
from dtc_twisted.logs import logger
from dtc_twisted.web.output.formats import Row, RowEncoder

ROWS_PER_FLUSH = 100
"""Rows that are written at one turn of the reactor: so long, some tenths of a millisecond, does everybody else wait."""

MAX_BUFFERED_ROWS = 20_000
"""Rows, some 20 MB, that are kept for a caller who reads too slowly, from a source that does not wait."""

STALL_TIMEOUT = 120.0
"""Seconds for which a caller may take nothing. After that its place at the historical port is for others."""

SEND_BUFFER_SIZE = 256 * 1024
"""Bytes that the operating system may hold on our side. By itself it takes megabytes, and one who reads slowly, row by
row, would look for minutes like one who does not read at all."""

_log = logger(__name__)


class Source(Protocol):
    """Where rows come from, if it can be told to wait (IPushProducer)."""

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...


@implementer(IPushProducer)
class StreamingResponse:
    """The answer to one request, from the first row to the last.

    request: twisted.web's.
    encoding: of FORMATS.
    describe: makes the JSON error of a failure.

    Rows go out at the end of the reactor's turn in which they came, or at the next ones when they are many; not at all
    while the caller reads too slowly, and then their source is asked to wait. A caller who takes nothing for PATIENCE,
    or lets MOST_WAITING rows pile up, is dropped. A short answer that is complete before it began to go out has a
    Content-Length.
    """

    def __init__(
        self,
        request: Request,
        encoding: RowEncoder,
        clock: IReactorTime,
        describe: Callable[[Failure], dict[str, Any]],
    ) -> None:
        self._request = request
        self._encoding = encoding
        self._clock = clock
        self._describe = describe
        self.convert_rows: Callable[[Sequence[Message]], Sequence[Row]] | None = None
        """Makes of the rows what is shown of them."""
        self._rows: deque[Message] = deque()
        self._started = False
        self._complete = False  # all rows are here,
        self._failure: Failure | None = None  # or all that there will ever be
        self._is_closed = False
        self._paused = False
        self._call: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None
        self._source: Source | None = None
        self._done: Deferred[Any] | None = None
        self._result: Deferred[bytes | None]

    # -- from where the rows come

    def extend(self, rows: Iterable[Message]) -> None:
        """More rows."""
        if self._is_closed:
            return
        self._rows.extend(rows)
        if len(self._rows) > MAX_BUFFERED_ROWS and self._source is None:
            self._drop_client(f"it let {MAX_BUFFERED_ROWS} rows pile up")
        else:
            self._schedule_flush()

    def append(self, row: Message) -> None:
        """One more."""
        self.extend((row,))

    # -- from Rest

    def body(self, rows: Iterable[Message]) -> bytes:
        """The body, of rows that are all there. Raises TypeError for what cannot be written."""
        self._rows.extend(rows)
        return self._set_headers(self._encode_next(len(self._rows)) + self._encoding.end())

    def stream(self, done: Deferred[Any], source: Source | None = None) -> Deferred[bytes | None]:
        """The body, or None once it was written in pieces.

        done: fires after the last row. When it fails, so does the result; unless rows have been sent already: then the
            connection is closed. It is cancelled when the result is.
        source: who waits when the caller reads too slowly; without one, rows are kept until the caller reads on.
        """
        self._source, self._done = source, done
        self._result = Deferred(lambda _result: self._client_gone())
        done.addCallbacks(lambda _result: self._finish(), self._fail)
        return self._result

    # -- from the transport (IPushProducer)

    def pauseProducing(self) -> None:
        self._paused = True
        self._cancel_calls()
        if not self._is_closed:
            self._timer = self._clock.callLater(
                STALL_TIMEOUT, self._drop_client, f"it took nothing for {STALL_TIMEOUT:g} s"
            )
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
        """The caller left; the request's own notice of that follows, and cancels the result."""
        self._paused = True
        self._cancel_calls()

    # -- on its way

    def _schedule_flush(self) -> None:
        if (self._rows or self._complete) and self._call is None and not self._paused:
            self._call = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        """Writes what waits, or a part of it; and the end, if this was all."""
        self._call = None
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
            _limit_buffer(self._request.transport)
        if self._complete and not self._rows:
            self._end(body)
            return
        self._request.write(body)  # which may pause us
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
            body = self._encode_next(ROWS_PER_FLUSH) + self._encoding.end()
        except Exception:
            self._fail(Failure())
            return
        self._close()
        self._result.callback(self._set_headers(body))

    def _fail(self, failure: Failure) -> None:
        """What was sent already cannot be taken back: it is marked as broken off."""
        if self._is_closed:
            return
        if self._started:
            self._failure = failure
            self._finish()
        else:
            self._close()
            self._result.errback(failure)

    def _end(self, body: bytes) -> None:
        """After the last row."""
        failure = self._failure
        self._close()
        self._request.unregisterProducer()
        if failure is None:
            self._request.write(body + self._encoding.end())
            self._result.callback(None)
        else:
            self._request.write(body + self._encoding.error(self._describe(failure)) + self._encoding.end())
            # Without the chunk that ends a whole answer. The result is left alone: the request's end cancels it.
            self._request.loseConnection()

    def _abort_source(self, failure: Failure | None) -> None:
        """Wants no more rows: they cannot be written, or (None) nobody wants to see them."""
        assert self._done is not None
        if failure is None:
            self._close()
            self._result.callback(None)
        else:
            self._rows.clear()
            self._fail(failure)
        self._done.cancel()

    def _drop_client(self, why: str) -> None:
        """Cuts the connection. The request's end cancels the result."""
        _log.warn("Dropped the caller of {path}: {why}.", path=self._request.path.decode("utf-8", "replace"), why=why)
        self._client_gone()
        transport: Any = self._request.transport
        transport.abortConnection()

    def _client_gone(self) -> None:
        """The caller went away, or has seen the end of what there is."""
        if not self._is_closed:
            self._close()
            if self._done is not None:
                self._done.cancel()

    def _close(self) -> None:
        self._is_closed = True
        self._rows.clear()
        self._cancel_calls()

    def _cancel_calls(self) -> None:
        for call in (self._call, self._timer):
            if call is not None and call.active():
                call.cancel()
        self._call = self._timer = None

    def _encode_next(self, most: int) -> bytes:
        """So many of the rows that wait, in one piece."""
        rows: Sequence[Message] = list(islice(self._rows, most))
        if not rows:
            return b""
        for _ in rows:
            self._rows.popleft()
        return self._encoding.rows(rows if self.convert_rows is None else self.convert_rows(rows))

    def _set_headers(self, body: bytes) -> bytes:
        self._request.setHeader("Content-Type", self._encoding.content_type)
        self._request.setHeader("Content-Length", str(len(body)))
        return body


def _limit_buffer(transport: Any) -> None:
    if hasattr(transport, "getHandle"):  # not every transport has a socket
        transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_SIZE)
