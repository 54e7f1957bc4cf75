"""Collect results, and print tables of them."""

import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Row = tuple[str, list[float], str]
"""Quantity, value of each run, and unit."""


_RATIOS = ("CPU us", "p50", "p99", "requests/s", "trades/s")
"""Quantities whose ratios are printed."""


@dataclass
class Result:
    """Hold the values of each run of one gateway in one scenario, by quantity.

    beside: the values of the limit that ran beside this gateway, run by run. Empty where all gateways ran together.
    """

    scenario: str
    who: str
    values: dict[str, list[float]] = field(default_factory=dict)
    beside: dict[str, list[float]] = field(default_factory=dict)

    def add(self, measured: dict[str, float], beside: dict[str, float] | None = None) -> None:
        """Add the values of a run, and those of the limit beside it."""
        for quantity, value in measured.items():
            self.values.setdefault(quantity, []).append(value)
        for quantity, value in (beside or {}).items():
            self.beside.setdefault(quantity, []).append(value)


def table(rows: Sequence[Row]) -> str:
    """Return a table in Markdown."""
    lines = ["| what | median | least | most | unit |", "|---|---|---|---|---|"]
    for what, values, unit in rows:
        numbers = (statistics.median(values), min(values), max(values))
        lines.append(f"| {what} | {' | '.join(map(_number, numbers))} | {unit} |")
    return "\n".join(lines)


def comparison(results: Sequence[Result], base: str) -> str:
    """Return a table in Markdown: median, minimum and maximum, and ratios to `base`.

    The first ratio is that of the medians. The second is the median of the ratios of each run.

    base: name of a gateway; empty: no ratios.
    """
    blocks = []
    for scenario in dict.fromkeys(result.scenario for result in results):
        those = [result for result in results if result.scenario == scenario]
        quantities = list(dict.fromkeys(quantity for result in those for quantity in result.values))
        known = next((result for result in those if result.who == base), None)
        lines = [f"| {scenario} | {' | '.join(quantities)} |", "|---" * (len(quantities) + 1) + "|"]
        for result in those:
            cells = []
            for quantity in quantities:
                values = result.values.get(quantity)
                compared = known is not None and known is not result and quantity.startswith(_RATIOS)
                other = (result.beside or known.values).get(quantity) if known is not None and compared else None
                cells.append("" if not values else _cell(values, other))
            lines.append(f"| {result.who} | {' | '.join(cells)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _cell(values: list[float], base: list[float] | None) -> str:
    median = statistics.median(values)
    text = _number(median)
    if min(values) != max(values):
        text += f" ({_number(min(values))} to {_number(max(values))})"
    if base is not None and all(base):
        rounds = statistics.median(value / other for value, other in zip(values, base, strict=True))
        text += f"; **{median / statistics.median(base):.2f}**, {rounds:.2f}"
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def circumstances() -> dict[str, Any]:
    """Return where and when the benchmark was run."""
    return {
        "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{os.cpu_count()} processors, {_processor()}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "command": f"python -m benchmarks {' '.join(sys.argv[1:])}",
        "load average": [round(each, 2) for each in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.machine()


def save(file: Path, measured: dict[str, Sequence[Row] | Sequence[Result]], about: dict[str, Any]) -> None:
    """Write all values as JSON."""
    values = {
        name: [asdict(each) if isinstance(each, Result) else each for each in results]
        for name, results in measured.items()
    }
    file.write_text(json.dumps({"about": about, "benchmarks": values}, indent=1) + "\n")


def publish(file: Path, name: str, markdown: str, about: dict[str, Any]) -> None:
    """Write the tables of a benchmark into a Markdown file, in place of the earlier ones."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = file.read_text() if file.exists() else "# Results\n"
    facts = (
        f"`{about['command']}`, {about['time']}; {about['machine']}; Python {about['python']}; load average before: "
    )
    block = f"{begin}\n\n{facts}{about['load average']}.\n\n{markdown}\n\n{end}"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not place.search(text):
        text = f"{text.rstrip()}\n\n## {name}\n\n{begin}{end}\n"
    file.write_text(place.sub(lambda _match: block, text))
