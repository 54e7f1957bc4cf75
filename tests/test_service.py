"""Test the whole plugin in memory, while the simulated market runs."""

import random
from typing import Any

from tests.support import GatewayTestCase, WebSocketCaller, slow

SYMBOLS = ("ESM20_FUT_CME", "CLM20_FUT_NYMEX", "BTCUSD")
TIMES = {"LastTradeDateTime", "BidAskDateTime", "MarketDepthUpdateDateTime", "TradingSessionDate"}
NOW_AND_THEN = {"SessionVolume", "SessionNumTrades"}
"""Return the values that the server states less often than they change."""


class RunningMarketTests(GatewayTestCase):
    start_market = True

    @slow
    def test_a_late_joiner_knows_what_the_market_knows(self) -> None:
        """The snapshot that the hub merged is the one that the server would send."""
        self.subscriber(*SYMBOLS)
        self.advance(60, step=0.1)
        late = self.subscriber(*SYMBOLS)
        merged = {each["Symbol"]: each for each in late.take() if each.get("Type") == 104}
        fresh = self.snapshots_of_the_server()
        for symbol in SYMBOLS:
            for name in fresh[symbol].keys() - {"SymbolID"} - TIMES - NOW_AND_THEN:
                self.assertEqual(merged[symbol][name], fresh[symbol][name], (symbol, name))
            self.assertGreater(merged[symbol]["SessionVolume"], fresh[symbol]["SessionVolume"] * 0.99)

    def snapshots_of_the_server(self) -> dict[str, Any]:
        """Return the snapshots that a second, new gateway gets from the server."""
        self.clock.tcpServers[:] = [each for each in self.clock.tcpServers if each[0] != 8080]
        second = self.make_gateway(*self.options)
        second.startService()
        self.flush()
        caller = self.subscriber(*SYMBOLS)
        found = {each["Symbol"]: each for each in caller.take() if each.get("Type") == 104}
        second.stopService()
        self.flush()
        return found

    @slow
    def test_all_subscribers_of_a_symbol_get_the_same(self) -> None:
        callers = [self.subscriber(*SYMBOLS[:number]) for number in (1, 2, 3)]
        for caller in callers:
            caller.take()
        self.advance(30, step=0.1)
        received = [caller.take() for caller in callers]
        for symbol in SYMBOLS:
            mine = [[each for each in messages if each["Symbol"] == symbol] for messages in received]
            wanting = [each for each, number in zip(mine, (1, 2, 3), strict=True) if symbol in SYMBOLS[:number]]
            self.assertGreater(len(wanting[0]), 20)
            for each in wanting:
                self.assertEqual(each, wanting[0])

    @slow
    def test_coming_and_going_in_a_burst(self) -> None:
        """Whoever stays misses nothing, whatever the others do."""
        rng = random.Random(7)
        staying = self.subscriber(*SYMBOLS)
        witness = self.subscriber(*SYMBOLS)
        staying.take()
        witness.take()
        others: list[WebSocketCaller] = []
        for _ in range(200):
            self.clock.advance(0.1)  # updates are under way when the others act
            if others and rng.random() < 0.5:
                other = others.pop(rng.randrange(len(others)))
                if rng.random() < 0.5:
                    other.leave()
                else:
                    other.transport.loseConnection()
            else:
                others.append(self.subscriber(*rng.sample(SYMBOLS, rng.randint(1, 3))))
            self.flush()
        received = staying.take()
        self.assertGreater(len(received), 300)
        self.assertEqual(received, witness.take())
        self.assertEqual(self.status()["symbols"], sorted(SYMBOLS))

    def test_unsolicited_updates_stay_out_of_answers(self) -> None:
        """Positions and balances change by themselves, also while an answer is under way."""
        for _ in range(20):
            self.advance(1)
            self.assertEqual(len(self.fetch("/currentpositions?TradeAccount=Sim1").json), 2)
            self.assertEqual(len(self.fetch("/accountbalance").json), 2)

    @slow
    def test_many_calls_at_once(self) -> None:
        paths = (
            "/accountbalance",
            "/currentpositions?TradeAccount=Sim2",
            "/tradeaccounts",
            "/securitydefinition?Symbol=X",
        )
        callers = [(self.begin(path), path) for path in paths * 25]
        for caller, path in callers:
            expected = b"HTTP/1.1 422" if path.endswith("=X") else b"HTTP/1.1 200"
            self.assertTrue(caller.received.startswith(expected), path)
