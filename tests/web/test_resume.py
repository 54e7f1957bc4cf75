"""Test that a subscriber of /stream that connects again misses nothing, or knows what it misses."""

import json
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.market_data import RecentMessages, ReplayBuffer, replay_buffer
from dtc_twisted.market_data.replay_buffer import CHUNK_BYTES, ITEM_OVERHEAD, MESSAGE_OVERHEAD
from dtc_twisted.transport.websocket_frames import encode_text_frame, encode_text_frames, frame_payload
from dtc_twisted.web.stream import MultiChannelFactory, writer
from dtc_twisted.web.stream.public_names import SYMBOLLESS_CHANNELS
from dtc_twisted.web.stream.send_queue import PreparedUpdate
from tests.support import GatewayTestCase, WebSocketCaller, slow

ES, CL = "ESM20_FUT_CME", "CLM20_FUT_NYMEX"
URL = "ws://127.0.0.1:8080/api/v1/stream"
SUBSCRIPTIONS: tuple[dict[str, Any], ...] = (
    {"channel": "marketdata", "symbol": ES},
    {"channel": "trades", "symbol": ES},
    {"channel": "quotes", "symbol": ES, "prices": "display"},
    {"channel": "marketdepth", "symbol": ES},
    {"channel": "marketdepth", "symbol": CL, "num_levels": 2, "prices": "display"},
)


class ResumingClient:
    """Keep subscriptions over any number of connections, as a client does.

    received: texts of the numbered messages of each channel and symbol, in order of arrival.
    replies: replies to the subscriptions of this connection.
    events: names of the events of this connection.
    everything: all messages of this connection.
    """

    def __init__(self, case: "ResumeCase", subscriptions: tuple[dict[str, Any], ...] = SUBSCRIPTIONS) -> None:
        self.received: dict[tuple[str, str | None], list[str]] = {}
        self.replies: list[dict[str, Any]] = []
        self.events: list[str] = []
        self.everything: list[dict[str, Any]] = []
        self._case = case
        self._subscriptions = subscriptions
        self._positions: dict[tuple[str, str | None], tuple[int, int]] = {}  # epoch, next number
        self.connect()

    def connect(self, caller: WebSocketCaller | None = None) -> None:
        self.caller: WebSocketCaller = caller or self._case.call(WebSocketCaller(URL))
        self.replies, self.events, self.everything = [], [], []
        for each in self._subscriptions:
            position = self._positions.get((each["channel"], each.get("symbol")))
            known = {} if position is None else {"epoch": position[0], "from_seq": position[1]}
            self.caller.send({"action": "subscribe"} | each | known)
        self._case.flush()

    def connect_slowly(self) -> Any:
        """Connect, and return the transport at the gateway's end, which sends nothing until it has a capacity."""
        caller = self._case.call(WebSocketCaller(URL))
        transport = self._case.transport_of(caller)
        transport.capacity = 0
        self.connect(caller)
        return transport

    def read(self) -> None:
        """Take what has arrived."""
        for text in self.caller.texts:
            message = json.loads(text)
            self.everything.append(message)
            symbol = message.get("symbol") or message.get("Symbol")
            key = (message.get("channel"), None if message.get("channel") in SYMBOLLESS_CHANNELS else symbol)
            if message.get("action") == "subscribe":
                self.replies.append(message)
                if not message.get("resumed"):
                    self._positions[key] = (message["epoch"], message["seq"] + 1)
            elif message.get("event") in ("stale", "live", "ended", "skipped"):
                self.events.append(message["event"])
            else:
                self.received.setdefault(key, []).append(text)
                epoch = message.get("epoch") or self._positions[key][0]
                self._positions[key] = (epoch, message["seq"] + 1)
        self.caller.texts.clear()
        self.caller.take()

    def lose(self) -> None:
        """Lose the connection, with everything that is on its way."""
        self.read()
        self.caller.dataReceived = lambda data: None  # type: ignore[method-assign]
        self.caller.transport.loseConnection()
        self._case.flush()

    @property
    def resumed(self) -> list[bool]:
        """What the replies state, in the order of the requests."""
        return [each["resumed"] for each in self.replies]


