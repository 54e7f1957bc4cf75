"""Test the simulator in memory, with the WebSocket client of another library."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import txaio
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import DBL_MAX, INT_MAX, UINT_MAX
from dtc_twisted.simulator import INSTRUMENTS, RESTRICTED, Market
from dtc_twisted.simulator.logon import SERVER_NAME
from dtc_twisted.simulator.market.instruments import DAY, EPOCH
from dtc_twisted.simulator.market.random_book import ASK, BID, BookLevel
from dtc_twisted.simulator.market.sierra_json import as_float32
from dtc_twisted.simulator.market.simulated_market import FLOOR
from dtc_twisted.simulator.market.ticker import LEVELS, Quote, Trade
from dtc_twisted.testing import ScriptedSimulator
from tests.support import slow

ES, CL, EURUSD, BTC = (instrument.symbol for instrument in INSTRUMENTS)


def parse_messages(data: bytes) -> list[dict[str, Any]]:
    """Parse messages that follow each other, with NUL between them or without."""
    text, decoder, messages, at = data.decode(), json.JSONDecoder(), [], 0
    while at < len(text):
        if text[at] == "\0":
            at += 1
            continue
        message, at = decoder.raw_decode(text, at)
        messages.append(message)
    return messages


class Client(Protocol):
    """Send dictionaries as DTC messages, and decode the frames of the server."""

    transport: FakeTransport

    def __init__(self, path: str = "/") -> None:
        self._ws = ClientProtocol(parse_uri(f"ws://127.0.0.1{path}"), max_size=None)
        self._partial = b""
        self.frames: list[bytes] = []
        self.opcodes: list[Opcode] = []
        self.lost = False
        self.closed_cleanly = False

    def connectionMade(self) -> None:
        self._ws.send_request(self._ws.connect())
        self._write()

    def dataReceived(self, data: bytes) -> None:
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            if isinstance(event, Frame):
                self.opcodes.append(event.opcode)
                if event.opcode is Opcode.TEXT:
                    self.frames.append(bytes(event.data))
                self.closed_cleanly |= event.opcode is Opcode.CLOSE
        self._write()

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True

    @property
    def messages(self) -> list[dict[str, Any]]:
        return parse_messages(b"".join(self.frames))

    def take(self) -> list[dict[str, Any]]:
        """Return the messages since the last call."""
        messages, self.frames = self.messages, []
        return messages

    def text(self, payload: bytes) -> None:
        self._ws.send_text(payload)
        self._write()

    def ping(self) -> None:
        self._ws.send_ping(b"?")
        self._write()

    def _write(self) -> None:
        for data in self._ws.data_to_send():
            if data:
                self.transport.write(data)


class Transport(FakeTransport):
    """Record calls that Twisted's test transport does not record."""

    no_delay = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = MemoryReactorClock()
        self.clock.advance(EPOCH + 3600.5)
        self.patch(txaio.config, "loop", self.clock)  # type: ignore[attr-defined]
        self.simulator = self.make()
        self.clients: list[tuple[Client, IOPump]] = []

    def make(self, **options: Any) -> ScriptedSimulator:
        return ScriptedSimulator(self.clock, **options)

    def tearDown(self) -> None:
        self.simulator.stop_market()
        self.simulator.drop()
        self.flush()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def dial(self, *, history: bool = False, path: str = "/") -> Client:
        factory = self.simulator.history_factory if history else self.simulator.factory
        server, client = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)), Client(path)
        pump = connect(server, Transport(server, True), client, FakeTransport(client, False), greet=False)
        self.clients.append((client, pump))
        self.flush()
        return client

    def log_on(self, *, history: bool = False, **fields: Any) -> Client:
        client = self.dial(history=history)
        self.ask(client, Type=1, ProtocolVersion=8, **{"HeartbeatIntervalInSeconds": 0} | fields)
        return client

    def flush(self) -> None:
        for _, pump in self.clients:
            pump.flush()

    def advance(self, seconds: float, step: float | None = None) -> None:
        for _ in range(round(seconds / step) if step else 1):
            self.clock.advance(step or seconds)
            self.flush()

    def ask(self, client: Client, **fields: Any) -> list[dict[str, Any]]:
        """Send one message, and return the answers."""
        client.take()
        client.text(json.dumps(fields).encode() + b"\0")
        self.flush()
        return client.messages

    def subscribe(self, client: Client, symbol: str = ES, symbol_id: int = 1, kind: int = 101, **fields: Any) -> None:
        self.ask(client, **{"Type": kind, "RequestAction": 1, "SymbolID": symbol_id, "Symbol": symbol} | fields)
        client.take()

    def messages_to(self, client: Client) -> list[dict[str, Any]]:
        self.flush()
        return client.take()


