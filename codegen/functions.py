"""Functions of a header -> the values that they give to a message's fields. All else of a function is left out.

A statement `Field = value;` of Clear() or of a C function that fills a struct becomes a member
`int Field : assigned(value);`, in a constructor `int Field : constructed(value);`, and memset() becomes
`int $cleared : assigned();`. No C header has such members.
"""

from codegen.items import RECORDS, Item, items
from codegen.source import SCOPE, Finding, HeaderError, Token, Tokens, is_name, split

CLEARED = "$cleared"
ASSIGNED = "assigned"
CONSTRUCTED = "constructed"
"""Values given in a constructor. It may call Clear(), never the other way round."""

_CLEARING = ("memset", "ZeroMemory", "bzero", "std$$memset", "SecureZeroMemory")
_COPYING = ("strcpy", "strncpy", "strcpy_s", "strncpy_s", "memcpy", "strlcpy", "snprintf", "sprintf")
_WITHOUT_EFFECT = ("Clear", "return", "assert", "static_assert", "Init", "Initialize", "Reset")


def lower_functions(tokens: Tokens, file: str, findings: list[Finding], owner: str | None = None) -> Tokens:
    """Remove each function; keep what it gives to fields. `owner` is the name of the struct around the tokens."""
    out: Tokens = []
    for item in items(tokens, 0, len(tokens), file):
        if item.kind == "function":
            _check_virtual(item, tokens, file, owner)
            if owner is None:
                out += _free_function(item, tokens, file, findings)
            elif (name := tokens[item.arguments[0] - 1].text if item.arguments else "") and item.body:
                out += _method(item, tokens, name, owner, file, findings)
        elif item.body and item.kind in ("namespace", "linkage", *RECORDS):
            opening, close = item.body
            inside = record_name(item, tokens) if item.kind in RECORDS else owner
            inner = lower_functions(tokens[opening + 1 : close], file, findings, inside)
            out += [*tokens[item.start : opening + 1], *inner, *tokens[close : item.end]]
        else:
            out += tokens[item.start : item.end]
    return out


def record_name(item: Item, tokens: Tokens) -> str:
    """Read the name of a struct's definition; "" if it has none."""
    assert item.body
    words = [token.text for token in tokens[item.head : item.body[0]]]
    after = words[words.index(item.kind) + 1 :]
    return after[0] if after and is_name(after[0]) and after[0] != "final" else ""


def _check_virtual(item: Item, tokens: Tokens, file: str, owner: str | None) -> None:
    assert item.arguments
    for token in tokens[item.start : item.arguments[0]]:
        if token.text == "virtual":
            raise HeaderError(file, token.line, f"a virtual function in {owner} changes its layout: not understood")


def _method(item: Item, tokens: Tokens, name: str, owner: str, file: str, findings: list[Finding]) -> Tokens:
    """Read the values that a constructor or a method without parameters gives to the fields of its own struct."""
    assert item.arguments and item.body
    opening, close = item.arguments
    if tokens[opening - 2].text == "~" or [each.text for each in tokens[opening + 1 : close]] not in ([], ["void"]):
        return []
    body = tokens[item.body[0] + 1 : item.body[1]]
    if name not in (owner, "Clear") and not _assigns_type(body, "this"):
        return []
    values: Tokens = []
    colon = next((place for place in range(close, item.body[0]) if tokens[place].text == ":"), None)
    if colon is not None and name == owner:
        for part in split(tokens[colon + 1 : item.body[0]], ",", angles=True):
            values += _initialiser(part)
    values += _statements(body, "this", name, file, findings)
    if name != owner:
        return values
    return [each._replace(text=CONSTRUCTED) if each.text == ASSIGNED else each for each in values]


