"""The historical data port: one request, its records, the end."""

from dtc_twisted.messages import HistoricalPriceDataRequest, Message
from dtc_twisted.simulator import wire
from dtc_twisted.simulator.connection import Connection


class HistoryConnection(Connection):
    def receive(self, message: Message) -> None:
        self.simulator.history_received.append(message)
        self.simulator.treat(self, wire.as_parsed(message))

    def serve(self, request: HistoricalPriceDataRequest) -> None:
        self.close()