class LogonTests(Case):
    def test_answered_after_a_log_message(self) -> None:
        log, response = self.log_on(ClientName="me").messages
        self.assertEqual(log["Type"], 701)
        self.assertEqual(
            (response["Type"], response["Result"], response["ServerName"], response["ProtocolVersion"]),
            (2, 1, SERVER_NAME, 8),
        )
        for flag in ("MarketDataSupported", "MarketDepthIsSupported", "SecurityDefinitionsSupported"):
            self.assertEqual(response[flag], 1, flag)
        for flag in ("TradingIsSupported", "OCOOrdersSupported", "OrderCancelReplaceSupported"):
            self.assertEqual(response[flag], 1, flag)
        self.assertEqual(response["BracketOrdersSupported"], 1)
        self.assertEqual(response["HistoricalPriceDataSupported"], 0)

    def test_nothing_is_answered_before(self) -> None:
        client = self.dial()
        self.assertEqual(self.ask(client, Type=400, RequestID=1), [])
        self.assertEqual(self.ask(client, Type=101, RequestAction=1, SymbolID=1, Symbol=ES), [])
        self.assertEqual(len(self.simulator.received), 2)

    def test_wrong_credentials(self) -> None:
        self.simulator = self.make(username="u", password="p")
        client = self.dial()
        refused = self.ask(client, Type=1, ProtocolVersion=8, Username="u", Password="x")[-1]
        self.assertEqual(refused["Result"], 2)
        self.assertIn("Password", refused["ResultText"])
        self.assertEqual(self.ask(client, Type=400, RequestID=1), [])
        self.assertEqual(self.ask(client, Type=1, ProtocolVersion=8, Username="u", Password="p")[-1]["Result"], 1)

    def test_refused_as_scripted(self) -> None:
        self.simulator.refuse_logon(4, "over there", "127.0.0.1:1", times=1)
        client = self.log_on()
        response = client.messages[-1]
        self.assertEqual(
            (response["Result"], response["ResultText"], response["ReconnectAddress"]), (4, "over there", "127.0.0.1:1")
        )
        self.assertEqual(self.ask(client, Type=1)[-1]["Result"], 1)

    def test_refused_until_accepted(self) -> None:
        self.simulator.refuse_logon(3, "no")
        client = self.log_on()
        self.assertEqual([self.ask(client, Type=1)[-1]["Result"] for _ in range(2)], [3, 3])
        self.simulator.accept_logon()
        self.assertEqual(self.ask(client, Type=1)[-1]["Result"], 1)

    def test_logon_fields(self) -> None:
        self.simulator.settings.logon_fields = {"MarketDepthIsSupported": 0}
        self.assertEqual(self.log_on().messages[-1]["MarketDepthIsSupported"], 0)

    def test_only_the_root_path(self) -> None:
        client = self.dial(path="/other")
        self.assertTrue(client.lost)
        self.assertEqual(self.simulator.connections, [])

    def test_no_delay(self) -> None:
        self.log_on()
        self.assertTrue(self.simulator.connections[0].transport.no_delay)  # type: ignore[union-attr]


class SessionTests(Case):
    def test_heartbeats_at_the_clients_interval(self) -> None:
        client = self.log_on(HeartbeatIntervalInSeconds=10)
        client.take()
        for _ in range(3):
            self.advance(9.5)
            self.assertEqual(client.take(), [])
            self.ask(client, Type=3)
            self.advance(0.5)
            self.assertEqual(client.take(), [{"Type": 3, "F": [0, int(self.clock.seconds())]}])

    def test_a_silent_client_is_closed_after_two_intervals(self) -> None:
        client = self.log_on(HeartbeatIntervalInSeconds=10)
        self.advance(10)
        self.assertFalse(client.lost)
        client.take()
        self.advance(10)
        self.assertEqual([message["Type"] for message in client.messages], [5])
        self.assertTrue(client.closed_cleanly and client.lost)
        self.assertEqual(self.simulator.connections, [])

    def test_any_message_keeps_alive(self) -> None:
        client = self.log_on(HeartbeatIntervalInSeconds=10)
        for _ in range(5):
            self.advance(10)
            self.ask(client, Type=400, RequestID=1)
        self.assertFalse(client.lost)

    def test_a_clients_logoff(self) -> None:
        client = self.log_on()
        self.ask(client, Type=5, Reason="bye")
        self.assertTrue(client.closed_cleanly and client.lost)

    def test_log_off(self) -> None:
        client = self.log_on()
        client.take()
        self.simulator.log_off("enough", do_not_reconnect=True)
        self.assertEqual(self.messages_to(client), [{"Type": 5, "Reason": "enough", "DoNotReconnect": 1}])
        self.assertTrue(client.closed_cleanly and client.lost)

    def test_stop_service_ends_when_all_are_gone(self) -> None:
        clients = [self.log_on(HeartbeatIntervalInSeconds=10), self.log_on(), self.log_on(history=True)]
        self.simulator.startService()
        stopped = self.simulator.stopService()
        self.assertNoResult(stopped)
        self.flush()
        self.successResultOf(stopped)
        self.assertEqual([client.messages[-1]["Type"] for client in clients], [5, 5, 5])
        self.assertFalse(self.simulator.market.running)

    def test_stop_service_without_connections(self) -> None:
        self.simulator.startService()
        self.successResultOf(self.simulator.stopService())

    def test_a_client_that_does_not_answer_a_close_is_cut_off(self) -> None:
        client = self.log_on()
        self.patch(txaio.config, "loop", Clock())  # type: ignore[attr-defined]
        client._write = lambda: None  # type: ignore[method-assign]
        stopped = self.simulator.stopService()
        self.flush()
        self.advance(1)
        self.assertNoResult(stopped)
        self.advance(3)
        self.successResultOf(stopped)
        self.assertTrue(client.lost)

    def test_drop(self) -> None:
        clients = [self.log_on(), self.log_on(history=True)]
        for client in clients:
            client.take()
        self.simulator.drop()
        self.flush()
        for client in clients:
            self.assertTrue(client.lost)
            self.assertEqual(client.take(), [])
            self.assertFalse(client.closed_cleanly)

    def test_silence(self) -> None:
        client = self.log_on(HeartbeatIntervalInSeconds=10)
        self.subscribe(client)
        self.simulator.go_silent()
        client.ping()
        self.assertEqual(self.ask(client, Type=400, RequestID=1), [])
        self.simulator.trade(ES, 282825, 1, 2)
        self.advance(30, step=5)
        self.assertEqual(self.messages_to(client), [])
        self.assertNotIn(Opcode.PONG, client.opcodes)
        self.ask(client, Type=5, Reason="is anybody there?")
        self.assertFalse(client.lost)
        self.simulator.end_silence()
        self.assertEqual(len(self.ask(client, Type=400, RequestID=2)), 2)
        client.ping()
        self.flush()
        self.assertIn(Opcode.PONG, client.opcodes)

    def test_slow_clients_get_the_number_of_dropped_messages(self) -> None:
        client = self.log_on(HeartbeatIntervalInSeconds=10)
        self.subscribe(client)
        connection = self.simulator.connections[0]
        connection.pauseProducing()  # type: ignore[attr-defined]
        self.simulator.trade(ES, 282825, 1, 2)
        self.simulator.trade(ES, 282825, 1, 2)
        self.assertEqual(self.messages_to(client), [])
        connection.resumeProducing()  # type: ignore[attr-defined]
        self.advance(10)
        self.assertEqual(client.take()[0]["F"][0], 2)


