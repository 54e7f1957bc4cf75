"""python -m codegen [HEADER] [--output FILE] [--check]"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from codegen.emit import emit
from codegen.lower import HeaderError
from codegen.reader import read

HEADER = Path(__file__).with_name("dtc.h")
OUTPUT = HEADER.parent.parent / "dtc_twisted" / "messages.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Write messages.py, or check that it is up to date. Returns the exit status: 0, or 1 with the reason printed."""
    parser = argparse.ArgumentParser(
        prog="python -m codegen", description="Write messages.py from a protocol header.", allow_abbrev=False
    )
    parser.add_argument("header", nargs="?", type=Path, default=HEADER, help="default: codegen/dtc.h")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="default: dtc_twisted/messages.py")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is not up to date")
    given = list(sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(given)
    try:
        text = emit(read(options.header), "/".join(options.header.resolve().parts[-2:]))
        if not options.check:
            options.output.write_text(text, encoding="utf-8", newline="\n")
        elif not _is_fresh(options.output, text):
            command = shlex.join(["python", "-m", "codegen", *(word for word in given if word != "--check")])
            print(f"{options.output.name} is not up to date with {options.header.name}. Run: {command}")
            return 1
    except (HeaderError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _is_fresh(output: Path, text: str) -> bool:
    # Git may have checked the file out with the line ends of Windows.
    return output.exists() and output.read_bytes().replace(b"\r\n", b"\n") == text.encode()


if __name__ == "__main__":
    sys.exit(main())
