"""Functions of a header -> the values that they give to a message's fields.

A statement `Field = value;` of a constructor, of Clear() or of a C function that fills a struct becomes a member
`int Field : assigned(value);`, and memset() becomes `int $cleared : assigned();`. No C header has such members.
"""

from dataclasses import dataclass, field

from codegen.items import RECORDS, Item, items
from codegen.source import SCOPE, Finding, HeaderError, Token, Tokens, is_name, split

CLEARED = "$cleared"
ASSIGNED = "assigned"

_CLEARING = ("memset", "ZeroMemory", "bzero", "SecureZeroMemory")
_COPYING = ("strcpy", "strncpy", "strcpy_s", "strncpy_s", "memcpy", "strlcpy", "snprintf", "sprintf")
_WITHOUT_EFFECT = ("return", "assert", "static_assert")


@dataclass
class Functions:
    """Remove the functions of one file after another; keep what they give to fields.

    `calls` are the methods that constructors call and that no header has defined so far: owner and name.
    """

    findings: list[Finding] = field(default_factory=list)
    calls: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)

    def lower(self, tokens: Tokens, file: str, owner: str | None = None) -> Tokens:
        """Remove each function. `owner` is the name of the struct around the tokens."""
        out: Tokens = []
        found = list(items(tokens, 0, len(tokens), file))
        methods = {} if owner is None else _methods(found, tokens)
        used = _fillers(methods, owner, tokens)
        for item in found:
            if item.kind == "function":
                _check_virtual(item, tokens, file, owner)
                name = _name(item, tokens)
                if owner is None:
                    out += self._free_function(item, tokens, file)
                elif name in used and methods[name] is item:
                    out += self._values(item, tokens, _Filler(name, owner, "this", dict(methods), tokens, file))
            elif item.body and item.kind in ("namespace", "linkage", *RECORDS):
                opening, close = item.body
                inside = record_name(item, tokens) if item.kind in RECORDS else owner
                inner = self.lower(tokens[opening + 1 : close], file, inside)
                out += [*tokens[item.start : opening + 1], *inner, *tokens[close : item.end]]
            else:
                out += tokens[item.start : item.end]
        return out

    def report_calls(self) -> None:
        """Report the methods that constructors call and that no header defines."""
        for (owner, name), (file, line) in self.calls.items():
            what = f"struct {owner} starts with values that {name}() gives, which is not in the headers"
            self.findings.append(Finding(file, line, what))
        self.calls.clear()

    def _free_function(self, item: Item, tokens: Tokens, file: str) -> Tokens:
        """Read the values that a function outside of a struct gives to that struct."""
        assert item.arguments
        if item.body is None:
            return []
        opening, close = item.arguments
        body = tokens[item.body[0] + 1 : item.body[1]]
        owner, _, name = tokens[opening - 1].text.rpartition(SCOPE)
        struct, variable = owner, "this"
        if owner:
            called = (owner.rpartition(SCOPE)[2], name) in self.calls
            fills = called or name in (owner.rpartition(SCOPE)[2], "Clear") or _assigns_type(body, variable)
            if tokens[max(opening - 2, 0)].text == "~" or close > opening + 1 or not fills:
                return []
            self.calls.pop((owner.rpartition(SCOPE)[2], name), None)
        else:
            struct, variable = _parameter([token.text for token in tokens[opening + 1 : close]])
            if not struct or not _assigns_type(body, variable):
                return []
        line = tokens[item.start].line
        values = self._values(item, tokens, _Filler(tokens[opening - 1].text, struct, variable, {}, tokens, file))
        if not values:
            return []
        return [*_tokens(line, "struct", struct, "{"), *values, *_tokens(values[-1].line, "}", ";")]

    def _values(self, item: Item, tokens: Tokens, filler: "_Filler", line: int = 0) -> Tokens:
        """Read the values that a function gives.

        A method that it calls is read in the place of the call.
        """
        assert item.arguments and item.body
        values: Tokens = []
        colon = next((place for place in range(item.arguments[1], item.body[0]) if tokens[place].text == ":"), None)
        if colon is not None:
            for part in split(tokens[colon + 1 : item.body[0]], ",", angles=True):
                values += _initialiser(part)
        for statement in split(tokens[item.body[0] + 1 : item.body[1]], ";"):
            values += self._statement(statement, filler) if statement else []
        return [Token(token.text, line or token.line) for token in values]

    def _statement(self, statement: Tokens, filler: "_Filler") -> Tokens:
        words = [token.text for token in _field(statement, filler.variable)]
        line = statement[0].line
        if len(words) == 3 and words[1:] == ["(", ")"] and words[0] not in _WITHOUT_EFFECT:
            method = filler.methods.pop(words[0], None)
            if method is not None:
                return self._values(method, filler.tokens, filler, line)
            self.calls[(filler.owner.rpartition(SCOPE)[2], words[0])] = (filler.file, line)
            return []
        understood = _statement(statement, filler.variable)
        if understood is None:
            what = f"not understood in {filler.name}(): {' '.join(token.text for token in statement)[:60]}"
            self.findings.append(Finding(filler.file, line, what, False))
        return understood or []


