"""Test several headers read together (main, variable-length texts, nonstandard), and the report."""

import contextlib
import io
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from codegen.__main__ import main
from codegen.compiler import LayoutError, NoCompilerError, check_layouts
from codegen.model import Layout, Message, Protocol
from codegen.reader import parse, read
from tests.support import slow

MAIN = """\
#pragma once
#include <cstdint>
#include <cfloat>
namespace DTC
{
#pragma pack(push, 8)
    const int32_t CURRENT_VERSION = 8;
    const int32_t NAME_LENGTH = 32;
    const uint16_t LOGON_REQUEST = 1;
    const uint16_t HEARTBEAT = 3;
    const uint16_t FLATTEN = 210;
    const uint16_t NOT_USED = 211;
    typedef int64_t t_DateTime;
    enum ModeEnum : int32_t { MODE_UNSET = 0, MODE_LIVE = 3 };
    struct s_MessageHeader
    {
        uint16_t Size = 0;
        uint16_t Type = 0;
    };
    struct s_LogonRequest
    {
        static constexpr uint16_t MESSAGE_TYPE = LOGON_REQUEST;
        uint16_t Size = sizeof(*this);
        uint16_t Type = MESSAGE_TYPE;
        int32_t ProtocolVersion = CURRENT_VERSION;
        char Username[NAME_LENGTH] = {};
        ModeEnum Mode = MODE_UNSET;
    };
    struct s_Heartbeat
    {
        uint16_t Size = sizeof(*this);
        uint16_t Type = HEARTBEAT;
        t_DateTime CurrentDateTime = 0;
    };
#pragma pack(pop)
}
"""

VARIABLE = """\
#pragma once
#include "DTCProtocol.h"
#include <gsl/span>
#include <limits>
namespace DTC_VLS
{
#pragma pack(8)
    using t_Byte = uint8_t;
    enum ModeEnum : int8_t { MODE_UNSET = 0, MODE_LIVE = 3 };
    struct s_VariableLengthStringField
    {
        uint16_t Offset = 0;
        uint16_t Length = 0;
    };
    typedef s_VariableLengthStringField vls_t;
    inline void AddField(uint16_t& r_Size, vls_t& r_Field, uint16_t Add)
    {
        if (r_Size + Add > std::numeric_limits<uint16_t>::max()) return;
        r_Field.Offset = r_Size;
    }
    struct s_LogonRequest
    {
        uint16_t Size = sizeof(*this);
        uint16_t Type = DTC::LOGON_REQUEST;
        uint16_t BaseSize = sizeof(*this);
        int32_t ProtocolVersion = DTC::CURRENT_VERSION;
        vls_t Username;
        ModeEnum Mode = MODE_UNSET;
        void AddUsername(uint16_t Length) { AddField(Size, Username, Length); }
        gsl::span<const t_Byte> GetBytes() const;
    };
}
"""

NONSTANDARD = """\
#pragma once
#include "DTCProtocolVLS.h"
namespace n_DTCNonStandard
{
    const int CONTENT_SIZE = 63 * 1024;
    const uint16_t SEARCH = 10144;
    const uint16_t FLATTEN = 10135;
}
namespace DTC
{
#pragma pack(push, 1)
    struct s_HeartbeatExtended
    {
        uint16_t Size = 0;
        uint16_t Type = 0;
        DTC::t_DateTime CurrentDateTime = 0;
        float Ratio = 1;
        s_HeartbeatExtended()
        {
            Size = sizeof(*this);
            Type = DTC::HEARTBEAT;
        }
    };
#pragma pack(pop)
}
namespace DTC_VLS
{
#pragma pack(push, 1)
    enum class e_Error : uint16_t { OK = 0, NotConnected, None };
    struct s_Flatten
    {
        uint16_t Size = sizeof(*this);
        uint16_t Type = DTC::FLATTEN;
        uint16_t BaseSize = Size;
        DTC_VLS::vls_t TradeAccount = {};
    };
    struct s_FlattenOwn
    {
        uint16_t Size = sizeof(s_FlattenOwn);
        uint16_t Type = n_DTCNonStandard::FLATTEN;
        uint16_t BaseSize = sizeof(s_FlattenOwn);
        ModeEnum Mode = ModeEnum::MODE_LIVE;
        DTC::ModeEnum Other = DTC::MODE_LIVE;
    };
    struct s_Search
    {
        static constexpr uint16_t MESSAGE_TYPE = n_DTCNonStandard::SEARCH;
        static const uint32_t FLAG_A = 1 << 4;
        uint16_t Size = sizeof(*this);
        uint16_t Type = MESSAGE_TYPE;
        uint16_t BaseSize = sizeof(*this);
        e_Error ErrorCode = e_Error::None;
        uint32_t Flags = FLAG_A | 0x1;
        int Number = -1;
    };
    static_assert(sizeof(s_Search) == 16);
#pragma pack(pop)
}
"""


