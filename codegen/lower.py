"""Rewrite a header's text as C that pycparser reads, in small ordered steps.

Each rewrite keeps every token on its line, so that an error shows the user's own line. What C cannot state is
written as declarations that no header contains, and the reader knows: names with a $.
"""

from collections.abc import Callable
from dataclasses import dataclass

from codegen.functions import Functions
from codegen.items import RECORDS
from codegen.preprocess import Preprocessed, Preprocessor
from codegen.rewrites import ALIAS, OPEN, SCOPED, UNDERLYING, USING, at, lower_members, lower_scopes
from codegen.source import PRAGMA, SCOPE, Finding, HeaderError, Token, Tokens, angle, closing, is_name, render
from codegen.templates import Templates

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

CPP_TYPE = "$type"

_MICROSOFT = {"__int8": "char", "__int16": "short", "__int32": "int", "__int64": "long long"}
_MEANINGLESS = frozenset(
    ("explicit", "mutable", "constinit", "noexcept", "override", "final", "volatile", "inline", "register", "typename")
)
_LAYOUT_WORDS = ("alignas", "_Alignas", "__attribute__", "__declspec")
_CASTS = ("static_cast", "reinterpret_cast", "const_cast")
_LIMITS = {
    ("double", "max"): ["DBL_MAX"],
    ("double", "lowest"): ["-", "DBL_MAX"],
    ("float", "max"): ["FLT_MAX"],
    ("float", "lowest"): ["-", "FLT_MAX"],
    **{
        (name, end): [f"{name.removesuffix('_t').upper()}_{end.upper().replace('LOWEST', 'MIN')}"]
        for name in STDINT
        for end in ("max", "min", "lowest")
    },
    ("int", "max"): ["INT_MAX"],
    ("int", "min"): ["INT_MIN"],
    ("unsigned int", "max"): ["UINT_MAX"],
}


@dataclass(frozen=True)
class Lowered:
    """Hold a file in the form that the parser reads.

    The #define constants are apart from the declarations.
    """

    file: str
    text: str
    numbers: str
    findings: tuple[Finding, ...]


# -- the rewrites, each from tokens to tokens


def join_scopes(tokens: Tokens, file: str) -> Tokens:
    """Join `A :: B` to one name.

    Names of std lose their scope, because they are those of C.
    """
    out: Tokens = []
    place = 0
    while place < len(tokens):
        text, line = tokens[place]
        place += 1
        if text == "::" or (is_name(text) and place < len(tokens) and tokens[place].text == "::"):
            text = text if text != "::" else SCOPE + tokens[place].text
            place += text.startswith(SCOPE)
            while place + 1 < len(tokens) and tokens[place].text == "::" and is_name(tokens[place + 1].text):
                text += SCOPE + tokens[place + 1].text
                place += 2
            text = text.removeprefix("std$$")
        out.append(Token(text, line))
    return out


def drop_attributes(tokens: Tokens, file: str) -> Tokens:
    """Remove the attributes that change neither a layout nor a value.

    Raises HeaderError for those that may change a layout.
    """
    out: Tokens = []
    place = 0
    while place < len(tokens):
        text, line = tokens[place]
        if text in _LAYOUT_WORDS:
            raise HeaderError(file, line, f"{text} may change the layout: not understood")
        if text == "[" and place + 1 < len(tokens) and tokens[place + 1].text == "[":
            place = closing(tokens, place, file) + 1
        elif text in ("_Pragma", "__pragma"):
            end = closing(tokens, place + 1, file)
            content = "".join(each.text for each in tokens[place + 2 : end])
            out.append(Token(PRAGMA + content.strip('"'), line))
            place = end + 1
        elif text == "inline" and tokens[place + 1].text == "namespace":
            out.append(tokens[place + 1])
            place += 2 + (tokens[place + 2].text != "{")
        elif text in _MEANINGLESS:
            place += 1
            if text == "noexcept" and place < len(tokens) and tokens[place].text == "(":
                place = closing(tokens, place, file) + 1
        else:
            out.append(tokens[place])
            place += 1
    return out


def spell_in_c(tokens: Tokens, file: str) -> Tokens:
    """Spell C++ and Microsoft's C as C: `__int16`, `constexpr auto`, casts, limits."""
    out: Tokens = []
    place = 0
    while place < len(tokens):
        text, line = tokens[place]
        following = tokens[place + 1].text if place + 1 < len(tokens) else ""
        if text in _MICROSOFT:
            out += [Token(word, line) for word in _MICROSOFT[text].split()]
        elif text in ("constexpr", "class", "auto"):
            out.append(Token({"constexpr": "const", "class": "struct", "auto": "int"}[text], line))
        elif text in _CASTS and following == "<":
            place = angle(tokens, place + 1, file) - 1  # the value in brackets follows
        elif text == "numeric_limits" and following == "<":
            end = angle(tokens, place + 1, file)
            key = (" ".join(each.text for each in tokens[place + 2 : end - 1]), tokens[end].text.strip(SCOPE))
            if key not in _LIMITS:
                raise HeaderError(file, line, f"unknown numeric_limits<{key[0]}>::{key[1]}")
            out += [Token(word, line) for word in _LIMITS[key]]
            place = closing(tokens, end + 1, file)
        else:
            out.append(tokens[place])
        place += 1
    return out


