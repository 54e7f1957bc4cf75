"""Class templates and base classes -> structs that list all of their own fields."""

from codegen.functions import record_name
from codegen.items import RECORDS, Item, items
from codegen.source import SCOPE, Finding, HeaderError, Token, Tokens, angle, split

SPECIAL = "$"
"""Stands in the name of a template's specialisation: Reject$7 is Reject<7>."""

_ACCESS = ("public", "private", "protected", "virtual", "struct", "class")


class Templates:
    """Write the fields of base classes and class templates where they are used.

    A token that is written so gets the line of the use.
    """

    def __init__(self) -> None:
        self._bodies: dict[str, Tokens] = {}
        self._parameters: dict[str, list[tuple[str, Tokens]]] = {}
        self._uses: set[str] = set()

    def __call__(self, tokens: Tokens, file: str, findings: list[Finding]) -> Tokens:
        """Write out base classes, aliases and specialisations; remove the templates."""
        read = set(self._parameters)
        out = self._write_out(tokens, file)
        for name in self._parameters:
            if name not in read and name not in self._uses:
                what = f"class template {name} is used by no struct, and states no message of its own"
                findings.append(Finding(file, self._bodies[name][0].line if self._bodies[name] else 1, what))
        return out

    def _write_out(self, tokens: Tokens, file: str) -> Tokens:
        out: Tokens = []
        for item in items(tokens, 0, len(tokens), file):
            if item.head > item.start and item.head - item.start > 3 and item.kind not in RECORDS:
                continue  # a template that is no struct: nothing is laid out by it
            if item.kind in RECORDS and item.body:
                out += self._record(item, tokens, file)
            elif item.body and item.kind in ("namespace", "linkage"):
                opening, close = item.body
                inner = self._write_out(tokens[opening + 1 : close], file)
                out += [*tokens[item.start : opening + 1], *inner, *tokens[close : item.end]]
            else:
                out += self._alias(tokens[item.start : item.end], file)
        return out

    def _record(self, item: Item, tokens: Tokens, file: str) -> Tokens:
        assert item.body
        opening, close = item.body
        head = tokens[item.head : opening]
        body = self._write_out(tokens[opening + 1 : close], file)
        colon = next((place for place, token in enumerate(head) if token.text == ":"), len(head))
        name = record_name(item, tokens)
        inherited: Tokens = []
        for base in split(head[colon + 1 :], ",", angles=True):
            inherited += self._used([token for token in base if token.text not in _ACCESS], file)
        head = head[:colon]
        body = [*inherited, *body]
        if item.head > item.start and item.head - item.start > 3:
            self._bodies[name] = body
            self._parameters[name] = [
                _parameter(part) for part in split(tokens[item.start + 2 : item.head - 1], ",", angles=True)
            ]
            return []
        if any(token.text == "<" for token in head):
            # template <> struct Name<NUMBER> { ... }
            place = next(place for place, token in enumerate(head) if token.text == "<")
            arguments = [token.text.rpartition(SCOPE)[2] for token in head[place:] if token.text.strip("<>,:")]
            name = SPECIAL.join([name, *arguments])
            head = [*head[: place - 1], Token(name, head[0].line)]
        self._bodies[name] = body
        return [*head, tokens[opening], *body, *tokens[close : item.end]]

    def _alias(self, tokens: Tokens, file: str) -> Tokens:
        """Write out `using s_X = T<1>;`, `typedef T<1> s_X;`, `template struct T<1>;`."""
        texts = [token.text for token in tokens]
        if "<" not in texts or texts[0] not in ("using", "typedef", "template"):
            return tokens
        if texts[0] == "using":
            name, use = texts[1], tokens[3:-1]
        elif texts[0] == "typedef":
            name, use = texts[-2], tokens[1:-2]
        else:
            use = tokens[2:-1]
            name = SPECIAL.join(each.text.rpartition(SCOPE)[2] for each in use if each.text.strip("<>,"))
        if use[0].text.rpartition(SCOPE)[2] not in self._parameters:
            return tokens
        line = tokens[0].line
        start = [Token(text, line) for text in ("struct", name, "{")]
        return [*start, *self._used(use, file), Token("}", tokens[-1].line), tokens[-1]]

    def _used(self, use: Tokens, file: str) -> Tokens:
        """Write the members of a base class, or of a template with its arguments."""
        name = use[0].text.rpartition(SCOPE)[2]
        if name not in self._bodies:
            raise HeaderError(file, use[0].line, f"unknown base class {use[0].text.replace(SCOPE, '::')}")
        self._uses.add(name)
        values: dict[str, Tokens] = {}
        if parameters := self._parameters.get(name):
            given = []
            if len(use) > 1 and use[1].text == "<":
                given = list(split(use[2 : angle(use, 1, file) - 1], ",", angles=True))
            for place, (parameter, default) in enumerate(parameters):
                values[parameter] = given[place] if place < len(given) else default
                if not values[parameter]:
                    raise HeaderError(file, use[0].line, f"{name} needs a value for {parameter}")
        return [Token(text, use[0].line) for token in self._bodies[name] for text, _ in values.get(token.text, [token])]


def _parameter(part: Tokens) -> tuple[str, Tokens]:
    """Read the name and the default of a template's parameter, `uint16_t Number = 0`."""
    equals = next((place for place, token in enumerate(part) if token.text == "="), len(part))
    return part[equals - 1].text, part[equals + 1 :]
