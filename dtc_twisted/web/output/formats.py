"""Encode rows as a JSON array, as one JSON object per line (NDJSON), or as CSV.

The first line of CSV has the names of the fields: `Type`, then the fields in the order of the protocol. A field that is
unset is an empty cell. Lines end with CRLF (RFC 4180).
"""

import csv
import io
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Protocol

import msgspec
from msgspec import UNSET

from dtc_twisted.dtc.fields import field_types
from dtc_twisted.dtc.messages import Message
from dtc_twisted.logs import pretty_json

Row = Message | dict[str, Any]
"""A DTC message, or a dictionary that was made of one."""


class RowEncoder(Protocol):
    """Encode the rows of one answer."""

    content_type: ClassVar[str]

    def __init__(self, row_type: type[Message]) -> None:
        """row_type: the type of the rows, for the header of an answer without rows."""

    def rows(self, rows: Sequence[Row]) -> bytes:
        """Encode rows, at least one. Raises TypeError for a value that cannot be encoded."""

    def error(self, error: dict[str, Any]) -> bytes:
        """Encode the row that ends an incomplete answer with its error."""

    def end(self) -> bytes:
        """Return the bytes after the last row."""


class JsonArray:
    """Encode rows as an indented JSON array with sorted keys."""

    content_type: ClassVar[str] = "application/json; charset=utf-8"

    def __init__(self, row_type: type[Message]) -> None:
        self._before = b"[\n"

    def rows(self, rows: Sequence[Row]) -> bytes:
        before, self._before = self._before, b",\n"
        return before + pretty_json(rows)[2:-2]  # without the brackets and line ends of the array

    def error(self, error: dict[str, Any]) -> bytes:
        return self.rows([error])

    def end(self) -> bytes:
        return b"\n]\n" if self._before == b",\n" else b"[]\n"


class JsonLines:
    """Encode each row as a JSON object on its own line.

    The keys are in the order of the protocol.
    """

    content_type: ClassVar[str] = "application/x-ndjson; charset=utf-8"

    def __init__(self, row_type: type[Message]) -> None:
        """Ignore the row type."""

    def rows(self, rows: Sequence[Row]) -> bytes:
        return _encoder.encode_lines(rows)

    def error(self, error: dict[str, Any]) -> bytes:
        return self.rows([error])

    def end(self) -> bytes:
        return b""


class Csv:
    """Encode rows as CSV with a header."""

    content_type: ClassVar[str] = "text/csv; charset=utf-8; header=present"

    def __init__(self, row_type: type[Message]) -> None:
        self._type = row_type
        self._names: tuple[str, ...] = ()  # empty until the header is written
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
        details = error["error"]
        return f"# error: {details['type']}: {' '.join(str(details['message']).split())}\r\n".encode()

    def end(self) -> bytes:
        if not self._names:
            self._write_header(None)
        return self._drain()

    def _write_header(self, first: Row | None) -> None:
        """Write the header.

        The first row decides about the type, because it can differ from the expected one.
        """
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
    """Return whether no field is a text."""
    return all(field.base in (int, float) for field in field_types(kind).values())


def _encode_number_rows(rows: Sequence[Any]) -> bytes:
    """Encode messages of one type, without texts, as CSV.

    Their JSON is the same except for brackets and nulls, and msgspec makes it faster than the module csv does.
    """
    lines = _number_encoder.encode(list(map(msgspec.structs.astuple, rows)))
    begin = b"%d," % rows[0].Type
    return begin + lines[2:-2].replace(b"],[", b"\r\n" + begin).replace(b"null", b"") + b"\r\n"


_encoder = msgspec.json.Encoder()
_number_encoder = msgspec.json.Encoder(enc_hook=lambda unset: None)