def drop_conversions(tokens: Tokens, types: set[str]) -> Tokens:
    """Remove a type before a value in brackets: `= t_DateTime(0)`, `= vls_t{}`."""
    return [
        token
        for place, token in enumerate(tokens)
        if not (
            0 < place < len(tokens) - 1
            and token.text in types
            and tokens[place + 1].text in ("(", "{")
            and tokens[place - 1].text in ("=", "(", ",", "+", "-", "|")
        )
    ]


def lower_enums(tokens: Tokens, file: str) -> Tokens:
    """Write `enum E : uint8_t {` as `enum E { $underlying = sizeof(uint8_t),`."""
    out: Tokens = []
    place = 0
    while place < len(tokens):
        token = tokens[place]
        if token.text != "enum":
            out.append(token)
            place += 1
            continue
        end = next(index for index in range(place, len(tokens)) if tokens[index].text in ("{", ";", "=", "("))
        head = tokens[place + 1 : end]
        scoped = bool(head) and head[0].text == "struct"
        head = head[scoped:]
        colon = next((index for index, each in enumerate(head) if each.text == ":"), len(head))
        if tokens[end].text != "{" and colon > 1:
            colon = len(head)  # no definition: `enum E field : 3;`
        out += [token, *head[:colon]]
        place = end
        if tokens[end].text == "{":
            marks = at(token.line, UNDERLYING, "=", "sizeof", "(") if colon < len(head) else []
            if marks:
                marks += [*head[colon + 1 :], *at(token.line, ")", ",")]
            if scoped:
                marks += at(token.line, SCOPED, "=", "1", ",")
            out += [tokens[end], *marks]
            place += 1
    return out


REWRITES: tuple[Callable[[Tokens, str], Tokens], ...] = (
    join_scopes,  # first: a name is one token from here on
    drop_attributes,
    spell_in_c,
    # here functions are removed and templates written out; both need more than the tokens
    lower_enums,
    lower_members,
    lower_scopes,
)


class Lowering:
    """Lower one file after another.

    Macros and templates are known in the files that follow.
    """

    def __init__(self, include: Callable[[str], bool] = lambda name: False) -> None:
        self._preprocessor = Preprocessor(include)
        self._functions = Functions()
        self._templates = Templates()
        self._types: set[str] = set(STDINT) | {"bool", "byte"}

    def __call__(self, text: str, file: str) -> Lowered:
        """Lower a header's text; `file` is its name in errors. Raises HeaderError."""
        read = self._preprocessor.run(text, file)
        tokens = read.tokens
        for rewrite in REWRITES[:3]:
            tokens = rewrite(tokens, file)
        tokens = self._functions.lower(tokens, file)
        tokens = self._templates(tokens, file, read.findings)
        tokens = drop_conversions(tokens, self._find_types(tokens))
        for rewrite in REWRITES[3:]:
            tokens = rewrite(tokens, file)
        return Lowered(file, self._declare_types(tokens), _numbers(read), tuple(read.findings))

    def finish(self) -> tuple[Finding, ...]:
        """Return what was found in functions, when all files have been lowered."""
        self._functions.report_calls()
        return tuple(self._functions.findings)

    def _find_types(self, tokens: Tokens) -> set[str]:
        """Return the names of types, and those with a scope in the tokens."""
        names = self._types
        for place, (text, _) in enumerate(tokens[:-1]):
            following = tokens[place + 1].text
            if text in ("enum", *RECORDS) and is_name(following) and following[0] != "$" and following not in RECORDS:
                names.add(following)
            elif text == "typedef":
                names |= _typedef_names(tokens, place)
            elif text == "using" and tokens[place + 2 : place + 3] and tokens[place + 2].text == "=":
                names.add(following)
        return names | {text for text, _ in tokens if SCOPE in text and text.rpartition(SCOPE)[2] in names}

    def _declare_types(self, tokens: Tokens) -> str:
        """Declare each type's name before the first line.

        C++ lets the names of structs and enums stand alone, C does not.
        """
        names = self._find_types(tokens)
        declared = ", ".join(sorted(name for name in names if not name.startswith((OPEN, USING, ALIAS, CPP_TYPE))))
        return f"typedef struct {CPP_TYPE} {declared}; {render(tokens)}"


def _typedef_names(tokens: Tokens, place: int) -> set[str]:
    """Read the names that a typedef declares, `typedef struct {...} a, b[2];`."""
    depth, names, last = 0, set(), ""
    for text, _ in tokens[place + 1 :]:
        if text in ("{", "["):
            depth += 1
        elif text in ("}", "]"):
            depth -= 1
        elif not depth and text in (",", ";"):
            names.add(last)
            if text == ";":
                break
        elif not depth and is_name(text):
            last = text
    return names - {""}


def _numbers(read: Preprocessed) -> str:
    """Write the #define constants as enums, each on its line."""
    return render(
        Token(text, macro.line)
        for macro in sorted(read.numbers, key=lambda each: each.line)
        for text in ("enum", "{", macro.name, "=", *macro.body, "}", ";")
    )
