"""Test the code generator, and the header that it reads."""

import contextlib
import io
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from codegen.__main__ import BLOCKING_CLIENT, HEADER, OUTPUT, main
from codegen.emit import emit
from codegen.model import Message, Protocol, Value
from codegen.reader import parse, read
from codegen.source import HeaderError
from tests.support import slow

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Werror", "-Wno-unknown-pragmas")

SMALL = """\
#include <float.h>
#include <stdint.h>
enum { NAME_LENGTH = 5 };
typedef double t_Time;
enum MessageType { PING = 7 };
typedef uint16_t MessageType;
enum SideEnum { BUY = 1, SELL = 2 };
typedef uint8_t SideEnum;
#pragma pack(push, 8)
#pragma dtc client
struct s_Ping {
    uint16_t Size;
    uint16_t Type;
    SideEnum Side;
    char Name[NAME_LENGTH];
    t_Time Time;
};
const struct s_Ping s_Ping_default = {
    .Size = sizeof(struct s_Ping),
    .Type = PING,
    .Side = SELL,
    .Name = "abcd",
    .Time = DBL_MAX,
};
#pragma pack(pop)
"""


def run(*argv: str | Path) -> tuple[int, str, str]:
    """Run `python -m codegen` in this process. Return exit status, stdout and stderr."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main([str(word) for word in argv])
    return status, out.getvalue(), err.getvalue()


@cache
def committed() -> Protocol:
    """Return the model of the header in the repository."""
    return read(HEADER)


def only(protocol: Protocol) -> Message:
    (message,) = protocol.messages
    return message


class CommittedTests(SynchronousTestCase):
    """The generated module in the repository is up to date."""

    @slow
    def test_messages_are_up_to_date(self) -> None:
        status, out, err = run("--check")
        self.assertEqual(status, 0, out + err)

    def test_counts(self) -> None:
        protocol = committed()
        self.assertEqual(len(protocol.messages), 114)
        self.assertEqual(len(protocol.enums), 26)
        self.assertEqual(len(protocol.message_types.members), 114)
        self.assertEqual(sum("legacy" in message.marks for message in protocol.messages), 14)
        self.assertEqual(sum("nonstandard" in message.marks for message in protocol.messages), 3)

    def test_known_layouts(self) -> None:
        """Sizes that need no compiler to know: padded, packed, and with a union."""
        sizes = {message.number: message.size for message in committed().messages}
        self.assertEqual((sizes[3], sizes[107], sizes[144], sizes[803]), (16, 40, 32, 88))

    @slow
    def test_same_text_each_time(self) -> None:
        self.assertEqual(emit(committed(), "h"), emit(read(HEADER), "h"))


class CompilerTests(SynchronousTestCase):
    """A C compiler agrees with the model about the header."""

    def setUp(self) -> None:
        found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if found is None:
            raise SkipTest("no C compiler")
        self.compiler = found

    def compile(self, *arguments: str | Path) -> None:
        done = subprocess.run([self.compiler, *STRICT, *arguments], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_header_is_strict_c99(self) -> None:
        self.compile("-fsyntax-only", HEADER)

    @slow
    def test_sizes_and_offsets(self) -> None:
        messages = committed().messages
        shown, expected = [], []
        for message in messages:
            struct = f"struct {message.struct}"
            shown.append(f"    SHOW({message.struct}_default.Type, sizeof({struct}));")
            expected.append(f"{message.number} {message.size}")
            for field in message.fields:
                slot = f"(({struct} *)0)->{field.path}"
                shown.append(f"    SHOW(offsetof({struct}, {field.path}), sizeof({slot}));")
                expected.append(f"{field.offset} {field.size}")
        lines = [
            "#include <stddef.h>",
            "#include <stdio.h>",
            f'#include "{HEADER.as_posix()}"',
            '#define SHOW(a, b) printf("%lu %lu\\n", (unsigned long)(a), (unsigned long)(b))',
            "int main(void)",
            "{",
            *shown,
            "    return 0;",
            "}",
        ]
        place = Path(self.mktemp())
        place.mkdir()
        source, program = place / "layout.c", place / "layout"
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.compile(source, "-o", program)
        printed = subprocess.run([program.resolve()], capture_output=True, text=True, check=True).stdout.split("\n")[
            :-1
        ]
        self.assertEqual(len(printed), len(expected))
        for line, real, ours in zip(shown, printed, expected, strict=True):
            self.assertEqual(real, ours, line)


class ModelTests(SynchronousTestCase):
    def test_small_header(self) -> None:
        message = only(parse(SMALL, "h"))
        self.assertEqual((message.name, message.number, message.sender, message.marks), ("PING", 7, "client", ()))
        self.assertEqual(message.size, 24)
        self.assertEqual([field.offset for field in message.fields], [0, 2, 4, 5, 16])
        self.assertEqual([field.size for field in message.fields], [2, 2, 1, 5, 8])
        defaults = [field.default.value for field in message.body if field.default]
        self.assertEqual(defaults, [2, "abcd", 1.7976931348623157e308])

    def test_packed(self) -> None:
        message = only(parse(SMALL.replace("push, 8", "push, 1"), "h"))
        self.assertEqual((message.size, message.fields[-1].offset), (18, 10))

    def test_union(self) -> None:
        text = SMALL.replace("t_Time Time;", "union { char Text[5]; uint32_t Number; } U; uint8_t Last;")
        message = only(parse(text.replace("    .Time = DBL_MAX,\n", ""), "h"))
        self.assertEqual([field.offset for field in message.body], [4, 5, 12, 12, 20])
        self.assertEqual([field.path for field in message.body], ["Side", "Name", "U.Text", "U.Number", "Last"])

    def test_type_is_never_guessed_from_the_name(self) -> None:
        text = SMALL.replace("PING = 7", "PING = 7, PONG = 8").replace("s_Ping", "s_Pong")
        second = "\n".join(text.replace("s_Pong", "s_Ping").replace(".Type = PING", ".Type = PONG").split("\n")[8:])
        first, other = parse(text + second, "h").messages
        self.assertEqual((first.struct, first.name, first.number), ("s_Pong", "PING", 7))
        self.assertEqual((other.struct, other.name, other.number), ("s_Ping", "PONG", 8))

    def test_latin_1(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"/* \xe9 */" + SMALL.encode())
        self.assertEqual(read(path), parse(SMALL, path.name))


class RefusedTests(SynchronousTestCase):
    """A construct that the model does not know is an error with its line: (text in SMALL, replacement, line, error)."""

    CASES = (
        # types and constants
        ("NAME_LENGTH = 5", "NAME_LENGTH", 15, "Name has no length"),
        ("NAME_LENGTH = 5", "NAME_LENGTH = 5 / 0", 3, "division by 0"),
        ("NAME_LENGTH = 5", "NAME_LENGTH = 09", 3, "not understood as C: Invalid octal constant"),
        ("NAME_LENGTH = 5", "NAME_LENGTH = f(5)", 3, "cannot compute this value"),
        ("NAME_LENGTH = 5", "NAME_LENGTH = OTHER", 3, "unknown constant OTHER"),
        ("NAME_LENGTH = 5", "NAME_LENGTH = DBL_MAX", 3, "1.7976931348623157e+308 is not a whole number"),
        ("typedef double t_Time;", "typedef double t_Time; typedef float t_Time;", 4, "t_Time is declared twice"),
        ("typedef double t_Time;", "typedef long t_Time;", 4, "the size of long depends on the compiler"),
        ("typedef double t_Time;", "typedef double t_Time; typedef float int8_t;", 4, "int8_t belongs to <stdint.h>"),
        ("typedef double t_Time;", "typedef double t_Time; union U { int a; };", 4, "not expected here: Union"),
        ("typedef double t_Time;", "typedef _Alignas(4) double t_Time;", 4, "_Alignas may change the layout"),
        ("typedef double t_Time;", "typedef double t_Time", 16, "not understood as C"),
        ("enum MessageType { PING = 7 };", "enum MessageType { PING = 7, PONG = 8 };", 5, "PONG (8) has no struct"),
        (
            "enum MessageType { PING = 7 };",
            "enum MessageType { PING = 70000 };",
            5,
            "PING = 70000 does not fit uint16_t",
        ),
        ("BUY = 1", "PING = 1", 7, "PING is declared twice"),
        ("SELL = 2", "\nSELL = 300", 8, "SELL = 300 does not fit uint8_t"),
        ("enum SideEnum { BUY = 1, SELL = 2 };", "enum SideEnum;", 7, "enum SideEnum has no members"),
        ("typedef uint8_t SideEnum", "typedef float SideEnum", 8, "the type of an enum is an integer"),
        # directives
        ("pack(push, 8)", "pack(push, 3)", 9, "cannot pack to 3 bytes"),
        ("pack(push, 8)", "packed", 9, "unknown #pragma packed"),
        ("#pragma pack(pop)", "", 9, "this #pragma pack(push) has no pack(pop)"),
        ("#pragma pack(pop)", "#pragma pack(pop)\n#pragma pack(pop)", 26, "nothing to pop"),
        ("#pragma pack(pop)", "#pragma pack(pop)\n#pragma dtc client", 26, "a struct must follow this #pragma dtc"),
        ("#pragma dtc client", "#pragma dtc client\n#pragma dtc client", 10, "a struct must follow this #pragma dtc"),
        ("#pragma dtc client", "#pragma dtc client\nstruct s_Later;", 10, "a struct must follow this #pragma dtc"),
        ("#pragma dtc client", "#pragma dtc compact", 10, "who sends it? compact is none of"),
        ("#pragma dtc client", "#pragma dtc ", 10, "who sends it? nothing is none of"),
        ("#pragma dtc client", "#pragma dtc client small", 10, "unknown mark small"),
        ("#pragma dtc client", "#pragma dtc client legacy legacy", 10, "legacy is stated twice"),
        ("#pragma dtc client", '# 99 "other.h"', 10, "unknown directive #99"),
        ("#pragma dtc client", "#error stop", 10, "#error stop"),
        ("#pragma dtc client", "#if 1", 10, "this #if has no #endif"),
        ("#pragma dtc client", "#endif", 10, "this #endif has no #if"),
        ("#pragma dtc client", "#if 1 +", 10, "cannot compute #if 1 +"),
        ("#pragma dtc client", '#include "none.h"', 10, 'cannot include "none.h"'),
        # structs
        ("struct s_Ping {", "struct Ping {", 18, "unknown struct s_Ping"),
        ("uint16_t Size;", "uint32_t Size;", 11, "struct s_Ping does not start with uint16_t Size and uint16_t Type"),
        ("uint16_t Size;", "uint16_t Length;", 19, "s_Ping has no field Size"),
        ("SideEnum Side;", "OtherEnum Side;", 14, "not understood as C"),
        ("SideEnum Side;", "uint8_t Side : 3;", 14, "Side is a bit field"),
        ("SideEnum Side;", "uint8_t : 3;", 14, "this field is a bit field"),
        ("SideEnum Side;", "SideEnum *Side;", 14, "not expected in a message: PtrDecl Side"),
        ("SideEnum Side;", "long Side;", 14, "the size of long depends on the compiler"),
        ("SideEnum Side;", "uint8_t (*Side)(int);", 14, "not expected in a message: PtrDecl Side"),
        ("SideEnum Side;", "SideEnum Side; uint8_t Side;", 14, "Side is declared twice"),
        ("SideEnum Side;", "SideEnum Side; virtual void f();", 14, "a virtual function in s_Ping changes its layout"),
        ("SideEnum Side;", "alignas(8) SideEnum Side;", 14, "alignas may change the layout"),
        ("SideEnum Side;", "SideEnum Side;\n#pragma dtc client", 15, "not expected in a struct: #pragma"),
        ("struct s_Ping {", "struct s_Ping : s_Base {", 11, "unknown base class s_Base"),
        ("char Name[NAME_LENGTH];", "char Name;", 22, "'abcd' is no value for int8_t Name"),
        ("char Name[NAME_LENGTH];", "char Name[];", 15, "not expected in a message: ArrayDecl Name"),
        ("char Name[NAME_LENGTH];", "char Name[0];", 15, "Name has no length"),
        ("};\nconst", "} int x;\nconst", 11, "not understood as C"),
        # defaults
        ("const struct", "static const struct", 18, "only a const struct s_Ping s_Ping_default is expected here"),
        ("const struct s_Ping", "const struct s_Pong", 18, "unknown struct s_Pong"),
        (
            "const struct s_Ping s_Ping_default = {",
            "const struct s_Ping s_Ping_default = { 1,",
            18,
            "a default is stated as",
        ),
        ("    .Type = PING,\n", "", 11, "struct s_Ping starts as a message does, but nothing states its number"),
        (".Side = SELL", ".Sight = SELL", 21, "s_Ping has no field Sight"),
        (".Side = SELL", ".Side = 300", 21, "300 is no value for SideEnum Side"),
        (".Side = SELL", ".Side = PING", 21, "PING is no value for SideEnum Side"),
        (".Side = SELL", ".Side = SELL, .Side = BUY", 21, "the default of Side is stated twice"),
        (".Side = SELL", ".Name[0] = 1", 21, "a default is stated as .Field = value"),
        ('"abcd"', '"abcde"', 22, "'abcde' is no value for char Name"),
        ('"abcd"', "1", 22, "1 is no value for char Name"),
        ("DBL_MAX", '"x"', 23, "'x' is no value for t_Time Time"),
        ("DBL_MAX", "UNKNOWN", 23, "unknown constant UNKNOWN"),
        ("    .Time = DBL_MAX,\n};", "    .Time = DBL_MAX,\n", 18, "this { is not closed"),
    )

    def reason(self, text: str) -> str:
        """Return the first fault of a header: an error, or a finding without an explanation."""
        try:
            findings = parse(text, "small.h").findings
        except HeaderError as error:
            return str(error)
        return next((str(finding) for finding in findings if not finding.explained), "nothing")

    def check(self, text: str, line: int, what: str) -> None:
        self.assertIn(f"small.h:{line}: {what}", self.reason(text))

    @slow
    def test_each(self) -> None:
        for this, that, line, what in self.CASES:
            self.assertIn(this, SMALL)
            output = self.reason(SMALL.replace(this, that, 1))
            self.assertTrue(output.startswith(f"small.h:{line}: {what}"), f"{that!r}: {output}, not {line}: {what}")

    def test_default_out_of_range(self) -> None:
        text = SMALL.replace("SideEnum Side;", "int8_t Side;")
        self.assertEqual(only(parse(text.replace("= SELL", "= -128"), "h")).body[0].default, Value(-128))
        self.check(text.replace("= SELL", "= -129"), 21, "-129 is no value for int8_t Side")
        self.check(SMALL.replace("t_Time Time;", "float Time;"), 23, "DBL_MAX is no value for float Time")

    def test_message_number_twice(self) -> None:
        text = SMALL.replace("#pragma pack(pop)\n", "")
        again = "\n".join(text.replace("s_Ping", "s_Pong").replace(" Time;", " Moment;").split("\n")[9:])
        again = again.replace(".Time", ".Moment")
        what = "PING (7) is stated by 2 structs with different fields, s_Ping (small.h:11) and s_Pong (small.h:26)"
        self.check(text + again + "#pragma pack(pop)\n", 11, what)

    def test_struct_twice(self) -> None:
        text = SMALL.replace("#pragma pack(pop)\n", "")
        again = "\n".join(text.split("\n")[9:])
        self.check(text + again, 26, "struct s_Ping is declared twice")

    def test_struct_without_defaults(self) -> None:
        start, end = SMALL.index("const struct"), SMALL.index("#pragma pack(pop)")
        self.check(SMALL[:start] + SMALL[end:], 11, "struct s_Ping starts as a message does, but nothing states")

    def test_defaults_twice(self) -> None:
        again = SMALL[SMALL.index("const struct") : SMALL.index("#pragma pack(pop)")]
        self.check(SMALL + again, 26, "s_Ping_default is declared twice")

    def test_no_sender_in_a_header_that_states_senders(self) -> None:
        again = "struct s_Pong { uint16_t Size; uint16_t Type = 8; };\n"
        self.check(SMALL + again, 26, "no #pragma dtc before struct s_Pong")

    def test_no_messages(self) -> None:
        self.check("", 1, "no struct states the number of a message")


class CommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.place.mkdir()
        self.header = self.place / "small.h"
        self.header.write_text(SMALL, encoding="utf-8")
        self.output = self.place / "out.py"

    @slow
    def test_fresh(self) -> None:
        self.assertEqual(run(self.header, "--output", self.output)[::2], (0, ""))
        self.assertEqual(run(self.header, "--output", self.output, "--check")[::2], (0, ""))
        self.output.write_bytes(self.output.read_bytes().replace(b"\n", b"\r\n"))
        self.assertEqual(run(self.header, "--output", self.output, "--check")[::2], (0, ""))

    @slow
    def test_written_file(self) -> None:
        run(self.header, "--output", self.output)
        data = self.output.read_bytes()
        self.assertNotIn(b"\r", data)
        self.assertIn(b'    Side: SideEnum | UnsetType = SideEnum.SELL\n    Name: char_5 = "abcd"\n', data)
        names: dict[str, object] = {"__name__": "small"}
        exec(compile(data, "small", "exec"), names)

    def test_servers_message_starts_unset(self) -> None:
        text = emit(parse(SMALL.replace("dtc client", "dtc server legacy compact"), "h"), "h")
        self.assertIn('"""PING, server to client, compact, legacy."""', text)
        self.assertIn('        "Side": SideEnum.SELL,\n        "Name": "abcd",\n        "Time": DBL_MAX,\n', text)
        self.assertIn("    COMPACT: ClassVar[bool] = True\n", text)
        self.assertIn("    Side: SideEnum | UnsetType = UNSET\n", text)

    @slow
    def test_stale(self) -> None:
        self.output.write_text("old", encoding="utf-8")
        status, out, err = run(self.header, "--output", self.output, "--check")
        self.assertEqual((status, err), (1, ""))
        command = f"python -m codegen {self.header} --output {self.output}\n"
        self.assertTrue(out.endswith(f"out.py is not up to date with small.h. Run: {command}"), out)
        self.assertEqual(self.output.read_text(encoding="utf-8"), "old")

    @slow
    def test_stale_by_default(self) -> None:
        """Without arguments the command to run is the one that everybody knows."""
        self.patch(sys.modules["codegen.__main__"], "emit", lambda protocol, header: "new")
        before = OUTPUT.read_bytes()
        self.assertEqual(run("--check"), (1, "messages.py is not up to date with dtc.h. Run: python -m codegen\n", ""))
        self.assertEqual(OUTPUT.read_bytes(), before)

    @slow
    def test_stale_blocking_client(self) -> None:
        self.patch(sys.modules["codegen.__main__"], "blocking", lambda text, source: "new")
        before = BLOCKING_CLIENT.read_bytes()
        text = "blocking_client.py is not up to date with async_client.py. Run: python -m codegen\n"
        self.assertEqual(run("--check"), (1, text, ""))
        self.assertEqual(BLOCKING_CLIENT.read_bytes(), before)

    @slow
    def test_missing_output_is_stale(self) -> None:
        self.assertEqual(run(self.header, "--output", self.output, "--check")[0], 1)
        self.assertFalse(self.output.exists())

    def test_bad_header(self) -> None:
        self.header.write_text(SMALL.replace(".Side", ".Sight"), encoding="utf-8")
        self.assertEqual(run(self.header, "--output", self.output), (1, "", "small.h:21: s_Ping has no field Sight\n"))
        self.assertFalse(self.output.exists())

    def test_no_header(self) -> None:
        status, out, err = run(self.place / "none.h", "--output", self.output)
        self.assertEqual((status, out, err.count("\n")), (1, "", 1))
        self.assertIn("none.h", err)

    @slow
    def test_as_a_module(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "codegen", "--check"], capture_output=True, text=True, cwd=HEADER.parent.parent
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
