"""Test that a replayed session is the recorded one."""

import json
from typing import Any

from dtc_twisted.recording import read_folder
from dtc_twisted.simulator import INSTRUMENTS
from tests.replay.session import ReplayCase, comparable
from tests.support import slow

ES = "ESM20_FUT_CME"
SYMBOLS = [each.symbol for each in INSTRUMENTS]
ORDER = {"Symbol": ES, "OrderType": "LIMIT", "BuySell": "BUY", "Quantity": 1}


class EqualityTests(ReplayCase):
    start_market = True

    def record(self) -> tuple[float, dict[str, list[Any]]]:
        """Record a session with orders. Return a time in it, and what a subscriber received from then on."""
        self.stream(SYMBOLS)
        self.advance(3)
        start = self.clock.seconds()
        recorded = self.stream(SYMBOLS)
        for number in range(5):
            self.advance(6)
            body = ORDER | {"TradeAccount": "Sim1", "ClientOrderID": f"a{number}", "Price1": 282700 + number * 25}
            self.begin("/orders", "POST", body=json.dumps(body).encode())
        self.advance(10)
        return start + 1e-6, comparable(recorded)

    @slow
    def test_message_for_message(self) -> None:
        start, expected = self.record()
        self.assertEqual({*expected}, {"marketdata", "marketdepth", "orders", "positions", "balances"})
        self.assertGreater(len(expected["marketdepth"]), 500)
        replay = self.begin_replay(start)
        replay.control.pause()
        self.advance(1)
        replayed = self.stream(SYMBOLS)
        replay.control.resume()
        self.advance(45, 0.05)
        self.assertEqual(comparable(replayed), expected)
        self.assertEqual(replay.control.state, "ended")


class SecretTests(ReplayCase):
    options = ("--host", "127.0.0.1", "--username", "itsme", "--password", "hush-hush", "--allow-trading")

    def test_passwords_are_not_recorded(self) -> None:
        self.advance(1)
        self.stopped()
        data = b"".join(record.data for record in read_folder(self.folder))
        self.assertIn(b'"Type":2,', data)
        self.assertNotIn(b"hush", data)
        self.assertNotIn(b"itsme", data)