class BalanceSettingsTests(Case):
    def test_balances_of_all_accounts(self) -> None:
        self.simulator.settings.balances_of_all_accounts = True
        answer = self.ask(self.log_on(), Type=601, RequestID=3, TradeAccount="Sim2")
        self.assertEqual([message["TradeAccount"] for message in answer], ["Sim1", "Sim2"])

    def test_balances_without_account_are_rejected(self) -> None:
        self.simulator.settings.reject_balances_without_account = True
        client = self.log_on()
        self.assertEqual([message["Type"] for message in self.ask(client, Type=601, RequestID=3)], [602])
        found = self.ask(client, Type=601, RequestID=3, TradeAccount="Sim2")
        self.assertEqual([message["TradeAccount"] for message in found], ["Sim2"])


class ExampleTests(SynchronousTestCase):
    @slow
    def test_test_kit(self) -> None:
        path = Path(__file__).parents[2] / "examples" / "test_kit.py"
        found = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60)
        self.assertRegex(found.stdout, r"^ws://127.0.0.1:[0-9]+/ 5 orders\n$", found.stderr)


class FramingTests(Case):
    def test_a_message_without_nul_waits(self) -> None:
        client = self.log_on()
        client.take()
        client.text(b'{"Type":400,"RequestID":1}')
        self.assertEqual(self.messages_to(client), [])
        client.text(b'\0{"Type":400,"Requ')
        self.assertEqual(len(self.messages_to(client)), 2)
        client.text(b'estID":2}\0')
        self.assertEqual([message["RequestID"] for message in self.messages_to(client)], [2, 2])

    def test_each_message_ends_with_nul(self) -> None:
        self.simulator.set_nul_terminator(True)
        client = self.log_on()
        self.assertTrue(all(frame.endswith(b"}\0") for frame in client.frames))
        client.take()
        self.subscribe(client)
        self.simulator.start_market()
        self.advance(0.5)
        client.take()
        self.advance(0.05)
        self.assertTrue(all(frame.endswith(b"}\0") for frame in client.frames))

    def test_each_message_is_a_websocket_message_without_nul(self) -> None:
        client = self.log_on()
        self.subscribe(client)
        self.subscribe(client, kind=102)
        self.simulator.trade(ES, 282800, 1, 1)
        self.simulator.quote(ES, 282700, 1, 282725, 1)
        self.ask(client, Type=502, RequestID=4)
        self.assertGreater(len(client.frames), 100)
        for frame in client.frames:
            self.assertIn("Type", json.loads(frame))

    def test_numbers_as_text(self) -> None:
        client = self.log_on(HeartbeatIntervalInSeconds="10")
        answer = self.ask(client, Type="303", RequestID="5", NumberOfDays="30", TradeAccount="Sim1")
        self.assertEqual({(message["Type"], message["RequestID"]) for message in answer}, {(304, 5)})
        answer = self.ask(client, Type=303, RequestID=" 6x", NumberOfDays="x", TradeAccount="Sim1")
        self.assertEqual([(message["Type"], message["RequestID"]) for message in answer], [(308, 6)])
        order = {"Symbol": ES, "TradeAccount": "Sim1", "ClientOrderID": "77", "OrderType": "2", "BuySell": "1"}
        self.ask(client, Type=208, Price1="270000.0", Quantity="2", **order)
        found = self.simulator.order("77")
        self.assertEqual((found.price1, found.quantity, found.type), (270000, 2, dtc.OrderTypeEnum.ORDER_TYPE_LIMIT))

    def test_split(self) -> None:
        client = self.log_on()
        self.simulator.set_frame_size(7)
        self.assertEqual(len(self.ask(client, Type=400, RequestID=1)), 2)
        self.assertEqual(max(map(len, client.frames)), 7)
        self.simulator.set_frame_size(None)
        self.ask(client, Type=400, RequestID=1)
        self.assertEqual(len(client.frames), 2)

    def test_raw_bytes_go_out_as_text(self) -> None:
        client = self.log_on()
        client.take()
        self.simulator.set_frame_size(1)
        data = b"\xe9\xff no UTF-8 \0{"
        self.simulator.send_raw(data)
        self.flush()
        self.assertEqual((client.frames, client.opcodes[-1]), ([data], Opcode.TEXT))

    def test_integers_are_read_as_signed_32_bit(self) -> None:
        client = self.log_on()
        (snapshot,) = self.ask(client, Type=101, RequestAction=1, SymbolID=2380550405, Symbol=CL)
        self.assertEqual(snapshot["F"][0], INT_MAX)
        self.assertEqual(getattr(self.simulator.received[-1], "SymbolID", None), 2380550405)

    def test_floats_are_widened(self) -> None:
        client = self.log_on()
        (definition,) = self.ask(client, Type=506, RequestID=1, Symbol=ES)
        self.assertEqual(definition["DisplayPriceMultiplier"], 0.009999999776482582)

    def test_symbol_id_first(self) -> None:
        client = self.log_on()
        trade = dtc.MarketDataUpdateTradeCompact(Price=7, Volume=2, DateTime=3, SymbolID=4, AtBidOrAsk=BID)
        quote = dtc.MarketDataUpdateBidAskCompact(
            BidPrice=1, BidQuantity=2, AskPrice=3, AskQuantity=4, DateTime=5, SymbolID=6
        )
        orders = {False: ([7, 2, 3, 4, 1], [1, 2, 3, 4, 5, 6]), True: ([4, 7, 2, 3, 1], [6, 1, 2, 3, 4, 5])}
        for first, expected in orders.items():
            client.take()
            self.simulator.settings.symbol_id_first = first
            self.simulator.send(trade)
            self.simulator.send(quote)
            self.assertEqual(tuple(message["F"] for message in self.messages_to(client)), expected)


class ScriptTests(Case):
    def test_reject_next(self) -> None:
        client = self.log_on()
        for fields, kind in (
            ({"Type": 101, "RequestAction": 1, "SymbolID": 5, "Symbol": ES}, 103),
            ({"Type": 102, "RequestAction": 1, "SymbolID": 5, "Symbol": ES}, 121),
            ({"Type": 300}, 302),
            ({"Type": 303, "TradeAccount": "Sim1", "NumberOfDays": 1}, 308),
            ({"Type": 305}, 307),
            ({"Type": 502, "Exchange": "CME"}, 509),
            ({"Type": 601}, 602),
            ({"Type": 603, "TradeAccount": "Sim1"}, 604),
            ({"Type": 704}, 705),
            ({"Type": 10100, "TradeAccount": "Sim1"}, 10101),
        ):
            self.simulator.reject_next(dtc.MESSAGES[int(str(fields["Type"]))], "because")
            (refused,) = self.ask(client, RequestID=9, **fields)
            self.assertEqual((refused["Type"], refused["RejectText"]), (kind, "because"))
            self.assertEqual(refused.get("RequestID", refused.get("SymbolID")), 5 if "SymbolID" in fields else 9)
            self.assertNotEqual([m["Type"] for m in self.ask(client, RequestID=9, **fields)], [kind], "only the next")

    def test_reject_without_a_reject_is_no_answer(self) -> None:
        client = self.log_on()
        self.simulator.reject_next(dtc.TradeAccountsRequest, "because")
        self.assertEqual(self.ask(client, Type=400, RequestID=1), [])

    def test_ignore_next(self) -> None:
        client = self.log_on()
        self.simulator.ignore_next(dtc.TradeAccountsRequest)
        self.assertEqual(self.ask(client, Type=400, RequestID=1), [])
        self.assertEqual(len(self.ask(client, Type=400, RequestID=2)), 2)

    def test_hold_next(self) -> None:
        client = self.log_on()
        held = self.simulator.hold_next(dtc.TradeAccountsRequest)
        self.assertEqual(self.ask(client, Type=400, RequestID=1), [])
        self.assertEqual({message["RequestID"] for message in self.ask(client, Type=400, RequestID=2)}, {2})
        client.take()
        held.release()
        self.assertEqual({message["RequestID"] for message in self.messages_to(client)}, {1})
        held.release()
        self.assertEqual(self.messages_to(client), [])

    def test_a_held_logon_of_a_lost_client(self) -> None:
        held = self.simulator.hold_next(dtc.LogonRequest)
        self.log_on(HeartbeatIntervalInSeconds=10)
        self.simulator.drop()
        self.flush()
        held.release()  # tearDown: no heartbeat is left

    def test_send_reaches_those_logged_on(self) -> None:
        inside, outside = self.log_on(), self.dial()
        inside.take()
        self.simulator.feed_status(False)
        self.simulator.feed_status(True)
        self.assertEqual([message["Status"] for message in self.messages_to(inside)], [1, 2])
        self.assertEqual(self.messages_to(outside), [])


