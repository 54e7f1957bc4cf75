"""Test your own program against a DTC server that rejects its next order. See docs/testing.md."""

from typing import Any

from twisted.internet import reactor

from dtc_twisted.dtc.messages import SubmitNewSingleOrder
from dtc_twisted.testing import ScriptedSimulator

server = ScriptedSimulator(reactor)
server.reject_next(SubmitNewSingleOrder, "The exchange is closed.")
address: Any = reactor.listenTCP(0, server.factory, interface="127.0.0.1").getHost()
print(f"ws://127.0.0.1:{address.port}/", len(server.orders), "orders")
# Connect your program here, run the reactor, then check server.received, server.fills and server.positions.
