"""Import numpy and pyarrow, if they are installed."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.abc import MetaPathFinder
from typing import Any


@cache
def load_numpy() -> Any:
    """Return the module numpy; None if it is not installed."""
    return _load("numpy")


@cache
def load_arrow() -> Any:
    """Return the module pyarrow with its parts; None if it is not installed."""
    arrow = _load("pyarrow")
    if arrow is not None:
        for part in ("compute", "csv", "parquet"):
            importlib.import_module(f"pyarrow.{part}")
        with hidden("pandas"):
            arrow.array([0])
    return arrow


def load_all() -> None:
    """Import both, so that live data does not wait for it later.

    It takes more than 0.1 s.
    """
    load_numpy()
    load_arrow()


class _HidingFinder(MetaPathFinder):
    """Let the import of one package fail, as if it were not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> None:
        if fullname == self._name:
            raise ModuleNotFoundError(f"{fullname} is hidden")


@contextmanager
def hidden(name: str) -> Iterator[None]:
    """Hide a package that is not imported yet.

    The first array of pyarrow imports pandas, if it is installed: half a second and 37 MB for a module that the gateway
    does not use. pyarrow tries again when a table is converted to a DataFrame.
    """
    finder = _HidingFinder(name)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
