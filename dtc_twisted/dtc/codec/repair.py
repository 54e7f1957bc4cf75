"""Repair invalid input: text that is not UTF-8, missing NULs, malformed JSON."""

import codecs
import re
from functools import cache

from dtc_twisted.logs import mask_secrets

MESSAGE_START = b'{"Type"'
"""First bytes of a message. They do not occur within a string, where quotes are escaped."""

OBJECT_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}"]', re.DOTALL)
"""A brace, a string, or the start of a string that is not closed."""

_ROUNDED_UP = re.compile(rb'"?1\.79769313(?:4\d*|5)[eE]\+?308"?(?=\s*[,}\]])')
"""The largest number of 8 bytes with 10, 11, 15 or 16 digits: larger than any number."""

_BEFORE_BEGIN = re.compile(rb"(?=%s)" % re.escape(MESSAGE_START))


def as_utf8(data: bytes) -> bytes:
    """Return `data` as UTF-8; bytes that are not UTF-8 are read as Latin-1."""
    return data.decode("utf-8", errors="dtc-latin-1").encode()


def _latin_1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("dtc-latin-1", _latin_1)


def null_unset_numbers(piece: bytes) -> bytes:
    """Replace the "unset" of numbers by null where it is rounded up.

    It is larger than any number then.
    """
    return _ROUNDED_UP.sub(b"null", piece) if piece.find(b"1.79769313") >= 0 else piece


def split_messages(piece: bytes) -> list[bytes]:
    """Split bytes that are not one message into parts that may be messages."""
    if piece.find(b"}", 0, -1) < 0 and piece.find(MESSAGE_START, 1) < 0:
        return [piece]  # The pattern below takes ten times as long.
    complete, rest = split_objects(piece)
    return [part for each in [*complete, rest] for part in _BEFORE_BEGIN.split(each) if part.strip()]


def split_objects(data: bytes) -> tuple[list[bytes], bytes]:
    """Split off the complete JSON objects at the start of `data`.

    Returns them and the rest. Bytes between two objects stay with the second.
    """
    complete: list[bytes] = []
    begin = depth = 0
    for token in OBJECT_TOKEN.finditer(data):
        if token[0] == b"{":
            depth += 1
        elif token[0] == b"}" and depth:
            depth -= 1
            if not depth:
                complete.append(data[begin : token.end()])
                begin = token.end()
        elif token[0] == b'"':  # an incomplete string, so the object is incomplete
            break
    return complete, data[begin:]


def whole_number(piece: bytes, name: str) -> int | None:
    """Return the number of a field in malformed JSON; None if it cannot be found."""
    found = _whole_number_pattern(name).search(piece)
    return None if found is None else int(found[1])


@cache
def _whole_number_pattern(name: str) -> re.Pattern[bytes]:
    return re.compile(rb'"%s"\s*:\s*"?(\d{1,10})' % name.encode())


def preview(piece: bytes) -> str:
    """Return the first 200 bytes as text for the log, with secrets masked."""
    return mask_secrets(as_utf8(piece[:200]).decode())
