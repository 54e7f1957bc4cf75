"""Remove comments and directives from headers, as a C preprocessor does.

A macro whose value is a number stays a name: it becomes a constant, because message numbers are stated so in headers
of 2014. Every other macro is replaced by its text.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from codegen.source import PRAGMA, Finding, HeaderError, Token, Tokens, closing, scan, spell, split

LANGUAGE = {"__cplusplus": "202002L"}
"""The macros that are defined before the first line. All others are not: _WIN32, _MSC_VER, __GNUC__."""

QUIET_PRAGMAS = re.compile(r"(once|region|endregion|warning|GCC|clang|message|comment|push_macro|pop_macro|optimize)\b")
"""Start of the #pragma lines that neither change a layout nor state a message."""

_COMMENT_OR_STRING = re.compile(
    r"\"(?:\\.|[^\"\\\n])*\"|(?<![\w'])'(?:\\.|[^'\\\n])*'|//[^\n]*|/\*.*?\*/|/\*", re.DOTALL
)
_DIRECTIVE = re.compile(r"\s*#\s*(\w*)\s*(.*?)\s*")
_DEFINE = re.compile(r"([A-Za-z_]\w*)(\((?:[^()]*)\))?\s*(.*)")
_NUMBER = re.compile(r"\d")
_OPERATORS = frozenset(("+", "-", "*", "/", "%", "(", ")", "<<", ">>", "|", "&", "^", "~"))


@dataclass(frozen=True)
class Macro:
    """Hold a #define: its replacement, and its parameters if it has a list of them."""

    name: str
    line: int
    body: tuple[str, ...]
    parameters: tuple[str, ...] | None = None


@dataclass
class Preprocessed:
    """Hold a file without comments and directives.

    `numbers` are the macros that state a number.
    """

    file: str
    tokens: Tokens = field(default_factory=list)
    numbers: list[Macro] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def join_lines(text: str, file: str) -> str:
    """Join each line that ends with a backslash to the next one.

    The joined lines are left empty.
    """

    def join(match: re.Match[str]) -> str:
        return re.sub(r"\\[ \t]*\n", " ", match.group()) + "\n" * match.group().count("\n")

    return re.sub(r"[^\n]*\\[ \t]*\n(?:[^\n]*\\[ \t]*\n)*[^\n]*", join, text) if "\\" in text else text


def blank_comments(text: str, file: str) -> str:
    """Replace each comment by its line ends; a comment mark within a string is text."""

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        if found[0] in "\"'":
            return found
        if found == "/*":
            raise HeaderError(file, text.count("\n", 0, match.start()) + 1, "this comment does not end")
        return " " + "\n" * found.count("\n")

    return _COMMENT_OR_STRING.sub(blank, text)


