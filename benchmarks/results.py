"""What was measured, and the tables that say so."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

Row = tuple[str, list[float], str]
"""What, the value of each run, and the unit."""


@dataclass
class Result:
    """What one of several gateways showed in one scenario: of each quantity, the value of each run."""

    scenario: str
    who: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, measured: dict[str, float]) -> None:
        """Takes a run's."""
        for quantity, value in measured.items():
            self.values.setdefault(quantity, []).append(value)


def table(rows: Sequence[Row]) -> str:
    """In Markdown."""
    lines = ["| what | median | least | most | unit |", "|---|---|---|---|---|"]
    for what, values, unit in rows:
        numbers = (statistics.median(values), min(values), max(values))
        lines.append(f"| {what} | {' | '.join(f'{number:.4g}' for number in numbers)} | {unit} |")
    return "\n".join(lines)


def comparison(results: Sequence[Result], base: str) -> str:
    """In Markdown: medians, the least and the most; and ratios to `base`.

    The ratio is that of the medians, and behind it the median of the ratios of each round.
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
                other = None if known is None or known is result else known.values.get(quantity)
                cells.append("" if not values else _cell(values, other))
            lines.append(f"| {result.who} | {' | '.join(cells)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _cell(values: list[float], base: list[float] | None) -> str:
    median = statistics.median(values)
    text = f"{median:.4g} ({min(values):.3g} to {max(values):.3g})"
    if base is not None and all(base):
        rounds = statistics.median(value / other for value, other in zip(values, base, strict=True))
        text += f"; **{median / statistics.median(base):.2f}**, {rounds:.2f}"
    return text
