"""The formats of rows: a JSON array, a JSON object a line, or CSV.

CSV has a line of names, then the fields in the order of the protocol, `Type` first; what is unset is an empty cell;
lines end with CRLF, as RFC 4180 has it.
"""

import csv
import io
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, ClassVar, Protocol

import msgspec
from msgspec import UNSET

from dtc_twisted.dtc.fields import field_types
from dtc_twisted.dtc.messages import Message
from dtc_twisted.logs import pretty_json

Row = Message | dict[str, Any]
"""A DTC message, or a dictionary that was made of one."""

DEFAULT = "json"


class RowEncoder(Protocol):
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
        return before + pretty_json(rows)[2:-2]  # without the brackets and line ends around them

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
        self._has_numbers_only = False
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text)

    def rows(self, rows: Sequence[Row]) -> bytes:
        if not self._names:
            self._write_header(rows[0])
        if self._has_numbers_only and {*map(type, rows)} == {self._type}:
            return self._drain() + _encode_number_rows(rows)
        self._writer.writerows([self._cells(row) for row in rows])
        return self._drain()

    def error(self, error: dict[str, Any]) -> bytes:
        told = error["error"]
        return f"# error: {told['type']}: {' '.join(str(told['message']).split())}\r\n".encode()

    def end(self) -> bytes:
        if not self._names:
            self._write_header(None)
        return self._drain()

    def _write_header(self, first: Row | None) -> None:
        """The line of names: of the type that is there, which need not be the one that was expected."""
        if isinstance(first, Message):
            self._type = type(first)
        self._has_numbers_only = _has_numbers_only(self._type)
        self._names = ("Type", *self._type.__struct_fields__)
        self._writer.writerow(self._names)

    def _cells(self, row: Row) -> Sequence[Any]:
        if type(row) is self._type:
            values = (row.Type, *msgspec.structs.astuple(row))
            return values if UNSET not in values else [None if value is UNSET else value for value in values]
        # A dictionary, or a message of another type than the first.
        fields = {"Type": row.Type, **msgspec.structs.asdict(row)} if isinstance(row, Message) else row
        return [None if (value := fields.get(name)) is UNSET else value for name in self._names]

    def _drain(self) -> bytes:
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.encode()


@cache
def _has_numbers_only(kind: type[Message]) -> bool:
    """Whether no field is a text."""
    return all(field.base in (int, float) for field in field_types(kind).values())


def _encode_number_rows(rows: Sequence[Any]) -> bytes:
    """Lines of CSV, of messages without texts: but for brackets and nulls their JSON is the same, and faster made."""
    lines = _number_encoder.encode([(row.Type, *msgspec.structs.astuple(row)) for row in rows])
    return lines[2:-2].replace(b"],[", b"\r\n").replace(b"null", b"") + b"\r\n"


FORMATS: dict[str, type[RowEncoder]] = {"json": JsonArray, "ndjson": JsonLines, "csv": Csv}
"""By the names that `format` in a query takes."""


@lru_cache
def negotiate_format(accept: str) -> str:
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


_encoder = msgspec.json.Encoder()
_number_encoder = msgspec.json.Encoder(enc_hook=lambda unset: None)
