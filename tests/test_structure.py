"""Check the structure of the package: who imports whom, unique names, short functions."""

import ast
import builtins
import gc
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from unittest import TestCase

from twisted.trial.runner import TestLoader
from twisted.trial.unittest import SynchronousTestCase

import dtc_twisted
from tests.support import slow

ROOT = Path(dtc_twisted.__file__).parent
MAX_LINES = 60

BASE = {
    "errors",
    "logs",
    "clocks",
    "daemon_threads",
    "deadlines",
    "interfaces",
    "iso_times",
    "limits",
    "refusals",
    "work_turns",
}
PROTOCOL = BASE | {"dtc"}
PARTS = PROTOCOL | {
    "transport",
    "definitions",
    "market_data",
    "history",
    "datafiles",
    "journal",
    "orders",
    "web",
    "recording",
}

MAY_IMPORT: dict[str, set[str]] = {
    # the base and the protocol
    "errors": set(),
    "logs": {"errors"},
    "clocks": set(),
    "daemon_threads": set(),
    "deadlines": set(),
    "interfaces": set(),
    "iso_times": set(),
    "late_timers": {"clocks"},
    "limits": set(),
    "refusals": set(),
    "work_turns": {"errors", "logs"},
    "dtc": BASE,
    # from the server to the callers, in the order of the data
    "transport": PROTOCOL,
    "definitions": PROTOCOL | {"transport"},
    "market_data": PROTOCOL | {"transport", "definitions"},
    "history": PROTOCOL | {"transport"},
    "datafiles": PROTOCOL,
    "recording": PROTOCOL,
    "journal": PROTOCOL,
    "cluster": PROTOCOL | {"transport", "market_data"},
    "orders": PROTOCOL | {"transport", "definitions", "journal"},
    "web": (PARTS - {"web"}) | {"replay", "replay_options"},
    # the simulated server
    "simulator": PROTOCOL | {"transport"},
    "testing": PROTOCOL | {"simulator"},
    # what puts the parts together
    "services": PROTOCOL,
    "listeners": PROTOCOL | {"services", "transport"},
    "config_file": set(),
    "replay_options": {"iso_times"},
    "replay": PROTOCOL | {"definitions", "market_data", "datafiles", "recording", "simulator", "replay_options"},
    "cluster_options": {"services", "errors"},
    "uvloop_reactor": set(),
    "serving_options": PROTOCOL | {"services", "config_file", "transport", "listeners", "web"},
    "startup_check": PROTOCOL | {"transport"},
    "gateway": PARTS
    | {
        "late_timers",
        "services",
        "listeners",
        "startup_check",
        "simulator",
        "replay",
        "replay_options",
        "cluster",
        "cluster_options",
    },
    "tap": PARTS | {"services", "serving_options", "cluster_options", "gateway", "simulator", "replay_options"},
    "tap_edge": BASE | {"services", "serving_options", "cluster_options", "gateway", "transport"},
    "tap_sim": PROTOCOL | {"services", "simulator", "recording", "replay", "replay_options"},
    # what other people's programs use; without Twisted
    "client": {"dtc", "errors"},
    "cli": {"dtc", "errors", "iso_times", "client", "web", "recording"},  # web: the token file only
    # the public names
    "__init__": PROTOCOL | {"testing"},
}
"""Module or package at the top of dtc_twisted -> the others that it may import."""

TAPS = {"tap", "tap_edge", "tap_sim"}
"""Only these import the reactor. Nothing imports them."""

WEBSOCKET_CLIENTS = {"transport", "history"}
WEBSOCKET_SERVERS = {"web", "simulator", "gateway"}
"""Only these import Autobahn."""

TRANSPORT = "dtc_twisted.transport"

TEST_TOOLS = ("codegen", "tests", "unittest", "hypothesis", "pytest", "twisted.trial", "twisted.internet.testing")


@dataclass(frozen=True)
class Import:
    """One imported name, for example `dtc_twisted.dtc.codec.Codec`.

    within: whether the statement stands within a function.
    """

    name: str
    line: int
    within: bool


@dataclass(frozen=True)
class Module:
    """A parsed module.

    name: dotted, without `dtc_twisted.`; the module of a package ends with `__init__`.
    """

    name: str
    path: Path
    tree: ast.Module

    @property
    def top(self) -> str:
        """Return the module or package at the top of dtc_twisted."""
        return self.name.partition(".")[0]

    @cached_property
    def statements(self) -> list[tuple[ast.stmt, bool]]:
        """Return every statement, and whether it stands within a function."""
        return [*statements_of(self.tree)]

    @cached_property
    def imports(self) -> list[Import]:
        """Return every imported name, wherever the statement is."""
        found: list[Import] = []
        package = ["dtc_twisted", *self.name.split(".")[:-1]]
        for node, within in self.statements:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                origin = ".".join([*above, *filter(None, [node.module])])
                names = [f"{origin}.{alias.name}" for alias in node.names]
            else:
                continue
            found += (Import(name, node.lineno, within) for name in names)
        return found


FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def statements_of(node: ast.AST, within: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield each statement in a node, and whether it stands within a function.

    Expressions, which are most of a tree, contain no statements and are not visited.
    """
    within = within or isinstance(node, FUNCTION)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child, within
        if not isinstance(child, ast.expr):
            yield from statements_of(child, within)


@cache
def parse_package() -> dict[str, Module]:
    """Parse every module of the package, once in each process and when a test needs them."""
    modules = {}
    gc.disable()  # the trees are many objects, and all of them stay
    try:
        for path in sorted(ROOT.rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            modules[name] = Module(name, path.relative_to(ROOT.parent), ast.parse(path.read_text("utf-8")))
    finally:
        gc.enable()
    return modules


def module_of(name: str) -> str | None:
    """Return the module of the package that an imported name is or belongs to."""
    prefix = "dtc_twisted"
    if not is_within(name, prefix):
        return None
    parts = name.split(".")[1:]
    for size in range(len(parts), -1, -1):
        stem = ".".join(parts[:size])
        for candidate in (stem, f"{stem}.__init__".lstrip(".")):
            if candidate in parse_package():
                return candidate
    raise AssertionError(f"there is no module for {name}")


def is_within(name: str, *packages: str) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def import_edges() -> dict[str, set[str]]:
    """Return the imported modules of each module."""
    return {
        module.name: {target for each in module.imports if (target := module_of(each.name))}
        for module in parse_package().values()
    }


def find_cycle(edges: dict[str, set[str]]) -> list[str]:
    """Return the nodes of one cycle, or nothing if there is none."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        pending = [(start, iter(sorted(edges[start])))] if start not in done else []
        while pending:
            node, targets = pending[-1]
            if len(path) < len(pending):
                path.append(node)
            target = next((each for each in targets if each not in done), None)
            if target is None:
                done.add(node)
                pending.pop()
                path.pop()
            elif target in path:
                return [*path[path.index(target) :], target]
            else:
                pending.append((target, iter(sorted(edges[target]))))
    return []


def importers(*packages: str, allowed: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Return imports of some packages outside the permitted modules and packages."""
    return [
        f"{module.path}:{each.line} imports {each.name}"
        for module in parse_package().values()
        if module.top not in allowed
        for each in module.imports
        if is_within(each.name, *packages)
    ]


@slow
class ImportTests(SynchronousTestCase):
    maxDiff = None

    def test_every_module_is_in_the_table(self) -> None:
        self.assertEqual({module.top for module in parse_package().values()} - {*MAY_IMPORT}, set())

    def test_no_upward_import(self) -> None:
        wrong = [
            f"{module.path}:{each.line} imports {each.name}"
            for module in parse_package().values()
            for each in module.imports
            if (target := module_of(each.name))
            and target.partition(".")[0] not in MAY_IMPORT[module.top] | {module.top, "__init__"}
        ]
        self.assertEqual(wrong, [])

    def test_table_has_no_cycle(self) -> None:
        self.assertEqual(find_cycle(MAY_IMPORT), [])

    def test_no_import_cycle(self) -> None:
        self.assertEqual(find_cycle(import_edges()), [])

    def test_nothing_imports_the_taps(self) -> None:
        self.assertEqual([name for name, allowed in MAY_IMPORT.items() if allowed & TAPS], [])

    def test_nothing_imports_tools_of_tests(self) -> None:
        self.assertEqual(importers(*TEST_TOOLS, "twisted.test"), [])

    def test_only_the_taps_import_the_reactor(self) -> None:
        self.assertEqual(importers("twisted.internet.reactor", allowed=TAPS), [])
        # To import the reactor is to install it, so no module does so when it is imported itself.
        early = [
            str(module.path)
            for module in parse_package().values()
            for each in module.imports
            if each.name == "twisted.internet.reactor" and not each.within
        ]
        self.assertEqual(early, [])

    def test_simulator_has_only_the_frames_of_transport(self) -> None:
        modules = (module for module in parse_package().values() if module.top == "simulator")
        names = {each.name for module in modules for each in module.imports if is_within(each.name, TRANSPORT)}
        self.assertEqual([name for name in names if not is_within(name, f"{TRANSPORT}.websocket_frames")], [])

    def test_autobahn(self) -> None:
        self.assertEqual(importers("autobahn", allowed=WEBSOCKET_CLIENTS | WEBSOCKET_SERVERS), [])
        # Names of the server's side are imported one by one, to distinguish them from the client's.
        names = [text.rpartition(".")[2] for text in importers("autobahn", allowed=WEBSOCKET_CLIENTS)]
        self.assertEqual([name for name in names if "Client" in name or not name[0].isupper()], [])

    def test_messages_are_data(self) -> None:
        found = {each.name.partition(".")[0] for each in parse_package()["dtc.messages"].imports}
        self.assertEqual(found, {"enum", "typing", "msgspec"})

    def test_every_import_is_found(self) -> None:
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
        found = [(each.name, each.within) for each in Module("simulator.x", Path("x.py"), ast.parse(source)).imports]
        self.assertEqual(
            found,
            [
                ("a.b", False),
                ("d.e", False),
                ("dtc_twisted.simulator.codec", True),
                ("dtc_twisted.simulator.tap.g", True),
                ("dtc_twisted.hub", True),
                ("dtc_twisted.messages", True),
                ("dtc_twisted.__version__", True),
                ("twisted.internet.reactor", True),
            ],
        )

    def test_modules_of_names(self) -> None:
        self.assertEqual(module_of("dtc_twisted.dtc.codec.Codec"), "dtc.codec.__init__")
        self.assertEqual(module_of("dtc_twisted.dtc.messages"), "dtc.messages")
        self.assertEqual(module_of("dtc_twisted.__version__"), "__init__")
        self.assertIsNone(module_of("dtc_twisted_other.x"))

    def test_cycles_are_found(self) -> None:
        self.assertEqual(find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}), [])
        self.assertEqual(find_cycle({"a": {"b"}, "b": {"d", "c"}, "d": set(), "c": {"b"}}), ["b", "c", "b"])


@slow
class NameTests(SynchronousTestCase):
    maxDiff = None

    def test_class_names_are_unique(self) -> None:
        places = defaultdict(list)
        for module in parse_package().values():
            for node, _ in module.statements:
                if isinstance(node, ast.ClassDef) and not (node.name == "Options" and module.name in TAPS):
                    places[node.name].append(f"{module.path}:{node.lineno}")
        self.assertEqual({name: found for name, found in places.items() if len(found) > 1}, {})

    def test_module_names_are_unique(self) -> None:
        places = defaultdict(list)
        for module in parse_package().values():
            if module.path.stem != "__init__":
                places[module.path.stem].append(str(module.path))
        self.assertEqual({name: found for name, found in places.items() if len(found) > 1}, {})


@slow
class ExceptionTests(SynchronousTestCase):
    def test_exceptions_are_in_one_module(self) -> None:
        """The client's own are beside it, because they are no errors of the gateway."""
        classes = [
            (node, module.name)
            for module in parse_package().values()
            for node, _ in module.statements
            if isinstance(node, ast.ClassDef)
        ]
        bases = {node.name: [base.id for base in node.bases if isinstance(base, ast.Name)] for node, _ in classes}

        def is_exception(name: str) -> bool:
            built_in = getattr(builtins, name, None)
            if isinstance(built_in, type) and issubclass(built_in, BaseException):
                return True
            return any(map(is_exception, bases.get(name, ())))

        places = {module for node, module in classes if is_exception(node.name)}
        self.assertEqual(places, {"errors", "client.api_error"})


@slow
class SizeTests(SynchronousTestCase):
    maxDiff = None

    def test_functions_are_short(self) -> None:
        long = {
            f"{module.path}:{node.lineno} {node.name}": lines
            for module in parse_package().values()
            for node, _ in module.statements
            if isinstance(node, FUNCTION) and (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_LINES
        }
        self.assertEqual(long, {})


class PackagingTests(SynchronousTestCase):
    def test_every_package_is_installed(self) -> None:
        """setup.cfg lists the packages by hand. A package that is missing there fails only once it is installed."""
        setup = ConfigParser()
        setup.read(ROOT.parent / "setup.cfg")
        listed = setup["options"]["packages"].split()
        folders = sorted(each.parent for each in ROOT.rglob("__init__.py"))
        found = [".".join(each.relative_to(ROOT.parent).parts) for each in folders]
        self.assertEqual(sorted(listed), sorted([*found, "twisted.plugins"]))


@slow
class SuiteTests(SynchronousTestCase):
    def test_no_test_is_loaded_twice(self) -> None:
        """Two processes of a parallel run must not run the same test at the same time."""
        names = Counter(test.id() for test in _tests_of(TestLoader().loadByName("tests", recurse=True)))
        self.assertEqual([name for name, count in names.items() if count > 1], [])


def _tests_of(suite: Iterable[object]) -> Iterator[TestCase]:
    for each in suite:
        if isinstance(each, Iterable):
            yield from _tests_of(each)
        elif isinstance(each, TestCase):
            yield each
