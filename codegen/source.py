"""Split headers into tokens with their lines; errors that name a line."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PRAGMA = "#pragma "
SCOPE = "$$"
"""Stands for C++'s :: within a name: C compilers and pycparser accept the character in identifiers."""

_TOKEN = re.compile(
    r'"(?:\\.|[^"\\])*"'
    r"|'(?:\\.|[^'\\])*'"
    r"|[A-Za-z_$][\w$]*"
    r"|\.?\d(?:[eEpP][+-]|'(?=\w)|[\w.])*"
    r"|::|->|<<|>>|<=|>=|==|!=|&&|\|\||\+\+|--|##|\.\.\."
    r"|\S"
)
_OPEN = {"(": ")", "[": "]", "{": "}"}
_CLOSE = frozenset(_OPEN.values())


class HeaderError(Exception):
    """Report what is not understood in a header, or cannot be right there.

    Its text is `file:line: what`; lines count from 1.
    """

    def __init__(self, file: str, line: int, what: str) -> None:
        super().__init__(f"{file}:{line}: {what}")
        self.file = file
        self.line = line
        self.what = what


@dataclass(frozen=True, order=True)
class Finding:
    """State what was read and is not a message, with the reason.

    `explained` is False if that may be a mistake.
    """

    file: str
    line: int
    what: str
    explained: bool = True

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


class Token(NamedTuple):
    """A token of C++ and its line. A #pragma is one token, which starts with PRAGMA."""

    text: str
    line: int


Tokens = list[Token]


def decode(path: Path) -> str:
    """Read a header's text: UTF-8 or UTF-16 if it is one, Latin-1 (Windows-1252) otherwise. Raises OSError."""
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def scan(text: str, line: int = 1) -> Tokens:
    """Split text without comments into tokens; `line` is the line of its first one.

    A line that starts with # is one token.
    """
    tokens: Tokens = []
    for number, content in enumerate(text.split("\n"), line):
        if content.startswith("#"):
            tokens.append(Token(content.rstrip(), number))
        else:
            tokens += [Token(word, number) for word in _TOKEN.findall(content)]
    return tokens


def spell(text: str) -> list[str]:
    """Split one line into the texts of its tokens."""
    return _TOKEN.findall(text)


def render(tokens: Iterable[Token]) -> str:
    """Write tokens as C text, each on its line."""
    lines: list[list[str]] = [[]]
    for text, line in tokens:
        while len(lines) < line:
            lines.append([])
        lines[-1].append(f'_Pragma("{text.removeprefix(PRAGMA)}")' if text.startswith(PRAGMA) else text)
    return "\n".join(map(" ".join, lines)) + "\n"


def closing(tokens: Sequence[Token], opening: int, file: str) -> int:
    """Find the place of the bracket that closes the one at `opening`.

    Raises HeaderError.
    """
    depth = 0
    for place in range(opening, len(tokens)):
        text = tokens[place].text
        if text in _OPEN:
            depth += 1
        elif text in _CLOSE:
            depth -= 1
            if not depth:
                return place
    raise HeaderError(file, tokens[opening].line, f"this {tokens[opening].text} is not closed")


def angle(tokens: Sequence[Token], opening: int, file: str) -> int:
    """Find the place after the > that closes the < at `opening`.

    Raises HeaderError. A >> closes two.
    """
    depth, place = 0, opening
    while place < len(tokens) and tokens[place].text not in (";", "{", "}"):
        text = tokens[place].text
        if text in ("(", "["):
            place = closing(tokens, place, file)
        elif text == "<":
            depth += 1
        elif text in (">", ">>"):
            depth -= len(text)
            if depth <= 0:
                return place + 1
        place += 1
    raise HeaderError(file, tokens[opening].line, "this < is not closed")


def split(tokens: Sequence[Token], separator: str, angles: bool = False) -> Iterator[Tokens]:
    """Split tokens at a separator outside of brackets.

    `angles`: < and > count as brackets.
    """
    part: Tokens = []
    depth = 0
    for token in tokens:
        if token.text == separator and not depth:
            yield part
            part = []
            continue
        if token.text in _OPEN or (angles and token.text == "<"):
            depth += 1
        elif token.text in _CLOSE or (angles and token.text == ">"):
            depth -= 1
        part.append(token)
    if part:
        yield part


def is_name(text: str) -> bool:
    """Check whether a token is an identifier or a keyword."""
    return text[0].isalpha() or text[0] in "_$"
