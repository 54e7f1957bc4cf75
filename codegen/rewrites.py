"""Write members of structs and contents of namespaces as C: declarations that no header contains, with a $."""

from collections.abc import Callable

from codegen.items import RECORDS, Item, items
from codegen.source import SCOPE, Token, Tokens, split

OPEN, CLOSE, USING, ALIAS = "$open", "$close", "$using", "$alias"
"""Forward declarations that mark namespaces: `struct $open$$DTC;` to `struct $close;`, and what they use."""

UNDERLYING, SCOPED = "$underlying", "$scoped"
"""First members of an enum: `$underlying = sizeof(uint8_t)` for `: uint8_t`, `$scoped = 1` for `enum class`."""

INITIAL, CONSTANT, NAMED = "initial", "constant", "named"
"""Members `T Field : initial(value);`, `int NAME : constant(value);` and `T Name : named();` for a type's name."""


def lower_members(tokens: Tokens, file: str) -> Tokens:
    """Write the members of structs as C: initial values, constants, type names."""
    return _each(tokens, file, _member, None)


def lower_scopes(tokens: Tokens, file: str) -> Tokens:
    """Write namespaces as marks, and using and constants as C.

    What lays nothing out is removed.
    """
    return _each(tokens, file, _outside, None)


def _each(
    tokens: Tokens, file: str, change: Callable[[Item, Tokens, str, str | None], Tokens | None], owner: str | None
) -> Tokens:
    """Give each declaration to `change`.

    If it returns None, the declaration is kept, and those in it are given as well.
    """
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
        return [*target, name, *at(name.line, ":", NAMED, "(", ")", ";")]
    if item.kind != "variable":
        return None
    if "static" in texts:
        return _static(tokens)
    if texts[0] == "const":
        tokens = tokens[1:]
    return _declarators(tokens)


def _static(tokens: Tokens) -> Tokens:
    """Lower `static const T A = 1, B = 2;`.

    A static member has no place in the struct.
    """
    out: Tokens = []
    for part in split(tokens[:-1], ","):
        name, value = _initialised(part)
        texts = [token.text for token in name]
        if value and "*" not in texts and "[" not in texts and texts[-1] != "]":
            line = name[-1].line
            out += [*at(line, "int", texts[-1], ":", CONSTANT, "("), *value, *at(value[-1].line, ")", ";")]
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
            out += [*at(line, ":", INITIAL, "("), *value, *at(value[-1].line if value else line, ")")]
    return [*out, tokens[-1]]


def _initialised(part: Tokens) -> tuple[Tokens, Tokens | None]:
    """Part a declarator from its value.

    The value of `{}` is empty. None stands for no value.
    """
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
        return [*at(line, "struct", OPEN + SCOPE + texts[1], ";"), *inner, *at(tokens[-1].line, "struct", CLOSE, ";")]
    if item.kind == "using":
        if "=" in texts:
            return [*at(line, "typedef"), *tokens[3:-1], tokens[1], tokens[-1]]
        mark = USING if texts[1] == "namespace" else ALIAS
        return at(line, "struct", mark + SCOPE + texts[-2], ";") if SCOPE in texts[-2] or mark == USING else []
    if item.kind == "variable" and texts[0] == "namespace":
        return []
    if item.kind == "variable" and "(" not in texts and "const" in texts:
        return _constants(tokens)
    return None


def _constants(tokens: Tokens) -> Tokens:
    """Write `const T A{1}, B = 2;` as `const T A = 1, B = 2;`."""
    out: Tokens = []
    for part in split(tokens[:-1], ","):
        name, given = _initialised(part)
        out += [Token(",", part[0].line)] if out else []
        out += [*name, Token("=", part[0].line), *given] if given and part[len(name)].text == "{" else part
    return [*out, tokens[-1]]


def at(line: int, *texts: str) -> Tokens:
    """Make tokens on a line."""
    return [Token(text, line) for text in texts]