class ResumeCase(GatewayTestCase):
    def change(self, number: int) -> None:
        """Let the server send a trade, a quote, and changes of two books."""
        self.simulator.trade(ES, 282800 + 25 * (number % 7), number + 1, 1)
        self.simulator.quote(ES, 282700 + 25 * (number % 5), 5 + number, 282900, 6)
        self.simulator.randomize_book(ES, 3, number)
        self.simulator.randomize_book(CL, 3, number)
        self.flush()


class ResumeTests(ResumeCase):
    def setUp(self) -> None:
        super().setUp()
        self.undisturbed = ResumingClient(self)
        self.disturbed = ResumingClient(self)

    def assert_equal(self) -> None:
        self.undisturbed.read()
        self.disturbed.read()
        self.assertEqual(len(self.disturbed.received), len(SUBSCRIPTIONS))
        self.assertEqual(self.disturbed.received, self.undisturbed.received)

    @slow
    def test_nothing_missed(self) -> None:
        self.change(1)
        self.disturbed.lose()
        self.disturbed.connect()
        self.change(2)
        self.assert_equal()
        self.assertEqual(self.disturbed.resumed, [True] * len(SUBSCRIPTIONS))

    def test_counted_once(self) -> None:
        """A subscription that goes on counts in the limit of all clients' subscriptions as any other."""
        (stream,) = (each for each in self.web_service._sockets if isinstance(each, MultiChannelFactory))
        hubs = stream.hubs.values()
        before = [hub.subscription_total for hub in hubs]
        self.assertGreater(min(before), 0)
        self.disturbed.lose()
        self.disturbed.connect()
        self.assertEqual([hub.subscription_total for hub in hubs], before)
        self.disturbed.lose()
        self.undisturbed.lose()
        self.assertEqual([hub.subscription_total for hub in hubs], [0] * len(hubs))

    @slow
    def test_missed(self) -> None:
        self.disturbed.lose()
        for number in range(3):
            self.change(number)
        self.disturbed.connect()
        self.change(4)
        self.assert_equal()
        self.assertEqual(self.disturbed.resumed, [True] * len(SUBSCRIPTIONS))

    @slow
    def test_no_other_subscriber(self) -> None:
        """The channel goes on without subscribers."""
        self.undisturbed.lose()
        self.disturbed.lose()
        for number in range(3):
            self.change(number)
        self.undisturbed.connect()
        self.disturbed.connect()
        self.assert_equal()
        self.assertEqual(self.disturbed.resumed, [True] * len(SUBSCRIPTIONS))
        self.assertGreater(len(self.disturbed.received["marketdata", ES]), 6)

    @slow
    def test_lost_in_the_middle_of_a_message(self) -> None:
        self.transport_of(self.disturbed.caller).capacity = 700
        for number in range(3):
            self.change(number)
        self.disturbed.lose()
        self.disturbed.connect()
        self.assert_equal()

    @slow
    def test_too_late(self) -> None:
        self.undisturbed.lose()
        self.disturbed.lose()
        self.advance(62, 1.0)
        self.assertEqual(self.status()["symbols"], [])
        self.disturbed.connect()
        self.disturbed.read()
        self.assertEqual([each["missed"] for each in self.disturbed.replies], [None] * len(SUBSCRIPTIONS))
        self.assertEqual(self.disturbed.resumed, [False] * len(SUBSCRIPTIONS))

    @slow
    def test_more_than_the_buffer_has(self) -> None:
        self.disturbed.lose()
        for number in range(5):
            self.change(number)
        self.advance(62, 1.0)
        self.change(6)
        self.disturbed.connect()
        self.undisturbed.read()
        self.disturbed.read()
        self.assertEqual(self.disturbed.resumed, [False] * len(SUBSCRIPTIONS))
        for reply in self.disturbed.replies:
            sent = self.undisturbed.received[reply["channel"], reply["symbol"]]
            missed = [each for each in sent if json.loads(each)["seq"] >= reply["from_seq"]]
            self.assertEqual(reply["missed"], len(missed))
        snapshot = json.loads(self.disturbed.received["marketdata", ES][-1])
        self.assertEqual((snapshot["Type"], snapshot["seq"]), (104, self.disturbed.replies[0]["seq"]))

    @slow
    def test_events_between(self) -> None:
        self.disturbed.lose()
        self.change(1)
        self.simulator.drop()
        self.advance(3)
        self.change(2)
        self.disturbed.connect()
        self.assert_equal()
        self.assertEqual(self.disturbed.resumed, [True] * len(SUBSCRIPTIONS))
        self.assertEqual(self.disturbed.events, ["stale", "live"] * len(SUBSCRIPTIONS))

    @slow
    def test_stale_before(self) -> None:
        """An event of the earlier connection comes in its place."""
        self.simulator.drop()
        self.advance(0.1, 0.1)
        self.disturbed.read()
        lost_at = self.disturbed.events.copy()
        self.assertIn("stale", lost_at)
        self.disturbed.lose()
        self.advance(3)
        self.change(2)
        self.disturbed.connect()
        self.assert_equal()
        self.assertIn("live", self.disturbed.events)

    @slow
    def test_slow(self) -> None:
        """Nothing is left out of what was missed while the client does not read, nor of other channels meanwhile."""
        self.disturbed.lose()
        for number in range(300):
            self.change(number)
        transport = self.disturbed.connect_slowly()
        rounds = 0
        while transport.capacity == 0 and rounds < 500:
            for number in range(3):
                self.change(300 + 3 * rounds + number)
            transport.capacity = 15_000
            self.flush()
            self.advance(0.001, 0.001)
            rounds += 1
        transport.capacity = 1 << 30
        self.advance(0.01, 0.001)
        self.assert_equal()
        self.assertNotIn("skipped", self.disturbed.events)
        self.assertGreater(rounds, 5)

    def test_counts(self) -> None:
        self.disturbed.lose()
        self.disturbed.connect()
        replay = self.status()["replay_buffer"]
        self.assertEqual((replay["resumed"], replay["not_resumed"]), (len(SUBSCRIPTIONS), 0))
        self.assertGreater(replay["bytes"], 1000)

    def test_errors(self) -> None:
        request = {"action": "subscribe", "channel": "trades", "symbol": ES, "epoch": 1, "from_seq": 1}
        for wrong in (
            {"from_seq": 0},
            {"from_seq": "1"},
            {"from_seq": True},
            {"epoch": None},
            {"epoch": -1},
            {"symbol": [ES, CL]},
            {"channel": "status", "symbol": None, "epoch": 1.5},
        ):
            self.disturbed.caller.take()
            self.send_json(self.disturbed.caller, request | wrong)
            (answer,) = self.disturbed.caller.take()
            self.assertFalse(answer["success"], wrong)

    @slow
    def test_unsubscribed_meanwhile(self) -> None:
        self.disturbed.lose()
        for number in range(50):
            self.change(number)
        self.transport_of(self.undisturbed.caller).capacity = 0
        caller = self.call(WebSocketCaller(URL))
        epoch = self.undisturbed.caller.messages[0]["epoch"]
        self.transport_of(caller).capacity = 0
        for request in (
            {"action": "subscribe", "channel": "marketdepth", "symbol": ES, "epoch": epoch, "from_seq": 1},
            {"action": "unsubscribe", "channel": "marketdepth", "symbol": ES},
        ):
            caller.send(request)
        self.flush()
        self.transport_of(caller).capacity = 1 << 30
        self.flush()
        self.change(51)
        self.assertEqual(caller.messages[-1]["action"], "unsubscribe")


