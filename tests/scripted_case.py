"""Provide a test case with order entry and a scripted DTC server instead of the simulator."""

import json
from typing import Any

from tests.scripted_server import ScriptedServer
from tests.support import Answer, Caller, GatewayTestCase

ES = "ESM20_FUT_CME"
LIMIT: dict[str, Any] = {
    "Symbol": ES,
    "TradeAccount": "Sim1",
    "OrderType": "LIMIT",
    "BuySell": "BUY",
    "Price1": 282000,
    "Quantity": 2,
}
MARKET: dict[str, Any] = {name: value for name, value in LIMIT.items() if name != "Price1"} | {"OrderType": "MARKET"}


class ScriptedCase(GatewayTestCase):
    """Run a gateway with a scripted server at 127.0.0.1:11097."""

    options: tuple[str, ...] = ("--host", "127.0.0.1", "--port", "11097", "--allow-trading")
    server: ScriptedServer

    def setUp(self) -> None:
        self.journal_path = self.mktemp()
        self.options = (*self.options, "--journal", self.journal_path)
        super().setUp()

    def make_gateway(self, *arguments: str) -> Any:
        if not hasattr(self, "server"):
            self.server = ScriptedServer(self.clock)
            self.clock.listenTCP(11097, self.server)
        return super().make_gateway(*arguments)

    def tearDown(self) -> None:
        self.server.be_truthful()
        self.advance(30)  # what is late arrives
        super().tearDown()

    # -- commands

    def begin_post(self, path: str, method: str = "POST", **fields: Any) -> Caller:
        """Send a command without waiting for the answer."""
        body = None if method == "DELETE" else json.dumps(fields).encode()
        return self.begin(path, method, body=body)

    def post(self, path: str, method: str = "POST", seconds: float = 6.0, **fields: Any) -> Answer:
        """Send a command, and return the answer, which must arrive within some seconds."""
        caller = self.begin_post(path, method, **fields)
        while not caller.lost and seconds > 0:
            self.advance(0.5)
            seconds -= 0.5
        self.assertTrue(caller.lost, f"{path} was not answered")
        return Answer(caller.received)

    def submit(self, name: str = "a", **fields: Any) -> Answer:
        return self.post("/orders", **LIMIT | {"ClientOrderID": name} | fields)

    def market(self, name: str = "m", **fields: Any) -> Answer:
        return self.post("/orders", **MARKET | {"ClientOrderID": name} | fields)

    def begin_submit(self, name: str = "a", **fields: Any) -> Caller:
        return self.begin_post("/orders", **LIMIT | {"ClientOrderID": name} | fields)

    def begin_market(self, name: str = "m", **fields: Any) -> Caller:
        return self.begin_post("/orders", **MARKET | {"ClientOrderID": name} | fields)

    def push(self, *messages: dict[str, Any]) -> None:
        """Let the server send unsolicited messages."""
        self.server.send(*messages)
        self.flush()

    def restart(self) -> None:
        """End the gateway, and start another one with the same journal."""
        self.server.drop()
        self.flush()
        self.service.stopService()
        self.advance(4)
        self.clock.tcpServers = [each for each in self.clock.tcpServers if each[0] != 8080]
        self.service = self.make_gateway(*self.options)
        self.service.startService()
        self.flush()

    # -- what is shown

    def order(self, name: str = "a") -> Any:
        return self.fetch(f"/orders/{name}").json

    def orders(self) -> list[Any]:
        rows: list[Any] = self.fetch("/orders").json
        return rows

    def unknown(self) -> list[str]:
        names: list[str] = self.status()["trading"]["unknown"]
        return names

    def check_error(self, answer: Answer, status: int, kind: str, text: str = "") -> None:
        self.assertEqual((answer.status, answer.json.get("error", {}).get("type")), (status, kind), answer.json)
        self.assertIn(text, answer.json["error"]["message"])
