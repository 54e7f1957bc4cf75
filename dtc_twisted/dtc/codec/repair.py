"""Bytes that are not in order: 8-bit text that is not UTF-8, messages without a NUL between them, garbage."""

import codecs
import re

from dtc_twisted.logs import mask_secrets

MESSAGE_START = b'{"Type"'
"""Where these bytes stand, a message begins: within a text their quotes would be escaped."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}"]', re.DOTALL)
_BEFORE_BEGIN = re.compile(rb"(?=%s)" % re.escape(MESSAGE_START))


def as_utf8(data: bytes) -> bytes:
    """`data` with each byte that is not UTF-8 read as Latin-1, so that text of 8-bit servers stays readable."""
    return data.decode("utf-8", errors="dtc-latin-1").encode()


def _latin_1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("dtc-latin-1", _latin_1)


def split_messages(piece: bytes) -> list[bytes]:
    """What may be messages within a piece that is none as a whole."""
    complete, rest = split_objects(piece)
    return [part for each in [*complete, rest] for part in _BEFORE_BEGIN.split(each) if part.strip()]


def split_objects(data: bytes) -> tuple[list[bytes], bytes]:
    """The complete JSON objects that `data` begins with, and the rest. Text between objects stays with the next."""
    complete: list[bytes] = []
    begin = depth = 0
    for token in _TOKEN.finditer(data):
        if token[0] == b"{":
            depth += 1
        elif token[0] == b"}" and depth:
            depth -= 1
            if not depth:
                complete.append(data[begin : token.end()])
                begin = token.end()
        elif token[0] == b'"':  # a string that is not over: nor is the object
            break
    return complete, data[begin:]


def preview(piece: bytes) -> str:
    """The beginning of a piece as text for the log, with secrets masked."""
    return mask_secrets(as_utf8(piece[:200]).decode())