def _free_function(item: Item, tokens: Tokens, file: str, findings: list[Finding]) -> Tokens:
    """Read the values that a C function, or a method that is defined outside of its struct, gives to a struct."""
    assert item.arguments
    if item.body is None:
        return []
    opening, close = item.arguments
    body = tokens[item.body[0] + 1 : item.body[1]]
    owner, _, name = tokens[opening - 1].text.rpartition(SCOPE)
    if owner:
        if "~" in tokens[opening - 2].text or close > opening + 1:
            return []
        struct, variable = owner, "this"
        if name not in (owner.rpartition(SCOPE)[2], "Clear") and not _assigns_type(body, variable):
            return []
    else:
        struct, variable = _parameter([token.text for token in tokens[opening + 1 : close]])
        if not struct or not _assigns_type(body, variable):
            return []
        name = tokens[opening - 1].text
    line = tokens[item.start].line
    values = _statements(body, variable, name, file, findings)
    if not values:
        return []
    return [*_tokens(line, "struct", struct, "{"), *values, *_tokens(values[-1].line, "}", ";")]


def _parameter(words: list[str]) -> tuple[str, str]:
    """Read the struct and the name of a function's only parameter, `struct s_X *x` or `s_X& x`."""
    words = [word for word in words if word not in ("struct", "const")]
    return (words[0], words[2]) if len(words) == 3 and words[1] in ("*", "&") else ("", "")


def _assigns_type(body: Tokens, variable: str) -> bool:
    """Check whether a function sets the field Type, which no function does that only reads a message."""
    for statement in split(body, ";"):
        words = [token.text for token in _field(statement, variable)]
        if words[:2] == ["Type", "="]:
            return True
    return False


def _statements(body: Tokens, variable: str, name: str, file: str, findings: list[Finding]) -> Tokens:
    values: Tokens = []
    for statement in split(body, ";"):
        if statement:
            understood = _statement(statement, variable)
            if understood is None:
                text = " ".join(token.text for token in statement)[:60]
                findings.append(Finding(file, statement[0].line, f"not understood in {name}(): {text}", False))
            else:
                values += understood
    return values


def _field(statement: Tokens, variable: str) -> Tokens:
    """Take `this->`, `message->` or `message.` off the start of a statement."""
    words = [token.text for token in statement[:2]]
    return statement[2:] if words in ([variable, "->"], [variable, "."]) else statement


def _statement(statement: Tokens, variable: str) -> Tokens | None:
    """Lower one statement; None if its meaning for the fields is not known."""
    statement = _field(statement, variable)
    words = [token.text for token in statement]
    line = statement[0].line
    if len(words) > 2 and words[1] == "=" and is_name(words[0]):
        return _assigned(words[0], statement[2:])
    if words[0] in _WITHOUT_EFFECT or words[:3] == ["*", "this", "="] or words[:3] == ["*", variable, "="]:
        return []
    if len(words) > 2 and words[1] == "(" and words[-1] == ")":
        arguments = list(split(statement[2:-1], ","))
        if words[0] in _CLEARING:
            target = [token.text for token in _field(arguments[0], variable)]
            if target in (["this"], [variable], ["&", variable], ["&", "*", "this"]):
                return _assigned(CLEARED, [], line)
            return _assigned(target[-1], [], line)
        texts = [part for part in arguments if len(part) == 1 and part[0].text.startswith('"')]
        if words[0].removeprefix("std$$") in _COPYING and len(texts) == 1:
            return _assigned(_field(arguments[0], variable)[-1].text, texts[0])
        if words[0].startswith("Set") and len(words[0]) > 3 and len(arguments) == 1:
            return _assigned(words[0][3:], arguments[0])
    if words[1:4] == ["[", "0", "]"] and words[4:] in (["=", "0"], ["=", "'\\0'"]):
        return _assigned(words[0], [], line)
    return None


def _initialiser(part: Tokens) -> Tokens:
    """Lower `Field(value)` or `Field{value}` of a constructor."""
    if len(part) < 3 or part[1].text not in ("(", "{"):
        return []
    return _assigned(part[0].text, part[2:-1], part[0].line)


def _assigned(field: str, value: Tokens, line: int = 0) -> Tokens:
    line = line or value[0].line
    end = value[-1].line if value else line
    return [*_tokens(line, "int", field, ":", ASSIGNED, "("), *value, *_tokens(end, ")", ";")]


def _tokens(line: int, *texts: str) -> Tokens:
    return [Token(text, line) for text in texts]
