"""Run benchmarks: python -m benchmarks fanout|growth|... [--runs N] [--peers ...]

Prints tables of medians. README.md describes the benchmarks.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import gateways, processes
from benchmarks.depth import depth
from benchmarks.disturb import disturb
from benchmarks.fanout import fanout, numbered, sparse
from benchmarks.growth import growth, subscriptions
from benchmarks.headers import headers
from benchmarks.history import history
from benchmarks.ingest import ingest
from benchmarks.orders import orders
from benchmarks.reassembly import reassembly
from benchmarks.recording import recording
from benchmarks.rest import BARE, rest
from benchmarks.results import Result, Row, circumstances, comparison, publish, save, table
from benchmarks.startup import memory, startup
from benchmarks.walks import walks

BENCHMARKS: dict[str, Callable[[int], list[Row]]] = {
    "startup": startup,
    "memory": memory,
    "subscriptions": subscriptions,
    "depth": depth,
    "history": history,
    "orders": orders,
    "recording": recording,
    "reassembly": reassembly,
    "headers": headers,
    "walks": walks,
}
"""Benchmarks of this gateway alone."""

COMPARED: dict[str, tuple[Callable[[int, Sequence[str]], list[Result]], str]] = {
    "fanout": (fanout, gateways.LIMIT),
    "sparse": (sparse, gateways.LIMIT),
    "numbered": (numbered, gateways.UNBUFFERED),
    "growth": (growth, gateways.LIMIT),
    "ingest": (ingest, gateways.LIMIT),
    "disturb": (disturb, ""),
    "rest": (rest, BARE),
}
"""Benchmarks with peers, and the peer that the ratios refer to."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("benchmarks", nargs="+", choices=[*BENCHMARKS, *COMPARED])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", nargs="+", choices=gateways.ALL, default=list(gateways.ALL))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value of every run to this JSON file")
    parser.add_argument("--publish", type=Path, metavar="FILE", help="put the tables into this Markdown file")
    parser.add_argument("--other", type=Path, metavar="CHECKOUT", help="measure the gateway of this checkout as well")
    options = parser.parse_args()
    if options.other:
        gateways.OTHER_CHECKOUT.append(options.other.resolve())
    measured: dict[str, Sequence[Row] | Sequence[Result]] = {}
    about = circumstances()
    processes.leave_measured_cpu()
    for name in options.benchmarks:
        if name in COMPARED:
            measure, base = COMPARED[name]
            results = measured[name] = measure(options.runs, gateways.available(options.peers))
            markdown = comparison(results, base)
        else:
            rows = measured[name] = BENCHMARKS[name](options.runs)
            markdown = table(rows)
        print(f"## {name}\n\n{markdown}\n", flush=True)
        if options.publish:
            publish(options.publish, name, markdown, about)
    if options.json:
        save(options.json, measured, about)


main()