class Preprocessor:
    """Follow the directives of one file after another.

    Macros stay defined from file to file.

    `include` is called with the name of each file that is included in quotes, and returns False if it is not there.
    """

    def __init__(self, include: Callable[[str], bool] = lambda name: False) -> None:
        self._include = include
        self._macros: dict[str, Macro] = {name: Macro(name, 0, (value,)) for name, value in LANGUAGE.items()}
        self._numbers: dict[str, Macro] = {}
        self._blocks: list[_Conditional] = []
        self._read: Tokens = []  # since the set of macros changed last

    def run(self, text: str, file: str) -> Preprocessed:
        """Follow the directives of a file. Raises HeaderError."""
        done = Preprocessed(file)
        outer, self._blocks, self._read = (self._blocks, self._read), [], []
        for number, line in enumerate(blank_comments(join_lines(text, file), file).split("\n"), 1):
            if (match := _DIRECTIVE.fullmatch(line)) and line.lstrip().startswith("#"):
                self._directive(match.group(1), match.group(2), number, done)
            elif all(block.active for block in self._blocks):
                self._read += scan(line, number)
        if self._blocks:
            raise HeaderError(file, self._blocks[-1].line, "this #if has no #endif")
        self._flush(done)
        self._blocks, self._read = outer
        return done

    def _directive(self, word: str, rest: str, line: int, done: Preprocessed) -> None:
        if word in ("if", "ifdef", "ifndef", "elif", "else", "endif"):
            self._condition(word, rest, line, done.file)
        elif not all(block.active for block in self._blocks):
            return
        elif word == "define":
            self._define(rest, line, done)
        elif word == "undef":
            self._flush(done)
            self._macros.pop(rest, None)
            self._numbers.pop(rest, None)
        elif word == "include":
            name = self._spelled(rest)
            if name.startswith('"') and not self._include(name.strip('"')):
                done.findings.append(Finding(done.file, line, f"cannot include {name}: no such file beside it", False))
        elif word == "pragma":
            if not QUIET_PRAGMAS.match(rest):
                self._read.append(Token(PRAGMA + rest, line))
        elif word == "error":
            raise HeaderError(done.file, line, f"#error {rest}")
        elif word not in ("", "warning"):
            raise HeaderError(done.file, line, f"unknown directive #{word}")

    def _spelled(self, rest: str) -> str:
        macro = self._macros.get(rest)
        return "".join(macro.body) if macro else rest

    # -- #if

    def _condition(self, word: str, rest: str, line: int, file: str) -> None:
        if word in ("if", "ifdef", "ifndef"):
            outer = all(block.active for block in self._blocks)
            self._blocks.append(_Conditional(line))
            if outer:
                self._blocks[-1].choose(self._holds(word, rest, line, file))
            else:
                self._blocks[-1].done = True
            return
        if not self._blocks:
            raise HeaderError(file, line, f"this #{word} has no #if")
        if word == "endif":
            self._blocks.pop()
        elif word == "else":
            self._blocks[-1].choose(True)
        elif self._blocks[-1].done:
            self._blocks[-1].active = False
        else:
            self._blocks[-1].choose(self._holds("if", rest, line, file))

    def _holds(self, word: str, rest: str, line: int, file: str) -> bool:
        if word in ("ifdef", "ifndef"):
            return (rest.split(" ")[0] in self._defined()) == (word == "ifdef")
        rest = re.sub(r"\b__has_\w+\s*\([^()]*\)", "0", rest)
        text = re.sub(
            r"\bdefined\s*(?:\(\s*(\w+)\s*\)|(\w+))", lambda m: str(int((m[1] or m[2]) in self._defined())), rest
        )
        expression = []
        for token in self._expand(scan(text), file):
            macro = self._numbers.get(token.text)
            expression += ["(", *macro.body, ")"] if macro else [token.text]
        try:
            return bool(_evaluate(expression))
        except (SyntaxError, TypeError, ArithmeticError, ValueError) as error:
            raise HeaderError(file, line, f"cannot compute #if {rest}") from error

    def _defined(self) -> Mapping[str, Macro]:
        return {**self._macros, **self._numbers}

    # -- macros

    def _define(self, rest: str, line: int, done: Preprocessed) -> None:
        match = _DEFINE.fullmatch(rest)
        if not match:
            raise HeaderError(done.file, line, f"cannot define {rest or 'nothing'}")
        self._flush(done)
        name, parameters, body = match.groups()
        value = tuple(spell(body))
        if parameters is None and self._is_number(value):
            macro = Macro(name, line, value)
            known = self._numbers.get(name)
            if known and known.body != value:
                raise HeaderError(done.file, line, f"{name} is defined twice")
            self._macros.pop(name, None)
            self._numbers[name] = macro
            if not known:
                done.numbers.append(macro)
            return
        listed = None if parameters is None else tuple(word for word in spell(parameters[1:-1]) if word != ",")
        self._macros[name] = Macro(name, line, value, listed)

    def _is_number(self, value: tuple[str, ...]) -> bool:
        """Check whether a macro's body is a number or computed from numbers."""
        known = [word for word in value if _NUMBER.match(word) or word in self._numbers]
        return bool(known) and all(_NUMBER.match(word) or word in self._numbers or word in _OPERATORS for word in value)

    def _flush(self, done: Preprocessed) -> None:
        """Replace the macros in the tokens read so far, before the set of macros changes."""
        if self._read:
            done.tokens += self._expand(self._read, done.file)
            self._read = []

    def _expand(self, tokens: Tokens, file: str, hidden: frozenset[str] = frozenset()) -> Tokens:
        """Replace macros by their text, on the line of the macro's use."""
        out: Tokens = []
        place = 0
        while place < len(tokens):
            token = tokens[place]
            place += 1
            macro = self._macros.get(token.text)
            if macro is None or token.text in hidden:
                out.append(token)
                continue
            body: Tokens = [Token(word, token.line) for word in macro.body]
            if macro.parameters is not None:
                if place == len(tokens) or tokens[place].text != "(":
                    out.append(token)
                    continue
                end = closing(tokens, place, file)
                body = self._fill(macro, tokens[place + 1 : end], token, file, hidden)
                place = end + 1
            out += self._expand(_paste(body), file, hidden | {macro.name})
        return out

    def _fill(self, macro: Macro, given: Tokens, use: Token, file: str, hidden: frozenset[str]) -> Tokens:
        """Put the arguments of a macro's use in the place of its parameters."""
        assert macro.parameters is not None
        names = macro.parameters
        arguments = list(split(given, ","))
        if names and names[-1] == "...":
            names = (*names[:-1], "__VA_ARGS__")
            rest = arguments[len(names) - 1 :]
            joined = [token for part in rest for token in (*part, Token(",", use.line))][:-1]
            arguments = [*arguments[: len(names) - 1], joined]
        if len(arguments) > len(names):
            raise HeaderError(file, use.line, f"{macro.name} takes {len(names)} arguments, not {len(arguments)}")
        values = dict(zip(names, arguments, strict=False))
        body: Tokens = []
        for index, word in enumerate(macro.body):
            beside = macro.body[max(index - 1, 0)] == "##" or "".join(macro.body[index + 1 : index + 2]) == "##"
            if word not in names:
                body.append(Token(word, use.line))
            elif index and macro.body[index - 1] == "#":
                body[-1] = Token('"' + " ".join(token.text for token in values.get(word, [])) + '"', use.line)
            else:
                part = values.get(word, [])
                body += [Token(text, use.line) for text, _ in (part if beside else self._expand(part, file, hidden))]
        return body


