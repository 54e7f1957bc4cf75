"""Structs of the syntax tree -> their fields, layout and initial values."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pycparser import c_ast  # type: ignore[import-untyped]

from codegen.functions import ASSIGNED, CLEARED
from codegen.model import TEXT, Field, Group, Value, alignment, all_fields, has_base_size, lay_out
from codegen.names import Names, line_of
from codegen.rewrites import CONSTANT, INITIAL, NAMED
from codegen.source import SCOPE, Finding, HeaderError
from codegen.templates import SPECIAL

NUMBER_NAMES = re.compile(r"k?_?message_?type|type", re.IGNORECASE)
"""Static constants of a struct that state its message number, where its field Type does not."""


@dataclass
class Record:
    """Hold what was read of one struct. `full` is its name with its scopes."""

    full: str
    line: int
    file: str
    members: tuple[Field | Group, ...] = ()
    fields: tuple[Field, ...] = ()
    size: int = 0
    sender: str = ""
    marks: tuple[str, ...] = ()
    defaults: dict[str, tuple[Value, int]] = field(default_factory=dict)  # with the line of each
    constants: dict[str, Value] = field(default_factory=dict)
    stated: bool = False  # its values were stated in a `const struct ..._default`
    nested: bool = False  # it stands within another struct

    @property
    def cpp_name(self) -> str:
        """Name the struct as C++ does."""
        name, *arguments = self.full.replace(SCOPE, "::").split(SPECIAL)
        return f"{name}<{', '.join(arguments)}>" if arguments else name

    @property
    def is_message(self) -> bool:
        """Check whether the struct starts as all messages do."""
        return [each.name for each in self.fields[:2]] == ["Size", "Type"] and not self.nested

    @property
    def is_variable(self) -> bool:
        """Check whether the struct belongs to the encoding with texts of variable length."""
        return self.is_message and (has_base_size(self.fields) or any(each.type == TEXT for each in self.fields))


class StructReader:
    """Read the structs of a header. `names` knows what was declared before."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.records: dict[str, Record] = {}
        self.findings: list[Finding] = []

    def read(self, node: Any, name: str, pack: int, nested: bool = False) -> str:
        """Read a struct's definition, or the values that a function gives to a struct.

        Return its full name.
        """
        names = self._names
        if node.decls and all(_call(member, ASSIGNED) for member in node.decls):
            full = names.find(name, self.records) or names.struct(name)
            if full not in self.records:
                names.fail(node, f"unknown struct {name.replace(SCOPE, '::')}")
            self._assign(self.records[full], node.decls)
            return full
        full = names.full(name)
        if full in self.records:
            names.fail(node, f"struct {name} is declared twice")
        record = Record(full, line_of(node), names.file, nested=nested)
        outer, names.scope = names.scope, (*names.scope, name)
        record.members = tuple(each for member in node.decls or () for each in self._member(member, pack, record))
        record.fields, record.size = lay_out(record.members, pack)
        self._check_names(record)
        self._assign(record, node.decls or ())
        names.scope = outer
        names.structs[full] = (record.size, alignment(record.members, pack))
        if [(each.name, each.size) for each in record.fields] == [("Offset", 2), ("Length", 2)]:
            names.texts.add(full)
        self.records[full] = record
        return full

    def _check_names(self, record: Record) -> None:
        seen: set[str] = set()
        for each in record.fields:
            if each.name in seen:
                self._names.fail(each.line, f"{each.name} is declared twice")
            seen.add(each.name)

    # -- members

    def _member(self, member: Any, pack: int, record: Record) -> Iterator[Field | Group]:
        """Read one member of a struct: a field, a union, a constant, or a name of a type."""
        names = self._names
        if _call(member, ASSIGNED):
            return
        if isinstance(member, c_ast.Pragma):
            names.fail(member, "not expected in a struct: #pragma")
        if _call(member, CONSTANT):
            value = names.value(member.bitsize.args.exprs[0])
            record.constants[member.name] = value
            names.declare(member.name, replace(value, name=value.name or names.full(member.name)), member)
            return
        if _call(member, NAMED):
            if isinstance(member.type, c_ast.TypeDecl) and isinstance(member.type.type, c_ast.IdentifierType):
                names.types[names.full(member.name)] = names.spelled(member.type.type)
            return
        yield from self._field(member, pack)

    def _field(self, member: Any, pack: int) -> Iterator[Field | Group]:
        names = self._names
        if member.bitsize is not None and not _call(member, INITIAL):
            names.fail(member, f"{member.name or 'this field'} is a bit field")
        node, counts = member.type, []
        while isinstance(node, c_ast.ArrayDecl) and node.dim is not None and not node.dim_quals:
            counts.append(names.number(node.dim))
            if counts[-1] < 1:
                names.fail(member, f"{member.name} has no length")
            node = node.type
        if isinstance(node, c_ast.Enum) and member.name is None:
            return  # read by declare_enums
        inner = node if isinstance(node, c_ast.Struct | c_ast.Union) else getattr(node, "type", None)
        line = line_of(member)
        match inner:
            case c_ast.Union(decls=[*decls]):
                members = tuple(each for one in decls for each in self._field(one, pack))
                if counts:
                    names.fail(member, f"{member.name} is an array of unions: not understood")
                yield Group(member.name or "", member.name or f"union at line {line}", members)
            case c_ast.Struct(decls=[*decls]) if member.name is None and node is inner and inner.name is None:
                yield Group("", "", tuple(each for one in decls for each in self._field(one, pack)))
            case c_ast.Struct(decls=[*_]):
                title = inner.name or f"{member.name or ''}_at_{line_of(inner)}"
                if names.full(title) not in self.records:
                    self.read(inner, title, pack, nested=True)
                if member.name is not None:
                    yield self._of_struct(member, title, counts)
            case c_ast.Struct(name=name, decls=None) if isinstance(node, c_ast.TypeDecl):
                yield self._of_struct(member, name, counts)
            case c_ast.Enum(name=name) if isinstance(node, c_ast.TypeDecl):
                yield self._of_number(member, name or f"{member.name}Enum", counts)
            case c_ast.IdentifierType() if isinstance(node, c_ast.TypeDecl):
                name = names.spelled(inner) if inner.names != ["char"] else "char"
                if name == "char" and len(counts) == 1:
                    yield Field(member.name, line, "char", counts[0], 1, counts[0])
                elif name != "char" and names.struct(name):
                    yield self._of_struct(member, name, counts)
                else:
                    yield self._of_number(member, "int8_t" if name == "char" else name, counts)
            case _:
                names.fail(member, f"not expected in a message: {kind_of(member)}")

    def _of_struct(self, member: Any, name: str, counts: list[int]) -> Field:
        full = self._names.struct(name)
        if full is None:
            self._names.fail(member, f"unknown struct {name}")
        size, aligned = self._names.structs[full]
        text = full in self._names.texts and not counts
        count = math.prod(counts)
        kind = TEXT if text else full
        return Field(member.name, line_of(member), kind, size * count, aligned, count=count if counts else 0)

    def _of_number(self, member: Any, name: str, counts: list[int]) -> Field:
        names = self._names
        size = names.scalar(name, member)[1].size
        full = names.find(name, names.enums) or names.find(name, names.types) or name
        count = math.prod(counts)
        return Field(member.name, line_of(member), full, size * count, size, count=count if counts else 0)

    # -- values

    def _assign(self, record: Record, members: Any) -> None:
        """Give fields the values of initialisers, and then those of functions."""
        outer, self._names.scope = self._names.scope, tuple(record.full.split(SCOPE))
        known = {each.name: each for each in all_fields(record.members)}
        for word in (INITIAL, ASSIGNED):
            for member in members:
                if not _call(member, word):
                    continue
                if member.name == CLEARED:
                    record.defaults.clear()
                elif member.name not in known:
                    self._names.fail(member, f"{record.cpp_name} has no field {member.name}")
                else:
                    self._give(record, known[member.name], member.bitsize.args)
        self._names.scope = outer

    def _give(self, record: Record, given: Field, arguments: Any) -> None:
        """Give a field its initial value.

        One that cannot be computed is a finding, as it is no part of the layout.
        """
        try:
            self._give_value(record, given, arguments)
        except HeaderError as error:
            what = f"initial value of {record.cpp_name}::{given.name}: {error.what}"
            self.findings.append(Finding(error.file, error.line, what, False))

    def _give_value(self, record: Record, given: Field, arguments: Any) -> None:
        expressions = arguments.exprs if arguments else []
        record.defaults.pop(given.name, None)
        if given.name in ("Size", "BaseSize") or not expressions:
            return
        if given.count or (given.type not in self._names.enums and given.type in self.records) or given.type == TEXT:
            return  # arrays and structs: their elements have no default of their own in JSON
        if given.length is not None and not isinstance(expressions[0], c_ast.Constant):
            return
        if given.length is not None and expressions[0].type != "string":
            return  # {0}
        value = self.checked(given, self._names.value(expressions[0]), expressions[0])
        if value.value or value.enum or given.name == "Type":
            record.defaults[given.name] = (value, line_of(expressions[0]))

    def checked(self, given: Field, value: Value, node: Any) -> Value:
        """Return a value as the type of a field has it.

        Raises HeaderError for a value that the field cannot have.
        """
        names = self._names
        number = value.value
        if given.length is not None or isinstance(number, str):
            fits = isinstance(number, str) and given.length is not None and len(number.encode()) < given.length
        else:
            _, scalar = names.scalar(given.type, node)
            if isinstance(scalar.high, float):
                number = float(number)
            elif number == int(number):
                number = int(number)
            fits = type(number) is type(scalar.high) and scalar.low <= number <= scalar.high
            if given.type in names.enums:
                fits = fits and (value.enum == given.type or not value.name)
                members = names.enums[given.type].members.items()
                name = next((name for name, member in members if member == number), "")
                value = value if value.enum else Value(number, name, given.type if name else "")
        if not fits:
            shown = value.name.rpartition(SCOPE)[2] or repr(value.value)
            names.fail(node, f"{shown} is no value for {given.type.replace(SCOPE, '::')} {given.name}")
        return replace(value, value=number)


def _call(member: Any, *names: str) -> bool:
    """Check whether a rewrite has written a member, `int Field : name(...)`."""
    bits = getattr(member, "bitsize", None)
    return isinstance(bits, c_ast.FuncCall) and isinstance(bits.name, c_ast.ID) and bits.name.name in names


def kind_of(node: Any) -> str:
    """Return what a node is, for an error: its innermost type in the syntax tree."""
    inner = node
    while isinstance(getattr(inner, "type", None), c_ast.Node) and not isinstance(inner, c_ast.IdentifierType):
        inner = inner.type
        if not isinstance(inner, c_ast.TypeDecl):
            break
    return f"{type(inner).__name__} {getattr(node, 'name', None) or ''}".strip()
