"""Read declarations of the syntax tree: constants, enums, types, structs, marks."""

from dataclasses import replace
from typing import Any

from pycparser import c_ast  # type: ignore[import-untyped]

from codegen import rewrites
from codegen.choose import Declared, choose
from codegen.lower import CPP_TYPE, STDINT
from codegen.model import Enum, Protocol, Value
from codegen.names import Names, line_of
from codegen.pragmas import Pragmas
from codegen.source import SCOPE, Finding
from codegen.structs import StructReader, kind_of


class Declarations:
    """Gather the declarations of one file after another."""

    def __init__(self) -> None:
        self._names = Names()
        self._structs = StructReader(self._names)
        self._pragmas = Pragmas(self._names)
        self._declared = Declared({}, {}, [], {}, self._names.enums)
        self._findings: list[Finding] = []
        self._opened: list[tuple[str, ...]] = []  # the scopes around the namespaces that are open

    def add(self, file: str, numbers: Any, tree: Any, findings: tuple[Finding, ...]) -> None:
        """Read one file's syntax trees: its #define constants, written as enums, and all else. Raises HeaderError."""
        self._names.file = file
        self._findings += findings
        for node in numbers.ext:
            (member,) = node.type.values.enumerators
            self._constant(member.name, "", member.value, member)
        for node in tree.ext:
            self._external(node)
        self._pragmas.need_no_marks()

    def finish(self, findings: tuple[Finding, ...]) -> Protocol:
        """Make the protocol.

        `findings` are those of functions. Raises HeaderError for what was not ended.
        """
        self._pragmas.finish()
        found = [*self._findings, *self._structs.findings, *findings]
        return choose(self._declared, self._structs.records, self._names, found, self._pragmas.are_stated)

    def _external(self, node: Any) -> None:
        """Read one declaration that stands in no struct."""
        if not (isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.Struct)):
            self._pragmas.need_no_marks()
        match node:
            case c_ast.Pragma():
                text = node.string if isinstance(node.string, str) else node.string.value.strip('"')
                self._pragmas.add(text, node.coord.line)
            case c_ast.Decl(type=c_ast.Struct(name=str() as name, decls=None)) if name.startswith("$"):
                self._scope(name)
            case c_ast.Decl(type=c_ast.Struct(decls=None)):
                self._pragmas.need_no_marks()
            case c_ast.Typedef():
                self._typedef(node)
            case c_ast.Decl(type=c_ast.Enum() as enum):
                self._enum(enum, enum.name)
            case c_ast.Decl(type=c_ast.Struct() as struct):
                self._struct(struct, struct.name)
            case c_ast.Decl(type=c_ast.TypeDecl(type=c_ast.Struct(decls=None))) if node.init is not None:
                self._stated_values(node)
            case c_ast.Decl(name=str(), type=c_ast.TypeDecl(type=c_ast.IdentifierType() as inner), init=init):
                if init is None or not ({"const"} & set(node.quals)):
                    self._findings.append(Finding(self._names.file, line_of(node), f"{node.name} is a variable"))
                else:
                    self._constant(node.name, self._names.spelled(inner), init, node)
            case c_ast.Decl(type=c_ast.ArrayDecl() | c_ast.PtrDecl()) if node.init is not None:
                self._findings.append(Finding(self._names.file, line_of(node), f"{node.name} is a table or a text"))
            case _:
                self._names.fail(node, f"not expected here: {kind_of(node)}")

    # -- marks

    def _scope(self, name: str) -> None:
        """Follow a mark that lower_scopes has written."""
        mark, _, rest = name.partition(SCOPE)
        if mark == rewrites.OPEN:
            self._opened.append(self._names.scope)
            self._names.scope = (*self._names.scope, *rest.split(SCOPE))
        elif mark == rewrites.CLOSE:
            self._names.scope = self._opened.pop()
        elif mark == rewrites.USING:
            self._names.uses.setdefault(self._names.scope, []).append(rest)
        elif mark == rewrites.ALIAS:
            self._names.types[self._names.full(rest.rpartition(SCOPE)[2])] = rest

    # -- declarations

    def _typedef(self, node: Any) -> None:
        names = self._names
        if isinstance(node.type, c_ast.TypeDecl):
            match node.type.type:
                case c_ast.Struct(name=name) if name == CPP_TYPE:
                    return  # what declare_types has written
                case c_ast.Struct(decls=None, name=name):
                    self._name_type(node, name)
                    return
                case c_ast.Struct() as struct:
                    self._named_struct(struct, node.name)
                    return
                case c_ast.Enum(values=None, name=name):
                    self._name_type(node, name)
                    return
                case c_ast.Enum() as enum:
                    self._enum(enum, enum.name or node.name)
                    if enum.name and enum.name != node.name:
                        names.types[names.full(node.name)] = names.full(enum.name)
                    return
                case c_ast.IdentifierType() as inner:
                    spelling = " ".join(inner.names)
                    if node.name in STDINT and not names.scope:
                        # Each of them in the spelling of its own size.
                        if spelling != node.name and names.spelled(inner) != node.name:
                            names.fail(node, f"{node.name} belongs to <stdint.h>")
                        return
                    self._name_type(node, "int8_t" if spelling == "char" else names.spelled(inner))
                    return
        what = f"{node.name} names a pointer, an array or a function: no message"
        self._findings.append(Finding(names.file, line_of(node), what))

    def _name_type(self, node: Any, target: str) -> None:
        """Declare `typedef target name;`, or the type of the enum of that name."""
        names = self._names
        full = names.full(node.name)
        enum = names.enums.get(full)
        if target == node.name:
            return
        if enum is not None:
            self._type_enum(enum, full, target, node)
            return
        if full in names.types:
            if names.types[full] != target:
                names.fail(node, f"{node.name} is declared twice")
            return
        if not names.struct(target):
            names.scalar(target, node)
            if not names.find(target, names.enums):
                self._declared.typedefs[full] = target
        names.types[full] = target

    def _type_enum(self, enum: Enum, full: str, target: str, node: Any) -> None:
        names = self._names
        if enum.underlying:
            names.fail(node, f"{node.name} is declared twice")
        spelling, scalar = names.scalar(target, node)
        if spelling not in STDINT:
            names.fail(node, f"the type of an enum is an integer of <stdint.h>, not {spelling}")
        for name, number in enum.members.items():
            if not scalar.low <= number <= scalar.high:
                names.fail(self._member_line(enum, name), f"{name} = {number} does not fit {spelling}")
        names.enums[full] = replace(enum, underlying=spelling)

    def _member_line(self, enum: Enum, name: str) -> int:
        scope = enum.scope.split(SCOPE) if enum.scope else []
        full = SCOPE.join([*scope, *([enum.name] if enum.scoped else []), name])
        return self._names.lines[full][1]

    def _enum(self, node: Any, name: str | None) -> None:
        names = self._names
        if node.values is None:
            if name and names.find(name, names.enums):
                return
            names.fail(node, f"enum {name} has no members")
        full = names.full(name or "")
        if name and (full in names.enums or full in names.types):
            names.fail(node, f"{name} is declared twice")
        scoped = any(member.name == rewrites.SCOPED for member in node.values.enumerators)
        enum = Enum(name or "", line_of(node), {}, scope=SCOPE.join(names.scope), scoped=scoped)
        underlying, number = "", -1
        for member in node.values.enumerators:
            if member.name == rewrites.UNDERLYING:
                underlying = names.scalar(names.spelled(member.value.expr.type.type), member)[0]
            elif member.name != rewrites.SCOPED:
                number = number + 1 if member.value is None else names.number(member.value)
                self._enum_member(enum, full, member, number)
        if not name:
            self._declared.anonymous.append({names.full(each): number for each, number in enum.members.items()})
            return
        names.enums[full] = replace(enum, underlying=underlying)
        if underlying:
            names.enums[full] = enum
            self._type_enum(enum, full, underlying, node)

    def _enum_member(self, enum: Enum, full: str, member: Any, number: int) -> None:
        """Declare a member of an enum: in the scope of the enum, and within the enum's own name."""
        names = self._names
        if not enum.scoped:
            if names.full(member.name) in names.lines:
                file, line = names.lines[names.full(member.name)]
                names.fail(member, f"{member.name} is declared twice: see {file}:{line}")
            names.declare(member.name, Value(number, names.full(member.name), full if enum.name else ""), member)
        if enum.name:
            outer, names.scope = names.scope, (*names.scope, enum.name)
            names.declare(member.name, Value(number, names.full(member.name), full), member)
            names.scope = outer
        enum.members[member.name] = number

    def _constant(self, name: str, spelling: str, init: Any, node: Any) -> None:
        """Declare a constant, `const uint16_t NAME = value;` or `#define NAME value`."""
        names = self._names
        value = names.value(init)
        full = names.full(name)
        if isinstance(value.value, str):
            self._findings.append(Finding(names.file, line_of(node), f"{name} is a text"))
            return
        value = Value(value.value, full)
        names.declare(name, value, node)
        self._declared.constants[full] = value
        self._declared.kinds[full] = spelling

    # -- structs

    def _struct(self, node: Any, name: str | None) -> str:
        names = self._names
        if not name or node.decls is None:
            names.fail(node, "a struct needs a name and fields")
        sender, marks = self._pragmas.take_marks()
        self._nested_enums(node)
        full = self._structs.read(node, name, self._pragmas.pack)
        if sender:
            self._structs.records[full].sender = sender
            self._structs.records[full].marks = marks
        return full

    def _named_struct(self, node: Any, name: str) -> None:
        """Read `typedef struct tag {...} name;`. Of the two names, that of a message is its own."""
        tag = node.name or name
        own, other = (name, tag) if name.startswith("s_") and not tag.startswith("s_") else (tag, name)
        if other != own:
            self._names.types[self._names.full(other)] = own
        self._struct(node, own)

    def _nested_enums(self, node: Any) -> None:
        """Read the enums that are declared in a struct."""
        outer = self._names.scope
        self._names.scope = (*outer, node.name) if node.name else outer
        for member in node.decls:
            inner = getattr(member, "type", None)
            while inner is not None and not isinstance(inner, c_ast.Enum):
                inner = getattr(inner, "type", None)
            if inner is not None and inner.values is not None:
                self._enum(inner, inner.name or (f"{member.name}Enum" if member.name else None))
        self._names.scope = outer

    def _stated_values(self, node: Any) -> None:
        """Read `const struct s_X s_X_default = { .Type = NAME, .Field = value };`."""
        names = self._names
        struct = node.type.type.name
        full = names.find(struct, self._structs.records)
        if full is None:
            names.fail(node, f"unknown struct {struct}")
        record = self._structs.records[full]
        if node.name != f"{struct}_default" or node.quals != ["const"] or node.storage or node.funcspec or node.align:
            names.fail(node, f"only a const struct {struct} {struct}_default is expected here")
        if record.stated:
            names.fail(node, f"{node.name} is declared twice")
        record.stated = True
        if not isinstance(node.init, c_ast.InitList):
            names.fail(node, f"{node.name} has no {{ .Size = ..., .Type = ..., }}")
        fields = {field.name: field for field in record.fields if not field.union}
        stated: set[str] = set()
        for item in node.init.exprs:
            match item:
                case c_ast.NamedInitializer(name=[c_ast.ID(name=name)], expr=expr):
                    pass
                case _:
                    names.fail(item, "a default is stated as .Field = value")
            if name in stated:
                names.fail(item.name[0], f"the default of {name} is stated twice")
            if name not in fields:
                names.fail(item.name[0], f"{struct} has no field {name}")
            stated.add(name)
            if name != "Size":
                value = self._structs.checked(fields[name], names.value(expr), expr)
                record.defaults[name] = (value, line_of(expr))
