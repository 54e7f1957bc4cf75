"""Sessions for developers and for CI. `nox -l` lists them, `nox -s fast` runs one.

`nox --no-venv` runs a session in the environment that nox itself is installed in.
"""

import os
import tempfile
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
ROOT = Path(__file__).parent
JOBS = f"-j{os.cpu_count() or 1}"
"""Option of trial: as many processes as there are processors."""
NO_MODULES_BUT_PLUGINS = """
import pathlib, twisted.plugins
for path in twisted.plugins.__path__:
    assert "site-packages" in path or not pathlib.Path(path, "__init__.py").exists(), path
"""

nox.options.sessions = ["lint", "types", "docs", "fast"]
nox.options.error_on_missing_interpreters = False


def install(session: nox.Session, extra: str) -> None:
    """Install the checkout. `compat` keeps the twistd plugin visible (see CONTRIBUTING.md)."""
    if session.virtualenv.is_sandboxed:
        session.install("-e", f".[{extra}]", "--config-settings", "editable_mode=compat")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests, or those named after `--`."""
    install(session, "test")
    session.run("trial", JOBS, *(session.posargs or ["tests"]))


def fast_tests() -> list[str]:
    """Return the names of the packages and modules of tests that start no process."""
    folders = [path.parent.name for path in Path("tests").glob("*/__init__.py") if path.parent.name != "process"]
    modules = [path.stem for path in Path("tests").glob("test_*.py")]
    return [f"tests.{name}" for name in sorted([*folders, *modules])]


@nox.session
def fast(session: nox.Session) -> None:
    """Run the tests that start no process and are not marked `slow`."""
    install(session, "test")
    session.run("trial", JOBS, *(session.posargs or fast_tests()), env={"FAST_TESTS": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, spelling, the structure of the package and the generated code."""
    install(session, "dev")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("codespell")
    session.run("trial", "tests.test_structure")
    session.run("python", "-m", "codegen", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types."""
    install(session, "dev")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Check the links, the prose and the examples of the documentation, and build its site."""
    install(session, "dev")
    session.run("trial", "tests.test_docs", "tests.test_prose", "tests.web.test_requests")
    build_site(session)


@nox.session
def site(session: nox.Session) -> None:
    """Build the site of the documentation."""
    install(session, "dev")
    build_site(session)


def build_site(session: nox.Session) -> None:
    """Build the site, and fail if there is a warning."""
    site = session.create_tmp()
    session.run("mkdocs", "build", "--strict", "--quiet", "--site-dir", site, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the fast tests and measure branch coverage."""
    install(session, "test,files")
    session.run("coverage", "erase")
    trial = ("coverage", "run", "-m", "twisted.trial", JOBS, "--reporter=bwverbose")
    session.run(*trial, *fast_tests(), env={"FAST_TESTS": "1"})
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report", "--skip-covered", "--fail-under=90")


@nox.session
def package(session: nox.Session) -> None:
    """Check that twistd finds the services after every documented way of installing."""
    install(session, "test")
    check_services(session, "twistd")
    with tempfile.TemporaryDirectory() as folder, session.chdir(folder):
        session.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, str(ROOT))
        (wheel,) = Path(folder).glob("dtc_twisted-*.whl")
        session.run("python", "-m", "venv", "installed")
        (python,) = (str(path) for path in Path(folder, "installed").glob("*/python*") if path.stem == "python")
        twistd = str(Path(python).with_name("twistd"))
        session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
        check_services(session, twistd)
        session.run(python, "-c", NO_MODULES_BUT_PLUGINS, external=True)
        session.run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "dtc-twisted", external=True)
        check_services(session, twistd, env={"PYTHONPATH": str(ROOT)})


def check_services(session: nox.Session, twistd: str, env: dict[str, str] | None = None) -> None:
    """Fail if this twistd does not offer every service with its options."""
    for arguments, expected in (
        (["--help"], " dtc-sim "),
        (["dtc", "--help"], "--demo"),
        (["dtc-edge", "--help"], "--nats"),
        (["dtc-sim", "--help"], "--rate"),
    ):
        output = session.run(twistd, *arguments, env=env, silent=True, external=True)
        if expected not in str(output):
            session.error(f"{expected} is not in the output of {twistd} {' '.join(arguments)}")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run the benchmarks named after `--`, or all of them."""
    install(session, "dev")
    session.run("python", "-m", "benchmarks", *session.posargs)
