"""Find constants, types and enums as C++ does, and compute constants."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pycparser import c_ast  # type: ignore[import-untyped]

from codegen.model import LIMITS, SCALARS, Enum, Scalar, Value
from codegen.source import SCOPE, HeaderError

_MORE_LIMITS: dict[str, int] = {
    name: 2**bits - 1 if unsigned else (-(2 ** (bits - 1)) if low else 2 ** (bits - 1) - 1)
    for bits, names in {8: "SCHAR UCHAR INT8 UINT8", 16: "SHRT USHRT INT16 UINT16", 32: "INT UINT INT32 UINT32"}.items()
    for each in names.split()
    for unsigned in [each.startswith("U")]
    for name, low in ((f"{each}_MAX", False), *(() if unsigned else ((f"{each}_MIN", True),)))
} | {
    "LLONG_MAX": 2**63 - 1,
    "LLONG_MIN": -(2**63),
    "ULLONG_MAX": 2**64 - 1,
    "INT64_MAX": 2**63 - 1,
    "INT64_MIN": -(2**63),
    "UINT64_MAX": 2**64 - 1,
    "true": 1,
    "false": 0,
    "NULL": 0,
    "nullptr": 0,
}

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
    "&&": lambda a, b: int(bool(a) and bool(b)),
    "||": lambda a, b: int(bool(a) or bool(b)),
}
_UNARY: dict[str, Callable[[Any], Any]] = {
    "-": operator.neg,
    "+": operator.pos,
    "~": operator.invert,
    "!": lambda a: int(not a),
}

_INTEGERS = {
    ("char",): 8,
    ("short",): 16,
    ("int",): 32,
    ("long", "long"): 64,
}

Scope = tuple[str, ...]


@dataclass
class Names:
    """Hold the names that were declared so far, each with the scopes around it."""

    file: str = ""
    scope: Scope = ()
    values: dict[str, Value] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)  # name -> the name or the C type that it stands for
    enums: dict[str, Enum] = field(default_factory=dict)
    structs: dict[str, tuple[int, int]] = field(default_factory=dict)  # size and alignment in bytes
    texts: set[str] = field(default_factory=set)  # structs that are texts of variable length
    uses: dict[Scope, list[str]] = field(default_factory=dict)
    lines: dict[str, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, number in (LIMITS | _MORE_LIMITS).items():
            self.values[name] = Value(number, name if name in LIMITS else "")

    def full(self, name: str) -> str:
        """Return a name with the current scope before it."""
        return SCOPE.join((*self.scope, name))

    def declare(self, name: str, value: Value, node: Any) -> None:
        """Declare a constant in the current scope.

        Raises HeaderError if it has another value already.
        """
        full = self.full(name)
        known = self.values.get(full)
        if known is not None and (full in self.lines) and (known.value != value.value or known.enum != value.enum):
            file, line = self.lines[full]
            self.fail(node, f"{name} is declared twice: see {file}:{line}")
        self.values[full] = value
        self.lines.setdefault(full, (self.file, line_of(node)))

    def find(self, name: str, among: Any) -> str | None:
        """Find a name in a dict of full names.

        It is searched for in the current scope, in those around it, and in those that they use.
        """
        if name.startswith(SCOPE):
            return name.removeprefix(SCOPE) if name.removeprefix(SCOPE) in among else None
        for depth in range(len(self.scope), -1, -1):
            around = self.scope[:depth]
            used = ((*around[:outer], each) for each in self.uses.get(around, ()) for outer in range(depth, -1, -1))
            for place in (around, *used):
                full = SCOPE.join((*place, name))
                if full in among:
                    return full
        return None

    # -- types

    def scalar(self, name: str, node: Any) -> tuple[str, Scalar]:
        """Return the number's type behind a type's name, and its size and range.

        The number's type is called "uint8_t" or "double", for example.
        """
        for _ in range(20):
            if name in SCALARS:
                return name, SCALARS[name]
            if full := self.find(name, self.enums):
                underlying = self.enums[full].underlying or "int32_t"
                return underlying, SCALARS[underlying]
            if full := self.find(name, self.types):
                name = self.types[full]
                continue
            break
        self.fail(node, f"unknown type {name.replace(SCOPE, '::')}")

    def spelled(self, node: Any) -> str:
        """Return a type's name in one way: `unsigned short int` is uint16_t."""
        names: list[str] = list(node.names)
        if len(names) == 1 and (names[0] in SCALARS or names[0] not in ("char", "short", "int", "long", "unsigned")):
            built_in = {"bool": "uint8_t", "_Bool": "uint8_t"}
            if not self.find("byte", self.types):
                built_in["byte"] = "uint8_t"  # what <windows.h> declares
            return built_in.get(names[0], names[0])
        kept = tuple(sorted(name for name in names if name not in ("unsigned", "signed", "int"))) or ("int",)
        if kept not in _INTEGERS:
            self.fail(node, f"the size of {' '.join(names)} depends on the compiler: not understood")
        return f"{'u' * ('unsigned' in names)}int{_INTEGERS[kept]}_t"

    def struct(self, name: str) -> str | None:
        """Find the full name of the struct behind a type's name."""
        for _ in range(20):
            if full := self.find(name, self.structs):
                return full
            if not (full := self.find(name, self.types)):
                return None
            name = self.types[full]
        return None

    # -- values

    def value(self, node: Any) -> Value:
        """Compute a constant expression. Raises HeaderError."""
        match node:
            case c_ast.ID(name=name):
                if full := self.find(name, self.values):
                    return self.values[full]
                self.fail(node, f"unknown constant {name.replace(SCOPE, '::')}")
            case c_ast.Constant(type="string", value=text):
                return Value(_text(text))
            case c_ast.Constant(type="char", value=text):
                character = _text(text)
                return Value(ord(character) if len(character) == 1 else 0)
            case c_ast.Constant(value=text):
                return Value(_number(text, lambda: self.fail(node, f"cannot compute {text}")))
            case c_ast.Cast(expr=expr):
                return self.value(expr)
            case c_ast.UnaryOp(op="sizeof", expr=c_ast.Typename(type=c_ast.TypeDecl(type=inner))):
                return Value(self._sizeof(inner, node))
            case c_ast.UnaryOp(op=op, expr=expr) if op in _UNARY:
                return Value(_UNARY[op](self._computed(expr)))
            case c_ast.BinaryOp(op="/" | "%" as op, left=left, right=right):
                return Value(self._divided(op, self._computed(left), self._computed(right), node))
            case c_ast.BinaryOp(op=op, left=left, right=right) if op in _BINARY:
                try:
                    return Value(_BINARY[op](self._computed(left), self._computed(right)))
                except (TypeError, ValueError):
                    pass
            case c_ast.TernaryOp(cond=condition, iftrue=yes, iffalse=no):
                return self.value(yes if self._computed(condition) else no)
        self.fail(node, "cannot compute this value")

    def number(self, node: Any) -> int:
        """Compute a whole number."""
        value = self.value(node).value
        if not isinstance(value, int):
            self.fail(node, f"{value!r} is not a whole number")
        return value

    def _computed(self, node: Any) -> int | float:
        value = self.value(node).value
        if isinstance(value, str):
            self.fail(node, "cannot compute with a text")
        return value

    def _divided(self, op: str, a: int | float, b: int | float, node: Any) -> int | float:
        if not b:
            self.fail(node, "division by 0")
        if isinstance(a, float) or isinstance(b, float):
            return a / b
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        return quotient if op == "/" else a - b * quotient

    def _sizeof(self, inner: Any, node: Any) -> int:
        name = inner.name if isinstance(inner, c_ast.Struct | c_ast.Enum) else self.spelled(inner)
        if name == "char":
            return 1
        full = self.struct(name)
        return self.structs[full][0] if full else self.scalar(name, node)[1].size

    def fail(self, where: Any, what: str) -> NoReturn:
        """Raise HeaderError at a line or at the line of a node."""
        raise HeaderError(self.file, where if isinstance(where, int) else line_of(where), what)


def line_of(node: Any) -> int:
    """Return the line of a node.

    The parser gives none to some, such as a field without a name: then a child's.
    """
    return node.coord.line if node.coord else next(map(line_of, node), 0)


def _text(literal: str) -> str:
    """Return what a string or a character literal stands for."""
    return literal[1:-1].replace("\\0", "\0").replace('\\"', '"').replace("\\'", "'").replace("\\\\", "\\")


def _number(text: str, fail: Callable[[], NoReturn]) -> int | float:
    text = text.replace("'", "").lower()
    if re.fullmatch(r"(0x[0-9a-f]+|0b[01]+|[1-9]\d*|0[0-7]*)[ul]*", text):
        digits = text.rstrip("ul")
        if re.fullmatch(r"0[0-7]+", digits):
            return int(digits, 8)
        return int(digits, 0)
    if re.fullmatch(r"(\d+\.\d*|\.\d+|\d+)(e[+-]?\d+)?[fl]?", text):
        return float(text.rstrip("fl"))
    fail()