@dataclass
class _Conditional:
    """Follow one #if: whether its lines are active, and whether a branch was taken."""

    line: int
    active: bool = False
    done: bool = False

    def choose(self, holds: bool) -> None:
        self.active = holds and not self.done
        self.done = self.done or holds


def _paste(body: Tokens) -> Tokens:
    """Join the two tokens beside each ##."""
    out: Tokens = []
    join = False
    for token in body:
        if token.text == "##":
            join = True
        elif join and out:
            out[-1] = Token(out[-1].text + token.text, token.line)
            join = False
        else:
            out.append(token)
    return out


_PYTHON = {"&&": "and", "||": "or", "!": "not", "/": "//", "true": "1", "false": "0"}


def _evaluate(expression: list[str]) -> int:
    """Compute the whole-number expression of an #if. A name that is not defined is 0."""
    parts = []
    for word in expression:
        if _NUMBER.match(word):
            parts.append(str(int(re.sub(r"[uUlL']", "", word), 0)))
        elif word in _PYTHON:
            parts.append(_PYTHON[word])
        elif word[0].isalpha() or word[0] == "_":
            parts.append("0")
        elif word in _OPERATORS or word in ("==", "!=", "<", ">", "<=", ">="):
            parts.append(word)
        else:
            raise ValueError(word)
    # Only numbers, brackets and operators are left.
    return int(eval(" ".join(parts), {"__builtins__": {}}))
