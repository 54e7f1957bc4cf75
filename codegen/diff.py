"""List what changed from one protocol to another."""

from collections.abc import Iterable, Iterator

from codegen.model import Enum, Field, Message, Protocol

_COMPACT = (
    'WARNING: {name} is sent without field names ({{"F": [...]}}). A JSON client that reads it with the old order '
    "takes values of one field for another, and gets no error."
)


def diff(old: Protocol, new: Protocol) -> Iterator[str]:
    """List line by line what `new` adds, removes, renames, reorders and retypes."""
    before = {message.number: message for message in old.messages}
    after = {message.number: message for message in new.messages}
    compact = {message.number for message in (*old.messages, *new.messages) if "compact" in message.marks}
    for number, message in sorted(after.items()):
        if number not in before:
            yield f"new message {_title(message)}: {_listed(field.name for field in message.body) or 'no fields'}"
    for number, message in sorted(before.items()):
        if number not in after:
            yield f"removed message {_title(message)}"
    for number in sorted(before.keys() & after.keys()):
        lines = list(_message(before[number], after[number], number in compact))
        if lines:
            yield f"message {_title(after[number])}:"
            yield from (f"  {line}" for line in lines)
    yield from _enums(old, new)
    yield from _constants(old, new)


def _title(message: Message) -> str:
    return f"{message.name} ({message.number})"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _message(old: Message, new: Message, compact: bool) -> Iterator[str]:
    """List what changed in one message."""
    if old.name != new.name:
        yield f"renamed, from {old.name}"
    if old.struct != new.struct:
        yield f"struct renamed, from {old.struct} to {new.struct}"
    renamed = _renamed(old.body, new.body)
    before = {renamed.get(field.name, field.name): field for field in old.body}
    after = {field.name: field for field in new.body}
    for name, now in renamed.items():
        yield f"renamed field {name} to {now}"
    for place, field in enumerate(new.body):
        if field.name not in before:
            at_end = place >= len(new.body) - _added_at_end(before, new)
            where = "at the end" if at_end else f"after {_before(new, place)}"
            yield f"new field {field.name}, {_type(field)}, {where}"
    for name, field in before.items():
        if name not in after:
            yield f"removed field {field.name}, {_type(field)}"
    for name, field in before.items():
        if name in after and _type(field) != _type(after[name]):
            yield f"field {name} was {_type(field)} and is {_type(after[name])}"
    common = [name for name in before if name in after]
    order = [name for name in after if name in before]
    if common != order:
        yield f"the order of fields changed: it was {_listed(common)}, and is {_listed(order)}"
    inserted = list(before) != list(after)[: len(before)]
    if compact and (common != order or inserted):
        yield _COMPACT.format(name=new.name)
    for name, field in before.items():
        if name in after and _initial(field) != _initial(after[name]):
            yield f"field {name} started as {_initial(field)} and starts as {_initial(after[name])}"


def _renamed(old: tuple[Field, ...], new: tuple[Field, ...]) -> dict[str, str]:
    """Pair a removed field with a new one of its type in its place."""
    before, after = {field.name for field in old}, {field.name for field in new}
    pairs: dict[str, str] = {}
    for place, field in enumerate(old):
        if field.name in after:
            continue
        for index, candidate in enumerate(new):
            if candidate.name in before or candidate.name in pairs.values() or _type(candidate) != _type(field):
                continue
            if _name(old, place - 1) == _name(new, index - 1) and (
                _name(old, place + 1) == _name(new, index + 1) or _name(old, place + 1) not in after
            ):
                pairs[field.name] = candidate.name
                break
    return pairs


def _name(fields: tuple[Field, ...], place: int) -> str:
    return fields[place].name if 0 <= place < len(fields) else ""


def _added_at_end(before: dict[str, Field], new: Message) -> int:
    count = 0
    for field in reversed(new.body):
        if field.name in before:
            break
        count += 1
    return count


def _before(message: Message, place: int) -> str:
    return message.body[place - 1].name if place else message.fields[1].name


def _type(field: Field) -> str:
    """Name a field's type for a reader: the text's length, the array's, the union."""
    kind = f"text of {field.length} bytes" if field.length is not None else field.type
    if field.type == "vls_t":
        kind = "text of variable length"
    if field.count:
        kind = f"{field.count} x {kind}"
    return f"{kind} in a union" if field.union else kind


def _initial(field: Field) -> str:
    if field.default is None or not field.default.value:
        return "0"
    return field.default.name or repr(field.default.value)


def _enums(old: Protocol, new: Protocol) -> Iterator[str]:
    before = {enum.name: enum for enum in old.enums}
    after = {enum.name: enum for enum in new.enums}
    for name, enum in after.items():
        if name not in before:
            yield f"new enum {name}: {_listed(f'{each} = {number}' for each, number in enum.members.items())}"
    for name in before:
        if name not in after:
            yield f"removed enum {name}"
    for name, enum in after.items():
        if name in before and (lines := list(_enum(before[name], enum))):
            yield f"enum {name}:"
            yield from (f"  {line}" for line in lines)


def _enum(old: Enum, new: Enum) -> Iterator[str]:
    if old.underlying != new.underlying:
        yield f"was {old.underlying} and is {new.underlying}"
    names = {number: name for name, number in old.members.items() if name not in new.members}
    for name, number in new.members.items():
        if name in old.members and old.members[name] != number:
            yield f"{name} was {old.members[name]} and is {number}"
        elif name not in old.members and number in names:
            yield f"renamed {names.pop(number)} to {name}"
        elif name not in old.members:
            yield f"new value {name} = {number}"
    for number, name in names.items():
        yield f"removed value {name} = {number}"


def _constants(old: Protocol, new: Protocol) -> Iterator[str]:
    before = {name: number for group in old.constants for name, number in group.items()}
    after = {name: number for group in new.constants for name, number in group.items()}
    for name, number in after.items():
        if name not in before:
            yield f"new constant {name} = {number}"
        elif before[name] != number:
            yield f"constant {name} was {before[name]} and is {number}"
    for name in before:
        if name not in after:
            yield f"removed constant {name}"
