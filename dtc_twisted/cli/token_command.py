"""Define the subcommand that makes tokens. It needs no gateway."""

import os
import secrets
from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.argument("scope", type=click.Choice(["read", "trade"]))
@click.argument("options", nargs=-1, metavar="[OPTION=VALUE]...")
@click.option("--file", "path", type=click.Path(path_type=Path), help="The token file, which the line is added to.")
def token(name: str, scope: str, options: tuple[str, ...], path: Path | None) -> None:
    """Make a token and its line of the token file.

    The token is printed once. The line has its digest only. OPTION is expires, or a limit of the token, for example
    expires=2027-01-31 or max-position=5.
    """
    from dtc_twisted.web.tokens import make_line, read_tokens  # Twisted is needed for this subcommand only

    made = secrets.token_urlsafe(32)
    try:
        line = make_line(name, scope, made, [*options])
        if path is None:
            click.echo(f"Line of the token file: {line}", err=True)
        else:
            before = read_tokens(str(path)) if path.exists() and path.stat().st_size else {}
            if name in {each.name for each in before.values()}:
                raise ValueError(f"{path} has a line of this name already")
            _append(path, line)
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error).removeprefix("line 1: ")) from None
    click.echo(made)


def _append(path: Path, line: str) -> None:
    """Add a line to a file, which only the owner can read if it is new."""
    with open(path, "a+b", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
        ends_well = not end or file.read(1) == b"\n"
        file.write(("" if ends_well else "\n").encode() + f"{line}\n".encode())
