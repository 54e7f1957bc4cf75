"""python -m benchmarks.attacks [NAME...]: what a hostile caller does to a gateway and its other callers.

A gateway with a token file, a simulated server, a subscriber of live trades and a trader who cancels all orders once a
second are measured for a third of the time without the attack, and then beside it. `none` and `spin` show what the
machine does: `spin` uses a processor and leaves the gateway alone. An update that does not arrive, and a command
without an answer, count as inf.

The delay of an update begins when the server writes it to its socket. On Linux it ends when the system has received it
for the subscriber: neither the server's other work nor the turns of the subscriber's processor count. The p99 of
the median second leaves out the seconds in which other programs, or the host of a virtual machine, stopped everything.
"""

import argparse
import http.client
import json
import math
import statistics
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import clients
from benchmarks.attacked_server import SERVER
from benchmarks.attackers import FOREIGN_PAGE, READ_TOKEN, SYMBOL
from benchmarks.clients import Subscriber
from benchmarks.processes import ROOT, Service, leave_measured_cpu
from benchmarks.results import circumstances
from benchmarks.watched import Sampler, WatchedService, watched_gateway

NAMES = (
    "none",
    "spin",
    "pipelined-401",
    "unread-401",
    "slow-heads",
    "pipelined-journal",
    "searches",
    "many-searches",
    "pings",
    "unread-pings",
    "empty-fragments",
    "symbols",
    FOREIGN_PAGE,
)
RATE = 200
"""Trades per second."""
TRADE_TOKEN = "trader-with-trade"
LIVE_TOKEN = "subscriber-with-read"
TOKENS = f"trader trade {TRADE_TOKEN}\nsubscriber read {LIVE_TOKEN}\nattacker read {READ_TOKEN}\n"
FIRST_ORDERS = 500
"""Orders in the journal before the attack."""
PATIENCE = 30.0
"""Seconds after which a command counts as not answered."""
DRAIN = 0.5
"""Seconds until the last update has arrived."""

MAX_RATIO = 2.0
MAX_CANCEL = 50.0
"""Milliseconds."""


@dataclass
class Measured:
    """Hold what the other callers saw in some seconds.

    ages: seconds from the sending of each update to its arrival.
    sent: number of updates that were sent.
    cancels: milliseconds of each cancelall.
    """

    ages: list[float] = field(default_factory=list)
    sent: int = 0
    seconds: float = 0.0
    cancels: list[float] = field(default_factory=list)

    def quantile(self, part: float) -> float:
        """Return a quantile of the ages in milliseconds, of all that were sent."""
        ages = [*sorted(self.ages), *[math.inf] * max(0, self.sent - len(self.ages) - 2)]
        return ages[min(int(len(ages) * part), len(ages) - 1)] * 1000 if ages else math.inf

    @property
    def usual_p99(self) -> float:
        """Return the p99 of most seconds, in milliseconds: the median of the p99 of each RATE updates."""
        parts = [sorted(self.ages[begin : begin + RATE]) for begin in range(0, len(self.ages) - RATE + 1, RATE)]
        return statistics.median(part[int(RATE * 0.99)] for part in parts) * 1000 if parts else math.inf

    @property
    def slowest_cancel(self) -> float:
        return max(self.cancels, default=math.inf)


