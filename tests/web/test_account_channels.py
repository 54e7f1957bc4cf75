"""Test the channels orders, positions and balances of /stream."""

import json
from typing import Any

from dtc_twisted.dtc import messages as dtc
from tests.orders.test_orders import CANCELED, ES, FILLED, LIMIT, MARKET, OPEN, OrdersCase
from tests.support import GatewayTestCase, WebSocketCaller, slow

STREAM = "ws://127.0.0.1:8080/api/v1/stream"


class AccountsCase(OrdersCase):
    def listener(self, *channels: str) -> WebSocketCaller:
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM))
        for channel in channels:
            self.send_json(caller, {"action": "subscribe", "channel": channel})
        return caller

    def informed(self, *channels: str) -> WebSocketCaller:
        """Return a subscriber that has received its snapshots."""
        caller = self.listener(*channels)
        caller.take()
        return caller


class ChannelTests(AccountsCase):
    def test_snapshot(self) -> None:
        self.submit()
        for channel in ("orders", "positions", "balances"):
            answer, snapshot = self.listener(channel).take()
            position = {"epoch": 1_700_000_000_000, "seq": snapshot["seq"]}
            self.assertEqual(answer, {"action": "subscribe", "channel": channel, "success": True} | position)
            self.assertEqual(snapshot["epoch"], position["epoch"])
            self.assertEqual((snapshot["channel"], snapshot["event"]), (channel, "snapshot"))
            self.assertEqual(snapshot[channel], self.fetch(f"/{channel}").json)
            self.assertGreater(len(snapshot[channel]), 0)

    def test_updates(self) -> None:
        caller = self.listener("orders")
        first = caller.take()[1]["seq"]
        self.submit()
        self.post("/orders/a", "DELETE")
        received = caller.take()
        self.assertEqual([each["OrderStatus"] for each in received], [OPEN, CANCELED])
        self.assertEqual([each["seq"] for each in received], [first + 1, first + 2])
        updates = self.order()["Updates"]
        self.assertEqual(
            [{name: each[name] for name in each if name not in ("channel", "seq")} for each in received], updates
        )

    def test_a_fill_is_published_on_all_channels(self) -> None:
        caller = self.informed("orders", "positions", "balances")
        self.post("/orders", **MARKET | {"ClientOrderID": "m"})
        received = caller.take()
        self.assertEqual({each["channel"] for each in received}, {"orders", "positions", "balances"})
        (filled,) = (each for each in received if each.get("OrderStatus") == FILLED)
        self.assertEqual(filled["LastFillQuantity"], 2)

    def test_snapshot_again(self) -> None:
        caller = self.informed("orders")
        self.send_json(caller, {"action": "subscribe", "channel": "orders"})
        self.assertEqual([each.get("event") for each in caller.take()], [None, "snapshot"])
        self.submit()
        self.assertEqual(len(caller.take()), 1)

    def test_unsubscribe(self) -> None:
        caller = self.informed("orders", "positions")
        self.send_json(caller, {"action": "unsubscribe", "channel": "orders"})
        caller.take()
        self.submit()
        self.assertEqual(caller.take(), [])
        self.send_json(caller, {"action": "list"})
        (listed,) = caller.take()
        self.assertEqual([each["channel"] for each in listed["subscriptions"]], ["positions"])

    def test_leave(self) -> None:
        self.informed("orders").leave()
        self.flush()
        self.assertEqual(self.submit().status, 201)

    def test_errors(self) -> None:
        caller = self.listener()
        for name, value in (("symbol", ES), ("prices", "display"), ("max_rate", 1)):
            self.send_json(caller, {"action": "subscribe", "channel": "orders", name: value})
            (answer,) = caller.take()
            self.assertEqual((answer["success"], answer["error"]), (False, f"{name}: orders has none."))

    @slow
    def test_lost(self) -> None:
        """What changed meanwhile comes between stale and live."""
        self.submit()
        caller = self.listener("orders")
        seq = caller.take()[1]["seq"]
        self.simulator.drop()
        self.flush()
        (stale,) = caller.take()
        self.assertEqual((stale["event"], stale["channel"]), ("stale", "orders"))
        self.simulator.cancel("a")
        self.advance(3)
        update, live = caller.take()
        self.assertEqual((update["seq"], update["OrderStatus"], update["Reconciled"]), (seq + 1, OPEN, True))
        self.assertIn("not among the open orders", update["OutcomeUnknown"])
        self.assertEqual((live.pop("epoch"), live.pop("seq")), (1_700_000_000_000, 7))
        self.assertEqual(live, {"channel": "orders", "event": "live"})
        self.advance(10)  # the fills of a whole day are read before a conclusion
        (canceled,) = caller.take()
        self.assertEqual((canceled["seq"], canceled["OrderStatus"]), (seq + 2, CANCELED))

    def test_come_while_lost(self) -> None:
        self.simulator.drop()
        self.flush()
        caller = self.listener("orders")
        answer, stale = caller.take()
        self.assertEqual((answer["success"], stale["event"]), (True, "stale"))
        self.advance(3)
        self.assertEqual([each["event"] for each in caller.take()], ["snapshot"])

    def test_doubt(self) -> None:
        """A subscriber gets stale, and later live."""
        caller = self.informed("orders")
        self.simulator.ignore_next(dtc.SubmitNewSingleOrder)
        self.begin("/orders", "POST", body=json.dumps(LIMIT | {"ClientOrderID": "a"}).encode())
        self.advance(6)
        (received,) = caller.take()
        self.assertIn("the server said nothing", received["OutcomeUnknown"])
        self.advance(6)
        self.assertIn("did not arrive", caller.take()[-1]["InfoText"])

    def test_slow(self) -> None:
        """Gets every update, in order, once it reads again."""
        caller = self.informed("orders")
        (subscriber,) = self.socket_factory().subscribers
        subscriber.transport.producer.pauseProducing()
        for name in "abc":
            self.submit(name)
        self.assertEqual(caller.take(), [])
        subscriber.transport.producer.resumeProducing()
        self.flush()
        received = caller.take()
        self.assertEqual([each["ClientOrderID"] for each in received], [*"abc"])
        self.assertEqual([each["seq"] for each in received], [*range(received[0]["seq"], received[0]["seq"] + 3)])

    def socket_factory(self) -> Any:
        return next(each for each in self.web_service._sockets if type(each).__name__ == "MultiChannelFactory")


class ViewTests(GatewayTestCase):
    """Order entry is off."""

    def test_view(self) -> None:
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM))
        self.send_json(caller, {"action": "subscribe", "channel": "positions"})
        answer, stale, snapshot = caller.take()
        self.assertEqual((answer["success"], stale["event"], snapshot["event"]), (True, "stale", "snapshot"))
        self.assertEqual(len(snapshot["positions"]), len(self.simulator.positions))
        self.simulator.submit(dtc.SubmitNewSingleOrder(**MARKET | {"OrderType": 1, "BuySell": 1, "ClientOrderID": "x"}))
        self.flush()
        received = caller.take()
        self.assertEqual(received[-1]["Quantity"], self.simulator.positions["Sim1", ES].Quantity)
