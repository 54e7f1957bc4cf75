"""Import numpy and pyarrow, if they are installed."""

import importlib
from functools import cache
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
        arrow.array([0])  # the first array imports pandas, if it is installed
    return arrow


def load_all() -> None:
    """Import both, so that live data does not wait for it later.

    It takes more than 0.1 s.
    """
    load_numpy()
    load_arrow()


def _load(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
