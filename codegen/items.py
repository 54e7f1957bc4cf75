"""Split tokens of C++ into declarations, without knowledge of their meaning."""

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.source import PRAGMA, HeaderError, Tokens, angle, closing, is_name

RECORDS = ("struct", "class", "union")
_BEFORE = frozenset(("typedef", "static", "const", "inline", "extern", "constexpr", "constinit"))
_STATEMENTS = {
    "using": "using",
    "friend": "friend",
    "static_assert": "static_assert",
    "_Static_assert": "static_assert",
}


@dataclass(frozen=True)
class Item:
    """Mark one declaration: tokens[start:end].

    `body` is its outermost { and its }, if it has them.

    `kind` is pragma, empty, access, namespace, linkage, enum, struct, class, union, function, using, static_assert,
    friend or variable. `head` is where the declaration starts after `template <...>`.
    """

    kind: str
    start: int
    head: int
    end: int
    body: tuple[int, int] | None = None
    arguments: tuple[int, int] | None = None  # of a function: its ( and its )


def items(tokens: Tokens, start: int, end: int, file: str) -> Iterator[Item]:
    """Find the declarations in tokens[start:end]. Raises HeaderError."""
    place = start
    while place < end:
        item = _item(tokens, place, end, file)
        yield item
        place = item.end


def _item(tokens: Tokens, start: int, end: int, file: str) -> Item:
    text = tokens[start].text
    if text.startswith(PRAGMA):
        return Item("pragma", start, start, start + 1)
    if text == ";":
        return Item("empty", start, start, start + 1)
    if text in ("public", "private", "protected") and start + 1 < end and tokens[start + 1].text == ":":
        return Item("access", start, start, start + 2)
    head = start
    while tokens[head].text == "template" and head + 1 < end and tokens[head + 1].text == "<":
        head = angle(tokens, head + 1, file)
        if head >= end:
            raise HeaderError(file, tokens[start].line, "this template declares nothing")
    first = head
    while first < end - 1 and tokens[first].text in _BEFORE:
        first += 1
    word = tokens[first].text
    if word == "friend" and (function := _function(tokens, start, head, end, file)):
        return Item(word, start, head, function.end)
    if word in _STATEMENTS:
        return Item(_STATEMENTS[word], start, head, _semicolon(tokens, head, end, file))
    if word == "namespace":
        brace = next((index for index in range(first, end) if tokens[index].text in ("{", ";")), end)
        if brace < end and tokens[brace].text == "{":
            close = closing(tokens, brace, file)
            return Item("namespace", start, head, close + 1, (brace, close))
    if word.startswith('"') and tokens[head].text == "extern":
        if first + 1 < end and tokens[first + 1].text == "{":
            close = closing(tokens, first + 1, file)
            return Item("linkage", start, head, close + 1, (first + 1, close))
        return Item("linkage", start, head, first + 1)
    if word == "enum" or word in RECORDS:
        opening = _record_brace(tokens, first, end, file)
        if opening is not None:
            close = closing(tokens, opening, file)
            return Item(word, start, head, _semicolon(tokens, close, end, file), (opening, close))
    return _function(tokens, start, head, end, file) or Item(
        "variable", start, head, _semicolon(tokens, head, end, file)
    )


def _record_brace(tokens: Tokens, first: int, end: int, file: str) -> int | None:
    """Find the { of a struct's or an enum's own definition, if this is one."""
    place = first
    while place < end and tokens[place].text not in (";", "=", "(", "{"):
        place = angle(tokens, place, file) if tokens[place].text == "<" else place + 1
    return place if place < end and tokens[place].text == "{" else None


def _function(tokens: Tokens, start: int, head: int, end: int, file: str) -> Item | None:
    """Find the end of a function, declared or defined; None if this is no function."""
    place = head
    while place < end and tokens[place].text not in (";", "=", "{", "["):
        text = tokens[place].text
        if text == "operator":
            place += 3 if tokens[place + 1].text in ("(", "[") else 1
            while tokens[place].text != "(":
                place += 1
            break
        if text == "(":
            break
        place = angle(tokens, place, file) if text == "<" else place + 1
    if place >= end or tokens[place].text != "(":
        return None
    if place + 1 < end and tokens[place + 1].text == "*":
        return None  # a pointer to a function
    named = place > head and is_name(tokens[place - 1].text)
    if not named and all(each.text != "operator" for each in tokens[head:place]):
        return None
    arguments = (place, closing(tokens, place, file))
    place = arguments[1] + 1
    while place < end and tokens[place].text not in (";", "{", ":"):
        place = closing(tokens, place, file) + 1 if tokens[place].text in ("(", "[") else place + 1
    if place < end and tokens[place].text == ":":
        place = _after_initialisers(tokens, place + 1, end, file)
    if place < end and tokens[place].text == "{":
        close = closing(tokens, place, file)
        return Item("function", start, head, close + 1, (place, close), arguments)
    if place >= end:
        raise HeaderError(file, tokens[start].line, "this declaration does not end with a semicolon")
    return Item("function", start, head, place + 1, None, arguments)


def _after_initialisers(tokens: Tokens, place: int, end: int, file: str) -> int:
    """Find the { of a constructor's body, after `: Field(value), Field{value}`."""
    while place < end:
        while place < end and tokens[place].text not in ("(", "{", ";"):
            place = angle(tokens, place, file) if tokens[place].text == "<" else place + 1
        if place >= end or tokens[place].text == ";":
            return place
        place = closing(tokens, place, file) + 1
        if place >= end or tokens[place].text != ",":
            return place
        place += 1
    return place


def _semicolon(tokens: Tokens, place: int, end: int, file: str) -> int:
    """Find the place after the ; that ends a declaration."""
    index = place
    while index < end:
        if tokens[index].text == ";":
            return index + 1
        index = closing(tokens, index, file) + 1 if tokens[index].text in ("(", "[", "{") else index + 1
    raise HeaderError(file, tokens[place].line, "this declaration does not end with a semicolon")
