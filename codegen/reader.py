"""Header text -> model, by way of pycparser's syntax tree.

Nothing in the header is passed over: what this module does not know is a HeaderError that names the line. The accepted
C is small on purpose: enums with stated values, typedefs of numbers, flat structs, one named union in a struct, and a
const initialiser for each struct.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from pycparser import c_ast, c_lexer, c_parser  # type: ignore[import-untyped]

from codegen.lower import STDINT, HeaderError, lower
from codegen.model import LIMITS, SCALARS, Enum, Field, Message, Protocol, Scalar, Value, lay_out

MESSAGE_TYPE = "MessageType"
SENDERS = ("client", "server", "both")
MARKS = ("compact", "legacy", "nonstandard")
PACKS = (1, 2, 4, 8)
REFUSED = ("inline", "_Alignas", "_Noreturn", "__attribute__", "_Pragma")
"""Words that the parser may leave out of the tree, where nobody would miss them; and a second way to say #pragma."""


def read(path: Path) -> Protocol:
    """The protocol that a header file states. Raises HeaderError, and OSError if it cannot be read."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HeaderError(path.name, data.count(b"\n", 0, error.start) + 1, "this is not UTF-8") from error
    return parse(text.replace("\r\n", "\n"), path.name)


def parse(text: str, file: str) -> Protocol:
    """The protocol that a header's text states; `file` is its name in errors. Raises HeaderError."""
    parser = c_parser.CParser(lexer=_Lexer)
    try:
        tree = parser.parse(lower(text, file), file)
    except c_parser.ParseError as error:
        where, _, what = str(error).rpartition(": ")
        # Some of the parser's errors come without a line: then it is the line of the last token it read.
        placed = re.match(r"(\d+)", where.removeprefix(f"{file}:"))
        line = int(placed.group()) if placed else parser.clex.line
        raise HeaderError(file, line, f"not understood as C: {what}") from error
    return _Reader(file).read(tree)


class _Lexer(c_lexer.CLexer):  # type: ignore[misc]
    """A lexer that remembers the line it has come to, and refuses the words in REFUSED."""

    line = 1

    def token(self) -> Any:
        token = super().token()
        if token is not None:
            self.line = token.lineno
            if token.value in REFUSED:
                raise HeaderError(self.filename, token.lineno, f"not expected here: {token.value}")
        return token


