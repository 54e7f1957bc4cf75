"""Test what can be done with a replay: pause, seek, speed, loop, orders, history."""

import json
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.errors import UnusableRecording
from dtc_twisted.iso_times import iso_time
from dtc_twisted.replay import REPLAY_ACCOUNT
from tests.replay.session import ReplayCase
from tests.support import WebSocketCaller, slow

ES = "ESM20_FUT_CME"
PRICES = range(282_000, 284_500, 25)


class ControlCase(ReplayCase):
    """Provide a replay of 100 trades, one each second at a price of PRICES, and the time of the first."""

    def setUp(self) -> None:
        super().setUp()
        caller = self.subscriber(ES)
        self.advance(1)
        self.began = self.clock.seconds() + 1
        for price in PRICES:
            self.advance(1)
            self.simulator.quote(ES, price - 25, 10, price, 10)
            self.simulator.trade(ES, price, 2, 2)
            self.flush()
        self.assertGreater(len(caller.take()), 100)

    def replay(self, **settings: Any) -> Any:
        self.control = self.begin_replay(self.began, **settings).control
        return self.control

    def post(self, action: str, **body: Any) -> Any:
        data = json.dumps(body).encode() if body else None
        return self.fetch(f"/replay/{action}", "POST", body=data)

    def assert_near(self, value: float, expected: float, distance: float) -> None:
        self.assertLessEqual(abs(value - expected), distance, (value, expected))

    def last_price(self) -> Any:
        return self.fetch(f"/marketdata?Symbol={ES}").json[0]["LastTradePrice"]


class ClockTests(ControlCase):
    @slow
    def test_pause_and_resume(self) -> None:
        self.replay()
        self.advance(10)
        self.assertEqual(self.post("pause").json["state"], "paused")
        price = self.last_price()
        self.advance(20)
        self.assertEqual(self.last_price(), price)
        self.assertEqual(self.post("resume").json["state"], "playing")
        self.advance(20)
        self.assert_near(self.last_price(), price + 20 * 25, 25)

    @slow
    def test_speed(self) -> None:
        self.replay(speed=10.0)
        self.advance(5, 0.05)
        self.assert_near(self.last_price(), PRICES[50], 150)  # it began when the gateway logged on
        self.assertEqual(self.post("speed", speed="max").json["speed"], "max")
        self.advance(1)
        self.assertEqual(self.last_price(), PRICES[-1])
        self.assertEqual(self.status()["replay"]["state"], "ended")

    @slow
    def test_seek_in_both_directions(self) -> None:
        self.replay()
        caller = self.subscriber(ES)
        for index in (60, 20):
            time = dtc_time(self.began + index + 0.5)
            self.assertEqual(self.post("seek", time=time).json["time"][:19], time[:19])
            self.advance(4)
            snapshots = [each for each in caller.take() if each.get("Type") == dtc.MarketDataSnapshot.Type]
            self.assertEqual(snapshots[-1]["LastTradePrice"], PRICES[index])

    @slow
    def test_a_source_that_fails(self) -> None:
        """The replay ends, and can be begun again."""

        def fail() -> Any:
            raise UnusableRecording("it is gone")
            yield

        self.replay()
        self.advance(5)
        self.control._events = fail()
        self.advance(5)
        self.assertEqual(self.status()["replay"]["state"], "ended")
        self.assertIn("it is gone", self.log_text())
        self.post("resume")
        self.advance(5)
        self.assertEqual(self.status()["replay"]["state"], "playing")

    @slow
    def test_an_event_that_fails(self) -> None:
        """It is left out."""
        self.replay()
        self.advance(5)

        def fail(event: Any) -> None:
            raise KeyError(event.time)

        patch = self.patch(self.simulator, "play", fail)
        self.advance(1)
        patch.restore()
        self.advance(5)
        self.assert_near(self.last_price(), PRICES[11], 75)
        self.assertTrue(self.flushLoggedErrors(KeyError))

    @slow
    def test_loop(self) -> None:
        self.replay(speed=50.0, loop=True)
        self.advance(4)
        self.assertIn(self.status()["replay"]["state"], ("playing", "waiting"))

    def test_wrong_requests(self) -> None:
        self.replay()
        for action, body in (("seek", {"time": "never"}), ("seek", {"time": "2001-01-01"}), ("speed", {"speed": 0})):
            answer = self.post(action, **body)
            self.assertEqual((answer.status, answer.json["error"]["type"]), (400, "BadParameter"), action)

    def test_described(self) -> None:
        self.replay()
        caller = self.call(WebSocketCaller("ws://127.0.0.1:8080/api/v1/stream"))
        self.send_json(caller, {"action": "subscribe", "channel": "status"})
        caller.take()
        self.post("pause")
        self.flush()
        self.assertEqual([each["replay"]["state"] for each in caller.take() if "replay" in each][-1], "paused")


class OrderTests(ControlCase):
    def order(self, name: str) -> Any:
        return next(row for row in self.fetch("/orders").json if row["ClientOrderID"] == name)

    def test_orders_are_matched_with_the_replay(self) -> None:
        self.replay()
        self.advance(1)
        order = {"Symbol": ES, "TradeAccount": REPLAY_ACCOUNT, "OrderType": "STOP", "BuySell": "BUY", "Quantity": 1}
        body = json.dumps(order | {"ClientOrderID": "r1", "Price1": PRICES[30]}).encode()
        answer = self.fetch("/orders", "POST", body=body)
        self.assertEqual(answer.status, 201, answer.body)
        self.advance(20)
        self.assertEqual(self.order("r1")["OrderStatus"], 4)
        self.advance(20)
        filled = self.order("r1")
        self.assertEqual((filled["OrderStatus"], filled["LastFillPrice"]), (7, PRICES[30]))
        (position,) = self.fetch(f"/positions?TradeAccount={REPLAY_ACCOUNT}").json
        self.assertEqual((position["Quantity"], position["AveragePrice"]), (1, PRICES[30]))


class HistoryTests(ControlCase):
    def test_bounded_by_the_clock(self) -> None:
        self.replay()
        self.advance(30)
        answer = self.begin(f"/historicalpricedata?Symbol={ES}&RecordInterval=1")
        self.advance(2)
        rows = json.loads(answer.received[answer.received.index(b"[") :])
        last = rows[-1]["LastPrice"]
        self.assertGreater(len(rows), 25)
        self.assert_near(last, PRICES[30], 50)
        self.assertEqual({row["Volume"] for row in rows}, {2})


def dtc_time(seconds: float) -> str:
    """Return a time in ISO 8601."""
    return iso_time(round(seconds * 1e6))