class SymbollessCase(ResumeCase):
    options = (*ResumeCase.options, "--allow-trading", "--journal")

    def setUp(self) -> None:
        self.options = (*self.options, os.path.join(self.mktemp(), "journal.sqlite"))
        os.mkdir(os.path.dirname(self.options[-1]))
        super().setUp()
        channels = ("status", "unknown", "orders", "positions", "balances")
        subscriptions = tuple({"channel": each} for each in channels)
        self.undisturbed = ResumingClient(self, subscriptions)
        self.disturbed = ResumingClient(self, subscriptions)
        for each in (self.undisturbed, self.disturbed):
            each.read()
            each.received.clear()

    def happen(self, name: str) -> None:
        """Let an order be filled, and the server send what the gateway does not know."""
        side = "SELL" if name.endswith("2") else "BUY"
        order = {"Symbol": ES, "TradeAccount": "Sim1", "OrderType": "MARKET", "BuySell": side, "Quantity": 1}
        body = json.dumps(order | {"ClientOrderID": name}).encode()
        self.assertEqual(self.fetch("/orders", "POST", body=body).status, 201)
        for number in range(3):
            self.simulator.send_raw(b'{"Type":30000,"Number":%d}' % number)
        self.flush()


class SymbollessTests(SymbollessCase):
    @slow
    def test_missed(self) -> None:
        for number in range(2):
            self.happen(f"{number}-1")
            self.disturbed.lose()
            self.happen(f"{number}-2")
            self.disturbed.connect()
            self.happen(f"{number}-3")
            self.undisturbed.read()
            self.disturbed.read()
            self.assertEqual(self.disturbed.resumed, [True] * 5)
            self.assertEqual(self.disturbed.received, self.undisturbed.received)
        self.assertTrue({"orders", "positions", "balances", "unknown"} <= {key[0] for key in self.disturbed.received})

    @slow
    def test_the_server_was_away(self) -> None:
        self.disturbed.lose()
        self.simulator.drop()
        self.advance(3)
        self.happen("a")
        self.disturbed.connect()
        self.undisturbed.read()
        self.disturbed.read()
        self.assertEqual(self.disturbed.received, self.undisturbed.received)
        self.assertEqual(self.disturbed.events, ["stale", "live"] * 3)

    def test_too_late(self) -> None:
        self.undisturbed.lose()
        self.disturbed.lose()
        self.advance(62, 1.0)
        self.happen("a")
        self.disturbed.connect()
        self.disturbed.read()
        self.assertEqual(self.disturbed.resumed, [False] * 5)
        replies = {each["channel"]: each for each in self.disturbed.replies}
        self.assertEqual(replies["unknown"]["missed"], 3)
        self.assertIn("snapshot", [json.loads(each).get("event") for each in self.disturbed.received["orders", None]])


