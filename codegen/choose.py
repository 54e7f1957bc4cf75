"""Choose the messages among all that was declared: each message number once.

All that is no message becomes a finding with the reason.
"""

import keyword
from dataclasses import dataclass, replace

from codegen.lower import STDINT
from codegen.model import (
    LIMITS,
    MESSAGE_TYPE,
    TEXT,
    WHOLE_NUMBER,
    Enum,
    Field,
    Layout,
    Message,
    Protocol,
    Value,
    has_base_size,
)
from codegen.names import Names
from codegen.source import SCOPE, Finding, HeaderError
from codegen.structs import NUMBER_NAMES, Record
from codegen.templates import SPECIAL

_RESERVED = frozenset(
    (*STDINT, *LIMITS, "float", "double", "float_t", TEXT, "Message", "MESSAGES", "DTCEnum", "IntEnum", "Annotated")
) | frozenset(("ClassVar", "UNSET", "Meta", "Struct", "UnsetType", "Any", WHOLE_NUMBER, MESSAGE_TYPE, *keyword.kwlist))


@dataclass
class Declared:
    """Hold what was declared in all files, in their order.

    Names are full: with their scopes.
    """

    constants: dict[str, Value]
    kinds: dict[str, str]  # of constants: the C type that each was declared with, "" for #define
    anonymous: list[dict[str, int]]
    typedefs: dict[str, str]
    enums: dict[str, Enum]


@dataclass(frozen=True)
class _Candidate:
    """Hold a struct that states a message number, and the name it states it by."""

    record: Record
    name: str
    number: int

    @property
    def scope(self) -> str:
        return self.record.full.rpartition(SCOPE)[0]

    @property
    def body(self) -> list[tuple[str, str, int | None]]:
        fields = self.record.fields[3 if has_base_size(self.record.fields) else 2 :]
        return [(field.name, field.type.rpartition(SCOPE)[2], field.length) for field in fields]

    def __str__(self) -> str:
        return f"{self.record.cpp_name} ({self.record.file}:{self.record.line})"


def choose(
    declared: Declared, records: dict[str, Record], names: Names, findings: list[Finding], marked: bool
) -> Protocol:
    """Make the protocol of all that was declared.

    `marked`: structs say by #pragma dtc who sends them.

    Raises HeaderError where a marked struct is no message.
    """
    marked = marked and MESSAGE_TYPE in declared.enums  # the dialect of codegen/dtc.h
    found = [candidate for record in records.values() if (candidate := _candidate(record, findings, marked))]
    chosen = _each_number_once(found, findings)
    spellings = _Spellings(declared)
    if not found:
        findings.append(Finding(names.file, 1, "no struct states the number of a message", False))
    constants = _constants(declared, chosen, spellings, names, findings)
    messages = tuple(_message(candidate, spellings) for candidate in chosen)
    types = _message_types(chosen, messages, declared, names, findings)
    enums = tuple(
        replace(enum, name=spellings.of[full], underlying=enum.underlying or "int32_t")
        for full, enum in declared.enums.items()
        if full != MESSAGE_TYPE
    )
    typedefs = {spellings.of[full]: spellings.type(target) for full, target in declared.typedefs.items()}
    layouts = tuple(
        Layout(record.cpp_name, record.size, tuple((each.path, each.offset, each.size) for each in record.fields))
        for record in records.values()
        if not record.nested
    )
    return Protocol(constants, typedefs, types, enums, messages, tuple(findings), layouts)


# -- which structs are messages


def _candidate(record: Record, findings: list[Finding], marked: bool) -> _Candidate | None:
    """Find the number that a struct states.

    A struct without one is no message, for a reason.
    """
    if record.nested:
        return None
    if marked and not record.sender and record.is_message:
        raise HeaderError(record.file, record.line, f"no #pragma dtc before struct {record.cpp_name}")
    if not record.is_message:
        what = f"struct {record.cpp_name} does not start with Size and Type: no message"
        if marked and record.sender:
            raise HeaderError(record.file, record.line, what)
        findings.append(Finding(record.file, record.line, what))
        return None
    if [field.size for field in record.fields[:2]] != [2, 2]:
        what = f"struct {record.cpp_name} does not start with uint16_t Size and uint16_t Type"
        raise HeaderError(record.file, record.line, what)
    stated = record.defaults.get("Type", (Value(0), 0))[0]
    constant = next((value for name, value in record.constants.items() if NUMBER_NAMES.fullmatch(name)), stated)
    value = stated if stated.value else constant
    if value.value != constant.value:
        what = f"struct {record.cpp_name} states two numbers, {stated.value} and {constant.value}: it is not used"
        findings.append(Finding(record.file, record.line, what, False))
        return None
    if value.value:
        assert isinstance(value.value, int)
        return _Candidate(record, value.name, value.value)
    if len(record.fields) == 2 + has_base_size(record.fields):
        what = f"struct {record.cpp_name} has no fields and no number: the start of all messages"
        findings.append(Finding(record.file, record.line, what, not record.sender))
    else:
        what = f"struct {record.cpp_name} starts as a message does, but nothing states its number (Type)"
        findings.append(Finding(record.file, record.line, what, False))
    return None