@dataclass
class _Filler:
    """Hold what a function fills, and the methods that it may call."""

    name: str
    owner: str
    variable: str
    methods: dict[str, Item]
    tokens: Tokens
    file: str


def _name(item: Item, tokens: Tokens) -> str:
    assert item.arguments
    return tokens[item.arguments[0] - 1].text


def _methods(found: list[Item], tokens: Tokens) -> dict[str, Item]:
    """Find the methods without parameters that a struct defines itself."""
    methods = {}
    for item in found:
        if item.kind == "function" and item.body and item.arguments:
            opening, close = item.arguments
            without = [each.text for each in tokens[opening + 1 : close]] in ([], ["void"])
            if without and tokens[max(opening - 2, 0)].text != "~":
                methods[tokens[opening - 1].text] = item
    return methods


def _fillers(methods: dict[str, Item], owner: str | None, tokens: Tokens) -> list[str]:
    """Choose the methods that give a struct its initial values.

    They are the constructor, Clear(), and those that set Type.
    """
    called = _called(owner or "", methods, tokens, [])
    others = [name for name in methods if name not in called]
    return [
        *(name for name in others if name == "Clear" or _sets_type(methods[name], tokens)),
        *(name for name in called if name == owner),
    ]


def _called(name: str, methods: dict[str, Item], tokens: Tokens, found: list[str]) -> list[str]:
    """Find a method, the methods that it calls, and those that they call."""
    if name in methods and name not in found:
        found.append(name)
        body = methods[name].body
        assert body
        for part in split(tokens[body[0] + 1 : body[1]], ";"):
            if [each.text for each in part[1:]] == ["(", ")"]:
                _called(part[0].text, methods, tokens, found)
    return found


def _sets_type(method: Item, tokens: Tokens) -> bool:
    assert method.body
    return _assigns_type(tokens[method.body[0] + 1 : method.body[1]], "this")


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


def _parameter(words: list[str]) -> tuple[str, str]:
    """Read a function's only parameter, `struct s_X *x` or `s_X& x`."""
    words = [word for word in words if word not in ("struct", "const")]
    return (words[0], words[2]) if len(words) == 3 and words[1] in ("*", "&") else ("", "")


def _assigns_type(body: Tokens, variable: str) -> bool:
    """Check whether a function sets the field Type.

    A function that only reads a message does not.
    """
    for statement in split(body, ";"):
        words = [token.text for token in _field(statement, variable)]
        if words[:2] == ["Type", "="]:
            return True
    return False


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
    if len(words) > 3 and words[1] == "(" and words[-1] == ")":
        arguments = list(split(statement[2:-1], ","))
        target = [token.text for token in _field(arguments[0], variable)] if arguments else []
        if words[0] in _CLEARING and target in (["this"], [variable], ["&", variable], ["&", "*", "this"]):
            return _assigned(CLEARED, [], line)
        if words[0] in _CLEARING and target and is_name(target[-1]):
            return _assigned(target[-1], [], line)
        texts = [part for part in arguments if len(part) == 1 and part[0].text.startswith('"')]
        if words[0] in _COPYING and len(texts) == 1 and len(target) == 1:
            return _assigned(target[0], texts[0])
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