class RestartTests(SymbollessCase):
    """The numbers of orders go on after a restart of the gateway; those of the other channels begin anew."""

    def restart(self) -> None:
        """End the gateway, and start another one with the same journal."""
        self.simulator.drop()
        self.flush()
        self.service.stopService()
        self.advance(4)
        self.clock.tcpServers = [each for each in self.clock.tcpServers if each[0] != 8080]
        self.service = self.make_gateway(*self.options)
        self.service.startService()
        self.advance(3)

    def rows(self, client: ResumingClient) -> list[str]:
        return [each for each in client.received["orders", None] if "event" not in json.loads(each)]

    def replies(self, client: ResumingClient) -> dict[str, dict[str, Any]]:
        return {each["channel"]: each for each in client.replies}

    @slow
    def test_restarted(self) -> None:
        self.happen("a1")
        self.disturbed.lose()
        self.happen("b1")
        self.undisturbed.lose()
        epoch = self.replies(self.undisturbed)["orders"]["epoch"]
        missed = len(self.rows(self.undisturbed)) - len(self.rows(self.disturbed))
        self.assertGreater(missed, 0)
        self.restart()
        self.disturbed.connect()
        self.undisturbed.connect()
        self.happen("c1")
        for client in (self.disturbed, self.undisturbed):
            client.read()
            reply = self.replies(client)["orders"]
            self.assertTrue(reply["resumed"])
            self.assertGreater(reply["epoch"], epoch)
        self.assertEqual(self.rows(self.disturbed), self.rows(self.undisturbed))
        seqs = [json.loads(each)["seq"] for each in self.rows(self.disturbed)]
        self.assertEqual(seqs, [*range(seqs[0], seqs[-1] + 1)])
        self.assertEqual(
            [self.replies(self.disturbed)[each]["resumed"] for each in ("positions", "balances")], [False] * 2
        )

    def test_first_messages_after_a_restart(self) -> None:
        """All messages were published after the restart, and before the subscriber came back."""
        self.simulator.refuse_logon(2, "not yet")
        self.options = (*self.options[:-1], self.options[-1] + "2")
        self.restart()
        early = ResumingClient(self, ({"channel": "orders"},))
        early.read()
        early.lose()
        self.simulator.accept_logon()
        self.restart()
        early.connect()
        early.read()
        self.assertEqual(early.resumed, [True])
        seqs = [json.loads(each)["seq"] for each in self.rows(early)]
        self.assertGreater(len(seqs), 0)
        self.assertEqual(seqs, [*range(1, seqs[-1] + 1)])

    @slow
    def test_before_the_first_logon(self) -> None:
        """A client that is back before the server was read gets `stale`, and then `live`."""
        self.happen("a1")
        self.disturbed.lose()
        self.simulator.refuse_logon(2, "not yet")
        self.restart()
        self.disturbed.connect()
        self.disturbed.read()
        self.assertTrue(self.replies(self.disturbed)["orders"]["resumed"])
        self.simulator.accept_logon()
        self.advance(90)
        self.disturbed.read()
        events = [
            each["event"] for each in self.disturbed.everything if each.get("channel") == "orders" and "event" in each
        ]
        self.assertEqual(events, ["stale", "live"])

    @slow
    def test_more_than_was_written(self) -> None:
        """A number that an earlier process used and did not write is another message now."""
        self.happen("a1")
        self.disturbed.lose()
        epoch, seq = self.disturbed._positions["orders", None]
        self.restart()
        self.happen("b1")
        self.disturbed._positions["orders", None] = (epoch, seq + 1)
        self.disturbed.connect()
        self.disturbed.read()
        reply = self.replies(self.disturbed)["orders"]
        self.assertEqual((reply["resumed"], reply["missed"]), (False, None))

    def test_too_late_after_a_restart(self) -> None:
        self.happen("a1")
        self.disturbed.lose()
        self.happen("b1")
        self.undisturbed.lose()
        missed = len(self.rows(self.undisturbed)) - len(self.rows(self.disturbed))
        self.restart()
        self.advance(62, 1.0)
        self.disturbed.connect()
        self.disturbed.read()
        reply = self.replies(self.disturbed)["orders"]
        self.assertFalse(reply["resumed"])
        self.assertGreaterEqual(reply["missed"], missed)

    @slow
    def test_old_messages_soon_after_a_restart(self) -> None:
        """The time counts from the start, not from the message."""
        self.happen("a1")
        self.disturbed.lose()
        self.happen("b1")
        self.undisturbed.lose()
        self.advance(300, 1.0)
        self.restart()
        self.advance(50, 1.0)
        for client in (self.disturbed, self.undisturbed):
            client.connect()
            client.read()
            self.assertTrue(self.replies(client)["orders"]["resumed"])
        self.assertEqual(self.rows(self.disturbed), self.rows(self.undisturbed))

    @slow
    def test_nothing_missed_too_late_after_a_restart(self) -> None:
        self.happen("a1")
        self.disturbed.lose()
        self.undisturbed.lose()
        self.restart()
        self.advance(62, 1.0)
        self.disturbed.connect()
        self.disturbed.read()
        self.assertTrue(self.replies(self.disturbed)["orders"]["resumed"])
        self.happen("b1")
        self.disturbed.read()
        seqs = [json.loads(each)["seq"] for each in self.rows(self.disturbed)]
        self.assertEqual(seqs, [*range(seqs[0], seqs[-1] + 1)])

    def test_trades_begin_anew(self) -> None:
        """Their numbers belong to the process."""
        trades = {"action": "subscribe", "channel": "trades", "symbol": ES}
        caller = self.call(WebSocketCaller(URL))
        self.send_json(caller, trades)
        self.simulator.trade(ES, 282_000, 1, 2)
        self.flush()
        first, trade = caller.take()
        self.restart()
        caller = self.call(WebSocketCaller(URL))
        self.send_json(caller, trades | {"epoch": first["epoch"], "from_seq": trade["seq"] + 1})
        self.simulator.trade(ES, 282_025, 1, 2)
        self.flush()
        reply, trade = caller.take()
        self.assertEqual((reply["resumed"], reply["missed"], reply["seq"], trade["seq"]), (False, None, 0, 1))
        self.assertGreater(reply["epoch"], first["epoch"])


