"""Build bars of any interval from records."""

from collections.abc import Iterator
from itertools import pairwise
from math import gcd
from typing import Any

from dtc_twisted.datafiles import optional
from dtc_twisted.datafiles.price_columns import PriceColumns
from dtc_twisted.datafiles.sessions import NO_BAR, BarStarts


def bar_blocks(blocks: Iterator[PriceColumns], bars: BarStarts) -> Iterator[PriceColumns]:
    """Yield the bars of records in the order of time.

    A bar without records is left out. Volumes and numbers of trades are summed.
    """
    last: PriceColumns | None = None  # the bar that further records may belong to
    for block in blocks:
        found = _merge(bars.starts(block.time), block)
        if not found.size:
            continue
        if last is not None:
            found = _join(last, found)
            found = _merge(found.time, found)
        if found.size > 1:
            yield found.part(0, found.size - 1)
        last = found.part(found.size - 1, found.size)
    if last is not None:
        yield last


def common_step(times: list[int]) -> int:
    """Return the greatest common divisor of the distances; 0 without distances."""
    return gcd(*(later - earlier for earlier, later in pairwise(times)))


def _merge(starts: Any, rows: PriceColumns) -> PriceColumns:
    """Merge consecutive rows with the same start. Leave out rows with NO_BAR."""
    if isinstance(starts, list):
        return _merge_lists(starts, rows)
    numpy = optional.load_numpy()
    inside = starts != NO_BAR
    if not inside.all():
        starts, rows = starts[inside], PriceColumns(*(column[inside] for column in rows))
    if not len(starts):
        return rows
    first = numpy.flatnonzero(numpy.concatenate(([True], starts[1:] != starts[:-1])))
    last = numpy.append(first[1:], len(starts)) - 1
    sums = (numpy.add.reduceat(column, first, dtype="i8") for column in rows[5:])
    high, low = numpy.maximum.reduceat(rows.high, first), numpy.minimum.reduceat(rows.low, first)
    return PriceColumns(starts[first], rows.open[first], high, low, rows.last[last], *sums)


def _merge_lists(starts: list[int], rows: PriceColumns) -> PriceColumns:
    bars: list[list[Any]] = []
    for start, row in zip(starts, zip(*rows, strict=True), strict=True):
        if start == NO_BAR:
            continue
        if not bars or bars[-1][0] != start:
            bars.append([start, *row[1:]])
            continue
        bar = bars[-1]
        bar[2], bar[3], bar[4] = max(bar[2], row[2]), min(bar[3], row[3]), row[4]
        for column in range(5, 9):
            bar[column] += row[column]
    return PriceColumns(*map(list, zip(*bars, strict=True))) if bars else PriceColumns(*([] for _ in rows))


def _join(first: PriceColumns, second: PriceColumns) -> PriceColumns:
    if isinstance(first.time, list):
        return PriceColumns(*(one + other for one, other in zip(first, second, strict=True)))
    join = optional.load_numpy().concatenate
    return PriceColumns(*(join(pair) for pair in zip(first, second, strict=True)))
