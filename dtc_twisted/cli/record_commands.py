"""Define `dtc record`: list, verify and export recordings. No gateway is needed.

The package `recording` is imported when a command runs, because it takes longer to import than the client.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from dtc_twisted.cli.output import write_error, write_json, write_table
from dtc_twisted.cli.record_export import FORMATS, export_folder
from dtc_twisted.cli.shared_options import SharedOptions, pass_options
from dtc_twisted.errors import NoZstandard, UnusableRecording, how_to_install
from dtc_twisted.iso_times import iso_time

_COLUMNS = ("segment", "first (UTC)", "last (UTC)", "messages", "dropped", "bytes", "bytes/message", "state")


@click.group()
def record() -> None:
    """List, verify and export recordings."""


@record.command()
@click.argument("folder")
@pass_options
def ls(options: SharedOptions, folder: str) -> None:
    """List the segments of a recording, and what is in them."""
    _summarize(options, folder, lambda summary: None)


@record.command()
@click.argument("folder")
@pass_options
def verify(options: SharedOptions, folder: str) -> None:
    """Read a recording wholly. Exit status 1 if a part is damaged."""
    damaged: list[str] = []
    _summarize(options, folder, lambda summary: damaged.extend(summary.problems))
    for problem in damaged:
        write_error(problem)
    if damaged:
        sys.exit(1)


@record.command()
@click.argument("folder")
@click.argument("output")
@click.option("--format", "form", type=click.Choice(FORMATS), default="parquet", show_default=True)
@click.option("--symbol", "symbols", multiple=True, help="Only this symbol. May be given several times.")
@pass_options
def export(options: SharedOptions, folder: str, output: str, form: str, symbols: tuple[str, ...]) -> None:
    """Write market data to files in the folder OUTPUT, by symbol and day.

    Parquet and CSV have files of trades, quotes and depth. NDJSON has all messages of a symbol in one file.
    """
    with _problems():
        try:
            written = export_folder(folder, output, form, frozenset(symbols))
        except OSError as error:
            raise click.ClickException(f"{error.strerror or error}: {error.filename}") from None
        except ModuleNotFoundError:
            raise click.ClickException(f"Parquet needs pyarrow: {how_to_install('files')}") from None
    if options.as_json:
        write_json(written)
    else:
        write_table(("file", "rows"), written.items())


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except (NoZstandard, UnusableRecording) as error:
        raise click.ClickException(str(error)) from None


def _summarize(options: SharedOptions, folder: str, use: Callable[[Any], None]) -> None:
    from dtc_twisted.recording import list_segments, summarize

    with _problems():
        found = [summarize(path) for path in list_segments(folder)]
    for each in found:
        use(each)
    if options.as_json:
        write_json(msgspec.to_builtins(found))
        return
    write_table(_COLUMNS, [_row(each) for each in found])


def _row(summary: Any) -> tuple[object, ...]:
    per_message = f"{summary.size / summary.messages:.1f}" if summary.messages else ""
    times = ("" if each is None else iso_time(each) for each in (summary.first, summary.last))
    return (summary.name, *times, summary.messages, summary.dropped, summary.size, per_message, summary.state)