class RateTests(ResumeCase):
    def test_trades_all_and_of_others_the_latest(self) -> None:
        client = ResumingClient(self, ({"channel": "marketdata", "symbol": ES, "max_rate": 0.1},))
        self.change(1)
        client.lose()
        for number in range(10):
            self.change(number)
        before = len(client.received["marketdata", ES])
        client.connect()
        self.advance(11)
        client.read()
        self.assertEqual(client.resumed, [True])
        kinds = [json.loads(each)["Type"] for each in client.received["marketdata", ES][before:]]
        self.assertEqual(kinds.count(107), 10)
        self.assertLess(kinds.count(108), 4)


class OffTests(ResumeCase):
    options = (*ResumeCase.options, "--replay-buffer", "0")

    def test_off(self) -> None:
        client = ResumingClient(self)
        self.change(1)
        client.lose()
        self.assertEqual(self.status()["symbols"], [])
        client.connect()
        client.read()
        self.assertEqual(client.resumed, [False] * len(SUBSCRIPTIONS))


class VisitorTests(ResumeCase):
    def test_kept_once(self) -> None:
        """Messages are kept once, however many subscribers have come and gone."""
        channel = ({"channel": "marketdata", "symbol": ES},)
        growth = []
        for visits in (1, 10):
            for _ in range(visits):
                ResumingClient(self, channel).lose()
            before = self.status()["replay_buffer"]["bytes"]
            for number in range(5):
                self.change(number)
            growth.append(self.status()["replay_buffer"]["bytes"] - before)
        self.assertGreater(growth[0], 0)
        self.assertLess(growth[1], 1.5 * growth[0])


