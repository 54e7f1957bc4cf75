"""Test a user's own messages module in place of the generated one."""

import ast
import contextlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

from msgspec import UnsetType
from twisted.trial.unittest import SynchronousTestCase

from codegen.__main__ import HEADER, main
from codegen.reader import read
from dtc_twisted.dtc import messages
from dtc_twisted.dtc.own_messages import UNUSED_TYPES, read_messages, use_messages
from dtc_twisted.errors import UnfitMessages
from tests.codegen.headers import as_official
from tests.process.test_twistd import ROOT, TWISTD, run
from tests.support import process_environment

NEW = """\
    const uint16_t MY_REQUEST = 20001;
    const uint16_t MY_RESPONSE = 20002;
    struct s_MyRequest
    {
        uint16_t Size = sizeof(*this);
        uint16_t Type = MY_REQUEST;
        int32_t RequestID = 0;
        BuySellEnum Side = BUY_SELL_UNSET;
        char Text[16] = {};
        float Levels[3] = {};
    };
    struct s_MyResponse
    {
        uint16_t Size = sizeof(*this);
        uint16_t Type = MY_RESPONSE;
        int32_t RequestID = 0;
        double Price1 = 0;
        char Text[16] = {};
    };
}
"""


class OwnMessagesCase(SynchronousTestCase):
    """Provide a header in the official dialect, and the module made of it."""

    def setUp(self) -> None:
        self.place = Path(self.mktemp()).absolute()
        self.place.mkdir()
        self.output = self.place / "own.py"

    def generate(self, *changes: tuple[str, str]) -> Path:
        text = as_official(read(HEADER))
        for this, that in changes:
            self.assertIn(this, text)
            text = text.replace(this, that)
        header = self.place / "DTCProtocol.h"
        header.write_text(text, encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            self.assertEqual(main([str(header), "--output", str(self.output)]), 0, out.getvalue())
        return self.output

    def read(self, *changes: tuple[str, str]) -> Any:
        return read_messages(str(self.generate(*changes)), messages)

    def refusal(self, *changes: tuple[str, str]) -> str:
        return str(self.assertRaises(UnfitMessages, self.read, *changes))


class CompleteTests(OwnMessagesCase):
    def test_what_the_header_has_is_kept(self) -> None:
        own = self.read()
        self.assertIsNot(own.LogonRequest, messages.LogonRequest)
        self.assertEqual(own.LogonRequest.__struct_fields__, messages.LogonRequest.__struct_fields__)
        self.assertEqual(own.LogonRequest().ProtocolVersion, 8)

    def test_dropped_messages_are_added(self) -> None:
        own = self.read()
        self.assertEqual(own.MESSAGES.keys(), messages.MESSAGES.keys())
        added = own.MESSAGES[125]
        self.assertIs(added, own.MarketDataSnapshot_Int)
        self.assertTrue(issubclass(added, own.Message))
        self.assertEqual((added.Type, added.COMPACT, added.DEFAULTS), (125, True, messages.MESSAGES[125].DEFAULTS))
        self.assertEqual(own.MessageType.MARKET_DATA_SNAPSHOT_INT, 125)

    def test_dropped_field_is_added_at_the_end(self) -> None:
        own = self.read(("TradeModeEnum TradeMode = {};", "int32_t Unused1 = 0;"))
        self.assertEqual(own.LogonRequest.__struct_fields__[-1], "TradeMode")
        self.assertIn("Unused1", own.LogonRequest.__struct_fields__)
        self.assertIs(own.LogonRequest(TradeMode=own.TradeModeEnum(1)).TradeMode, own.TradeModeEnum.TRADE_MODE_DEMO)

    def test_dropped_enumeration_and_member_are_added(self) -> None:
        own = self.read(("BUY_SELL_UNSET = 0\n    , BUY = 1\n    ,", "BUY_SELL_UNSET = 0\n    ,"))
        self.assertIs(own.BuySellEnum.BUY, own.BuySellEnum(1))
        self.assertEqual((own.BuySellEnum.BUY, own.BuySellEnum.BUY.name), (1, "BUY"))
        self.assertIs(own.BuySellEnum["BUY"], own.BuySellEnum.BUY)

    def test_field_that_is_no_enumeration_any_more(self) -> None:
        own = self.read(("BuySellEnum BuySell = {};", "int32_t BuySell = 0;"))
        self.assertIs(own.OrderUpdate(BuySell=own.BuySellEnum.BUY).BuySell, own.BuySellEnum.BUY)
        self.assertEqual(own.OrderUpdate.__annotations__["BuySell"], own.BuySellEnum | UnsetType)

    def test_renamed_message(self) -> None:
        own = self.read(("s_UserMessage", "s_TextForUser"), ("USER_MESSAGE", "TEXT_FOR_USER"))
        self.assertIs(own.UserMessage, own.TextForUser)
        self.assertIs(own.MESSAGES[700], own.UserMessage)
        self.assertIs(own.MessageType.USER_MESSAGE, own.MessageType.TEXT_FOR_USER)

    def test_messages_that_the_gateway_does_not_use(self) -> None:
        """The list is right: no module of the gateway names one of them."""
        names = {messages.MESSAGES[number].__name__ for number in UNUSED_TYPES}
        for path in (ROOT / "dtc_twisted").rglob("*.py"):
            if "simulator" in path.parts or path.name == "messages.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute | ast.Name | ast.alias):
                    used = (
                        node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", getattr(node, "name", ""))
                    )
                    self.assertNotIn(used, names, f"{path.name}: remove its number from UNUSED_TYPES")


class RefusedTests(OwnMessagesCase):
    def test_missing_message(self) -> None:
        text = self.generate().read_text(encoding="utf-8")
        start = text.index("class Logoff(")
        self.output.write_text(text[:start] + text[text.index("\nclass ", start) :], encoding="utf-8")
        error = self.assertRaises(UnfitMessages, read_messages, str(self.output), messages)
        self.assertEqual(str(error), "lacks Logoff (5), which the gateway needs")

    def test_another_message_of_the_same_name(self) -> None:
        self.assertEqual(
            self.refusal(("s_UserMessage", "s_X"), ("s_AlertMessage", "s_UserMessage")),
            "has UserMessage with the number 702, not 700",
        )

    def test_no_messages_module(self) -> None:
        path = self.place / "x.py"
        for text, reason in (
            ("print('never executed')", "was not written by python -m codegen"),
            ("# Generated by `python -m codegen` from x.\n1 +", "cannot be read: SyntaxError: "),
            ("# Generated by `python -m codegen` from x.\nraise KeyError(1)", "cannot be read: KeyError: 1"),
            ("# Generated by `python -m codegen` from x.\n", "has no Message"),
        ):
            path.write_text(text, encoding="utf-8")
            error = self.assertRaises(UnfitMessages, read_messages, str(path), messages)
            self.assertTrue(str(error).startswith(reason), error)
        self.assertRaises(OSError, read_messages, str(self.place / "none.py"), messages)

    def test_too_late(self) -> None:
        self.assertRaises(RuntimeError, use_messages, str(self.output))


class ProcessTests(OwnMessagesCase):
    def test_refused_in_one_line(self) -> None:
        header = self.place / "small.h"
        header.write_text("struct s_One { uint16_t Size; uint16_t Type = 1; int32_t X; };", encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(main([str(header), "--output", str(self.output)]), 0)
        for path, reason in (
            (self.output, r"lacks LogonResponse (2), "),
            (self.place / "none.py", "No such file"),
            (Path(__file__), "was not written by python -m codegen"),
        ):
            done = run(*TWISTD, "-n", "--pidfile=", "dtc", "--demo", "--messages", str(path))
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertTrue(done.stderr.startswith(f"twistd dtc: --messages {path}: "), done.stderr)
            self.assertIn(reason, done.stderr)

    def test_new_messages_work_by_name(self) -> None:
        """own_messages_cases in a process whose messages are the user's."""
        field = "char TradeAccount[32] = {};\n        int32_t RequestID = {};\n"
        text = as_official(read(HEADER))
        end = text.rindex("}")
        self.assertIn(field, text)
        path = self.generate((text[end:], NEW), (field, field + "        int32_t NewField = 0;\n"))
        self.assertIn("successes=3", self.run_with(path, "tests.process.own_messages_cases"))

    def test_module_that_lacks_what_the_newest_header_dropped(self) -> None:
        """The gateway and its simulator work as before."""
        self.run_with(self.generate(("TradeModeEnum TradeMode = {};", "int32_t Unused1 = 0;")), "tests.test_whole")

    def run_with(self, path: Path, *modules: str) -> str:
        """Run test modules in a process whose messages are those of a file."""
        program = (
            f"from dtc_twisted.dtc.own_messages import use_messages; use_messages({str(path)!r})\n"
            f"import sys; sys.argv = ['trial', '--temp-directory', sys.argv[1], *{list(modules)}]\n"
            "from twisted.scripts.trial import run; run()"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(self.place / "trial")],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=process_environment(),
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout
