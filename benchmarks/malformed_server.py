"""python -m benchmarks.malformed_server: a simulated server that sends malformed messages beside good ones.

Commands on stdin: "bad N" sends N malformed messages a second, "count" prints the number sent of each as JSON.
"""

import json
import time
from itertools import islice
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineOnlyReceiver

from benchmarks.mutations import all_messages, made_up, malformed
from dtc_twisted.dtc.messages import AtBidOrAskEnum, MarketDataUpdateTrade
from dtc_twisted.simulator import Simulator

reactor: Any = installed

GOOD_RATE = 500
"""Trades of the first subscribed symbol per second, each stamped with its time of sending."""
INTERVAL = 0.005
"""Seconds between two groups of malformed messages."""
SYMBOL_ID = 1
RECORD_LIMIT = 300


class MalformedServer:
    """Send good trades and malformed messages."""

    def __init__(self) -> None:
        self.simulator = Simulator(reactor, rate=0)
        self.rate = 0.0
        self.counts = {"good": 0, "bad": 0}
        self._malformed = malformed(1, all_messages(), made_up())
        self._due = 0.0

    def send_good(self) -> None:
        """Send one stamped trade."""
        self.counts["good"] += 1
        self.simulator.send(MarketDataUpdateTrade(SYMBOL_ID, AtBidOrAskEnum.AT_BID, 282775.0, 1.0, time.time()))

    def send_bad(self) -> None:
        """Send the malformed messages of one interval, each in a frame of its own."""
        self._due += self.rate * INTERVAL
        count, self._due = int(self._due), self._due % 1
        for data in islice(self._malformed, count):
            self.simulator.send_raw(data + b"\0")
        self.counts["bad"] += count


class Commands(LineOnlyReceiver):
    """Obey commands."""

    delimiter = b"\n"

    def __init__(self, server: MalformedServer) -> None:
        self._server = server

    def lineReceived(self, line: bytes) -> None:
        if line.startswith(b"bad"):
            self._server.rate = float(line.split()[1])
        else:
            print(json.dumps(self._server.counts), flush=True)


def main() -> None:
    server = MalformedServer()
    port = reactor.listenTCP(0, server.simulator.factory, interface="127.0.0.1").getHost().port
    LoopingCall(server.send_good).start(1 / GOOD_RATE)
    LoopingCall(server.send_bad).start(INTERVAL)
    StandardIO(Commands(server))
    print(f"at port {port}", flush=True)
    reactor.run()


main()
