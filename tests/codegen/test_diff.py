"""Test the description of changes between two headers."""

import contextlib
import io
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from codegen.__main__ import main
from codegen.diff import diff
from codegen.reader import parse
from tests.support import slow

OLD = """\
enum { TEXT = 8, GONE = 1 };
enum MessageType { PING = 7, PONG = 8, OLD = 9 };
typedef uint16_t MessageType;
enum SideEnum { BUY = 1, SELL = 2, HOLD = 3 };
typedef int32_t SideEnum;
#pragma dtc server compact
struct s_Ping { uint16_t Size; uint16_t Type; int32_t A; double B; char Name[TEXT]; SideEnum Side; };
const struct s_Ping s_Ping_default = { .Size = sizeof(struct s_Ping), .Type = PING, .A = 1 };
#pragma dtc server
struct s_Pong { uint16_t Size; uint16_t Type; int32_t A; float B; };
const struct s_Pong s_Pong_default = { .Size = sizeof(struct s_Pong), .Type = PONG };
#pragma dtc server
struct s_Old { uint16_t Size; uint16_t Type; };
const struct s_Old s_Old_default = { .Size = sizeof(struct s_Old), .Type = OLD };
"""


class DiffTests(SynchronousTestCase):
    def check(self, *changes: tuple[str, str], expected: list[str]) -> None:
        new = OLD
        for this, that in changes:
            self.assertIn(this, new)
            new = new.replace(this, that, 1)
        self.assertEqual(list(diff(parse(OLD, "old.h"), parse(new, "new.h"))), expected)

    def test_nothing(self) -> None:
        self.check(expected=[])

    def test_new_field_at_the_end(self) -> None:
        self.check(
            ("SideEnum Side; }", "SideEnum Side; uint8_t C; double D; }"),
            expected=[
                "message PING (7):",
                "  new field C, uint8_t, at the end",
                "  new field D, double, at the end",
            ],
        )

    def test_new_field_in_a_compact_message(self) -> None:
        found = list(diff(parse(OLD, "a"), parse(OLD.replace("double B;", "uint8_t C; double B;"), "b")))
        self.assertEqual(found[:2], ["message PING (7):", "  new field C, uint8_t, after A"])
        self.assertIn("  WARNING: PING is sent without field names", found[2])

    def test_order_of_a_compact_message(self) -> None:
        found = list(diff(parse(OLD, "a"), parse(OLD.replace("int32_t A; double B;", "double B; int32_t A;"), "b")))
        self.assertEqual(found[1], "  the order of fields changed: it was A, B, Name, Side, and is B, A, Name, Side")
        self.assertIn("WARNING: PING", found[2])

    def test_order_of_a_message_with_names(self) -> None:
        self.check(
            ("int32_t A; float B;", "float B; int32_t A;"),
            expected=["message PONG (8):", "  the order of fields changed: it was A, B, and is B, A"],
        )

    def test_renamed_field(self) -> None:
        self.check(("double B;", "double Price;"), expected=["message PING (7):", "  renamed field B to Price"])

    def test_removed_field_of_a_compact_message(self) -> None:
        found = list(diff(parse(OLD, "a"), parse(OLD.replace("double B;", ""), "b")))
        self.assertEqual(found[:2], ["message PING (7):", "  removed field B, double"])
        self.assertIn("WARNING: PING", found[2])

    def test_types(self) -> None:
        self.check(
            ("float B;", "double B;"),
            ("TEXT = 8", "TEXT = 16"),
            expected=[
                "message PING (7):",
                "  field Name was text of 8 bytes and is text of 16 bytes",
                "message PONG (8):",
                "  field B was float and is double",
                "constant TEXT was 8 and is 16",
            ],
        )

    def test_initial_values(self) -> None:
        self.check((".A = 1", ".A = 2"), expected=["message PING (7):", "  field A started as 1 and starts as 2"])

    def test_messages(self) -> None:
        new = OLD.replace(" OLD", " FRESH").replace("s_Old", "s_Fresh").replace("FRESH = 9", "FRESH = 10")
        found = list(diff(parse(OLD, "a"), parse(new, "b")))
        self.assertEqual(found, ["new message FRESH (10): no fields", "removed message OLD (9)"])

    def test_renamed_message(self) -> None:
        found = list(diff(parse(OLD, "a"), parse(OLD.replace("PONG", "REPLY").replace("s_Pong", "s_Reply"), "b")))
        self.assertEqual(
            found, ["message REPLY (8):", "  renamed, from PONG", "  struct renamed, from s_Pong to s_Reply"]
        )

    def test_enums(self) -> None:
        self.check(
            ("SELL = 2, HOLD = 3", "SELL = 4, WAIT = 3, SHORT = 5"),
            ("typedef int32_t SideEnum", "typedef int8_t SideEnum"),
            expected=[
                "enum SideEnum:",
                "  was int32_t and is int8_t",
                "  SELL was 2 and is 4",
                "  renamed HOLD to WAIT",
                "  new value SHORT = 5",
            ],
        )
        self.check((", HOLD = 3", ""), expected=["enum SideEnum:", "  removed value HOLD = 3"])

    def test_constants(self) -> None:
        self.check((", GONE = 1", ", HERE = 2"), expected=["new constant HERE = 2", "removed constant GONE"])

    @slow
    def test_command(self) -> None:
        place = Path(self.mktemp())
        place.mkdir()
        old, new = place / "old.h", place / "new.h"
        head = "#include <cstdint>\nnamespace DTC {\nconst uint16_t MARKET_DATA_UPDATE_TRADE = 107;\n"
        struct = "struct s_Trade { uint16_t Size; uint16_t Type = MARKET_DATA_UPDATE_TRADE; int32_t A; int32_t B; };\n}"
        old.write_text(head + struct, encoding="utf-8")
        new.write_text(head + struct.replace("int32_t A; int32_t B;", "int32_t B; int32_t A;"), encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(main(["--diff", str(old), str(new)]), 0)
        # dtc.h knows that 107 is compact, the official headers do not say so.
        self.assertIn("WARNING: MARKET_DATA_UPDATE_TRADE is sent without field names", out.getvalue())
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(main(["--diff", str(old), str(old)]), 0)
        self.assertEqual(out.getvalue(), "No message, enum or constant changed.\n")
