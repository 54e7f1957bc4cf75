"""Header text -> the text that pycparser reads.

A few named rewrites stand in for the C preprocessor, which not every machine has. Each keeps the number of lines, so
that whatever is found later is found on the line where it stands in the header.
"""

import re
from collections.abc import Callable

STDINT = {
    "int8_t": "signed char",
    "uint8_t": "unsigned char",
    "int16_t": "short",
    "uint16_t": "unsigned short",
    "int32_t": "int",
    "uint32_t": "unsigned int",
    "int64_t": "long long",
    "uint64_t": "unsigned long long",
}
"""What <stdint.h> declares, as far as the protocol uses it: C99's exact widths on every machine of Sierra Chart."""

INCLUDES = {
    "stdint.h": " ".join(f"typedef {spelling} {name};" for name, spelling in STDINT.items()),
    "float.h": "",  # DBL_MAX and FLT_MAX, INT_MAX and UINT_MAX: the model knows these numbers
    "limits.h": "",
}

_COMMENT_OR_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/|/\*', re.DOTALL)
_DIRECTIVE = re.compile(r"[ \t]*#[ \t]*(\w*)[ \t]*(.*)")


class HeaderError(Exception):
    """The header says something that this generator does not understand, or that cannot be right.

    Its text is `file:line: what`; lines count from 1.
    """

    def __init__(self, file: str, line: int, what: str) -> None:
        super().__init__(f"{file}:{line}: {what}")
        self.file = file
        self.line = line
        self.what = what


def blank_comments(text: str, file: str) -> str:
    """Replace each comment by its line ends; a comment mark within a string is text."""

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        if found.startswith('"'):
            return found
        if found == "/*":
            raise HeaderError(file, text.count("\n", 0, match.start()) + 1, "this comment does not end")
        return " " + "\n" * found.count("\n")

    return _COMMENT_OR_STRING.sub(blank, text)


def expand_includes(text: str, file: str) -> str:
    """Replace each #include by what the header needs of that file, on one line.

    Raises HeaderError for a file that is not in INCLUDES.
    """

    def expand(number: int, word: str, rest: str, line: str) -> str:
        if word != "include":
            return line
        name = rest.strip()
        if not (name.startswith("<") and name.endswith(">") and name[1:-1] in INCLUDES):
            raise HeaderError(file, number, f"cannot include {name}; known are <{'>, <'.join(INCLUDES)}>")
        return INCLUDES[name[1:-1]]

    return _each_directive(text, expand)


def refuse_directives(text: str, file: str) -> str:
    """Let #pragma pass, which the parser keeps as a node, and raise HeaderError for any other directive."""

    def refuse(number: int, word: str, rest: str, line: str) -> str:
        if word != "pragma":
            raise HeaderError(file, number, f"no preprocessor here: #{word} cannot be used")
        return line

    return _each_directive(text, refuse)


REWRITES: tuple[Callable[[str, str], str], ...] = (
    blank_comments,  # first: a directive within a comment is none
    expand_includes,
    refuse_directives,  # last: what is a directive still, nobody understood
)


def lower(text: str, file: str) -> str:
    """Apply REWRITES to a header's text; `file` is its name in errors. Raises HeaderError."""
    for rewrite in REWRITES:
        text = rewrite(text, file)
    return text


def _each_directive(text: str, replace: Callable[[int, str, str, str], str]) -> str:
    """Pass each line that starts with # as (line number, word, rest, line) to `replace`."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if match := _DIRECTIVE.fullmatch(line):
            lines[index] = replace(index + 1, match.group(1), match.group(2), line)
    return "\n".join(lines)