def by_number(protocol: Protocol) -> dict[int, Message]:
    return {message.number: message for message in protocol.messages}


class FilesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp())
        self.place.mkdir()
        self.main = self.write("DTCProtocol.h", MAIN)
        self.variable = self.write("DTCProtocolVLS.h", VARIABLE)
        self.nonstandard = self.write("DTCProtocol_NonStandard.h", NONSTANDARD)

    def write(self, name: str, text: str) -> Path:
        path = self.place / name
        path.write_text(text, encoding="utf-8")
        return path

    def run_main(self, *argv: str | Path) -> tuple[int, str, str]:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            status = main([str(word) for word in argv])
        return status, out.getvalue(), err.getvalue()


class ReadTogetherTests(FilesTestCase):
    @slow
    def test_messages(self) -> None:
        protocol = read(self.nonstandard)
        found = {number: (each.struct, each.name, each.scope) for number, each in by_number(protocol).items()}
        self.assertEqual(
            found,
            {
                1: ("s_LogonRequest", "LOGON_REQUEST", "DTC"),
                3: ("s_Heartbeat", "HEARTBEAT", "DTC"),
                210: ("s_Flatten", "FLATTEN", "DTC_VLS"),
                10135: ("s_FlattenOwn", "FLATTEN", "DTC_VLS"),
                10144: ("s_Search", "SEARCH", "DTC_VLS"),
            },
        )
        self.assertEqual(read(self.main, self.variable, self.nonstandard).messages, protocol.messages)

    @slow
    def test_same_name_in_two_namespaces(self) -> None:
        protocol = read(self.nonstandard)
        members = protocol.message_types.members
        self.assertEqual((members["FLATTEN"], members["n_DTCNonStandard_FLATTEN"]), (210, 10135))
        enums = {enum.name: enum.underlying for enum in protocol.enums}
        self.assertEqual(enums, {"ModeEnum": "int32_t", "DTC_VLS_ModeEnum": "int8_t", "e_Error": "uint16_t"})
        fields = {field.name: (field.type, field.default) for field in by_number(protocol)[10135].body}
        self.assertEqual(fields["Mode"][0], "DTC_VLS_ModeEnum")
        self.assertEqual(fields["Other"][0], "ModeEnum")

    def test_texts_of_variable_length(self) -> None:
        message = by_number(read(self.nonstandard))[210]
        self.assertEqual(
            [(field.name, field.type, field.offset) for field in message.body], [("TradeAccount", "vls_t", 6)]
        )

    def test_values(self) -> None:
        protocol = read(self.nonstandard)
        defaults = [field.default for field in by_number(protocol)[10144].body]
        self.assertEqual([each and (each.value, each.name) for each in defaults], [(2, "None"), (17, ""), (-1, "")])
        self.assertEqual(protocol.constants[-1]["CONTENT_SIZE"], 64512)

    @slow
    def test_what_is_no_message_is_listed_with_the_reason(self) -> None:
        status, out, err = self.run_main(self.nonstandard)
        self.assertEqual((status, err), (0, ""))
        listed = [line.strip() for line in out.split("\\n")[0].split("\n") if line.startswith("  ")]
        self.assertEqual(
            listed,
            [
                "DTCProtocol.h:12: DTC::NOT_USED (211): no struct has this number",
                "DTCProtocol.h:15: struct DTC::s_MessageHeader has no fields and no number: the start of all messages",
                "DTCProtocolVLS.h:10: struct DTC_VLS::s_VariableLengthStringField does not start with Size and Type: "
                "no message",
                "DTCProtocolVLS.h:21: struct DTC_VLS::s_LogonRequest: LOGON_REQUEST (1) with texts of variable length; "
                "DTC::s_LogonRequest (DTCProtocol.h:20) is used",
                "DTCProtocol_NonStandard.h:12: struct DTC::s_HeartbeatExtended: HEARTBEAT (3) with 1 more fields at "
                "its end; DTC::s_Heartbeat (DTCProtocol.h:29) is used",
            ],
        )

    def test_sender_of_one_message(self) -> None:
        """Official headers do not state senders; a user may, for a new message."""
        text = MAIN.replace("    struct s_Heartbeat", "#pragma dtc server compact\n    struct s_Heartbeat")
        found = by_number(read(self.write("DTCProtocol.h", text)))
        self.assertEqual((found[3].sender, found[3].marks, found[1].sender), ("server", ("compact",), ""))

    def test_missing_file(self) -> None:
        self.variable.unlink()
        status, _, err = self.run_main(self.nonstandard)
        self.assertEqual(status, 1)
        self.assertIn("DTCProtocol_NonStandard.h:", err)

    @slow
    def test_written_module(self) -> None:
        output = self.place / "own.py"
        self.assertEqual(self.run_main(self.nonstandard, "--output", output)[0], 0)
        names: dict[str, object] = {"__name__": "own"}
        exec(compile(output.read_text(encoding="utf-8"), "own", "exec"), names)
        messages = names["MESSAGES"]
        assert isinstance(messages, dict)
        self.assertEqual(sorted(messages), [1, 3, 210, 10135, 10144])
        self.assertEqual(messages[1]().ProtocolVersion, 8)  # a client sends it: dtc.h says so
        self.assertIs(messages[1]().Mode, names["UNSET"])
        self.assertEqual(messages[10144].DEFAULTS["Flags"], 17)

    @slow
    def test_nothing_is_written_without_output(self) -> None:
        self.assertIn("Nothing is written", self.run_main(self.main)[1])


