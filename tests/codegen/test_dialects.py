"""Test that headers are read in each dialect in which DTC headers were written."""

import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from codegen.compiler import NoCompilerError, check_layouts
from codegen.model import SCALARS
from codegen.reader import parse, read
from codegen.source import HeaderError
from tests.codegen.headers import DIALECTS, Header, Member, Struct, expected, facts, own, plain_c
from tests.support import slow

SMALL = Header(
    structs=(
        Struct("LogonRequest", "LOGON_REQUEST", 1, (
            Member("ProtocolVersion", "int32_t", default=8),
            Member("Username", "text", "NAME_LENGTH"),
            Member("Mode", "ModeEnum", default="MODE_LIVE"),
            Member("Protocol", "text", 4, default="DTC"),
        )),
        Struct("Heartbeat", "HEARTBEAT", 3),
        Struct("Snapshot", "MARKET_DATA_SNAPSHOT", 104, (
            Member("SymbolID", "uint16_t"),
            Member("Price", "double", default=1.5),
            Member("Small", "float"),
            Member("Levels", "int64_t", count=3),
            Member("Flag", "uint8_t", default=1),
            Member("OpenInterest", "uint32_t", union=True),
            Member("Shares", "double", union=True),
        )),
    ),
    enums=(("ModeEnum", "int32_t", {"MODE_UNSET": -1, "MODE_DEMO": 1, "MODE_LIVE": 3}),),
    lengths={"NAME_LENGTH": 32},
)  # fmt: skip

NAMES = st.lists(st.integers(0, 10**6), unique=True, max_size=6).map(lambda each: [f"Field{n}" for n in each])
NUMBERS = st.lists(st.integers(1, 65535), unique=True, min_size=1, max_size=5)


@st.composite
def members(
    draw: st.DrawFn, enums: list[tuple[str, str, dict[str, int]]], lengths: dict[str, int]
) -> tuple[Member, ...]:
    """Return the fields of a struct, with initial values that are not 0."""
    found = []
    for name in draw(NAMES):
        kind = draw(st.sampled_from([*SCALARS, "text", *(each[0] for each in enums)]))
        default: int | float | str | None = None
        length: int | str = 0
        union = False
        if kind == "text":
            length = draw(st.sampled_from(list[int | str]([*lengths, 2, 8])))
            default = draw(st.none() | st.just("x"))
        elif kind in SCALARS:
            union = draw(st.booleans())
            low, high = SCALARS[kind].low, SCALARS[kind].high
            if not union and isinstance(low, int) and isinstance(high, int):
                default = draw(st.none() | st.integers(max(low, -(2**31)), min(high, 2**31)).filter(bool))
            elif not union:
                default = draw(st.none() | st.sampled_from([0.5, -2.25, 1024.0]))
        else:
            them = next(each[2] for each in enums if each[0] == kind)
            default = draw(st.none() | st.sampled_from([*them]))
        count = draw(st.sampled_from([0, 0, 3])) if default is None and kind in SCALARS else 0
        found.append(Member(name, kind, length, default, count, union))
    return tuple(found)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    sizes = draw(st.lists(st.integers(2, 300), max_size=2))
    lengths = {f"TEXT_LENGTH_{place}": size for place, size in enumerate(sizes)}
    enums = [
        (f"Kind{place}Enum", "int32_t", {f"KIND_{place}_{number}".replace("-", "M"): number for number in numbers})
        for place, numbers in enumerate(
            draw(st.lists(st.lists(st.integers(-5, 300), unique=True, min_size=1, max_size=4), max_size=2))
        )
    ]
    structs = tuple(
        Struct(f"Message{number}", f"MESSAGE_NUMBER_{number}", number, draw(members(enums, lengths)))
        for number in draw(NUMBERS)
    )
    return Header(structs, tuple(enums), lengths, draw(st.sampled_from([1, 2, 4, 8])))


class DialectTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.place.mkdir()

    def write(self, text: str, name: str = "DTCProtocol.h", encoding: str = "utf-8") -> Path:
        path = self.place / name
        path.write_bytes(text.encode(encoding))
        return path

    @slow
    def test_small_header_in_each_dialect(self) -> None:
        for dialect in DIALECTS:
            protocol = parse(dialect(SMALL), f"{dialect.__name__}.h")
            self.assertEqual(facts(protocol), expected(SMALL), dialect.__name__)
            self.assertEqual([each for each in protocol.findings if not each.explained], [], dialect.__name__)
            self.assertEqual([(each.name, each.members) for each in protocol.enums], [("ModeEnum", SMALL.enums[0][2])])
            self.assertEqual([message.size for message in protocol.messages], [48, 4, 64], dialect.__name__)

    @slow
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(headers(), st.sampled_from(DIALECTS), st.booleans())
    def test_random_headers(self, header: Header, dialect: object, crlf: bool) -> None:
        assert callable(dialect)
        text: str = dialect(header)
        protocol = parse(text.replace("\n", "\r\n") if crlf else text, "random.h")
        self.assertEqual(facts(protocol), expected(header))
        self.assertEqual([str(each) for each in protocol.findings if not each.explained], [])
        self.assertEqual(
            {each.name: each.underlying for each in protocol.enums}, {each[0]: each[1] for each in header.enums}
        )
        layouts = {message.number: (message.size, message.fields) for message in parse(own(header), "own.h").messages}
        for message in protocol.messages:
            size, fields = layouts[message.number]
            self.assertEqual(message.size, size)
            self.assertEqual([each.offset for each in message.fields], [each.offset for each in fields])

    @slow
    def test_compiler_agrees(self) -> None:
        """sizeof and offsetof of every struct of the header as it was written."""
        for dialect in DIALECTS:
            if dialect is own:
                continue  # C99 with designated initialisers: tests.codegen.test_codegen compiles the real one
            path = self.write(dialect(SMALL), f"{dialect.__name__}.h")
            try:
                compared = check_layouts([path], read(path).layouts)
            except NoCompilerError as error:
                raise SkipTest(str(error)) from error
            self.assertGreaterEqual(compared, 37, dialect.__name__)

    @slow
    def test_latin_1_and_crlf(self) -> None:
        for dialect in DIALECTS:
            text = "// caf\xe9\r\n" + dialect(SMALL).replace("\n", "\r\n")
            self.assertEqual(facts(read(self.write(text, encoding="latin-1"))), expected(SMALL))

    @slow
    def test_long_headers(self) -> None:
        structs = tuple(Struct(f"M{n}", f"NUMBER_{n}", n, SMALL.structs[2].members) for n in range(1, 250))
        for dialect in DIALECTS:
            text = dialect(Header(structs, SMALL.enums, SMALL.lengths))
            text += "\n" * max(0, 5000 - text.count("\n"))
            self.assertEqual(len(parse(text, "long.h").messages), 249)

    def test_errors_name_the_line_of_the_header(self) -> None:
        for dialect in DIALECTS:
            text = re.sub(r"\bdouble Price", "long Price", dialect(SMALL))
            line = 1 + text[: text.index("long Price")].count("\n")
            path = self.write(text)
            error = self.assertRaises(HeaderError, read, path)
            self.assertEqual(str(error).split(": ")[0], f"DTCProtocol.h:{line}", dialect.__name__)

    def test_plain_c_without_its_functions_has_no_numbers(self) -> None:
        text = re.sub(r"void \w+_init.*?\n}\n", "", plain_c(SMALL), flags=re.DOTALL)
        protocol = parse(text, "h")
        self.assertEqual(protocol.messages, ())
        self.assertIn("nothing states its number", str(protocol.findings))
