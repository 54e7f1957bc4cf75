"""Run `python -m codegen [HEADER ...]` or `python -m codegen --diff OLD NEW`."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from codegen.blocking import blocking
from codegen.compiler import LayoutError, NoCompilerError, check_layouts
from codegen.complete import complete
from codegen.diff import diff
from codegen.emit import emit
from codegen.model import Protocol
from codegen.reader import read
from codegen.source import HeaderError

HEADER = Path(__file__).with_name("dtc.h")
PACKAGE = HEADER.parent.parent / "dtc_twisted"
OUTPUT = PACKAGE / "dtc" / "messages.py"
ASYNC_CLIENT = PACKAGE / "client" / "async_client.py"
BLOCKING_CLIENT = PACKAGE / "client" / "blocking_client.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Write a messages module, check that it is up to date, or compare headers.

    Return the exit status: 0, or 1 with the reason printed.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(given)
    try:
        if options.diff:
            return _diff(*options.diff)
        if not options.headers:
            text = emit(_strict(read(HEADER)), "/".join(HEADER.parts[-2:]))
            status = _write(text, options.output or OUTPUT, given, options.check, HEADER.name)
            return status if options.output else max(status, _write_blocking_client(given, options.check))
        return _own_messages(options, given)
    except (HeaderError, LayoutError, _UnexplainedError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m codegen",
        description="Write a messages module from protocol headers. Without arguments write the gateway's own, from "
        "dtc.h, and the blocking client.",
        allow_abbrev=False,
    )
    parser.add_argument("headers", nargs="*", type=Path, metavar="HEADER", help="DTCProtocol.h, and those beside it")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the module, for twistd dtc --messages FILE")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is not up to date")
    parser.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fail on what is not explained (default); with --no-strict it is only listed",
    )
    parser.add_argument("--diff", nargs=2, type=Path, metavar=("OLD", "NEW"), help="say what changed between headers")
    return parser


class _UnexplainedError(Exception):
    """Report what a header has that is no message for no known reason."""


def _own_messages(options: argparse.Namespace, given: list[str]) -> int:
    """Read a user's headers, report what is no message, and write the module."""
    protocol = read(*options.headers)
    print(f"{options.headers[0].name}: {_count(protocol.messages, 'message')}, {_count(protocol.enums, 'enum')}.")
    try:
        print(f"A C++ compiler agrees: {check_layouts(options.headers, protocol.layouts)} sizes and offsets.")
    except NoCompilerError as error:
        print(f"Sizes and offsets are not checked: {error}.")
    explained = sorted(finding for finding in protocol.findings if finding.explained)
    if explained:
        print(f"Not messages, for a known reason ({len(explained)}):")
        print("".join(f"  {finding}\n" for finding in explained), end="")
    if options.strict:
        _strict(protocol)
    else:
        print("".join(f"NOT EXPLAINED: {each}\n" for each in protocol.findings if not each.explained), end="")
    if options.output is None:
        print("Nothing is written without --output FILE.")
        return 0
    text = emit(complete(protocol, read(HEADER)), " ".join(path.name for path in options.headers))
    status = _write(text, options.output, given, options.check, options.headers[0].name)
    if not options.check:
        print(f"Wrote {options.output.name}.")
    return status


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _strict(protocol: Protocol) -> Protocol:
    """Raise _UnexplainedError unless all that is no message is explained."""
    if unexplained := sorted(finding for finding in protocol.findings if not finding.explained):
        raise _UnexplainedError("\n".join(map(str, unexplained)))
    return protocol


def _write(text: str, output: Path, given: list[str], check: bool, header: str) -> int:
    if not check:
        output.write_text(text, encoding="utf-8", newline="\n")
    elif not _is_fresh(output, text):
        command = shlex.join(["python", "-m", "codegen", *(word for word in given if word != "--check")])
        print(f"{output.name} is not up to date with {header}. Run: {command}")
        return 1
    return 0


def _write_blocking_client(given: list[str], check: bool) -> int:
    text = blocking(ASYNC_CLIENT.read_text(encoding="utf-8"), "/".join(ASYNC_CLIENT.parts[-3:]))
    return _write(text, BLOCKING_CLIENT, given, check, ASYNC_CLIENT.name)


def _diff(old: Path, new: Path) -> int:
    known = read(HEADER)
    lines = list(diff(complete(read(old), known), complete(read(new), known)))
    print("\n".join(lines or ["No message, enum or constant changed."]))
    return 0


def _is_fresh(output: Path, text: str) -> bool:
    # Git may have checked the file out with the line ends of Windows.
    return output.exists() and output.read_bytes().replace(b"\r\n", b"\n") == text.encode()


if __name__ == "__main__":
    sys.exit(main())
