"""Name the type of the options."""

from typing import Any

Settings = dict[str, Any]
"""The options of `twistd dtc` by name (tap.Options)."""
