"""Public names (options, error types, channels, events, JSON keys, journal columns) are those of the documentation."""

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted import errors, tap, tap_edge, tap_sim
from dtc_twisted.errors import INTERNAL_ERROR, PUBLIC_ERRORS, public_error
from dtc_twisted.refusals import REASONS
from dtc_twisted.web.stream import public_names
from dtc_twisted.web.stream.order_entry import ORDER_ACTIONS
from tests.support import GatewayTestCase, routes_of

ROOT = Path(__file__).parent.parent


def table(document: str, first_header: str) -> list[list[str]]:
    """Return the rows of the only table of a document with this first header."""
    lines = (ROOT / document).read_text("utf-8").splitlines()
    (start,) = [number for number, line in enumerate(lines) if _cells(line)[0] == first_header]
    rows: list[list[str]] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append(_cells(line))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def names(cell: str) -> list[str]:
    """Return the names in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def recordings() -> str:
    """Return all recordings of the API."""
    return "".join(path.read_text("utf-8") for path in (ROOT / "tests" / "contract").glob("*.txt"))


class OptionTests(SynchronousTestCase):
    def test_gateway(self) -> None:
        documented = [name for row in table("README.md", "option") for name in names(row[0])]
        self.assertEqual(sorted(documented), sorted(options(tap.Options())))

    def test_simulator(self) -> None:
        documented = [name for row in table("README.md", "option of dtc-sim") for name in names(row[0])]
        self.assertEqual(sorted(documented), sorted(options(tap_sim.Options())))

    def test_edge(self) -> None:
        documented = [name for row in table("README.md", "option of dtc-edge") for name in names(row[0])]
        self.assertEqual(sorted(documented), sorted(options(tap_edge.Options())))


def options(parser: Any) -> Iterable[str]:
    """Return the command line options of a parser, in their long and short forms."""
    common = {"help", "version"}
    for name in {each.rstrip("=") for each in parser.longOpt} - common:
        yield f"--{name}"
    for letter, name in parser.synonyms.items():
        if len(letter) == 1 and name not in common:
            yield f"-{letter}"


class TradingCase(GatewayTestCase):
    options: tuple[str, ...] = ("--host", "127.0.0.1", "--allow-trading")

    def setUp(self) -> None:
        self.journal = self.mktemp()
        self.options = (*self.options, "--journal", self.journal)
        super().setUp()


class StatusTests(TradingCase):
    def test_status(self) -> None:
        fields = [names(row[0]) for row in table("docs/rest.md", "field")]
        self.assertEqual(sorted(name for (name,) in fields), sorted(self.status()))

    def test_trading(self) -> None:
        fields = [names(row[0]) for row in table("docs/trading.md", "field")]
        self.assertEqual(sorted(name for (name,) in fields), sorted(self.status()["trading"]))

    def test_states(self) -> None:
        (meaning,) = [row[1] for row in table("docs/rest.md", "field") if row[0] == "`state`"]
        self.assertIn(self.status()["state"], names(meaning))


class JournalTests(TradingCase):
    def test_columns(self) -> None:
        with closing(sqlite3.connect(self.journal)) as file:
            tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            columns = {name: [row[1] for row in file.execute(f"PRAGMA table_info({name})")] for name in tables}
        documented = {names(row[0])[0]: names(row[1]) for row in table("docs/trading.md", "table")}
        self.assertEqual(columns, documented)

    def test_entries(self) -> None:
        self.fetch("/trading/halt", "POST")
        self.fetch("/trading/resume", "POST")
        entries = {entry["kind"]: sorted(entry) for entry in self.fetch("/journal").json}
        rows = table("docs/trading.md", "entry of `/journal`")
        self.assertEqual(entries, {row[0].split()[-1]: sorted(names(row[1])) for row in rows})


class RefusalTests(SynchronousTestCase):
    def test_documented(self) -> None:
        documented = [name for row in table("docs/metrics.md", "reason") for name in names(row[0])]
        self.assertEqual(sorted(documented), sorted(REASONS))


class ErrorTests(SynchronousTestCase):
    def test_documented(self) -> None:
        rows = table("docs/rest.md", "status")
        documented = [(int(row[0]), *names(row[1])) for row in rows]
        self.assertEqual(sorted(documented), sorted({INTERNAL_ERROR, *PUBLIC_ERRORS.values()}))

    def test_names_are_unique(self) -> None:
        listed = [name for _, name in PUBLIC_ERRORS.values()]
        self.assertEqual(len(listed), len({*listed}))

    def test_every_exception_is_listed(self) -> None:
        """Those that are not are caught inside the gateway."""
        caught = {errors.DTCError, errors.LogonRefused}
        caught |= {errors.StoreError, errors.StoreLocked, errors.StoreDamaged, errors.RowRefused}
        caught |= {errors.StartupError, errors.MalformedMessage, errors.UnfitMessages, errors.SimulatorReject}
        caught |= {errors.NoZstandard, errors.UnusableRecording, errors.FolderInUse}
        defined = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)}
        self.assertEqual(defined - caught, {*PUBLIC_ERRORS})

    def test_name_does_not_follow_the_class(self) -> None:
        renamed = type("Renamed", (errors.SessionLost,), {})
        self.assertEqual(public_error(renamed("")), (503, "SessionLost"))
        self.assertEqual(public_error(KeyError("")), INTERNAL_ERROR)


class StreamTests(SynchronousTestCase):
    def documented(self, first_header: str) -> list[str]:
        return sorted(name for row in table("docs/stream.md", first_header) for name in names(row[0]))

    def test_channels(self) -> None:
        self.assertEqual(self.documented("channel"), sorted(public_names.CHANNELS))

    def test_options(self) -> None:
        rows = table("docs/stream.md", "option")
        self.assertEqual(sorted(names(row[0])[0] for row in rows), sorted(public_names.OPTIONS))

    def test_events(self) -> None:
        listed = re.findall(r'"event": "(\w+)"', " ".join(self.documented("event")))
        self.assertEqual(sorted(listed), sorted(public_names.EVENTS))

    def test_order_actions(self) -> None:
        documented = [name for row in table("docs/trading.md", "action") for name in names(row[0])]
        self.assertEqual(sorted(documented), sorted(ORDER_ACTIONS))

    def test_events_of_the_recordings(self) -> None:
        """What is sent, and nothing else, is listed."""
        text = recordings()
        self.assertEqual({*re.findall(r'"event": ?"(\w+)"', text)}, {*public_names.EVENTS})

    def test_close_codes(self) -> None:
        own = [value for name, value in vars(public_names).items() if name.startswith("CLOSE_")]
        documented = [int(row[0]) for row in table("docs/stream.md", "close code")]
        self.assertEqual([code for code in documented if code >= 4000], own)


class RecordingTests(TradingCase):
    """The recordings contain every public name."""

    def test_every_route(self) -> None:
        """Each is asked; those with a part, such as an id, with any.

        Paths outside of /api/v1 are for programs that watch the gateway, and have tests of their own.
        """
        requests = {*re.findall(r"^> ([A-Z]+) /api/v1(/[^?\s]*)", recordings(), re.MULTILINE)}
        for method, route in routes_of(self.site().resource):
            if not route.startswith("/api/v1/"):
                continue
            pattern = re.sub("<[^>]*>", "[^/]+", route.removeprefix("/api/v1"))
            found = [path for known, path in requests if known == method and re.fullmatch(pattern, path)]
            self.assertTrue(found, f"{method} {route} is not recorded")

    def test_every_action(self) -> None:
        sent = {*re.findall(r'^\w+ -> .*"action": "(\w+)"', recordings(), re.MULTILINE)}
        self.assertLessEqual({"subscribe", "unsubscribe", "list", "ping", *ORDER_ACTIONS}, sent)

    def test_every_error(self) -> None:
        """But those that need many callers, a broken disk or server, and what is checked a second time."""
        recorded = {*re.findall(r'"type": ?"(\w+)"', recordings())}
        listed = {name for _, name in PUBLIC_ERRORS.values()}
        unrecorded = {"Busy", "DuplicateOrder", "JournalFailed", "NotReady", "TooManyRequests", "UnusableAnswer"}
        self.assertEqual(listed - recorded, unrecorded)
