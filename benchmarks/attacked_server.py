"""python -m benchmarks.attacked_server RATE: a simulated server with accounts, orders and trades that have a time.

RATE: trades of the first subscribed symbol per second, each with its time of sending. A line on stdin prints how many
were sent, as JSON.
"""

import json
import sys
import time
from typing import Any

from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineOnlyReceiver

from dtc_twisted.dtc.messages import AtBidOrAskEnum, MarketDataUpdateTrade
from dtc_twisted.simulator import Simulator

SERVER = (sys.executable, "-m", "benchmarks.attacked_server")
"""The command that runs it."""
SYMBOL_ID = 1


class StampedTrades:
    """Send trades that contain the time of sending."""

    def __init__(self, reactor: Any) -> None:
        self.simulator = Simulator(reactor, rate=0)
        self.sent = 0

    def send(self) -> None:
        """Send one trade to each client that is logged on.

        It leaves at once, because otherwise it would wait until requests that have arrived are answered.
        """
        self.sent += 1
        self.simulator.send(MarketDataUpdateTrade(SYMBOL_ID, AtBidOrAskEnum.AT_BID, 282775.0, 1.0, time.time()))
        for connection in self.simulator.connections:
            transport: Any = connection.transport
            transport.doWrite()


class Commands(LineOnlyReceiver):
    """Print the number of trades for each line."""

    delimiter = b"\n"

    def __init__(self, trades: StampedTrades) -> None:
        self._trades = trades

    def lineReceived(self, line: bytes) -> None:
        print(json.dumps({"sent": self._trades.sent}), flush=True)


def main() -> None:
    from twisted.internet import reactor as installed

    reactor: Any = installed
    trades = StampedTrades(reactor)
    port = reactor.listenTCP(0, trades.simulator.factory, interface="127.0.0.1").getHost().port
    LoopingCall(trades.send).start(1 / float(sys.argv[1]))
    StandardIO(Commands(trades))
    print(f"at port {port}", flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