class ReportTests(FilesTestCase):
    CONFLICT = """\
    struct s_One { uint16_t Size; uint16_t Type = 7; int32_t X; };
    struct s_Two { uint16_t Size; uint16_t Type = 7; int32_t Y; };
    struct s_Good { uint16_t Size; uint16_t Type = 8; int32_t Y; };
    """

    @slow
    def test_two_structs_with_one_number(self) -> None:
        path = self.write("a.h", self.CONFLICT)
        status, _, err = self.run_main(path, "--output", self.place / "out.py")
        what = "number 7 is stated by 2 structs with different fields, s_One (a.h:1) and s_Two (a.h:2): none is used"
        self.assertEqual((status, err), (1, f"a.h:1: {what}\n"))
        self.assertFalse((self.place / "out.py").exists())

    @slow
    def test_not_strict(self) -> None:
        path = self.write("a.h", self.CONFLICT)
        status, out, err = self.run_main(path, "--no-strict", "--output", self.place / "out.py")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("NOT EXPLAINED: a.h:1: number 7 is stated by 2 structs", out)
        text = (self.place / "out.py").read_text(encoding="utf-8")
        self.assertIn("class Good(Message, tag=8)", text)
        self.assertNotIn("class One", text)

    def test_two_numbers_in_one_struct(self) -> None:
        text = "struct s_One { static const int MESSAGE_TYPE = 6; uint16_t Size; uint16_t Type = 7; int X; };"
        (finding,) = [each for each in parse(text, "a.h").findings if "two numbers" in each.what]
        self.assertEqual(str(finding), "a.h:1: struct s_One states two numbers, 7 and 6: it is not used")

    def test_number_only_as_a_constant(self) -> None:
        text = "struct s_One { static const int MESSAGE_TYPE = 6; uint16_t Size; uint16_t Type; int X; };"
        self.assertEqual(parse(text, "a.h").messages[0].number, 6)

    @slow
    def test_number_in_a_file_of_functions(self) -> None:
        header = self.write("c.h", "#define PING 9\nstruct s_Ping { uint16_t Size; uint16_t Type; int32_t X; };")
        source = self.write("c.c", '#include "c.h"\nvoid Ping_init(struct s_Ping *m) { m->Type = PING; m->X = 2; }')
        self.assertIn("nothing states its number", self.run_main(header)[2])
        (message,) = read(source).messages
        self.assertEqual((message.name, message.number, message.body[0].default.value), ("PING", 9, 2))  # type: ignore[union-attr]

    def test_variables_and_tables(self) -> None:
        text = (
            'const char* const NAMES[] = { "a" };\nint x;\nstruct s_One { uint16_t Size; uint16_t Type = 7; int X; };'
        )
        self.assertEqual(
            list(map(str, parse(text, "a.h").findings)), ["a.h:1: NAMES is a table or a text", "a.h:2: x is a variable"]
        )


