"""Header text -> the C text that pycparser reads, in an ordered list of small rewrites.

Each rewrite keeps every token on its line, so that an error shows the user's own line. What C has no words for is
written as declarations that no header contains, and the reader knows: names with a $.
"""

from collections.abc import Callable
from dataclasses import dataclass

from codegen.functions import Functions
from codegen.items import RECORDS, Item, items
from codegen.preprocess import Preprocessed, Preprocessor
from codegen.source import PRAGMA, SCOPE, Finding, HeaderError, Token, Tokens, angle, closing, is_name, render, split
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

OPEN, CLOSE, USING, ALIAS = "$open", "$close", "$using", "$alias"
"""Forward declarations that mark namespaces: `struct $open$$DTC;` to `struct $close;`, and what they use."""

UNDERLYING, SCOPED = "$underlying", "$scoped"
"""First members of an enum: `$underlying = sizeof(uint8_t)` for `: uint8_t`, `$scoped = 1` for `enum class`."""

INITIAL, CONSTANT, NAMED = "initial", "constant", "named"
"""Members `T Field : initial(value);`, `int NAME : constant(value);` and `T Name : named();` for a type's name."""

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
    """Hold a file in the form that the parser reads: its declarations, and apart from them its #define constants."""

    file: str
    text: str
    numbers: str
    findings: tuple[Finding, ...]


# -- the rewrites, each from tokens to tokens


def join_scopes(tokens: Tokens, file: str) -> Tokens:
    """Join `A :: B` to one name. Names of std lose their scope, because they are those of C."""
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
    """Remove the words that change neither a layout nor a value; refuse those that change a layout."""
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
    """Spell words of C++ and of Microsoft's C as C: `unsigned __int16`, `constexpr auto`, casts, numeric_limits."""
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
    """Remove a type's name before a value in brackets: `= t_DateTime(0)`, `= vls_t{}`."""
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
    """Write `enum E : uint8_t { A }` as `enum E { $underlying = sizeof(uint8_t), A }`."""
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
            marks = _at(token.line, UNDERLYING, "=", "sizeof", "(") if colon < len(head) else []
            if marks:
                marks += [*head[colon + 1 :], *_at(token.line, ")", ",")]
            if scoped:
                marks += _at(token.line, SCOPED, "=", "1", ",")
            out += [tokens[end], *marks]
            place += 1
    return out


def lower_members(tokens: Tokens, file: str) -> Tokens:
    """Write the members of structs as C: initial values, static constants, and names of types."""
    return _each(tokens, file, _member, None)


def lower_scopes(tokens: Tokens, file: str) -> Tokens:
    """Write namespaces as marks, and what stands in them as C: using, constants; remove what lays nothing out."""
    return _each(tokens, file, _outside, None)


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
    """Lower one file after another: macros and templates are known in the files that follow."""

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
        """Declare each name of a type before the first line, as C++ lets the names of structs and enums stand alone."""
        names = self._find_types(tokens)
        declared = ", ".join(sorted(name for name in names if not name.startswith((OPEN, USING, ALIAS, CPP_TYPE))))
        return f"typedef struct {CPP_TYPE} {declared}; {render(tokens)}"


# -- one declaration


def _each(
    tokens: Tokens, file: str, change: Callable[[Item, Tokens, str, str | None], Tokens | None], owner: str | None
) -> Tokens:
    """Give each declaration to `change`; what it returns None for is kept, and what stands in it is given as well."""
    out: Tokens = []
    for item in items(tokens, 0, len(tokens), file):
        changed = change(item, tokens[item.start : item.end], file, owner)
        if changed is not None:
            out += changed
        elif item.body and item.kind in ("namespace", "linkage", *RECORDS):
            opening, close = item.body
            inner = _each(tokens[opening + 1 : close], file, change, item.kind if item.kind in RECORDS else owner)
            tail = (
                list(_initialised(tokens[close : item.end - 1])[0])
                if item.kind in RECORDS
                else tokens[close : item.end - 1]
            )
            out += [*tokens[item.start : opening + 1], *inner, *tail, tokens[item.end - 1]]
        else:
            out += tokens[item.start : item.end]
    return out


