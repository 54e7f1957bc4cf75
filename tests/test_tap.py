"""Test command lines: their meaning, and errors."""

import gc
import os
import sys
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from dtc_twisted import gateway, tap, tap_sim
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.errors import StartupError
from dtc_twisted.services import GC_THRESHOLD, ListenService
from tests.support import GatewayTestCase


class CommandLineCase(SynchronousTestCase):
    def setUp(self) -> None:
        for name in ("DTC_PASSWORD", "LOG_LEVEL", "LOG_DATA"):
            self.patch(os, "environ", {key: value for key, value in os.environ.items() if key != name})

    def parse(self, *arguments: str) -> tap.Options:
        options = tap.Options()
        options.parseOptions(list(arguments))
        return options

    def refusal(self, *arguments: str, options: type[Any] = tap.Options) -> str:
        """Return the error text of a command line, which has one line."""
        with self.assertRaises(StartupError) as caught:
            options().parseOptions(list(arguments))
        text = str(caught.exception.code)
        self.assertNotIn("\n", text)
        return text


class OptionsTests(CommandLineCase):
    def test_defaults(self) -> None:
        options = self.parse("-n", "box")
        expected = {
            "host": "box",
            "port": 11099,
            "historyport": 11098,
            "restport": 8080,
            "interface": None,
            "timeout": 5.0,
            "username": "",
            "password": "",
            "live": 0,
            "tls": 0,
            "demo": 0,
            "symbols": [],
        }
        self.assertEqual({name: options[name] for name in expected}, expected)

    def test_brackets_of_an_address(self) -> None:
        for text in ("::1", "[::1]"):
            self.assertEqual(self.parse("-n", text)["host"], "::1")

    def test_letters(self) -> None:
        options = self.parse("-n", "box", "-p", "1", "-q", "2", "-r", "3", "-l", "-u", "me", "-x", "secret")
        self.assertEqual([options[name] for name in ("host", "port", "historyport", "restport")], ["box", 1, 2, 3])
        self.assertEqual([options[name] for name in ("live", "username", "password")], [1, "me", "secret"])
        self.assertTrue(self.parse("-n", "box", "-s")["simulated"])

    def test_symbols(self) -> None:
        self.assertEqual(self.parse("--demo", "--symbol", "A", "--symbol", "B")["symbols"], ["A", "B"])

    def test_wrong(self) -> None:
        for arguments, words in (
            ([], ("--host", "--demo")),
            (["-n", "box", "-l", "-s"], ("--live", "--simulated")),
            (["-n", "box", "-p", "x"], ("port",)),
            (["-n", "box", "-p", "0"], ("port", "1 to 65535")),
            (["-n", "box", "-r", "65536"], ("restport", "0 to 65535")),
            (["-n", "box", "--timeout", "0"], ("timeout", "0.1 to 3600")),
            (["-n", "box", "--timeout", "soon"], ("timeout",)),
            (["-n", "box", "--colour", "red"], ("colour",)),
            (["-n", "box", "extra"], ("extra",)),
            (["-n"], ("-n",)),
            (["-n", "localhost:11099"], ("--host", "'localhost:11099' is no host name or address", "port")),
            (["-n", "http://a"], ("--host", "'http://a' is no host name or address")),
            (["-n", "[::1]:25599"], ("--host", "'[::1]:25599'")),
            (["--demo", "-n", "box"], ("--demo", "--host")),
            (["--demo", "--live"], ("--demo", "--live")),
            (["-n", "box", "--symbol", ""], ("--symbol", "1 to 63")),
            (["-n", "box", "-x", "a", "--password-file", "b"], ("--password-file",)),
            (["-n", "box", "--password-file", "/does/not/exist"], ("--password-file", "No such file")),
        ):
            text = self.refusal(*arguments)
            for word in words:
                self.assertIn(word, text)

    def test_log_level(self) -> None:
        self.patch(os, "environ", {"LOG_LEVEL": "LOUD"})
        self.assertIn("LOG_LEVEL", self.refusal("-n", "box"))


class PasswordTests(CommandLineCase):
    def test_environment(self) -> None:
        self.patch(os, "environ", {"DTC_PASSWORD": "from the environment"})
        self.assertEqual(self.parse("-n", "box")["password"], "from the environment")
        self.assertEqual(self.parse("-n", "box", "-x", "from the option")["password"], "from the option")

    def test_file(self) -> None:
        path = self.mktemp()
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write("from the fïle\r\nand more\n")
        self.assertEqual(self.parse("-n", "box", "--password-file", path)["password"], "from the fïle")


