"""Who may know whom. A module that is not in the table fails: a new room needs to be thought about."""

import ast
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import dtc_twisted

ROOT = Path(dtc_twisted.__file__).parent

MAY_IMPORT: dict[str, set[str]] = {
    # what everybody stands on
    "__init__": set(),
    "messages": set(),
    "errors": set(),
    "logs": {"messages"},
    # from the server to the rooms, in the order of the data
    "codec": {"messages", "errors", "logs"},
    "replies": {"messages"},
    "session": {"messages", "errors", "logs", "replies"},
    "frames": set(),
    "client": {"messages", "errors", "logs", "codec", "session", "frames"},
    "upstream": {"messages", "errors", "logs", "codec", "session", "client"},
    "history": {"messages", "errors", "logs", "codec", "session", "client"},
    "market": {"messages"},
    "depth": {"messages", "display"},
    "hub": {"messages", "errors", "logs", "session", "market", "depth"},
    "orders": {"messages", "errors", "logs", "session", "journal", "definitions", "display", "query"},
    "journal": {"messages", "errors", "logs"},
    # to those who ask
    "access": set(),
    "display": {"messages"},
    "definitions": {"messages", "errors", "session", "display"},
    "query": {"messages"},
    "rows": {"messages", "errors", "logs", "display"},
    "rest": {
        "access",
        "messages",
        "errors",
        "logs",
        "hub",
        "orders",
        "history",
        "query",
        "rows",
        "display",
        "definitions",
    },
    "stream": {"access", "messages", "errors", "logs", "hub", "orders", "market", "display", "definitions"},
    # a Sierra Chart of our own
    "simulator": {"messages", "codec", "logs"},
    # what wires it all
    "service": {"logs"},
    "tap": {
        "messages",
        "errors",
        "logs",
        "session",
        "client",
        "upstream",
        "history",
        "definitions",
        "hub",
        "orders",
        "journal",
        "access",
        "rest",
        "stream",
    }
    | {"service", "simulator"},
    "tap_sim": {"logs", "service", "simulator"},
}
"""Room -> the other rooms that it may import. A folder is one room, whose modules may import each other."""

WIRE = {"tap", "tap_sim"}
"""These alone name the reactor; nobody imports them."""

CLIENT = {"client", "upstream", "history"}
"""These alone speak WebSocket to the server."""

SERVE = {"rest", "stream", "simulator", "tap"}
"""These alone serve WebSockets."""


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    """Each module's room, file and syntax tree."""
    for path in sorted(ROOT.rglob("*.py")):
        yield room_of(path), path.relative_to(ROOT), ast.parse(path.read_text("utf-8"))


def imports(tree: ast.Module, path: Path) -> Iterator[str]:
    """The full names of what is imported, wherever in the module, with the names after `from ... import`."""
    package = ["dtc_twisted", *path.parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def rooms_in(names: Iterator[str]) -> set[str]:
    """Which of our rooms the names belong to."""
    ours = {name.split(".")[1] for name in names if name.startswith("dtc_twisted.")}
    return {name if (ROOT / name).is_dir() or (ROOT / f"{name}.py").exists() else "__init__" for name in ours}


def begins_with(name: str, *packages: str) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


class LayersTests(SynchronousTestCase):
    def offenders(self, *packages: str, but: frozenset[str] | set[str] = frozenset()) -> list[str]:
        """Who imports something of the packages and is not one of the rooms that may."""
        return [
            f"{path} imports {name}"
            for room, path, tree in modules()
            if room not in but
            for name in imports(tree, path)
            if begins_with(name, *packages)
        ]

    def test_every_module_is_in_the_table(self) -> None:
        self.assertEqual({room for room, _, _ in modules()} - {*MAY_IMPORT}, set())

    def test_every_folder_is_installed(self) -> None:
        """They are listed by hand (see setup.cfg); one that is missing shows only where the gateway is installed."""
        setup = ConfigParser()
        setup.read(ROOT.parent / "setup.cfg")
        listed = setup["options"]["packages"].split()
        folders = sorted(each.parent for each in ROOT.rglob("__init__.py"))
        found = [".".join(each.relative_to(ROOT.parent).parts) for each in folders]
        self.assertEqual(listed, [*found, "twisted.plugins"])

    def test_table_names_rooms_only(self) -> None:
        self.assertEqual(set().union(*MAY_IMPORT.values()) - {*MAY_IMPORT}, set())

    def test_no_circles(self) -> None:
        """The table is an order: each room needs only those that can be understood before it."""
        left = {room: allowed - {room} for room, allowed in MAY_IMPORT.items()}
        while left:
            ready = {room for room, allowed in left.items() if not allowed & {*left}}
            self.assertTrue(ready, f"in a circle: {left}")
            left = {room: allowed for room, allowed in left.items() if room not in ready}

    def test_rooms_know_those_in_the_table(self) -> None:
        for room, path, tree in modules():
            too_many = rooms_in(imports(tree, path)) - MAY_IMPORT.get(room, set()) - {room, "__init__"}
            self.assertEqual(too_many, set(), f"{path} knows too much")

    def test_nobody_imports_what_wires(self) -> None:
        self.assertEqual([room for room, allowed in MAY_IMPORT.items() if allowed & WIRE], [])

    def test_nobody_imports_tools_or_tests(self) -> None:
        self.assertEqual(self.offenders("codegen", "tests", "unittest", "hypothesis", "twisted.trial", "pytest"), [])
        self.assertEqual(self.offenders("twisted.internet.testing", "twisted.test"), [])

    def test_reactor_is_named_where_all_is_wired(self) -> None:
        self.assertEqual(self.offenders("twisted.internet.reactor", but=WIRE), [])
        # Not at the top of a module either: to import it is to install it.
        early = [
            str(path)
            for _, path, tree in modules()
            for node in tree.body
            if "twisted.internet.reactor" in imports(ast.Module([node], []), path)
            and isinstance(node, ast.Import | ast.ImportFrom)
        ]
        self.assertEqual(early, [])

    def test_autobahn(self) -> None:
        self.assertEqual(self.offenders("autobahn", but=CLIENT | SERVE), [])
        # The server's side of it is imported by name, so that it can be told from the client's.
        names = [text.rpartition(".")[2] for text in self.offenders("autobahn", but=CLIENT)]
        self.assertEqual([name for name in names if "Client" in name or not name[0].isupper()], [])

    def test_messages_are_data(self) -> None:
        (tree,) = (tree for room, _, tree in modules() if room == "messages")
        found = {name.partition(".")[0] for name in imports(tree, Path("messages.py"))}
        self.assertEqual(found, {"enum", "typing", "msgspec"})

    def test_imports_are_found(self) -> None:
        """The tests above see every way to import."""
        source = """
import a.b as c
from d import e
def f():
    from . import codec
    from .tap import g
    from .. import hub
    from dtc_twisted import messages as dtc, __version__
    from twisted.internet import reactor
"""
        found = [*imports(ast.parse(source), Path("simulator/x.py"))]
        self.assertEqual(
            found,
            [
                "a.b",
                "d.e",
                "dtc_twisted.simulator.codec",
                "dtc_twisted.simulator.tap.g",
                "dtc_twisted.hub",
                "dtc_twisted.messages",
                "dtc_twisted.__version__",
                "twisted.internet.reactor",
            ],
        )
        self.assertEqual(rooms_in(iter(found)), {"simulator", "hub", "messages", "__init__"})