class MarketDataTests(Case):
    def test_snapshot_then_updates_for_the_subscriber_only(self) -> None:
        client, other = self.log_on(), self.log_on()
        other.take()
        (snapshot,) = self.ask(client, Type=101, RequestAction=1, SymbolID=7, Symbol=ES)
        self.assertEqual((snapshot["Type"], snapshot["F"][:4]), (104, [7, 282950, 277700, 283500]))
        client.take()
        self.simulator.trade(ES, 282825, 3, 2)
        self.assertEqual(self.messages_to(client), [{"Type": 107, "F": [7, 2, 282825, 3, EPOCH + 3600.5]}])
        self.assertEqual(self.messages_to(other), [])

    def test_unset_fields_of_a_snapshot(self) -> None:
        (snapshot,) = self.ask(self.log_on(), Type=101, RequestAction=3, SymbolID=7, Symbol=EURUSD)
        self.assertEqual((snapshot["F"][1], snapshot["F"][7]), (DBL_MAX, UINT_MAX))
        self.assertEqual(snapshot["F"][8], 1.08255)

    def test_snapshot_action_does_not_subscribe(self) -> None:
        client = self.log_on()
        self.subscribe(client, RequestAction=3)
        self.simulator.trade(ES, 282825, 3, 2)
        self.assertEqual(self.messages_to(client), [])

    def test_unsubscribe_is_not_answered(self) -> None:
        client = self.log_on()
        self.subscribe(client)
        self.assertEqual(self.ask(client, Type=101, RequestAction=2, SymbolID=1, Symbol=ES), [])
        self.simulator.trade(ES, 282825, 3, 2)
        self.assertEqual(self.messages_to(client), [])

    def test_rejects(self) -> None:
        client = self.log_on()
        for kind, reject in ((101, 103), (102, 121)):
            for symbol, word in (("", "not set"), ("XX", "XX"), (RESTRICTED, "not permitted")):
                (refused,) = self.ask(client, Type=kind, RequestAction=1, SymbolID=7, Symbol=symbol)
                self.assertEqual((refused["Type"], refused["SymbolID"]), (reject, 7))
                self.assertIn(word, refused["RejectText"])
                self.assertLess(len(refused["RejectText"]), dtc.TEXT_DESCRIPTION_LENGTH)

    def test_types_follow_the_logon(self) -> None:
        now = EPOCH + 3600.5
        for flag, types in (
            (0, [107, 108]),
            (0x4, [137, 108]),
            (0x80000, [146, 108]),
            (0x80004, [146, 108]),
            (0x100000, [107, 144]),
        ):
            client = self.log_on(Integer_1=flag)
            self.subscribe(client, EURUSD)
            self.simulator.trade(EURUSD, 1.0826, 3, 2)
            self.simulator.quote(EURUSD, 1.0825, 5, 1.0826, 6)
            trade, quote = self.messages_to(client)
            self.assertEqual([trade["Type"], quote["Type"]], types)
            if trade["Type"] == 146:
                self.assertEqual((trade["DateTime"], trade["Price"]), (int(now * 1e6), as_float32(1.0826)))
                self.assertNotEqual(trade["Price"], 1.0826)
            if quote["Type"] == 144:
                self.assertEqual((quote["DateTime"], quote["BidPrice"]), (int(now * 1e6), as_float32(1.0825)))

    def test_compact_updates(self) -> None:
        self.simulator.settings.compact_updates = True
        client = self.log_on()
        self.subscribe(client)
        self.simulator.trade(ES, 282825, 3, 2)
        self.simulator.quote(ES, 282825, 5, 282850, 6)
        self.assertEqual([message["Type"] for message in self.messages_to(client)], [112, 117])

    def test_session_high_and_low(self) -> None:
        client = self.log_on()
        self.subscribe(client)
        self.simulator.trade(ES, 283525, 1, 2)
        self.simulator.trade(ES, 283525, 1, 2)
        self.simulator.trade(ES, 275500, 1, 1)
        self.simulator.trade(ES, 275500, 1, 1)
        received = [
            (message["Type"], message["F"][1]) for message in self.messages_to(client) if message["Type"] in (114, 115)
        ]
        self.assertEqual(received, [(114, 283525), (115, 275500)])

    def test_totals_now_and_then(self) -> None:
        client = self.log_on()
        self.subscribe(client)
        for _ in range(400):
            self.simulator.trade(ES, 282800, 1, 1)
        received = self.messages_to(client)
        counts = {kind: sum(message["Type"] == kind for message in received) for kind in (113, 124, 135)}
        self.assertEqual(counts, {113: 20, 124: 2, 135: 20})
        last = [message for message in received if message["Type"] == 113][-1]["F"]
        self.assertLessEqual(INSTRUMENTS[0].volume + 380, last[1])

    def test_scripted_quote_that_crosses(self) -> None:
        with self.assertRaises(ValueError):
            self.simulator.quote(ES, 282825, 1, 282825, 1)
        with self.assertRaises(KeyError):
            self.simulator.quote("XX", 1, 1, 2, 1)

    def test_security_definition_by_itself(self) -> None:
        self.simulator.settings.auto_send_security_definition = True
        definition, snapshot = self.ask(self.log_on(), Type=101, RequestAction=1, SymbolID=7, Symbol=ES)
        self.assertEqual((definition["Type"], definition["RequestID"], snapshot["Type"]), (507, 110000000, 104))