class _Reader:
    """What has been read of one header so far."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._packs: list[tuple[int, int]] = []  # (bytes, line)
        self._marks: tuple[str, int] | None = None  # the #pragma dtc that waits for its struct
        self._constants: list[dict[str, int]] = []
        self._typedefs: dict[str, str] = {}
        self._enums: dict[str, Enum] = {}
        self._messages: dict[str, Message] = {}  # by struct
        self._values = {name: Value(number, name) for name, number in LIMITS.items()}
        self._lines: dict[str, int] = {}  # of the members of enums

    def read(self, tree: Any) -> Protocol:
        for node in tree.ext:
            if self._marks and not _is_struct(node):
                self._fail(self._marks[1], "a struct must follow this #pragma dtc")
            match node:
                case c_ast.Pragma():
                    self._pragma(node.string, node.coord.line)
                case c_ast.Typedef():
                    self._typedef(node)
                case c_ast.Decl(type=c_ast.Enum()):
                    self._check_plain(node)
                    self._enum(node.type)
                case c_ast.Decl(type=c_ast.Struct()):
                    self._check_plain(node)
                    self._struct(node.type)
                case c_ast.Decl(type=c_ast.TypeDecl(type=c_ast.Struct(decls=None))):
                    self._defaults(node)
                case _:
                    self._fail(node, f"not expected here: {_kind(node)}")
        return self._finish()

    def _finish(self) -> Protocol:
        """Raises HeaderError for what was begun and not ended."""
        if self._marks:
            self._fail(self._marks[1], "a struct must follow this #pragma dtc")
        if self._packs:
            self._fail(self._packs[-1][1], "this #pragma pack(push) has no pack(pop)")
        types = self._enums.pop(MESSAGE_TYPE, None)
        if types is None:
            self._fail(1, f"there is no enum {MESSAGE_TYPE}")
        for enum in (types, *self._enums.values()):
            if not enum.underlying:
                self._fail(enum.line, f"enum {enum.name} has no typedef that tells its type")
        if types.underlying != "uint16_t":
            self._fail(types.line, f"enum {MESSAGE_TYPE} is not uint16_t, as the field Type is")
        for message in self._messages.values():
            if not message.name:
                self._fail(message.line, f"struct {message.struct} has no {message.struct}_default")
        named = {message.name for message in self._messages.values()}
        for name in types.members:
            if name not in named:
                self._fail(self._lines[name], f"{name} has no struct")
        return Protocol(
            tuple(self._constants),
            self._typedefs,
            types,
            tuple(self._enums.values()),
            tuple(self._messages.values()),
        )

    # -- pragmas

    def _pragma(self, text: str, line: int) -> None:
        if text.startswith("dtc "):
            self._marks = (text.removeprefix("dtc "), line)
        elif push := re.fullmatch(r"pack\(push, (\d+)\)", text):
            if int(push.group(1)) not in PACKS:
                self._fail(line, f"cannot pack to {push.group(1)} bytes")
            self._packs.append((int(push.group(1)), line))
        elif text == "pack(pop)":
            if not self._packs:
                self._fail(line, "nothing to pop: no #pragma pack(push) before this")
            self._packs.pop()
        else:
            self._fail(line, f"unknown #pragma {text}")

    def _take_marks(self, struct: Any) -> tuple[str, tuple[str, ...]]:
        """The sender and the marks of the struct that is read now."""
        if self._marks is None:
            self._fail(struct, f"no #pragma dtc before struct {struct.name}")
        text, line = self._marks
        self._marks = None
        sender, *marks = text.split() or [""]
        if sender not in SENDERS:
            self._fail(line, f"who sends it? {sender or 'nothing'} is none of {', '.join(SENDERS)}")
        for mark in marks:
            if mark not in MARKS:
                self._fail(line, f"unknown mark {mark}; known are {', '.join(MARKS)}")
            if marks.count(mark) > 1:
                self._fail(line, f"{mark} is said twice")
        return sender, tuple(mark for mark in MARKS if mark in marks)

    # -- types and constants

    def _typedef(self, node: Any) -> None:
        match node:
            case c_ast.Typedef(
                quals=[],
                storage=["typedef"],
                type=c_ast.TypeDecl(quals=[], type=c_ast.IdentifierType(names=names)),
            ):
                spelling = " ".join(names)
            case _:
                self._fail(node, f"a typedef can only name a number's type: {node.name}")
        if node.name in STDINT:
            if spelling != STDINT[node.name]:
                self._fail(node, f"{node.name} belongs to <stdint.h>")
            return
        scalar = self._scalar(spelling, node)
        enum = self._enums.get(node.name)
        if node.name in self._typedefs or (enum and enum.underlying):
            self._fail(node, f"{node.name} is declared twice")
        if enum is None:
            self._typedefs[node.name] = spelling
            return
        if spelling not in STDINT:
            self._fail(node, f"the type of an enum is an integer of <stdint.h>, not {spelling}")
        for name, number in enum.members.items():
            if not scalar.low <= number <= scalar.high:
                self._fail(self._lines[name], f"{name} = {number} does not fit {spelling}")
        self._enums[node.name] = replace(enum, underlying=spelling)

    def _enum(self, node: Any) -> None:
        if node.values is None:
            self._fail(node, f"enum {node.name} has no members")
        if node.name in self._enums or node.name in self._typedefs:
            self._fail(node, f"{node.name} is declared twice")
        members: dict[str, int] = {}
        for member in node.values.enumerators:
            if member.value is None:
                self._fail(member, f"{member.name} has no number: state it, nothing is counted here")
            number = self._number(member.value)
            if member.name in self._values:
                self._fail(member, f"{member.name} is declared twice")
            if node.name and number in members.values():
                self._fail(member, f"{member.name} = {number}: another member of {node.name} has that number")
            members[member.name] = number
            self._lines[member.name] = member.coord.line
            self._values[member.name] = Value(number, member.name, node.name or "")
        if node.name:
            self._enums[node.name] = Enum(node.name, node.coord.line, members)
        else:
            self._constants.append(members)

    def _scalar(self, name: str, node: Any) -> Scalar:
        """The number's type behind a type's name."""
        if name in SCALARS:
            return SCALARS[name]
        if name in self._typedefs:
            return self._scalar(self._typedefs[name], node)
        if name in self._enums and self._enums[name].underlying:
            return self._scalar(self._enums[name].underlying, node)
        self._fail(node, f"unknown type {name}")

    def _value(self, node: Any) -> Value:
        """The value of an initialiser: a literal, its negative, or a name."""
        match node:
            case c_ast.ID(name=name) if name in self._values:
                return self._values[name]
            case c_ast.UnaryOp(op="-", expr=c_ast.Constant(type="int" | "float" | "double") as literal):
                positive = self._value(literal).value
                assert not isinstance(positive, str)
                return Value(-positive)
            case c_ast.Constant(type="int", value=text) if re.fullmatch(r"0|[1-9]\d*|0[xX][0-9a-fA-F]+", text):
                return Value(int(text, 0))
            case c_ast.Constant(type="float" | "double", value=text) if re.fullmatch(r"\d+\.\d+f?", text):
                return Value(float(text.removesuffix("f")))
            case c_ast.Constant(type="string", value=text) if re.fullmatch(r'"[^"\\]*"', text):
                return Value(text[1:-1])
        self._fail(node, "cannot compute this value")

    def _number(self, node: Any) -> int:
        value = self._value(node).value
        if not isinstance(value, int):
            self._fail(node, f"{value!r} is not a whole number")
        return value

    # -- structs

    def _struct(self, node: Any) -> None:
        if node.decls is None or not node.name:
            self._fail(node, "a struct needs a name and fields")
        if not node.name.startswith("s_"):
            self._fail(node, f"a message's struct is called s_..., not {node.name}")
        if node.name in self._messages:
            self._fail(node, f"struct {node.name} is declared twice")
        if not self._packs:
            self._fail(node, f"no #pragma pack(push) around struct {node.name}")
        sender, marks = self._take_marks(node)
        members = [field for member in node.decls for field in self._fields(member)]
        fields, size = lay_out(members, self._packs[-1][0])
        if [(field.name, field.type) for field in fields[:2]] != [("Size", "uint16_t"), ("Type", "uint16_t")]:
            self._fail(node, f"struct {node.name} does not start with uint16_t Size and uint16_t Type")
        names: set[str] = set()
        for field in fields:
            if field.name in names:
                self._fail(field.line, f"{field.name} is declared twice")
            names.add(field.name)
        if len({field.union for field in fields} - {""}) > 1:
            self._fail(node, f"struct {node.name} has more than one union")
        self._messages[node.name] = Message(node.name, node.coord.line, sender, marks, fields, size)

    def _fields(self, member: Any, union: str = "") -> Iterator[Field]:
        """The fields of one member of a struct: one, or all those of a union."""
        match member:
            case c_ast.Decl(type=c_ast.TypeDecl(type=c_ast.Union(name=None, decls=[*decls]))) if not union:
                self._check_plain(member)
                for inner in decls:
                    yield from self._fields(inner, member.name)
            case c_ast.Decl(type=c_ast.TypeDecl(quals=[], type=c_ast.IdentifierType(names=names))):
                self._check_plain(member)
                name = " ".join(names)
                size = self._scalar(name, member).size
                yield Field(member.name, member.coord.line, name, size, size, union=union)
            case c_ast.Decl(
                type=c_ast.ArrayDecl(
                    dim_quals=[],
                    dim=dim,
                    type=c_ast.TypeDecl(quals=[], type=c_ast.IdentifierType(names=["char"])),
                )
            ) if dim is not None:
                self._check_plain(member)
                length = self._number(dim)
                if length < 1:
                    self._fail(member, f"{member.name} has no length")
                yield Field(member.name, member.coord.line, "char", length, 1, length, union)
            case _:
                self._fail(member, f"not expected in a message: {_kind(member)}")

    def _defaults(self, node: Any) -> None:
        """`const struct s_X s_X_default = { .Size = sizeof(struct s_X), .Type = NAME, .Field = value, ... };`"""
        struct = node.type.type.name
        message = self._messages.get(struct)
        if message is None:
            self._fail(node, f"unknown struct {struct}")
        if node.name != f"{struct}_default" or node.quals != ["const"] or node.storage or node.funcspec or node.align:
            self._fail(node, f"only a const struct {struct} {struct}_default is expected here")
        if message.name:
            self._fail(node, f"{node.name} is declared twice")
        if not isinstance(node.init, c_ast.InitList):
            self._fail(node, f"{node.name} has no {{ .Size = ..., .Type = ..., }}")
        stated: dict[str, Any] = {}
        for item in node.init.exprs:
            match item:
                case c_ast.NamedInitializer(name=[c_ast.ID(name=name)], expr=expr):
                    pass
                case _:
                    self._fail(item, "a default is stated as .Field = value")
            if name in stated:
                self._fail(item.name[0], f"the default of {name} is stated twice")
            if name not in {field.name for field in message.fields if not field.union}:
                self._fail(item.name[0], f"{struct} has no field {name}")
            stated[name] = expr
        self._check_size(stated.pop("Size", None), struct, node)
        kind = self._message_type(stated.pop("Type", None), node)
        fields = tuple(
            replace(field, default=self._default(field, stated[field.name])) if field.name in stated else field
            for field in message.fields
        )
        assert isinstance(kind.value, int)
        self._messages[struct] = replace(message, name=kind.name, number=kind.value, fields=fields)

    def _check_size(self, expr: Any, struct: str, node: Any) -> None:
        match expr:
            case c_ast.UnaryOp(op="sizeof", expr=c_ast.Typename(type=c_ast.TypeDecl(type=c_ast.Struct(name=name)))):
                if name == struct:
                    return
        self._fail(expr or node, f"{node.name} needs .Size = sizeof(struct {struct})")

    def _message_type(self, expr: Any, node: Any) -> Value:
        if expr is None:
            self._fail(node, f"{node.name} states no .Type")
        kind = self._value(expr)
        if kind.enum != MESSAGE_TYPE:
            self._fail(expr, f"the .Type of {node.name} is not a member of enum {MESSAGE_TYPE}")
        for other in self._messages.values():
            if other.name == kind.name:
                self._fail(expr, f"{kind.name} is the type of struct {other.struct} already")
        return kind

    def _default(self, field: Field, node: Any) -> Value:
        """Raises HeaderError for a value that the field cannot have."""
        value = self._value(node)
        number = value.value
        if field.type in self._enums:
            fits = value.enum == field.type
        elif isinstance(number, str):
            fits = field.length is not None and len(number.encode()) < field.length
        elif field.length is not None:
            fits = False
        else:
            scalar = self._scalar(field.type, node)
            fits = not value.enum and type(number) is type(scalar.high) and scalar.low <= number <= scalar.high
        if not fits:
            self._fail(node, f"{value.name or repr(number)} is no value for {field.type} {field.name}")
        return value

    # -- errors

    def _check_plain(self, decl: Any) -> None:
        """Raises HeaderError for a declaration with anything but a type and a name."""
        if decl.bitsize is not None:
            self._fail(decl, f"{decl.name or 'this field'} is a bit field")
        for extra in (decl.quals, decl.storage, decl.funcspec, decl.align, decl.init):
            if extra:
                self._fail(decl, f"{decl.name or _kind(decl.type)} has more than a type and a name")

    def _fail(self, where: Any, what: str) -> NoReturn:
        """Raise HeaderError at a line or at the line of a node."""
        raise HeaderError(self._file, where if isinstance(where, int) else _line(where), what)


def _line(node: Any) -> int:
    """The line of a node. The parser gives none to some, such as a field without a name: then a child's counts."""
    return node.coord.line if node.coord else next(map(_line, node), 0)


def _is_struct(node: Any) -> bool:
    return isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.Struct)


def _kind(node: Any) -> str:
    """What a node is, in words for an error: the innermost type's name of the syntax tree."""
    inner = node
    while isinstance(getattr(inner, "type", None), c_ast.Node) and not isinstance(inner, c_ast.IdentifierType):
        inner = inner.type
        if not isinstance(inner, c_ast.TypeDecl):
            break
    return f"{type(inner).__name__} {getattr(node, 'name', None) or ''}".strip()