class SmallBufferTests(ResumeCase):
    options = (*ResumeCase.options, "--replay-buffer-bytes", "65536")

    @slow
    def test_full(self) -> None:
        undisturbed, client = ResumingClient(self), ResumingClient(self)
        client.lose()
        for number in range(150):
            self.change(number)
            self.assertLess(self.status()["replay_buffer"]["bytes"], 65_537)
        client.connect()
        undisturbed.read()
        client.read()
        self.assertEqual(client.resumed, [False] * len(SUBSCRIPTIONS))
        for reply in client.replies:
            sent = [json.loads(each)["seq"] for each in undisturbed.received[reply["channel"], reply["symbol"]]]
            self.assertEqual(reply["missed"], len([seq for seq in sent if seq >= reply["from_seq"]]))

    def test_dropped_meanwhile(self) -> None:
        """A client that reads more slowly than the buffer is filled gets a snapshot."""
        channel = ({"channel": "marketdata", "symbol": ES},)
        undisturbed, client = ResumingClient(self, channel), ResumingClient(self, channel)
        self.change(1)
        client.lose()
        for number in range(20):
            self.change(number)
        self.patch(replay_buffer, "READ_BYTES", 1000)
        self.patch(writer, "HIGH_WATER", 2000)
        transport = client.connect_slowly()
        for number in range(200):
            self.change(number)
        transport.capacity = 1 << 30
        self.advance(0.1, 0.01)
        undisturbed.read()
        client.read()
        self.assertEqual((client.resumed, client.events), ([True], ["skipped"]))
        self.assertEqual(json.loads(client.received["marketdata", ES][-1])["Type"], 104)
        (skipped,) = [each["messages"] for each in client.everything if each.get("event") == "skipped"]
        self.assertEqual(
            len(client.received["marketdata", ES]) - 1 + skipped, len(undisturbed.received["marketdata", ES])
        )


