"""Check the English of docstrings, comments, messages and documentation (CONTRIBUTING.md has the rules)."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support import slow

ROOT = Path(__file__).parent.parent

AVOIDED = re.compile(
    r"\b(houses?|rooms?|wish(es|ed)?|words?|ow(e|es|ed|ing)|tell(s|ing)?|told|hear(s|d|ing)?|look(s|ed|ing)?|news"
    r"|neighbou?rs?|trouble[sd]?|ado|doors?|heed(s|ed)?|speak(s|ing)?|spoken?|stranger|forg[eo]t(s|ten)?)\b",
    re.I,
)
"""Words that stand for something else here: name the thing, the message, the field or the method instead."""

MAX_FIRST_LINE = 79
PYTHON = [
    "*.py",
    *(f"{each}/**/*.py" for each in ("dtc_twisted", "codegen", "twisted", "tests", "benchmarks", "examples")),
]
EXEMPT = {"dtc_twisted/dtc/messages.py", "tests/test_prose.py"}
"""Generated code, and this list of words."""
CODE = re.compile(r"^```.*?^```|``.+?``|`[^`]+`|\]\([^)]*\)|https?://\S+", re.M | re.S)
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def checked(*patterns: str) -> Iterator[Path]:
    """Yield the files that match a pattern, are not generated or installed."""
    for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        if name not in EXEMPT and "/.cache/" not in name:
            yield path


def prose_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each comment, and of each string of three words or more."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) > 2:
            yield node.lineno, node.value


def avoided_words(text: str) -> list[str]:
    """Return the avoided words of a text, without its code."""
    return [match[0] for match in AVOIDED.finditer(CODE.sub("", text))]


def long_first_lines(source: str) -> list[str]:
    """Return the first lines of docstrings that are too long. (That they are imperatives is ruff's rule D401.)"""
    documented = (*FUNCTION, ast.ClassDef, ast.Module)
    docstrings = [ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    return [line for text in docstrings if len(line := (text or "").partition("\n")[0]) > MAX_FIRST_LINE]


@slow
class ProseTests(SynchronousTestCase):
    maxDiff = None

    def test_python(self) -> None:
        found = [
            f"{path.relative_to(ROOT)}:{line} {', '.join(words)}"
            for path in checked(*PYTHON)
            if AVOIDED.search(source := path.read_text("utf-8"))  # else there is nothing to find: parsing takes long
            for line, text in prose_of_python(source)
            if (words := avoided_words(text))
        ]
        self.assertEqual(found, [])

    def test_first_lines(self) -> None:
        found = [
            f"{path.relative_to(ROOT)}: {line}"
            for path in checked("dtc_twisted/**/*.py")
            for line in long_first_lines(path.read_text("utf-8"))
        ]
        self.assertEqual(found, [])

    def test_documentation(self) -> None:
        found = [
            f"{path.relative_to(ROOT)}: {', '.join(words)}"
            for path in checked("*.md", "docs/**/*.md", "benchmarks/*.md")
            if (words := avoided_words(path.read_text("utf-8")))
        ]
        self.assertEqual(found, [])

    def test_avoided_words_are_found(self) -> None:
        source = '''
def f():
    """What it is told."""
    g("word by word")  # no news
    h("house", x.tell(), "password keyword `look` at ``tell()``")
'''
        words = [(line, avoided_words(text)) for line, text in prose_of_python(source)]
        self.assertEqual(words, [(4, ["news"]), (3, ["told"]), (4, ["word", "word"]), (5, [])])

    def test_long_first_lines_are_found(self) -> None:
        source = f'"""{"a" * 79}\n\n{"b" * 99}"""\ndef f():\n    """{"c" * 80}\n    """'
        self.assertEqual(long_first_lines(source), ["c" * 80])
