"""Header text -> model, by way of pycparser's syntax tree.

Nothing in a header is passed over in silence: what this package does not know is a HeaderError that names the line, and
what it knows to be no message is a Finding with the reason.
"""

import re
from pathlib import Path
from typing import Any

from pycparser import c_lexer, c_parser  # type: ignore[import-untyped]

from codegen.declarations import Declarations
from codegen.lower import Lowered, Lowering
from codegen.model import Protocol
from codegen.source import SCOPE, HeaderError, decode

REFUSED = ("_Noreturn",)
"""Keywords that the parser may leave out of the tree, where nobody would miss them."""


def read(*paths: Path) -> Protocol:
    """Read the protocol that header files state.

    A file that they include is read before them.

    Raises HeaderError, and OSError if a file cannot be read.
    """
    return _Files().read(paths)


def parse(text: str, file: str) -> Protocol:
    """Read the protocol that a header's text states; `file` is its name in errors.

    Raises HeaderError.
    """
    declarations, lowering = Declarations(), Lowering()
    _add(declarations, lowering(text.replace("\r\n", "\n"), file))
    return declarations.finish(lowering.finish())


class _Files:
    """Read files in the order in which a compiler needs them."""

    def __init__(self) -> None:
        self._declarations = Declarations()
        self._lowering = Lowering(self._include)
        self._known: set[Path] = set()
        self._beside = Path()

    def read(self, paths: tuple[Path, ...]) -> Protocol:
        for path in paths:
            self._add(path)
        return self._declarations.finish(self._lowering.finish())

    def _add(self, path: Path) -> None:
        if path.resolve() in self._known:
            return
        self._known.add(path.resolve())
        outer, self._beside = self._beside, path.parent
        _add(self._declarations, self._lowering(decode(path), path.name))
        self._beside = outer

    def _include(self, name: str) -> bool:
        path = self._beside / name.replace("\\", "/")
        if not path.is_file():
            return name in ("stdint.h", "float.h", "limits.h", "string.h")
        self._add(path)
        return True


class _Lexer(c_lexer.CLexer):  # type: ignore[misc]
    """Remember the line that the lexer has come to, and refuse the keywords in REFUSED."""

    line = 1

    def token(self) -> Any:
        token = super().token()
        if token is not None:
            self.line = token.lineno
            if token.value in REFUSED:
                raise HeaderError(self.filename, token.lineno, f"not expected here: {token.value}")
        return token


def _tree(text: str, file: str) -> Any:
    """Parse C text. Raises HeaderError."""
    parser = c_parser.CParser(lexer=_Lexer)
    try:
        return parser.parse(text, file)
    except c_parser.ParseError as error:
        where, _, what = str(error).rpartition(": ")
        # Some of the parser's errors come without a line: then it is the line of the last token it read.
        placed = re.match(r"(\d+)", where.removeprefix(f"{file}:"))
        line = int(placed.group()) if placed else parser.clex.line
        what = what.replace(SCOPE, "::")
        raise HeaderError(file, line, f"not understood as C: {what}") from error


def _add(declarations: Declarations, lowered: Lowered) -> None:
    numbers = _tree(lowered.numbers, lowered.file)
    declarations.add(lowered.file, numbers, _tree(lowered.text, lowered.file), lowered.findings)
