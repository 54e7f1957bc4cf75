"""Read options from a TOML file."""

import tomllib
from collections.abc import Container
from typing import Any


def read_arguments(path: str, flags: Container[str], parameters: Container[str], lists: Container[str]) -> list[str]:
    """Return the command line that a TOML file of options stands for.

    The names are those of the options without `--`. A flag is true or false, an option that may be given several times
    is a value or a list of values.

    flags, parameters, lists: names of the options without a value, with one, and with several.

    Raises OSError, or ValueError if the file is not TOML, or a name or a value is wrong: the text names it.
    """
    with open(path, "rb") as file:
        try:
            table = tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"not TOML: {error}") from None
    arguments: list[str] = []
    for name, value in table.items():
        if name in flags:
            if not isinstance(value, bool):
                raise ValueError(f"{name}: expected true or false")
            arguments += [f"--{name}"] if value else []
        elif name in lists:
            values = value if isinstance(value, list) else [value]
            arguments += [f"--{name}={_text(name, each)}" for each in values]
        elif name in parameters:
            arguments.append(f"--{name}={_text(name, value)}")
        else:
            raise ValueError(f"{name}: there is no option of this name")
    return arguments


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name}: expected text or a number")
    return str(value)