class Trader:
    """Place an order and cancel all, once a second, on one connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._client = self._connect()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.cancels: list[float] = []

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)

    def post(self, path: str, body: Any) -> int:
        """Send a command, and return the status of its answer."""
        headers = {"Authorization": f"Bearer {TRADE_TOKEN}", "Content-Type": "application/json"}
        self._client.request("POST", f"/api/v1{path}", json.dumps(body), headers)
        answer = self._client.getresponse()
        answer.read()
        return answer.status

    def place(self) -> int:
        """Place an order that is not filled."""
        order = {"Symbol": SYMBOL, "TradeAccount": "Sim1", "OrderType": "LIMIT", "BuySell": "BUY"}
        return self.post("/orders", order | {"Quantity": 1, "Price1": 100000})

    def cancel(self) -> float:
        """Cancel all orders. Return the milliseconds until the answer; inf if it failed."""
        begin = time.perf_counter()
        status = self.post("/cancelall", {"TradeAccount": "Sim1"})
        return (time.perf_counter() - begin) * 1000 if status == 200 else math.inf

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(2 * PATIENCE)

    def _run(self) -> None:
        while not self._stopping.wait(1.0):
            try:
                self.place()
                self.cancels.append(self.cancel())
            except (OSError, http.client.HTTPException):
                self.cancels.append(math.inf)
                self._client.close()
                self._client = self._connect()


class Bystanders:
    """Measure a subscriber and a trader."""

    def __init__(self, port: int, server: Service) -> None:
        self._server = server
        self.trader = Trader(port)
        self._ages: list[float] = []
        self._subscriber = Subscriber(port, SYMBOL, self._ages, LIVE_TOKEN, timed_by_system=True)

    def measure(self, seconds: float) -> Measured:
        """Return what they see in some seconds."""
        self._receive(DRAIN)
        self._ages.clear()
        cancels, sent = len(self.trader.cancels), self._server.query("")["sent"]
        self._receive(seconds)
        sent = self._server.query("")["sent"] - sent
        self._receive(DRAIN)
        return Measured(self._ages[:sent], sent, seconds, self.trader.cancels[cancels:])

    def _receive(self, seconds: float) -> None:
        try:
            clients.receive([self._subscriber], seconds)
        except OSError:
            time.sleep(seconds)  # the gateway closed the connection: what is missing counts as inf


@dataclass
class Outcome:
    """Hold the figures of one attack.

    base, peak: resident memory in MiB before and at most.
    attacker: what it counted.
    """

    name: str
    alone: Measured
    beside: Measured
    base: float
    peak: float
    errors: list[str]
    attacker: dict[str, int]

    @property
    def ratios(self) -> tuple[float, float]:
        """p50 and p99 beside the attack, by those without."""
        p50, p99 = (self.beside.quantile(part) / self.alone.quantile(part) for part in (0.5, 0.99))
        return p50, p99

    @property
    def held(self) -> bool:
        return self.ratios[1] < MAX_RATIO and self.beside.slowest_cancel < MAX_CANCEL and not self.errors

    def row(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.attacker.items())
        p50, p99 = self.ratios
        cells = (
            self.name,
            f"{p50:.2f}",
            f"{p99:.2f}",
            f"{self.alone.quantile(0.99):.2f} → {self.beside.quantile(0.99):.2f}",
            f"{self.beside.usual_p99 / self.alone.usual_p99:.2f}",
            f"{self.alone.usual_p99:.2f} → {self.beside.usual_p99:.2f}",
            f"{self.beside.sent / self.beside.seconds:.0f}",
            f"{self.alone.slowest_cancel:.0f} → {self.beside.slowest_cancel:.0f}",
            f"{self.base:.0f} → {self.peak:.0f}",
            str(len(self.errors)),
            counts,
        )
        return f"| {' | '.join(cells)} |"


COLUMNS = (
    "attack",
    "p50, times",
    "p99, times",
    "p99, ms",
    "p99 of the median second, times",
    "p99 of the median second, ms",
    "updates/s",
    "slowest cancelall, ms",
    "memory, MiB",
    "errors in the log",
    "the attacker",
)


def attack(name: str, seconds: float, root: Path = ROOT) -> Outcome:
    """Measure one attack on a new gateway."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(Service(str(RATE), until=r"at port (\d+)", command=SERVER))
        options = ["--allow-trading", "--journal", str(folder / "journal")]
        if name != FOREIGN_PAGE:  # a page has more to gain where nobody has a token
            options += ["--token-file", clients.write_private(folder / "tokens", TOKENS)]
        gateway: WatchedService = stack.enter_context(
            watched_gateway(server.found[1], *options, f"--symbol={SYMBOL}", root=root)
        )
        port = int(gateway.found[1])
        bystanders = Bystanders(port, server)
        _prepare(bystanders.trader)
        bystanders.trader.start()
        alone = bystanders.measure(seconds / 3)
        base = gateway.memory
        sampler = Sampler(gateway, 0.2)
        if name == "none":
            beside, counts = bystanders.measure(seconds), {}
        else:
            arguments = ("-m", "benchmarks.attackers", name, str(port), str(seconds + PATIENCE))
            command = (sys.executable, *arguments)
            attacker = stack.enter_context(Service(until="attacking", command=command, idle_priority=True))
            beside = bystanders.measure(seconds)
            counts = attacker.query("")
        bystanders.trader.stop()
        sampler.stop()
        peak = max(memory for _, memory, _ in sampler.samples)
        return Outcome(name, alone, beside, base / 2**20, peak / 2**20, list(gateway.unhandled), counts)


def _prepare(trader: Trader) -> None:
    """Fill the journal, once the gateway accepts orders."""
    end = time.monotonic() + PATIENCE
    while trader.place() != 201 and time.monotonic() < end:
        time.sleep(0.2)
    for number in range(FIRST_ORDERS):
        trader.place()
        if number % 50 == 0:
            trader.cancel()
    trader.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each attack (20)")
    parser.add_argument("--other", type=Path, default=ROOT, metavar="CHECKOUT", help="attack its gateway instead")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    leave_measured_cpu()
    about = circumstances()
    print(f"{about['machine']}, Python {about['python']}, load average {about['load average']}\n")
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    held = True
    for name in options.names or NAMES:
        outcome = attack(name, options.seconds, options.other.resolve())
        print(outcome.row(), *(f"\n    {line}" for line in outcome.errors[:3]), flush=True)
        held = held and outcome.held
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