class AnyOrderTests(ResumeCase):
    @slow
    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("change"), st.integers(1, 30)),
                st.tuples(st.just("lose"), st.integers(0, 20_000)),
                st.tuples(st.just("connect"), st.just(0)),
                st.tuples(st.just("wait"), st.integers(1, 20)),
                st.tuples(st.just("drop"), st.just(0)),
            ),
            max_size=25,
        )
    )
    def test_any_order(self, steps: list[tuple[str, int]]) -> None:
        undisturbed, client = ResumingClient(self), ResumingClient(self)
        is_connected, number = True, 0
        for name, value in [*steps, ("connect", 0)]:
            match name:
                case "change":
                    for _ in range(value):
                        number += 1
                        self.change(number)
                case "lose" if is_connected:
                    self.transport_of(client.caller).capacity = value
                    self.change(number)
                    client.lose()
                    is_connected, since = False, self.clock.seconds()
                case "connect" if not is_connected and self.clock.seconds() - since < 60:
                    client.connect()
                    is_connected = True
                    client.read()
                    self.assertEqual(client.resumed, [True] * len(SUBSCRIPTIONS))
                case "wait":
                    self.advance(value, 1.0)
                case "drop":
                    self.simulator.drop()
                    self.advance(0.5)
                    while self.status()["state"] != "ready":
                        self.advance(0.5)
        self.advance(0.1, 0.01)
        if is_connected:
            undisturbed.read()
            client.read()
            self.assertEqual(client.received, undisturbed.received)
        for each in (undisturbed, client):
            each.caller.transport.loseConnection()
        self.flush()


OVERHEAD = ITEM_OVERHEAD + MESSAGE_OVERHEAD


class BufferTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.buffer = ReplayBuffer(self.clock, 10.0, 100_000)

    def add(self, recent: RecentMessages, first: int, *frames: bytes) -> None:
        recent.add(PreparedUpdate(encode_text_frames([*frames]), "key", [int] * len(frames), None, first))

    def read(self, recent: RecentMessages, seq: int, end: int) -> list[bytes]:
        frames, kinds = recent.read(seq, end)
        self.assertEqual(kinds, [int] * len(frames))
        return [frame_payload(each) for each in frames]

    def test_read(self) -> None:
        recent = RecentMessages(self.buffer, 1)
        self.add(recent, 1, b"one", b"two")
        self.add(recent, 3, b"three")
        self.assertEqual(self.read(recent, 2, 9), [b"two", b"three"])
        self.assertEqual(self.read(recent, 1, 2), [b"one"])
        self.assertEqual(self.read(recent, 4, 9), [])
        self.assertEqual([recent.has(each) for each in range(6)], [False, True, True, True, True, False])

    def test_a_hole(self) -> None:
        """Of messages that could not be encoded, none before them is of use."""
        recent = RecentMessages(self.buffer, 1)
        self.add(recent, 1, b"one")
        self.add(recent, 3, b"three")
        self.assertEqual([recent.has(each) for each in (1, 2, 3, 4)], [False, False, True, True])

    def test_old(self) -> None:
        recent = RecentMessages(self.buffer, 1)
        for number in range(1, 31):
            self.add(recent, number, b"x")
            self.clock.advance(1)
        self.assertTrue(19 <= recent.first_seq <= 21, recent.first_seq)
        self.clock.pump([1] * 12)
        self.assertEqual((recent.first_seq, self.buffer.byte_count), (31, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_oldest_of_all_first(self) -> None:
        one, other = RecentMessages(self.buffer, 1), RecentMessages(self.buffer, 1)
        self.add(one, 1, b"x" * 40_000)
        self.add(other, 1, b"x" * 40_000)
        self.clock.advance(1)
        self.add(one, 2, b"x" * 40_000)
        self.assertEqual((one.first_seq, other.first_seq), (2, 1))
        size = len(encode_text_frame(bytes(40_000))) + OVERHEAD
        self.assertEqual(self.buffer.byte_count, 2 * size)
        other.close()
        self.assertEqual((other.has(2), self.buffer.byte_count), (False, size))
        self.buffer.stopService()

    def test_more_than_fits(self) -> None:
        recent = RecentMessages(self.buffer, 1)
        self.add(recent, 1, b"x" * CHUNK_BYTES)
        self.assertEqual((recent.first_seq, self.buffer.byte_count), (2, 0))
        self.add(recent, 2, b"x")
        self.assertEqual(self.read(recent, 2, 3), [b"x"])
        self.buffer.stopService()
