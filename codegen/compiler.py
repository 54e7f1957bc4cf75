"""Compare the layout of each struct with a C++ compiler's."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from codegen.model import Layout

COMPILERS = ("c++", "g++", "clang++")
_FLAGS = ("-std=c++20", "-fsyntax-only", "-w")

_PRELUDE = """\
#include <cfloat>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#ifndef _MSC_VER
#define __int8 char
#define __int16 short
#define __int32 int
#define __int64 long long
typedef unsigned char byte;
#endif
"""
"""What the original headers expect of the file that includes them."""

_SPAN = """\
#pragma once
#include <span>
namespace gsl { using std::span; }
"""
_SPAN_HEADERS = ("gsl/span", "gsl/gsl", "gsl/gsl-lite.hpp", "gsl-lite/gsl-lite.hpp")
"""A library that headers since 2022 use in methods only. The compiler reads a stand-in for it."""


class LayoutError(Exception):
    """Report that a compiler lays a struct out in another way than the model does.

    Its text has a line for each.
    """


class NoCompilerError(Exception):
    """Report that no compiler can check the layouts.

    There is none, or it does not accept the headers.
    """


def check_layouts(headers: Sequence[Path], layouts: Sequence[Layout], compiler: str | None = None) -> int:
    """Compare sizes and offsets with a C++ compiler's.

    Return how many of them were compared.

    Errors in the headers' own functions are no obstacle, if all structs are laid out as expected all the same.

    Raises LayoutError, and NoCompilerError if nothing could be compared.
    """
    compiler = compiler or next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise NoCompilerError("there is no C++ compiler")
    claims = [claim for layout in layouts for claim in _claims(layout)]
    with tempfile.TemporaryDirectory() as place:
        for name in _SPAN_HEADERS:
            file = Path(place, name)
            file.parent.mkdir(exist_ok=True)
            file.write_text(_SPAN, encoding="utf-8")
        start = _PRELUDE + "".join(f'#include "{path.resolve().as_posix()}"\n' for path in headers)
        lines = start.count("\n")
        source = Path(place, "layouts.cpp")
        source.write_text(start + "".join(f"{_asserted(claim)}\n" for claim in claims), encoding="utf-8")
        command = [compiler, *_FLAGS, "-idirafter", place, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if not done.returncode:
            return len(claims)
        wrong, unknown, own = [], set(), ""
        for line in done.stderr.split("\n"):
            where, error, what = line.partition(": error: ")
            match = re.search(r"layouts\.cpp:(\d+)", where)
            if error and (match is None or int(match[1]) <= lines):
                own = own or f"{Path(where.split(':')[0]).name}: {what}"
            elif error and match:
                claim = claims[int(match[1]) - lines - 1]
                unknown.add(claim)
                if "assert" in what:
                    wrong.append(f"{Path(compiler).name} does not agree: {claim}")
        if unknown and not own:
            raise LayoutError("\n".join(dict.fromkeys(wrong)) or f"{Path(compiler).name} failed: {sorted(unknown)}")
        if wrong or len(unknown) == len(claims) or not own:
            raise NoCompilerError(f"{Path(compiler).name} does not accept {own or done.stderr.strip()[:200]}")
        return len(claims) - len(unknown)


def _asserted(claim: str) -> str:
    """Write a claim in the namespace of its struct, where the arguments of templates are found as well."""
    match = re.search(r"[(](?:[(][(])?((?:\w+::)+)", claim)
    if match is None:
        return f"static_assert({claim});"
    return f"namespace {match[1].removesuffix('::')} {{ static_assert({claim}); }}"


def _claims(layout: Layout) -> list[str]:
    """State a struct's layout as C++ expressions that are true."""
    struct = layout.struct
    claims = [f"sizeof({struct}) == {layout.size}"]
    for path, offset, size in layout.fields:
        claims.append(f"__builtin_offsetof({struct}, {path}) == {offset}")
        claims.append(f"sizeof((({struct}*)0)->{path}) == {size}")
    return claims