class OldVariableTests(SynchronousTestCase):
    """In 2015 structs with texts of variable length had no BaseSize, and some constructors called methods."""

    TEXT = """
    namespace DTC {
        const unsigned short LOGON_REQUEST = 1, HEARTBEAT = 3;
        struct s_LogonRequest { unsigned short Size; unsigned short Type; double Price; byte Flag;
            s_LogonRequest() { memset(this, 0, sizeof(s_LogonRequest)); Type=LOGON_REQUEST; SetToUnsetValues(); }
            void SetToUnsetValues();
        };
        struct s_Heartbeat { unsigned short Size; unsigned short Type; s_Heartbeat() { Type=HEARTBEAT; } };
    }
    namespace DTC_VLS {
        struct s_VariableLengthStringField { unsigned short Offset; unsigned short Length; };
        typedef s_VariableLengthStringField vls_t;
        struct s_LogonRequest { unsigned short Size; unsigned short Type; vls_t Name;
            s_LogonRequest() { Type=DTC::LOGON_REQUEST; } };
        struct s_Heartbeat { unsigned short Size; unsigned short Type; int A; s_Heartbeat() { Type=DTC::HEARTBEAT; } };
        struct s_More { unsigned short Size; unsigned short Type; vls_t Name; s_More() { Type=9; } };
    }
    """

    def test_read(self) -> None:
        protocol = parse(self.TEXT, "h")
        found = {
            number: (each.scope, [field.name for field in each.body]) for number, each in by_number(protocol).items()
        }
        self.assertEqual(found, {1: ("DTC", ["Price", "Flag"]), 3: ("DTC", []), 9: ("DTC_VLS", ["Name"])})
        self.assertEqual(by_number(protocol)[1].body[1].type, "uint8_t")
        self.assertEqual([str(each) for each in protocol.findings if not each.explained], [])
        listed = "\n".join(map(str, protocol.findings))
        self.assertIn("h:5: struct s_LogonRequest starts with values that SetToUnsetValues() gives", listed)


class CompilerTests(FilesTestCase):
    def setUp(self) -> None:
        super().setUp()
        try:
            check_layouts([self.main], [])
        except NoCompilerError as error:
            raise SkipTest(str(error)) from error

    @slow
    def test_agrees(self) -> None:
        layouts = read(self.nonstandard).layouts
        self.assertEqual(len(layouts), 9)
        claims = sum(1 + 2 * len(layout.fields) for layout in layouts)
        self.assertEqual(check_layouts([self.nonstandard], layouts), claims)

    @slow
    def test_does_not_agree(self) -> None:
        wrong = Layout("DTC::s_Heartbeat", 20, (("CurrentDateTime", 4, 8),))
        error = self.assertRaises(LayoutError, check_layouts, [self.main], [wrong])
        self.assertIn("does not agree: sizeof(DTC::s_Heartbeat) == 20\n", str(error))
        self.assertIn("does not agree: __builtin_offsetof(DTC::s_Heartbeat, CurrentDateTime) == 4", str(error))
        self.assertEqual(str(error).count("\n"), 1)

    @slow
    def test_errors_in_the_headers_own_functions(self) -> None:
        path = self.write("b.h", "struct s_One { unsigned short Size, Type; void f() { unknown(); } };")
        self.assertEqual(check_layouts([path], [Layout("s_One", 4, ())]), 1)
        self.assertRaises(NoCompilerError, check_layouts, [path], [Layout("s_One", 5, ())])

    def test_no_compiler(self) -> None:
        self.patch(check_layouts.__globals__["shutil"], "which", lambda name: None)
        self.assertIn("there is no C++ compiler", self.run_main(self.main)[1])
