"""Base of the tests of recordings: a gateway that records."""

from typing import Any

from tests.support import Answer, Caller, GatewayTestCase, WebSocketCaller


class RecordingCase(GatewayTestCase):
    """Provide a gateway that records to `folder`."""

    folder = ""

    def setUp(self) -> None:
        self.folder = self.mktemp()
        self.options = (*self.options, "--record", self.folder)
        if "--allow-trading" in self.options:
            self.options = (*self.options, "--journal", self.mktemp())
        super().setUp()

    def stream_depth(self, symbol: str) -> Any:
        """Return a subscriber of market data and depth."""
        caller: WebSocketCaller = self.call(WebSocketCaller("ws://127.0.0.1:8080/api/v1/stream"))
        for channel in ("marketdata", "marketdepth"):
            self.send_json(caller, {"action": "subscribe", "channel": channel, "symbol": symbol})
        return caller

    def fetch_metrics(self) -> str:
        caller: Caller = self.call(Caller())
        caller.transport.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.flush()
        return Answer(caller.received).body.decode()
