"""Test `--check`: what it finds, and how it ends."""

import os
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory, Protocol

from dtc_twisted.errors import StartupError
from dtc_twisted.gateway import make_check
from dtc_twisted.tap import Options
from tests.support import GatewayTestCase, write_private


class CheckCase(GatewayTestCase):
    options: tuple[str, ...] = ("--host", "127.0.0.1")

    def make_gateway(self, *arguments: str) -> Any:
        options = Options()
        options.parseOptions([*arguments, "--check"])
        reactor: Any = self.clock
        self.ends: list[int] = []
        return make_check(options, reactor, self.ends.append)


class ServerTests(CheckCase):
    def test_logged_on(self) -> None:
        self.assertEqual(self.ends, [0])
        self.assertIn("logged on to SC DTC Server at ws://127.0.0.1:11099/, which takes orders", self.log_text())
        self.advance(60)
        self.assertEqual(self.ends, [0])


class DemoTests(CheckCase):
    options = ("--demo",)

    def setUp(self) -> None:
        from dtc_twisted.services import ListenService

        self.patch(ListenService, "port", 11099)  # a port in memory has no number of its own
        super().setUp()

    def test_logged_on(self) -> None:
        self.advance(1)
        self.assertEqual(self.ends, [0])


class NoServerTests(CheckCase):
    options = ("--host", "127.0.0.1", "--port", "5", "--timeout", "3")

    def make_gateway(self, *arguments: str) -> Any:
        if "5" in arguments:
            self.clock.listenTCP(5, Factory.forProtocol(Protocol))
        return super().make_gateway(*arguments)

    def test_mute(self) -> None:
        """A server that accepts the connection and says nothing."""
        self.advance(2)
        self.assertEqual(self.ends, [])
        self.advance(30)
        self.assertEqual(self.ends, [1])
        self.assertIn("no session with ws://127.0.0.1:5/", self.log_text())


class FileTests(CheckCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "ES.scid").touch()
        tokens = self.mktemp()
        write_private(tokens, "viewer read 0123456789abcdef\ndesk trade 0123456789abcdeg\n")
        self.journal = os.path.abspath(self.mktemp())
        self.options = (
            *("--data-folder", str(self.folder), "--token-file", tokens),
            *("--host", "127.0.0.1", "--allow-trading", "--journal", self.journal),
        )
        super().setUp()

    def test_found(self) -> None:
        for words in ("2 tokens, 1 of them may trade", "1 data files", f"--journal: {self.journal} will be made"):
            self.assertIn(words, self.log_text())
        self.assertFalse(os.path.exists(self.journal))

    def test_journal_that_cannot_be_made(self) -> None:
        options = ("--host", "127.0.0.1", "--allow-trading", "--journal", os.path.join(self.journal, "none", "j"))
        with self.assertRaises(StartupError) as caught:
            self.make_gateway(*options)
        self.assertIn("--journal: ", str(caught.exception.code))
