"""Use a gateway from a terminal: the command `dtc`. See docs/cli.md."""

import sys
from typing import NoReturn

from dtc_twisted.errors import how_to_install


def main() -> NoReturn:
    """Run the command line, or say what to install for it."""
    try:
        from dtc_twisted.cli.main import cli
    except ModuleNotFoundError as error:
        sys.exit(f"dtc needs {error.name}: {how_to_install('client')}")
    cli(prog_name="dtc")
    sys.exit(0)