class MarketTests(Case):
    @slow
    def test_rate(self) -> None:
        for rate, step, updates in ((20.0, 0.05, 200), (1000.0, 0.01, 10000)):
            changes: list[Any] = []
            market = Market(self.clock, rate=rate, on_events=changes.extend)
            market.start()
            self.advance(10, step=step)
            market.stop()
            self.assertLessEqual(abs(len(changes) - updates), updates / 100 + 1)

    def test_a_process_that_slept_catches_up_on_a_second(self) -> None:
        changes: list[Any] = []
        market = Market(self.clock, rate=100, on_events=changes.extend)
        market.start()
        self.advance(3600)
        market.stop()
        self.assertEqual(len(changes), 100)

    def test_one_frame_for_all_of_a_call(self) -> None:
        self.simulator = self.make(rate=20000)
        self.simulator.set_nul_terminator(True)
        client = self.log_on()
        for symbol_id, symbol in enumerate((ES, CL, EURUSD, BTC), 1):
            self.subscribe(client, symbol, symbol_id)
        self.simulator.start_market()
        self.advance(0.0101)
        self.assertEqual(len(client.frames), 1)
        self.assertGreater(len(client.messages), 150)

    @slow
    def test_same_seed_same_messages(self) -> None:
        def run(seed: int) -> list[bytes]:
            self.simulator = self.make(seed=seed)
            started = self.clock.seconds()
            client = self.log_on()
            for symbol_id, symbol in enumerate((ES, CL, EURUSD, BTC), 1):
                for kind in (101, 102):
                    self.subscribe(client, symbol, symbol_id, kind)
            self.simulator.start_market()
            self.advance(20, step=0.05)
            self.simulator.stop_market()
            self.simulator.drop()
            self.flush()
            self.clock.rightNow = started
            return client.frames

        first = run(3)
        self.assertGreater(len(first), 300)
        self.assertEqual(first, run(3))
        self.assertNotEqual(first, run(4))

    def test_positions_and_balances_change_unasked(self) -> None:
        client = self.log_on()
        client.take()
        self.simulator.start_market()
        self.advance(12, step=0.05)
        received = client.take()
        self.assertEqual({message["Type"] for message in received}, {306, 600})
        self.assertEqual({(message["RequestID"], message["Unsolicited"]) for message in received}, {(0, 1)})
        self.assertEqual(sum(message["Type"] == 600 for message in received), 2)
        self.simulator.stop_market()
        self.advance(12)
        self.assertEqual(client.take(), [])

    @slow
    def test_prices_stay_positive(self) -> None:
        market = Market(self.clock, instruments=INSTRUMENTS[:1])
        (ticker,) = market.tickers.values()
        ticker.bid = ticker.last = ticker.low = FLOOR
        ticker.ask = FLOOR + 1
        self.assertEqual(min(market.step()[0].bid for _ in range(20000)), FLOOR)

    @slow
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 2**32), st.integers(1, 3000))
    def test_books_never_cross_and_prices_are_whole_ticks(self, seed: int, steps: int) -> None:
        market = Market(Clock(), seed=seed)
        for _ in range(steps):
            ticker, events = market.step()
            price = ticker.instrument.price
            self.assertLess(ticker.bid, ticker.ask)
            self.assertGreater(ticker.bid, LEVELS)
            self.assertEqual((len(ticker.bids), len(ticker.asks)), (LEVELS, LEVELS))
            self.assertGreater(min(ticker.bids + ticker.asks), 0)
            self.assertTrue(ticker.low <= ticker.last <= ticker.high)
            for event in events:
                match event:
                    case Trade(at_price, volume, at):
                        self.assertGreater(volume, 0)
                        self.assertIn(at, (BID, ASK))
                        prices = [at_price]
                    case Quote(bid, _, ask, _):
                        prices = [bid, ask]
                    case BookLevel():
                        prices = [event.price]
                    case _:
                        continue
                for each in prices:
                    self.assertEqual(each, price(ticker.instrument.ticks(each)))


