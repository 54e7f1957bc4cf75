"""Measure the cost of a change of a book, from the server's message to the subscribers."""

from benchmarks import gateways
from benchmarks.fanout import measure, world
from benchmarks.results import Row

SUBSCRIBERS = 10


def depth(runs: int) -> list[Row]:
    costs: dict[int, list[float]] = {200: [], 2000: []}
    shares: dict[int, list[float]] = {rate: [] for rate in costs}
    left_out: dict[int, list[float]] = {rate: [] for rate in costs}
    for _ in range(runs):
        with world(gateways.OURS, SUBSCRIBERS, path="/api/v1/marketdepth") as one:
            for rate in costs:
                measured = measure(one, f"rate {rate} 1", count=SUBSCRIBERS)
                costs[rate].append(measured["CPU us a delivery"])
                shares[rate].append(measured["CPU us a delivery"] * measured["deliveries/s"] / 1e4)
                left_out[rate].append(measured["left out"])
    rows: list[Row] = []
    for rate in costs:
        what = f"{rate:,} changes/s of one book, {SUBSCRIBERS} subscribers"
        rows += [
            (f"CPU a delivery, {what}", costs[rate], "us"),
            ("CPU of the gateway meanwhile", shares[rate], "%"),
            ("changes left out", left_out[rate], ""),
        ]
    return rows
