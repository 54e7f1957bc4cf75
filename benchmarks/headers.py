"""Measure how long codegen takes to read a protocol header."""

import time

from benchmarks.results import Row
from codegen.__main__ import HEADER
from codegen.reader import read


def headers(runs: int) -> list[Row]:
    """Read codegen/dtc.h.

    The time is given for 5,000 lines, the length of an official header.
    """
    lines = HEADER.read_text("utf-8").count("\n")
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        read(HEADER)
        seconds.append((time.process_time() - start) * 5000 / lines)
    return [("CPU to read a header, for each 5,000 lines", seconds, "s")]