class AccountTests(Case):
    def numbers(self, answer: list[dict[str, Any]], total: str = "TotalNumberMessages") -> None:
        self.assertEqual([message["MessageNumber"] for message in answer], list(range(1, len(answer) + 1)))
        self.assertEqual({message[total] for message in answer}, {len(answer)})
        self.assertEqual({message["RequestID"] for message in answer}, {4})

    def test_accounts(self) -> None:
        answer = self.ask(self.log_on(), Type=400, RequestID=4)
        self.assertEqual([message["TradeAccount"] for message in answer], ["Sim1", "Sim2"])
        self.numbers(answer)

    def test_balance(self) -> None:
        client = self.log_on()
        for fields, names in (({}, ["Sim1", "Sim2"]), ({"TradeAccount": "Sim2"}, ["Sim2"])):
            answer = self.ask(client, Type=601, RequestID=4, **fields)
            self.numbers(answer)
            self.assertEqual([balance["TradeAccount"] for balance in answer], names)
            self.assertEqual({(each["AccountCurrency"], each["NoAccountBalances"]) for each in answer}, {("USD", 0)})
        busy = self.ask(client, Type=601, RequestID=4)[0]
        self.assertEqual(busy["OpenPositionsProfitLoss"], 27 * 12.5 * 2 + 17 * 10)

    def test_historical_balances(self) -> None:
        client = self.log_on()
        answer = self.ask(client, Type=603, RequestID=4, TradeAccount="Sim1")
        times = [message["DateTime"] for message in answer]
        self.assertEqual((len(answer), times), (30, sorted(times)))
        self.assertEqual([message["IsFinalResponse"] for message in answer], [0] * 29 + [1])
        since = self.ask(client, Type=603, RequestID=4, TradeAccount="Sim1", StartDateTime=EPOCH - 4 * DAY)
        self.assertEqual(since, answer[-5:])

    def test_positions(self) -> None:
        client = self.log_on()
        answer = self.ask(client, Type=305, RequestID=4)
        self.numbers(answer)
        self.assertEqual([(message["Symbol"], message["Quantity"]) for message in answer], [(ES, 2), (CL, -1)])
        self.assertEqual(answer[0]["OpenProfitLoss"], 27 * 12.5 * 2)
        self.simulator.trade(ES, 282825, 1, 2)
        self.assertEqual(self.ask(client, Type=305, RequestID=4)[0]["OpenProfitLoss"], 28 * 12.5 * 2)

    def test_open_orders(self) -> None:
        client = self.log_on()
        answer = self.ask(client, Type=300, RequestID=4)
        self.numbers(answer, "TotalNumMessages")
        self.assertEqual({message["OrderUpdateReason"] for message in answer}, {1})
        for name in ("AverageFillPrice", "LastFillPrice", "LastFillDateTime", "LastFillQuantity"):
            self.assertEqual({message[name] for message in answer}, {None}, name)
        self.assertEqual([message["Price2"] for message in answer], [DBL_MAX, DBL_MAX, 1795, DBL_MAX, DBL_MAX])
        (one,) = self.ask(client, Type=300, RequestID=4, RequestAllOrders=0, ServerOrderID="1002")
        self.assertEqual((one["ServerOrderID"], one["TotalNumMessages"]), ("1002", 1))
        (none,) = self.ask(client, Type=300, RequestID=4, RequestAllOrders=0, ServerOrderID="1", TradeAccount="Sim1")
        self.assertEqual((none["NoOrders"], none["TotalNumMessages"], none["MessageNumber"]), (1, 1, 1))
        of_one = self.ask(client, Type=300, RequestID=4, TradeAccount="Sim1")
        self.assertEqual(of_one, answer)

    def test_fills(self) -> None:
        client = self.log_on()
        answer = self.ask(client, Type=303, RequestID=4, TradeAccount="Sim1", NumberOfDays=30)
        self.numbers(answer)
        self.assertEqual(len(answer), 14)
        since = self.ask(client, Type=303, RequestID=4, TradeAccount="Sim1", StartDateTime=answer[8]["DateTime"])
        self.assertEqual([m["ServerOrderID"] for m in since], [m["ServerOrderID"] for m in answer[8:]])
        (one,) = self.ask(client, Type=303, RequestID=4, TradeAccount="Sim1", NumberOfDays=30, ServerOrderID="903")
        self.assertEqual(one["ServerOrderID"], "903")

    def test_trades(self) -> None:
        client = self.log_on()
        answer = self.ask(client, Type=10100, RequestID=4, TradeAccount="Sim1")
        self.assertEqual([message["IsFinalMessage"] for message in answer], [0] * 55 + [1])
        self.assertEqual({message["RequestID"] for message in answer}, {4})
        entries = [message["EntryDateTime"] for message in answer]
        self.assertEqual(entries, sorted(entries))
        self.assertEqual({message["TradeType"] for message in answer}, {1, 2})
        for trade in answer:
            self.assertLess(trade["EntryDateTime"], trade["ExitDateTime"])
            gained = (trade["ExitPrice"] - trade["EntryPrice"]) * (1 if trade["TradeType"] == 1 else -1)
            profit = trade["ClosedProfitLoss"]
            self.assertEqual((gained > 0, gained < 0), (profit > 0, profit < 0))
            self.assertLessEqual(trade["MaximumOpenPositionLoss"], trade["ClosedProfitLoss"])
            self.assertGreaterEqual(trade["MaximumOpenPositionProfit"], trade["ClosedProfitLoss"])
        only = self.ask(client, Type=10100, RequestID=4, TradeAccount="Sim1", Symbol=CL)
        self.assertEqual({message["Symbol"] for message in only}, {CL})
        self.assertEqual(only[-1]["IsFinalMessage"], 1)
        since = int(answer[40]["EntryDateTime"])
        later = self.ask(client, Type=10100, RequestID=4, TradeAccount="Sim1", StartDateTime=since)
        self.assertEqual(later, answer[40:])
        both = self.ask(client, Type=10100, RequestID=4, TradeAccount="Sim1", StartDateTime=since, Symbol=EURUSD)
        self.assertEqual([each | {"IsFinalMessage": 0} for each in both], [e for e in later if e["Symbol"] == EURUSD])
        (none,) = self.ask(client, Type=10100, RequestID=4, TradeAccount="Sim1", StartDateTime=EPOCH + 10 * DAY)
        self.assertEqual(none, {"Type": 10102, "RequestID": 4, "IsFinalMessage": 1})

    def test_journal(self) -> None:
        client = self.log_on()
        answer = self.ask(client, Type=704, RequestID=4)
        self.assertGreater(len(answer), 50)
        self.assertEqual([message["IsFinalResponse"] for message in answer], [0] * (len(answer) - 1) + [1])
        self.assertTrue(all("RequestID" not in message and message["JournalEntry"] for message in answer))
        times = [message["DateTime"] for message in answer]
        self.assertEqual(times, sorted(times))
        self.assertEqual(self.ask(client, Type=704, RequestID=4, StartDateTime=times[30]), answer[30:])
        (none,) = self.ask(client, Type=704, RequestID=4, StartDateTime=EPOCH + 1)
        self.assertEqual((none["JournalEntry"], none["IsFinalResponse"]), ("", 1))

    def test_a_journal_entry_is_added(self) -> None:
        client = self.log_on()
        self.assertEqual(self.ask(client, Type=703, JournalEntry="now"), [])
        self.ask(client, Type=703, JournalEntry="new", DateTime=EPOCH)
        self.ask(client, Type=703, JournalEntry="x" * 300, DateTime=EPOCH + 1)
        answer = self.ask(client, Type=704, RequestID=4, StartDateTime=EPOCH)
        self.assertEqual(
            [(entry["JournalEntry"], entry["DateTime"], entry["IsFinalResponse"]) for entry in answer],
            [("new", EPOCH, 0), ("x" * 255, EPOCH + 1, 0), ("now", EPOCH + 3600, 1)],
        )

    def test_the_quiet_account_gives_empty_answers(self) -> None:
        client = self.log_on()
        self.simulator.accounts.accounts["Sim2"].cash = None
        for fields, empty in (
            ({"Type": 601}, {"NoAccountBalances": 1, "TotalNumberMessages": 1, "MessageNumber": 1}),
            ({"Type": 603}, {"NoAccountBalances": 1, "IsFinalResponse": 1}),
            ({"Type": 300}, {"NoOrders": 1, "TotalNumMessages": 1, "MessageNumber": 1}),
            ({"Type": 303, "NumberOfDays": 5}, {"NoOrderFills": 1, "TotalNumberMessages": 1, "MessageNumber": 1}),
            ({"Type": 305}, {"NoPositions": 1, "TotalNumberMessages": 1, "MessageNumber": 1}),
            ({"Type": 10100}, {"IsFinalMessage": 1}),
        ):
            (answer,) = self.ask(client, RequestID=4, TradeAccount="Sim2", **fields)
            self.assertEqual(answer, answer | empty | {"RequestID": 4})
            self.assertNotIn("Symbol", answer)

    def test_refused(self) -> None:
        client = self.log_on()
        for fields, kind, why in (
            ({"Type": 303, "NumberOfDays": 1}, 308, "TradeAccount is not set"),
            ({"Type": 303, "TradeAccount": "Sim1"}, 308, "NumberOfDays"),
            ({"Type": 603}, 604, "TradeAccount is not set"),
            ({"Type": 10100}, 10101, "TradeAccount is not set"),
            ({"Type": 300, "TradeAccount": "XX"}, 302, "XX"),
            ({"Type": 303, "TradeAccount": "XX", "NumberOfDays": 1}, 308, "XX"),
            ({"Type": 305, "TradeAccount": "XX"}, 307, "XX"),
            ({"Type": 601, "TradeAccount": "XX"}, 602, "XX"),
            ({"Type": 603, "TradeAccount": "XX"}, 604, "XX"),
        ):
            (refused,) = self.ask(client, RequestID=4, **fields)
            self.assertEqual((refused["Type"], refused["RequestID"]), (kind, 4))
            self.assertIn(why, refused["RejectText"])

    def test_orders_are_refused(self) -> None:
        (refused,) = self.ask(self.log_on(), Type=208, Symbol=ES, ClientOrderID="c1", Quantity=1)
        self.assertEqual(
            (refused["Type"], refused["ClientOrderID"], refused["OrderUpdateReason"], refused["OrderStatus"]),
            (301, "c1", 8, 9),
        )