class SimulatorOptionsTests(CommandLineCase):
    def test_defaults(self) -> None:
        options = tap_sim.Options()
        options.parseOptions([])
        self.assertEqual([options[name] for name in ("port", "historyport", "rate", "seed")], [11099, 11098, 20.0, 1])

    def test_wrong(self) -> None:
        for arguments, word in (
            (["--rate", "-1"], "rate"),
            (["--rate", "fast"], "rate"),
            (["--seed", "x"], "seed"),
            (["--port", "x"], "port"),
            (["more"], "more"),
        ):
            self.assertIn(word, self.refusal(*arguments, options=tap_sim.Options))

    def test_service(self) -> None:
        options = tap_sim.Options()
        options.parseOptions(["--port", "1234", "--historyport", "1235"])
        reactor: Any = MemoryReactorClock()
        service = tap_sim.makeService(options, reactor=reactor)
        service.startService()
        self.assertEqual(
            [(port, interface) for port, _, _, interface in reactor.tcpServers],
            [(1234, "127.0.0.1"), (1235, "127.0.0.1")],
        )
        service.stopService()
        self.assertEqual(reactor.getDelayedCalls(), [])


class JournalFolderTests(CommandLineCase):
    def test_that_cannot_be_made(self) -> None:
        """A state directory that cannot be written is reported in one line."""
        if sys.platform != "linux":
            raise SkipTest("the state directory is another")
        file = os.path.abspath(self.mktemp())
        with open(file, "w"):
            os.environ["XDG_STATE_HOME"] = file
        options = self.parse("--host", "box", "--allow-trading")
        reactor: Any = MemoryReactorClock()
        with self.assertRaises(StartupError) as caught:
            tap.makeService(options, reactor=reactor)
        text = str(caught.exception.code)
        self.assertTrue(text.startswith("twistd dtc: --journal: "), text)
        self.assertIn(file, text)
        self.assertNotIn("\n", text)


class CollectorTests(GatewayTestCase):
    def setUp(self) -> None:
        self.frozen = gc.get_freeze_count()  # some Pythons start with more than nothing
        super().setUp()

    def test_what_stays_is_not_searched(self) -> None:
        """The garbage collector is frozen after the start, and not by `--help` or `--version`."""
        hook: tuple[Any, ...] = (gc.freeze, (), {})
        self.assertEqual(self.clock.whenRunningHooks.count(hook), 1)
        self.assertIn((gc.set_threshold, (GC_THRESHOLD,), {}), self.clock.whenRunningHooks)
        reactor: Any = self.clock
        tap_sim.makeService(tap_sim.Options(), reactor=reactor)
        self.assertEqual(self.clock.whenRunningHooks.count(hook), 2)
        self.assertEqual(gc.get_freeze_count(), self.frozen)


class ListenerTests(SynchronousTestCase):
    def test_port_in_use(self) -> None:
        class Full(MemoryReactorClock):
            def listenTCP(self, *args: Any, **kwargs: Any) -> Any:
                raise CannotListenError("127.0.0.1", 8080, OSError(98, "Address already in use"))

        factory: Any = object()
        listener = ListenService(Full(), "127.0.0.1", 8080, factory, log_format="", option="--restport")
        with self.assertRaises(StartupError) as caught:
            listener.startService()
        self.assertEqual(
            caught.exception.code,
            "Cannot listen on 127.0.0.1:8080: Address already in use. Choose another with --restport.",
        )


class DemoTests(GatewayTestCase):
    """`--demo` connects to its simulator as to any server."""

    options = ("--demo", "--symbol", "ESM20_FUT_CME", "--symbol", "NOPE")

    def make_gateway(self, *arguments: str) -> Any:
        service = super().make_gateway(*arguments)
        demo = next(each for each in service if isinstance(each, gateway.DemoService))
        # A fake port has no number of its own, so the number that the test case listens on is used.
        self.patch(ListenService, "port", 11099)
        self.demo = demo
        return service

    def test_logged_on(self) -> None:
        self.advance(1)
        self.assertEqual(self.status()["state"], "ready")
        self.assertEqual(self.status()["url"], "ws://127.0.0.1:11099/")

    def test_kept_symbols(self) -> None:
        """They are asked for from the start, again after a loss, and a late joiner gets the snapshot at once."""
        self.advance(1)
        self.assertEqual(self.status()["symbols"], ["ESM20_FUT_CME"])
        self.assertIn("The server refuses NOPE", self.log_text())
        self.simulator.trade("ESM20_FUT_CME", 282825, 7, 2)
        self.flush()
        subscriber = self.subscriber("ESM20_FUT_CME")
        self.assertEqual([each["LastTradeVolume"] for each in subscriber.take()[1:]], [7])
        subscriber.leave()
        self.simulator.drop()
        self.advance(3)
        requests = [each.Symbol for each in self.sent(dtc.MarketDataRequest)]
        self.assertEqual(requests, ["ESM20_FUT_CME", "NOPE"] * 2)