def _member(item: Item, tokens: Tokens, file: str, owner: str | None) -> Tokens | None:
    """Lower one member of a struct."""
    if owner is None:
        return None
    texts = [token.text for token in tokens]
    if item.kind in ("empty", "access", "friend", "static_assert"):
        return []
    if item.kind == "using" or texts[0] == "typedef":
        if texts[0] == "using" and "=" not in texts:
            return []
        name, target = (tokens[1], tokens[3:-1]) if texts[0] == "using" else (tokens[-2], tokens[1:-2])
        return [*target, name, *_at(name.line, ":", NAMED, "(", ")", ";")]
    if item.kind != "variable":
        return None
    if "static" in texts:
        return _static(tokens)
    if texts[0] == "const":
        tokens = tokens[1:]
    return _declarators(tokens)


def _static(tokens: Tokens) -> Tokens:
    """Lower `static const T A = 1, B = 2;`. A static member has no place in the struct."""
    out: Tokens = []
    for part in split(tokens[:-1], ","):
        name, value = _initialised(part)
        texts = [token.text for token in name]
        if value and "*" not in texts and "[" not in texts and texts[-1] != "]":
            line = name[-1].line
            out += [*_at(line, "int", texts[-1], ":", CONSTANT, "("), *value, *_at(value[-1].line, ")", ";")]
    return out


def _declarators(tokens: Tokens) -> Tokens:
    """Lower `T A = 1, B{2}, C[3] = {};`."""
    out: Tokens = []
    for number, part in enumerate(split(tokens[:-1], ",")):
        name, value = _initialised(part)
        out += [Token(",", name[0].line)] if number else []
        out += name
        if value is not None:
            line = name[-1].line
            out += [*_at(line, ":", INITIAL, "("), *value, *_at(value[-1].line if value else line, ")")]
    return [*out, tokens[-1]]


def _initialised(part: Tokens) -> tuple[Tokens, Tokens | None]:
    """Part a declarator from its value; the value of `{}` is empty, and None stands for no value."""
    for place, token in enumerate(part):
        if token.text not in ("=", "{"):
            continue
        value = part[place + (token.text == "=") :]
        while value and value[0].text == "{" and value[-1].text == "}":
            value = value[1:-1]
        if [each.text for each in value] == ["(", ")"]:
            value = []
        return part[:place], value[:-1] if value and value[-1].text == "," else value
    return part, None


def _outside(item: Item, tokens: Tokens, file: str, owner: str | None) -> Tokens | None:
    """Lower one declaration that stands in no struct."""
    if owner is not None:
        return None
    line = tokens[0].line
    texts = [token.text for token in tokens]
    if item.kind in ("empty", "friend", "static_assert"):
        return []
    if item.kind == "linkage" and item.body is None:
        return []
    if item.kind in ("namespace", "linkage"):
        brace = texts.index("{")
        inner = _each(tokens[brace + 1 : -1], file, _outside, None)
        if item.kind == "linkage" or brace == 1:
            return inner
        return [*_at(line, "struct", OPEN + SCOPE + texts[1], ";"), *inner, *_at(tokens[-1].line, "struct", CLOSE, ";")]
    if item.kind == "using":
        if "=" in texts:
            return [*_at(line, "typedef"), *tokens[3:-1], tokens[1], tokens[-1]]
        mark = USING if texts[1] == "namespace" else ALIAS
        return _at(line, "struct", mark + SCOPE + texts[-2], ";") if SCOPE in texts[-2] or mark == USING else []
    if item.kind == "variable" and texts[0] == "namespace":
        return []
    if item.kind == "variable" and "(" not in texts and "const" in texts:
        name, given = _initialised(tokens[:-1])
        if given and texts[len(name)] == "{":
            return [*name, Token("=", line), *given, tokens[-1]]
    return None


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


def _at(line: int, *texts: str) -> Tokens:
    return [Token(text, line) for text in texts]
