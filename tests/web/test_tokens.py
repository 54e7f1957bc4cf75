"""Test the token file: its lines, its mode, and what happens when it changes."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.services import CHECK_SECONDS
from dtc_twisted.web.access import AccessControl
from dtc_twisted.web.tokens import Principal, TokenFile, digest_of, make_line, read_tokens
from tests.support import GatewayTestCase, WebSocketCaller, write_private
from tests.web.test_access import FILE, READ, TRADE, URL, bearer


class ReadTests(SynchronousTestCase):
    def path(self, content: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)

    def refusal(self, text: str) -> str:
        with self.assertRaises(ValueError) as caught:
            read_tokens(self.path(text.encode()))
        return str(caught.exception)

    def test_callers(self) -> None:
        expected = [Principal("viewer", may_trade=False), Principal("me@desk", may_trade=True)]
        self.assertEqual([*read_tokens(self.path(FILE.encode())).values()], expected)
        windows = b"\xef\xbb\xbf" + FILE.strip().replace("\n", "\r\n").encode()
        self.assertEqual([*read_tokens(self.path(windows)).values()], expected)

    def test_tokens_are_not_kept(self) -> None:
        path = self.path(FILE.encode())
        file, tokens = TokenFile(path), read_tokens(path)
        for secret in (READ, TRADE):
            self.assertNotIn(secret, repr((tokens, vars(file), vars(AccessControl(file)))))

    def test_errors(self) -> None:
        """Errors name the line and contain no part of it, because each part may be a misplaced token."""
        good = f"viewer read {READ}\n"
        for line, words in (
            ("viewer", "expected NAME SCOPE TOKEN"),
            (f"viewer {TRADE}", "expected NAME SCOPE TOKEN"),
            (f"my desk trade {TRADE}", "expected NAME SCOPE TOKEN"),
            (f"desk {TRADE} trade", "the scope: expected read or trade"),
            (f"desk TRADE {TRADE}", "the scope: expected read or trade"),
            (f"d/esk trade {TRADE}", "the name: expected 1 to 32"),
            (f"{'d' * 33} trade {TRADE}", "the name: expected 1 to 32"),
            ("desk trade fifteen-letters", "the token: expected 16 to 128"),
            (f"desk trade {'x' * 129}", "the token: expected 16 to 128"),
            (f"desk trade {TRADE}=", "the token: expected 16 to 128"),
            (f"desk trade {TRADE}ü", "the token: expected 16 to 128"),
            (f"viewer trade {TRADE}", "an earlier line has this name already"),
            (f"desk trade {READ}", "an earlier line has this token already"),
        ):
            text = f"{good}\n{line}\n"
            refusal = self.refusal(text)
            self.assertTrue(refusal.startswith("line 3: ") and words in refusal, refusal)
            for word in line.split():
                self.assertNotIn(word, refusal.replace(words, ""))

    def test_empty(self) -> None:
        for text in ("", "\n", "# viewer read x\n"):
            self.assertIn("no tokens", self.refusal(text))

    def test_not_text(self) -> None:
        with self.assertRaises(ValueError):
            read_tokens(self.path(b"\xff\xfe\x00"))

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
    def test_no_error_shows_what_it_read(self, text: str) -> None:
        secret = "s3cr3t-" + "x" * 20
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "tokens")
            write_private(path, f"{text} {secret}\n")
            try:
                read_tokens(str(path))
            except ValueError as error:
                self.assertNotIn(secret, str(error))

    def test_digests(self) -> None:
        """A line with the digest of a token accepts the token, and not the digest."""
        line = make_line("desk", "trade", TRADE, ["max-position=3", "allow-account=Sim 2"])
        self.assertNotIn(TRADE, line)
        tokens = read_tokens(self.path(line.encode()))
        self.assertEqual([*tokens], [digest_of(TRADE)])
        self.assertIn("64 of 0 to 9 and a to f", self.refusal("desk trade sha256:" + "0" * 63))
        with self.assertRaises(ValueError):
            make_line("desk", "read", TRADE, ["max-position=3"])

    def test_end(self) -> None:
        for text, seconds in (
            ("2027-01-31", 1801353600),
            ("2027-01-31T18:00Z", 1801418400),
            ("2027-01-31T18:00+02:00", 1801411200),
        ):
            [principal] = read_tokens(self.path(f"viewer read {READ} expires={text}".encode())).values()
            self.assertEqual(principal.expires, seconds)
        for text in ("soon", "", "2027-02-30"):
            self.assertIn("line 1: expires: expected a date", self.refusal(f"viewer read {READ} expires={text}"))
        self.assertIn("expires: given twice", self.refusal(f"v read {READ} expires=2027-01-31 expires=2027-01-31"))

    def test_readable_by_others(self) -> None:
        path = self.path(FILE.encode())
        for mode in (0o604, 0o602, 0o644):
            os.chmod(path, mode)
            with self.assertRaises(ValueError) as caught:
                read_tokens(path)
            self.assertIn("chmod 600", str(caught.exception))
        for mode in (0o600, 0o640, 0o400):
            os.chmod(path, mode)
            self.assertEqual(len(read_tokens(path)), 2)

    if os.name != "posix":
        test_readable_by_others.skip = "modes are those of POSIX"  # type: ignore[attr-defined]


class ChangeTests(GatewayTestCase):
    """The file is read again while the gateway runs."""

    def make_gateway(self, *arguments: str) -> Any:
        self.token_path = self.mktemp()
        self.write(FILE)
        return super().make_gateway(*arguments, "--token-file", self.token_path)

    def write(self, text: str) -> None:
        """Replace the file. Its time of change differs from the one before."""
        self.writes = getattr(self, "writes", 0) + 1
        write_private(self.token_path, text)
        os.utime(self.token_path, (self.writes, self.writes))

    def check_file(self) -> None:
        self.advance(CHECK_SECONDS)
        self.flush()

    def status_with(self, token: str) -> int:
        return self.fetch_raw("/status", headers=bearer(token)).status

    def socket(self, token: str) -> Any:
        caller: Any = self.call(WebSocketCaller(f"{URL}/stream", {"Authorization": f"Bearer {token}"}))
        self.send_json(caller, {"action": "ping"})
        self.assertEqual(caller.take(), [{"action": "pong"}])
        return caller

    def test_removed(self) -> None:
        """A removed token is refused, and its sockets are closed; the others go on."""
        reader, trader = self.socket(READ), self.socket(TRADE)
        self.write(f"me@desk trade {TRADE}\nnew read another.token.00001\n")
        self.check_file()
        self.assertEqual((self.status_with(READ), self.status_with(TRADE)), (401, 200))
        self.assertEqual(self.status_with("another.token.00001"), 200)
        self.assertEqual(reader.close_code, 4003)
        self.send_json(trader, {"action": "ping"})
        self.assertEqual(trader.take(), [{"action": "pong"}])
        self.assertIn("viewer gone or changed, new new or changed", self.log_text())

    def test_changed_scope_and_limits(self) -> None:
        """A connection does not keep the rights of a line that was changed."""
        for line in (f"me@desk read {TRADE}\n", f"me@desk read {TRADE} expires=2090-01-01\n"):
            trader = self.socket(TRADE)
            self.write(line)
            self.check_file()
            self.assertEqual(trader.close_code, 4003)

    def test_wrong_file(self) -> None:
        """A file with an error, a readable one, and none at all leave the earlier tokens valid."""
        reader = self.socket(READ)
        self.write("viewer read short\n")
        self.check_file()
        self.assertIn("line 1: the token: expected 16 to 128", self.log_text())
        os.remove(self.token_path)
        self.check_file()
        self.assertIn("earlier tokens stay valid", self.log_text())
        self.assertEqual((self.status_with(READ), self.status_with(TRADE)), (200, 200))
        self.write(f"viewer read {READ}\n")
        self.check_file()
        self.assertEqual((self.status_with(READ), self.status_with(TRADE)), (200, 401))
        self.assertEqual(reader.take(), [])

    def test_expired(self) -> None:
        end = datetime.fromtimestamp(self.clock.seconds() + 3 * CHECK_SECONDS, UTC).isoformat()
        self.write(f"viewer read {READ} expires={end}\nme@desk trade {TRADE}\n")
        self.check_file()
        reader = self.socket(READ)
        self.assertEqual(self.status_with(READ), 200)
        self.advance(2 * CHECK_SECONDS)
        self.flush()
        answer = self.fetch("/status", headers=bearer(READ))
        self.assertEqual(answer.status, 401)
        self.assertIn("this one has expired", answer.json["error"]["message"])
        self.assertEqual(reader.close_code, 4003)
        self.assertEqual(self.status_with(TRADE), 200)
