"""The server drops its connection again and again: every subscription is alive, and nothing piles up.

DROPS in the environment is the number of drops.
"""

import gc
import os
from typing import Any

from tests.scripted_case import ScriptedCase
from tests.support import WebSocketCaller, slow

DROPS = int(os.environ.get("DROPS", "40"))
SUBSCRIBERS, EACH = 50, 4
SYMBOLS = [f"S{number}_FUT_CME" for number in range(SUBSCRIBERS * EACH)]


@slow
class DropTests(ScriptedCase):
    def drop(self) -> None:
        """Let the server drop the connection, and wait until the gateway is logged on again."""
        self.server.drop()
        self.flush()
        for _ in range(100):
            self.clock.advance(1.0)
            self.flush()
            if self.status()["state"] == "ready":
                break
        for _ in range(3):  # the symbols are requested in parts
            self.clock.advance(0.1)
            self.flush()

    def subscribers(self) -> dict[WebSocketCaller, list[str]]:
        """Subscribe each caller to symbols of its own, and to the first, which all have."""
        callers = {}
        for number in range(SUBSCRIBERS):
            symbols = SYMBOLS[number * EACH : (number + 1) * EACH]
            callers[self.subscriber(*dict.fromkeys([SYMBOLS[0], *symbols]))] = symbols
        return callers

    def test_drops_in_a_row(self) -> None:
        callers = self.subscribers()
        for _ in range(10):
            self.drop()
        self.take_all(callers)
        before = self.count_objects()
        for count in range(1, DROPS + 1):
            self.drop()
            events = self.take_all(callers)
            for caller, symbols in callers.items():
                own = {*symbols, SYMBOLS[0]}
                for kind in ("stale", "live"):
                    told = [each["symbol"] for each in events[caller] if each.get("event") == kind]
                    self.assertEqual(sorted(told), sorted(own), (count, kind))
        after = self.count_objects()
        self.assertEqual(self.status()["reconnects"], DROPS + 10)
        for symbol_id in range(1, len(SYMBOLS) + 1):
            self.server.send({"Type": 107, "SymbolID": symbol_id, "Price": 282800, "Volume": 1})
        self.flush()
        for caller, messages in self.take_all(callers).items():
            trades = sorted(each["Symbol"] for each in messages if each.get("Type") == 107)
            self.assertEqual(trades, sorted({*callers[caller], SYMBOLS[0]}))
        self.assertLess(after, before * 1.02 + 100)

    def test_server_that_comes_and_goes_each_second(self) -> None:
        """The pauses between logons grow, and the subscriptions are alive when the server stays."""
        caller = self.subscriber(*SYMBOLS[:EACH])
        logons = len(self.server.requests(1))
        for _ in range(300):
            self.server.drop()
            self.flush()
            self.clock.advance(1.0)
            self.flush()
        self.assertTrue(5 <= len(self.server.requests(1)) - logons <= 20, len(self.server.requests(1)) - logons)
        self.advance(40)
        events = [each for each in caller.take() if "event" in each]
        last = {each["symbol"]: each["event"] for each in events}
        self.assertEqual(last, dict.fromkeys(SYMBOLS[:EACH], "live"))

    def take_all(self, callers: dict[WebSocketCaller, list[str]]) -> dict[WebSocketCaller, list[Any]]:
        for caller in callers:
            caller.texts.clear()
        return {caller: caller.take() for caller in callers}

    def count_objects(self) -> int:
        """Return the number of objects. What the tests record is not counted."""
        self.log.clear()
        self.server.received.clear()
        gc.collect()
        return len(gc.get_objects())
