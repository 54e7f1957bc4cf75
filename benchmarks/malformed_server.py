"""python -m benchmarks.malformed_server: a simulated server that sends malformed messages beside good ones.

Commands on stdin: "make N" prepares N malformed messages, "bad N" sends N of them a second, "count" does nothing.
"make" and "count" print the number sent of each as JSON.
"""

import json
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineOnlyReceiver

from benchmarks.mutations import all_messages, made_up, malformed
from dtc_twisted.dtc.messages import AtBidOrAskEnum, MarketDataUpdateTrade
from dtc_twisted.simulator import Simulator
from dtc_twisted.transport.websocket_frames import encode_text_frame

reactor: Any = installed

GOOD_RATE = 500
"""Trades of the first subscribed symbol per second, each stamped with its time of sending."""
INTERVAL = 0.005
"""Seconds between two groups of malformed messages."""
SYMBOL_ID = 1


class MalformedServer:
    """Send good trades and malformed messages.

    The malformed messages are made in advance, each in a frame of its own. To make them meanwhile would delay the
    trades.
    """

    def __init__(self) -> None:
        self.simulator = Simulator(reactor, rate=0)
        self.rate = 0.0
        self.counts = {"good": 0, "bad": 0}
        self._malformed = malformed(1, all_messages(), made_up())
        self._frames: Iterator[bytes] = iter(())
        self._due = 0.0

    def make(self, count: int) -> None:
        """Make malformed messages."""
        self._frames = iter([encode_text_frame(data + b"\0") for data in islice(self._malformed, count)])

    def send_good(self) -> None:
        """Send one stamped trade.

        It leaves at once, because otherwise it would wait until the malformed messages that are due have been written.
        """
        self.counts["good"] += 1
        self.simulator.send(MarketDataUpdateTrade(SYMBOL_ID, AtBidOrAskEnum.AT_BID, 282775.0, 1.0, time.time()))
        for connection in self.simulator.connections:
            transport: Any = connection.transport
            transport.doWrite()

    def send_bad(self) -> None:
        """Send the malformed messages of one interval."""
        self._due += self.rate * INTERVAL
        count, self._due = int(self._due), self._due % 1
        frames = [*islice(self._frames, count)]
        for connection in self.simulator.clients.logged_on() if frames else ():
            connection.sendData(b"".join(frames))
        self.counts["bad"] += len(frames)


class Commands(LineOnlyReceiver):
    """Obey commands."""

    delimiter = b"\n"

    def __init__(self, server: MalformedServer) -> None:
        self._server = server

    def lineReceived(self, line: bytes) -> None:
        if line.startswith(b"bad"):
            self._server.rate = float(line.split()[1])
        else:
            if line.startswith(b"make"):
                self._server.make(int(line.split()[1]))
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