def _each_number_once(found: list[_Candidate], findings: list[Finding]) -> list[_Candidate]:
    """Choose the struct of each message number; report the others."""
    # A namespace has either texts of fixed length or of variable length.
    variable = {each.scope for each in found if each.record.is_variable and each.scope}
    numbers: dict[int, list[_Candidate]] = {}
    for candidate in found:
        numbers.setdefault(candidate.number, []).append(candidate)
    chosen = []
    for number, those in numbers.items():
        fixed = [each for each in those if each.scope not in variable and not each.record.is_variable]
        rivals = fixed or those
        first = rivals[0]
        title = first.name.rpartition(SCOPE)[2]
        name = f"{title} ({number})" if title else f"number {number}"
        if any(each.body[: len(first.body)] != first.body[: len(each.body)] for each in rivals):
            listed = " and ".join(map(str, rivals))
            what = f"{name} is stated by {len(rivals)} structs with different fields, {listed}: none is used"
            findings.append(Finding(first.record.file, first.record.line, what, False))
            continue
        chosen.append(first)
        for each in those:
            if each is first:
                continue
            if each not in rivals:
                reason = f"{name} with texts of variable length"
            elif more := len(each.body) - len(first.body):
                reason = f"{name} with {abs(more)} {'more' if more > 0 else 'fewer'} fields at its end"
            else:
                reason = f"{name} once more"
            what = f"struct {each.record.cpp_name}: {reason}; {first} is used"
            findings.append(Finding(each.record.file, each.record.line, what))
    order = {id(candidate): place for place, candidate in enumerate(found)}
    return sorted(chosen, key=lambda candidate: order[id(candidate)])


# -- names in Python


class _Spellings:
    """Give each enum, typedef, constant and message a unique name in the module."""

    def __init__(self, declared: Declared) -> None:
        self.of: dict[str, str] = {}
        self._taken: set[str] = set(_RESERVED)
        for full in (*declared.enums, *declared.typedefs):
            if full != MESSAGE_TYPE:
                self.of[full] = self.take(full)

    def take(self, full: str, prefix: str = "") -> str:
        """Return the last part of a full name; more parts of it if that name is taken."""
        parts = full.replace(SCOPE, " ").replace(SPECIAL, "_").split(" ")
        for count in range(1, len(parts) + 1):
            name = "_".join(parts[-count:])
            if count == 1:
                name = name.removeprefix(prefix)
            else:
                name = "_".join((*parts[-count:-1], parts[-1].removeprefix(prefix)))
            if name not in self._taken:
                break
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def type(self, full: str) -> str:
        return self.of.get(full, full.rpartition(SCOPE)[2])


def _message(candidate: _Candidate, spellings: _Spellings) -> Message:
    record = candidate.record
    fields = tuple(
        replace(field, type=spellings.type(field.type), default=_default(field, record, spellings))
        for field in record.fields
    )
    scope, _, struct = record.full.rpartition(SCOPE)
    start = "s_" if struct.startswith("s_") else ""
    return Message(
        start + spellings.take(record.full, start),
        record.line,
        record.sender,
        record.marks,
        fields,
        record.size,
        candidate.name.rpartition(SCOPE)[2] or f"MESSAGE_{candidate.number}",
        candidate.number,
        scope.replace(SCOPE, "::"),
        record.file,
    )


def _default(field: Field, record: Record, spellings: _Spellings) -> Value | None:
    stated = record.defaults.get(field.name)
    if stated is None or field.name in ("Size", "Type", "BaseSize"):
        return None
    value = stated[0]
    if value.enum:
        return Value(value.value, value.name.rpartition(SCOPE)[2], spellings.type(value.enum))
    return Value(value.value, value.name if value.name in LIMITS else spellings.of.get(value.name, ""))


# -- constants


def _message_types(
    chosen: list[_Candidate],
    messages: tuple[Message, ...],
    declared: Declared,
    names: Names,
    findings: list[Finding],
) -> Enum:
    """Make the enum of the message numbers, in the header's order."""
    places = {full: place for place, full in enumerate(names.lines)}
    pairs = sorted(zip(chosen, messages, strict=True), key=lambda pair: places.get(pair[0].name, len(places)))
    members: dict[str, int] = {}
    for candidate, message in pairs:
        name = message.name
        if name in members:
            name = candidate.name.replace(SCOPE, "_")
        members[name if name not in members else f"{name}_{message.number}"] = message.number
    stated = declared.enums.get(MESSAGE_TYPE)
    for name, number in (stated.members if stated else {}).items():
        if number not in members.values() and not any(str(number) in each.what for each in findings):
            file, line = names.lines[name]
            findings.append(Finding(file, line, f"{name} ({number}) has no struct", False))
    return Enum(MESSAGE_TYPE, stated.line if stated else 1, members, "uint16_t")


def _constants(
    declared: Declared, chosen: list[_Candidate], spellings: _Spellings, names: Names, findings: list[Finding]
) -> tuple[dict[str, int | float], ...]:
    """Gather the constants that are no message numbers.

    A message number without a struct becomes a finding.
    """
    used = {candidate.name for candidate in chosen}
    kinds = {declared.kinds[name] for name in used if name in declared.kinds} - {""}
    groups: list[dict[str, int | float]] = []
    for members in declared.anonymous:
        groups.append({})
        for full, number in members.items():
            if full not in used:
                spellings.of[full] = spellings.take(full)
                groups[-1][spellings.of[full]] = number
    groups.append({})
    for full, value in declared.constants.items():
        if full in used or isinstance(value.value, str):
            continue
        if declared.kinds[full] in kinds and declared.kinds[full] == "uint16_t":
            file, line = names.lines[full]
            what = f"{full.replace(SCOPE, '::')} ({value.value}): no struct has this number"
            findings.append(Finding(file, line, what))
            continue
        name = full.rpartition(SCOPE)[2]
        spellings.of[full] = name if groups[-1].get(name) == value.value else spellings.take(full)
        groups[-1][spellings.of[full]] = value.value
    return tuple(group for group in groups if group)
