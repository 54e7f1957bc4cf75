"""Answers of many rows, written to HTTP as they come: as a JSON array, a JSON object a line, or CSV.

A row is a DTC message, or a dictionary that was made of one. CSV has a line of names, then the fields in the order of
the protocol, `Type` first; what is unset is an empty cell; lines end with CRLF, as RFC 4180 has it.

An answer that breaks off after its first row ends with a row (in CSV a line that begins with `# error:`) that says why,
and then without the end that HTTP expects, so that no caller can take it for a whole one.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import msgspec
from msgspec import UNSET
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from dtc_twisted.messages import Message

Row = Message | dict[str, Any]

DEFAULT = "json"


class Source(Protocol):
    """Where rows come from, if it can be told to wait (IPushProducer)."""

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...


class Encoding(Protocol):
    """A way to write rows. One is made for each answer."""

    content_type: ClassVar[str]

    def __init__(self, row_type: type[Message]) -> None:
        """row_type: what the rows are, should there be none."""

    def rows(self, rows: Sequence[Row]) -> bytes:
        """So many rows, at least one. Raises TypeError for what cannot be written."""

    def error(self, error: dict[str, Any]) -> bytes:
        """The row that says why there are no more of them."""

    def end(self) -> bytes:
        """What follows the last row, if there was any."""


class JsonArray:
    """Indented, keys sorted: as people like to read it."""

    content_type: ClassVar[str] = "application/json; charset=utf-8"

    def __init__(self, row_type: type[Message]) -> None:
        self._before = b"[\n"

    def rows(self, rows: Sequence[Row]) -> bytes:
        before, self._before = self._before, b",\n"
        return before + indented(rows)[2:-2]  # without the brackets and line ends around them

    def error(self, error: dict[str, Any]) -> bytes:
        return self.rows([error])

    def end(self) -> bytes:
        return b"\n]\n" if self._before == b",\n" else b"[]\n"


class JsonLines:
    """One object a line, keys in the order of the protocol."""

    content_type: ClassVar[str] = "application/x-ndjson; charset=utf-8"

    def __init__(self, row_type: type[Message]) -> None:
        """Nothing needs to be known of the rows."""

    def rows(self, rows: Sequence[Row]) -> bytes:
        return _encoder.encode_lines(rows)

    def error(self, error: dict[str, Any]) -> bytes:
        return self.rows([error])

    def end(self) -> bytes:
        return b""


class Csv:
    """A line of names, then a line a row."""

    content_type: ClassVar[str] = "text/csv; charset=utf-8; header=present"

    def __init__(self, row_type: type[Message]) -> None:
        self._type = row_type
        self._names: tuple[str, ...] = ()  # once they are written
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text)

    def rows(self, rows: Sequence[Row]) -> bytes:
        if not self._names:
            self._begin(rows[0])
        self._writer.writerows([self._cells(row) for row in rows])
        return self._take()

    def error(self, error: dict[str, Any]) -> bytes:
        told = error["error"]
        return f"# error: {told['type']}: {' '.join(str(told['message']).split())}\r\n".encode()

    def end(self) -> bytes:
        if not self._names:
            self._begin(None)
        return self._take()

    def _begin(self, first: Row | None) -> None:
        """The line of names: of the type that is there, which need not be the one that was expected."""
        if isinstance(first, Message):
            self._type = type(first)
        self._names = ("Type", *self._type.__struct_fields__)
        self._writer.writerow(self._names)

    def _cells(self, row: Row) -> Sequence[Any]:
        if type(row) is self._type:
            values = (row.Type, *msgspec.structs.astuple(row))
            return values if UNSET not in values else [None if value is UNSET else value for value in values]
        # A dictionary, or a message of another type than the first.
        fields = {"Type": row.Type, **msgspec.structs.asdict(row)} if isinstance(row, Message) else row
        return [None if (value := fields.get(name)) is UNSET else value for name in self._names]

    def _take(self) -> bytes:
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.encode()


FORMATS: dict[str, type[Encoding]] = {"json": JsonArray, "ndjson": JsonLines, "csv": Csv}
"""By the names that `format` in a query takes."""


@lru_cache
def accepted(accept: str) -> str:
    """The name of the format that an Accept header likes best; JSON when it likes none, or all the same."""
    ranges = [_media_range(each) for each in accept.split(",")]
    best, liked = DEFAULT, (0.0, 0)
    for name, encoding in FORMATS.items():
        kind = encoding.content_type.partition(";")[0]
        # The most precise range that fits decides.
        fitting = [(precision, q) for precision, text, q in ranges if text in (kind, kind.split("/")[0] + "/*", "*/*")]
        precision, q = max(fitting, default=(0, 0.0))
        if q > 0 and (q, precision) > liked:
            best, liked = name, (q, precision)
    return best


def _media_range(text: str) -> tuple[int, str, float]:
    """How precise it is, type/subtype, and how much it is liked."""
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    q = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        liked = float(q)
    except ValueError:
        liked = 0.0
    return 2 - kind.count("*"), kind, liked


@implementer(IPushProducer)
class Answer:
    """The answer to one request, from the first row to the last.

    request: twisted.web's.
    encoding: of FORMATS.
    describe: makes the JSON error of a failure.

    Rows go out at the end of the reactor's turn in which they came; not at all while the caller reads too slowly, and
    then their source is asked to wait. An answer that is complete before it began to go out has a Content-Length.
    """

    def __init__(
        self,
        request: Any,
        encoding: Encoding,
        clock: IReactorTime,
        describe: Callable[[Failure], dict[str, Any]],
    ) -> None:
        self._request = request
        self._encoding = encoding
        self._clock = clock
        self._describe = describe
        self.present: Callable[[Sequence[Message]], Sequence[Row]] | None = None
        """Makes of the rows what is shown of them."""
        self._rows: list[Message] = []
        self._begun = False
        self._over = False
        self._paused = False
        self._flush_call: IDelayedCall | None = None
        self._source: Source | None = None
        self._done: Deferred[Any] | None = None
        self._result: Deferred[bytes | None]

    # -- from where the rows come

    def extend(self, rows: Iterable[Message]) -> None:
        """More rows."""
        if self._over:
            return
        self._rows.extend(rows)
        if self._flush_call is None and not self._paused:
            self._flush_call = self._clock.callLater(0, self._flush)

    def append(self, row: Message) -> None:
        """One more."""
        self.extend((row,))

    # -- from Rest

    def whole(self, rows: Iterable[Message]) -> bytes:
        """The body, of rows that are all there. Raises TypeError for what cannot be written."""
        self._rows.extend(rows)
        return self._headed(self._encoded() + self._encoding.end())

    def follow(self, done: Deferred[Any], source: Source | None = None) -> Deferred[bytes | None]:
        """The body, or None once it was written in pieces.

        done: fires after the last row. When it fails, so does the result; unless rows have been sent already: then the
            connection is closed. It is cancelled when the result is.
        source: who waits when the caller reads too slowly; without one, rows are kept until the caller reads on.
        """
        self._source, self._done = source, done
        self._result = Deferred(lambda _result: self._leave())
        done.addCallbacks(lambda _result: self._finish(), self._fail)
        return self._result

    # -- from the transport (IPushProducer)

    def pauseProducing(self) -> None:
        self._paused = True
        self._cancel_flush()
        if self._source is not None and not self._over:
            self._source.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        if self._over:
            return
        if self._rows and self._flush_call is None:
            self._flush_call = self._clock.callLater(0, self._flush)
        if self._source is not None:
            self._source.resumeProducing()

    def stopProducing(self) -> None:
        """The caller left; the request's own notice of that follows, and cancels the result."""
        self._paused = True
        self._cancel_flush()

    # -- on its way

    def _flush(self) -> None:
        self._flush_call = None
        try:
            body = self._encoded()
        except Exception:
            self._break_off(Failure())
            return
        if not self._begun:
            self._begun = True
            self._request.setHeader("Content-Type", self._encoding.content_type)
            if self._request.method == b"HEAD":
                self._break_off(None)
                return
            self._request.registerProducer(self, True)
        self._request.write(body)

    def _finish(self) -> None:
        if self._over:
            return
        try:
            body = self._encoded() + self._encoding.end()
        except Exception:
            self._fail(Failure())
            return
        self._close()
        if self._begun:
            self._request.unregisterProducer()
            self._request.write(body)
            self._result.callback(None)
        else:
            self._result.callback(self._headed(body))

    def _fail(self, failure: Failure) -> None:
        """What was sent already cannot be taken back: it is marked as broken off."""
        if self._over:
            return
        if not self._begun:
            self._close()
            self._result.errback(failure)
            return
        try:
            rows = self._encoded()
        except Exception:
            rows, failure = b"", Failure()
        self._close()
        self._request.unregisterProducer()
        self._request.write(rows + self._encoding.error(self._describe(failure)) + self._encoding.end())
        # Without the chunk that ends a whole answer. The result is left alone: the request's end cancels it.
        self._request.loseConnection()

    def _break_off(self, failure: Failure | None) -> None:
        """Wants no more rows: they cannot be written, or (None) nobody wants to see them."""
        assert self._done is not None
        if failure is None:
            self._close()
            self._result.callback(None)
        else:
            self._fail(failure)
        self._done.cancel()

    def _leave(self) -> None:
        """The caller went away, or has seen the end of what there is."""
        if not self._over:
            self._close()
            assert self._done is not None
            self._done.cancel()

    def _close(self) -> None:
        self._over = True
        self._cancel_flush()

    def _cancel_flush(self) -> None:
        if self._flush_call is not None:
            self._flush_call.cancel()
            self._flush_call = None

    def _encoded(self) -> bytes:
        """All rows that wait, in one piece."""
        if not self._rows:
            return b""
        rows, self._rows = self._rows, []
        return self._encoding.rows(rows if self.present is None else self.present(rows))

    def _headed(self, body: bytes) -> bytes:
        self._request.setHeader("Content-Type", self._encoding.content_type)
        self._request.setHeader("Content-Length", str(len(body)))
        return body


def indented(value: object) -> bytes:
    """`value` as people and programs like to read it: indented, keys sorted, UTF-8."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=4)


_encoder = msgspec.json.Encoder()
