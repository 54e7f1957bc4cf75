"""Test /marketdata: answers, updates, and slow subscribers."""

import json
from collections import Counter, OrderedDict
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.test.iosim import FakeTransport
from twisted.trial.unittest import SynchronousTestCase
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.refusals import Refusals
from dtc_twisted.transport.websocket_frames import encode_text_frame as frame
from dtc_twisted.web import stream
from dtc_twisted.web.stream import MarketDataProtocol, SendQueue, SingleChannelFactory
from dtc_twisted.web.stream import send_queue as send_queue
from dtc_twisted.web.stream.send_queue import QUEUED_OF_SUBSCRIPTION, PreparedUpdate
from dtc_twisted.web.stream.unsent_bound import UnsentBound
from dtc_twisted.web.stream.writer import SocketWriter, TransportWriter
from tests.support import MARKETDATA, Caller, GatewayTestCase, WebSocketCaller, slow

ES = "ESM20_FUT_CME"
CL = "CLM20_FUT_NYMEX"
EXAMPLE = 'an object such as {"action": "subscribe", "symbol": "ESM20_FUT_CME"}'
UPGRADE = b"""\
GET /api/v1/marketdata HTTP/1.1\r
Host: localhost:8080\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
Sec-WebSocket-Version: 13\r
\r
"""


class TextCaller(WebSocketCaller):
    """Record messages as text, because they may be nested too deeply for `json`."""

    def dataReceived(self, data: bytes) -> None:
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.texts.append(bytes(event.data).decode())
        self._write()


class StreamCase(GatewayTestCase):
    @property
    def factory(self) -> SingleChannelFactory:
        return next(each for each in self.web_service._sockets if isinstance(each, SingleChannelFactory))

    def connect(self, *symbols: str) -> tuple[WebSocketCaller, MarketDataProtocol]:
        """Connect a subscriber. Return its end and the gateway's end."""
        before = set(self.factory.subscribers)
        caller = self.subscriber(*symbols)
        (subscriber,) = self.factory.subscribers - before
        assert isinstance(subscriber, MarketDataProtocol)
        return caller, subscriber

    def served(self) -> set[str]:
        """Return the symbols that are subscribed at the server."""
        return set(self.simulator.connections[0].data_ids)  # type: ignore[attr-defined]

    def trades(self, caller: WebSocketCaller) -> list[tuple[str, int]]:
        """Return symbol and volume of the trades since the last call."""
        return [(each["Symbol"], each["Volume"]) for each in caller.take() if each.get("Type") == 107]

    def trade(self, symbol: str, volume: int) -> None:
        self.simulator.trade(symbol, {ES: 282800, CL: 1718}[symbol], volume, 1)

    def closed_with(self, caller: WebSocketCaller) -> int | None:
        """Return the received close code."""
        return caller.close_code


class AnswerTests(StreamCase):
    def test_texts(self) -> None:
        """Byte for byte as documented."""
        caller = self.subscriber(ES)
        self.send_json(caller, {"action": "unsubscribe", "symbol": ES})
        self.send_json(caller, {"action": "unsubscribe", "symbol": ES})
        self.send_json(caller, {"action": "ping"})
        self.send_json(caller, {"action": "subscribe", "symbol": "NQM20_FUT_CME"})
        del caller.texts[1]
        self.assertEqual(
            caller.texts,
            [
                '{"action": "subscribe", "symbol": "ESM20_FUT_CME", "success": true}',
                '{"action": "unsubscribe", "symbol": "ESM20_FUT_CME", "success": true}',
                '{"action": "unsubscribe", "symbol": "ESM20_FUT_CME", "success": false, '
                '"error": "Not subscribed to ESM20_FUT_CME."}',
                '{"action": "pong"}',
                '{"action": "subscribe", "symbol": "NQM20_FUT_CME", "success": false, '
                '"error": "Data for this symbol cannot be served: not permitted by the exchange (CME Group)."}',
            ],
        )

    def test_snapshot_at_once_then_updates(self) -> None:
        first = self.subscriber(ES)
        answer, snapshot = first.take()
        self.assertEqual(answer, {"action": "subscribe", "symbol": ES, "success": True})
        self.assertEqual((snapshot["Type"], snapshot["Symbol"], snapshot["LastTradePrice"]), (104, ES, 282800))
        self.assertNotIn("F", snapshot)
        self.trade(ES, 17)
        self.flush()
        self.assertEqual(self.trades(first), [(ES, 17)])
        late = self.subscriber(ES)
        self.assertEqual(late.take()[1]["LastTradeVolume"], 17)
        self.assertEqual(len(self.sent(dtc.MarketDataRequest)), 1)

    @slow
    def test_errors(self) -> None:
        symbol = "symbol: expected a text of 1 to 63 characters."
        action = "action: expected subscribe, unsubscribe or ping."
        for request, error in (
            ({"action": "subscribe"}, symbol),
            ({"action": "subscribe", "symbol": ""}, symbol),
            ({"action": "subscribe", "symbol": "x" * 64}, symbol),
            ({"action": "subscribe", "symbol": 7}, symbol),
            ({"action": "subscribe", "symbol": None}, symbol),
            ({"action": "unsubscribe", "symbol": [ES]}, symbol),
            ({"action": "unsubscribe"}, symbol),
            (
                {"action": "subscribe", "symbol": ES, "exchange": "CME"},
                "Unknown field exchange: expected action and source and symbol.",
            ),
            (
                {"id": 5, "action": "unsubscribe", "symbol": ES},
                "Unknown field id: expected action and source and symbol.",
            ),
            ({"action": "snapshot", "symbol": ES}, action),
            ({"action": 1}, action),
            ({"action": ["subscribe"], "symbol": ES}, action),
            ({"symbol": ES}, action),
            ({"Ä": {"b": [None, True, 1.5, 10**30]}}, action),
            ({}, action),
        ):
            self.expect(json.dumps(request), {**request, "success": False, "error": error})

    @slow
    def test_errors_that_are_no_object(self) -> None:
        for text in ("[]", '["subscribe", 1]', "7", "null", '"subscribe"'):
            request = json.loads(text)
            self.expect(text, {"request": request, "success": False, "error": f"Not an object: expected {EXAMPLE}."})
        for text in ("", "hello", "{", '{"action": "ping"', '{"a": NaN}', '{"a": "\\ud800"}', "{'a': 1}", "\0", "ü"):
            self.expect(text, {"request": text, "success": False, "error": f"Not JSON: expected {EXAMPLE}."})
        self.expect("x" * 60000, {"request": "x" * 1000, "success": False, "error": f"Not JSON: expected {EXAMPLE}."})

    def expect(self, text: str, answer: Any) -> None:
        """Assert that a request has one answer, and the subscriptions stay."""
        caller = self.subscriber(CL)
        caller.take()
        caller.send_text(text)
        self.flush()
        self.assertEqual(caller.take(), [answer])
        self.trade(CL, 3)
        self.flush()
        self.assertEqual(self.trades(caller), [(CL, 3)])
        caller.leave()
        self.flush()

    def test_longest_symbol(self) -> None:
        caller = self.subscriber("x" * 63, "Ö")
        self.assertEqual([each["success"] for each in caller.take()], [False, False])
        self.assertEqual([each.Symbol for each in self.sent(dtc.MarketDataRequest)], ["x" * 63, "Ö"])

    def test_ping_with_more(self) -> None:
        """Whatever came with it comes back."""
        caller = self.subscriber()
        self.send_json(caller, {"action": "ping", "id": 5})
        self.assertEqual(caller.take(), [{"action": "pong", "id": 5}])

    def test_binary(self) -> None:
        """Read as text is: a request is answered, anything else is an error."""
        caller = self.subscriber()
        caller.send_binary(b'{"action": "ping"}')
        caller.send_binary(b"\xff\x00")
        self.flush()
        error = f"Not JSON: expected {EXAMPLE}."
        self.assertEqual(caller.take(), [{"action": "pong"}, {"request": "\ufffd\0", "success": False, "error": error}])

    def test_text_that_is_not_utf8(self) -> None:
        cases: tuple[tuple[bytes, ...], ...] = (
            (b"M\xfcnchen",),
            (b'{"action": "subscribe", "symbol": "M\xfcnchen"}',),
            (b"\xc3", b"\xb6 and then \xed\xa0\x80"),  # a surrogate, in the second fragment
            (b"\xf4\x90\x80\x80",),  # beyond U+10FFFF
            (b"ends within a character \xe2\x82",),
        )
        for pieces in cases:
            caller = self.subscriber(ES)
            caller.take()
            self.send_pieces(caller, *pieces)
            self.assertEqual((caller.take(), self.closed_with(caller), caller.lost), ([], 1007, True), pieces)
        self.assertEqual(self.factory.limits.refusals.counts["not_utf8"], len(cases))
        self.assertEqual(self.status()["symbols"], [])

    def test_text_in_pieces(self) -> None:
        """A character may be split between two fragments."""
        caller = self.subscriber()
        self.send_pieces(caller, '{"action": "ping", "id": "\u00f6'.encode()[:-1], "\u00f6".encode()[1:], b'"}')
        self.send_pieces(caller, '{"action": "ping", "id": "\u20ac"}'.encode())
        self.assertEqual(caller.take(), [{"action": "pong", "id": each} for each in ("\u00f6", "\u20ac")])

    def send_pieces(self, caller: WebSocketCaller, *pieces: bytes) -> None:
        """Send a text message of one fragment for each piece."""
        caller._ws.send_text(pieces[0], fin=len(pieces) == 1)
        for number, piece in enumerate(pieces[1:], 2):
            caller._ws.send_continuation(piece, fin=number == len(pieces))
        caller._write()
        self.flush()

    def test_close_code_is_echoed(self) -> None:
        for code, reason in ((1000, ""), (1001, "going \u00f6"), (3000, ""), (4999, "x" * 123)):
            caller = self.subscriber(ES)
            caller._ws.send_close(code, reason)
            caller._write()
            self.flush()
            close = caller._ws.close_rcvd
            self.assertEqual(close and (close.code, close.reason), (code, reason))

    @slow
    def test_nested_deeply(self) -> None:
        """Where the limit is depends on Python; there is one answer on either side of it, and nothing is lost."""
        caller = self.call(TextCaller(MARKETDATA))
        self.send_json(caller, {"action": "subscribe", "symbol": ES})
        texts = caller.texts
        for depth in (100, *range(900, 1001, 4), 3000, 5000, 8000, 12000, 30000):
            nested = "[" * depth + "]" * depth
            for text in (
                nested,
                f'{{"action": "ping", "x": {nested}}}',
                f'{{"action": "subscribe", "symbol": {nested}}}',
            ):
                texts.clear()
                caller.send_text(text)
                self.flush()
                self.assertEqual(len(texts), 1, depth)
                if depth == 30000:
                    self.assertIn(f"Nested too deeply: expected {EXAMPLE}.", json.loads(texts[0])["error"])
        texts.clear()
        self.trade(ES, 3)
        self.flush()
        self.assertIn('"Volume":3', "".join(texts))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_too_long(self) -> None:
        caller, other = self.subscriber(ES), self.subscriber(ES)
        caller.send_text(json.dumps({"action": "ping", "x": "y" * (stream.MAX_REQUEST - 100)}))
        self.flush()
        self.assertEqual(caller.take()[-1]["action"], "pong")
        caller.send_text("x" * (stream.MAX_REQUEST + 1))
        self.flush()
        self.assertEqual((self.closed_with(caller), caller.lost), (1009, True))
        self.assertEqual(len(self.factory.subscribers), 1)
        other.take()
        self.trade(ES, 1)
        self.flush()
        self.assertEqual(self.trades(other), [(ES, 1)])

    def test_a_failure_of_ours(self) -> None:
        caller = self.subscriber(ES)
        caller.take()
        self.patch(self.factory.hub, "unsubscribe", lambda symbol, consumer: 1 / 0)
        self.send_json(caller, {"action": "unsubscribe", "symbol": ES})
        (answer,) = caller.take()
        self.assertEqual((answer["success"], answer["error"]), (False, "The gateway failed; its log says why."))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.trade(ES, 1)
        self.flush()
        self.assertEqual(self.trades(caller), [(ES, 1)])


class SubscriptionTests(StreamCase):
    def test_several_subscribers_and_symbols(self) -> None:
        wants = {self.subscriber(ES): {ES}, self.subscriber(CL): {CL}, self.subscriber(ES, CL): {ES, CL}}
        for caller in wants:
            caller.take()
        bursts = [(ES, 1), (CL, 2), (ES, 3), (ES, 4), (CL, 5)]
        for symbol, volume in bursts:
            self.trade(symbol, volume)
        self.flush()
        for caller, symbols in wants.items():
            self.assertEqual(self.trades(caller), [each for each in bursts if each[0] in symbols])
        self.assertEqual(len(self.sent(dtc.MarketDataRequest)), 2)

    def test_one_upstream_subscription(self) -> None:
        callers = [self.subscriber(ES) for _ in range(5)]
        for caller in callers[:3]:
            self.send_json(caller, {"action": "unsubscribe", "symbol": ES})
        callers[3].leave()
        self.flush()
        self.assertEqual(self.served(), {ES})
        callers[4].transport.abortConnection()
        self.flush()
        self.assertEqual(self.served(), set())
        self.assertEqual([each.RequestAction for each in self.sent(dtc.MarketDataRequest)], [1, 2])

    def test_subscribe_twice(self) -> None:
        caller = self.subscriber(ES, ES)
        self.assertEqual([each.get("Type", each.get("success")) for each in caller.take()], [True, 104, True, 104])
        self.trade(ES, 1)
        self.flush()
        self.assertEqual(self.trades(caller), [(ES, 1)])
        self.send_json(caller, {"action": "unsubscribe", "symbol": ES})
        self.assertEqual(self.served(), set())

    def test_before_the_answer(self) -> None:
        """Each request has its answer, in order."""
        held = self.simulator.hold_next(dtc.MarketDataRequest)
        caller = self.subscriber(ES, ES)
        self.assertEqual(caller.take(), [])
        self.send_json(caller, {"action": "unsubscribe", "symbol": ES})
        answers = caller.take()
        self.assertEqual([each["action"] for each in answers], ["subscribe", "subscribe", "unsubscribe"])
        self.assertEqual([each["success"] for each in answers], [False, False, True])
        held.release()
        self.flush()
        self.assertEqual(caller.take(), [])

    def test_the_server_does_not_answer(self) -> None:
        held = self.simulator.hold_next(dtc.MarketDataRequest)
        caller = self.subscriber(ES)
        self.advance(4.5)
        self.assertEqual(caller.take(), [])
        self.advance(0.5)
        answer, event = caller.take()
        self.assertIs(answer["success"], True)
        self.assertEqual(event, {"event": "stale", "symbol": ES, "reason": "the server did not answer within 5 s"})
        held.release()
        self.flush()
        live, snapshot = caller.take()
        self.assertEqual(live, {"event": "live", "symbol": ES})
        self.assertEqual(snapshot["Type"], 104)

    def test_refused_after_a_reconnect(self) -> None:
        caller = self.subscriber(ES)
        caller.take()
        self.simulator.reject_next(dtc.MarketDataRequest, "Expired.")
        self.simulator.drop()
        self.advance(3)
        stale, ended = caller.take()
        self.assertEqual((stale["event"], stale["symbol"]), ("stale", ES))
        self.assertEqual(ended, {"event": "ended", "symbol": ES, "error": "Expired."})

    def test_leaving_in_the_middle_of_a_burst(self) -> None:
        callers = [self.subscriber(ES, CL) for _ in range(6)]
        for caller in callers:
            caller.take()
        for volume in range(1, 31):
            self.trade(ES, volume)
            if volume % 10 == 0:  # one says goodbye, one just goes
                callers.pop().leave()
                callers.pop(0).transport.abortConnection()
            if volume % 3 == 0:
                self.flush()
            if len(callers) == 2:
                break
        self.trade(CL, 99)
        self.flush()
        for caller in callers:
            self.assertEqual(self.trades(caller), [*((ES, i) for i in range(1, volume + 1)), (CL, 99)])
        self.assertEqual(len(self.factory.subscribers), 2)

    def test_no_subscribers_left(self) -> None:
        held = self.simulator.hold_next(dtc.MarketDataRequest)
        caller = self.subscriber(ES)
        caller.transport.abortConnection()
        self.flush()
        held.release()
        self.advance(6)
        self.assertEqual(self.status()["symbols"], [])
        self.assertEqual(len(self.factory.subscribers), 0)


class ConnectionTests(StreamCase):
    def test_options_of_the_socket(self) -> None:
        calls: list[tuple[str, bool]] = []
        for name in ("setTcpNoDelay", "setTcpKeepAlive"):
            self.patch(FakeTransport, name, lambda transport, enabled, name=name: calls.append((name, enabled)))
        caller = self.call(Caller())
        calls.clear()  # of HTTP
        caller.transport.write(UPGRADE)
        self.flush()
        self.assertEqual(calls, [("setTcpNoDelay", True), ("setTcpKeepAlive", True)])

    def test_producer_is_handed_over(self) -> None:
        """A transport has one producer, and refuses a second one."""
        register = FakeTransport.registerProducer

        def strict(transport: FakeTransport, producer: Any, streaming: bool) -> None:
            if transport.producer is not None:
                raise RuntimeError("there is one already")
            register(transport, producer, streaming)

        self.patch(FakeTransport, "registerProducer", strict)
        caller = self.call(Caller())
        self._pumps[-1].serverIO.registerProducer(object(), True)  # as HTTP's channel does on a real transport
        caller.transport.write(UPGRADE)
        self.flush()
        (subscriber,) = self.factory.subscribers
        self.assertIs(type(subscriber.transport.producer), SocketWriter if self.fast else TransportWriter)
        self.assertEqual(subscriber.transport.streamingProducer, not self.fast)

    @slow
    def test_idle_for_an_hour(self) -> None:
        caller = self.subscriber(ES)
        caller.take()
        self.advance(3600, step=10)
        self.trade(ES, 1)
        self.flush()
        self.assertEqual((caller.lost, self.trades(caller)), (False, [(ES, 1)]))

    def test_gateway_stops(self) -> None:
        callers = [self.subscriber(ES), self.subscriber()]
        slow, subscriber = self.connect(ES)
        subscriber.transport.producer.pauseProducing()
        self.service.stopService()
        self.flush()
        for caller in (*callers, slow):
            self.assertEqual((self.closed_with(caller), caller.lost), (4001, True))
        self.assertEqual(len(self.factory.subscribers), 0)

    def test_gateway_stops_and_the_peer_does_not_notice(self) -> None:
        caller = self.call(Caller())
        caller.transport.write(UPGRADE)
        self.flush()
        self.assertIn(b" 101 ", caller.received)
        self.factory.close_all()
        self.advance(2)
        self.assertFalse(caller.lost)
        self.advance(2)
        self.assertTrue(caller.lost)
        self.assertEqual(len(self.factory.subscribers), 0)

    def test_no_requests_after_the_close(self) -> None:
        caller = self.subscriber()
        self.factory.close_all()
        self.send_json(caller, {"action": "subscribe", "symbol": ES})
        self.assertEqual(self.sent(dtc.MarketDataRequest), [])

    def test_compression_is_not_taken_up(self) -> None:
        """So that one frame suits all."""
        headers = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
        caller = self.call(WebSocketCaller(MARKETDATA, headers))
        self.assertNotIn("sec-websocket-extensions", caller.answered)
        self.send_json(caller, {"action": "ping"})
        self.assertEqual(caller.take(), [{"action": "pong"}])

    def test_handshake_that_fails(self) -> None:
        caller = self.call(Caller())
        caller.transport.write(UPGRADE.replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 1"))
        self.advance(6)
        self.assertTrue(caller.lost)
        self.assertEqual(len(self.factory.subscribers), 0)


class SlowSubscriberTests(StreamCase):
    """A subscriber does not read, beside one that reads."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.subscriber(ES)
        self.slow, self.subscriber_of_slow = self.connect(ES, CL)
        self.slow.take()
        self.other.take()
        self.subscriber_of_slow.transport.producer.pauseProducing()

    def resume(self) -> list[Any]:
        self.subscriber_of_slow.transport.producer.resumeProducing()
        self.flush()
        return self.slow.take()

    def test_latest_of_each_symbol_and_type(self) -> None:
        for volume in (1, 2, 3):
            self.simulator.send(dtc.MarketDataUpdateTrade(SymbolID=2, Price=1718, Volume=volume))
            self.simulator.send(dtc.MarketDataUpdateTrade(SymbolID=1, Price=282800, Volume=volume))
            self.simulator.send(dtc.MarketDataUpdateSessionVolume(SymbolID=1, Volume=volume))
        self.simulator.send(dtc.MarketDataUpdateTrade(SymbolID=2, Price=1718, Volume=4))
        self.flush()
        self.assertEqual(self.slow.take(), [])
        self.assertEqual([each["Volume"] for each in self.other.take()], [1, 1, 2, 2, 3, 3])
        skipped, *queued = self.resume()
        self.assertEqual(skipped, {"event": "skipped", "messages": 7})
        self.assertEqual(
            [(each["Symbol"], each["Type"], each["Volume"]) for each in queued],
            [(ES, 107, 3), (ES, 113, 3), (CL, 107, 4)],
        )
        self.trade(ES, 5)
        self.flush()
        self.assertEqual(self.trades(self.slow), [(ES, 5)])

    def test_nothing_missed(self) -> None:
        self.simulator.send(dtc.MarketDataUpdateTrade(SymbolID=1, Price=282800, Volume=1))
        self.flush()
        (message,) = self.resume()
        self.assertEqual(message["Volume"], 1)
        self.assertEqual(self.resume(), [])

    def test_answers_and_events_are_kept(self) -> None:
        self.send_json(self.slow, {"action": "ping", "id": 1})
        self.simulator.drop()
        self.advance(3)
        self.send_json(self.slow, {"action": "ping", "id": 2})
        self.send_json(self.slow, {"action": "subscribe", "symbol": "NONE"})
        kinds = [each.get("event") or each.get("Type") or each["action"] for each in self.resume()]
        self.assertEqual(kinds, ["pong", "stale", "stale", "live", 104, "live", 104, "pong", "subscribe"])

    def test_one_pong_is_enough(self) -> None:
        """What somebody who never reads can make us keep has a bound."""
        for number in range(1000):
            self.slow._ws.send_ping(b"%d" % number)
        self.slow._write()
        self.flush()
        self.assertEqual((self.resume(), self.slow.pongs), ([], [b"999"]))
        self.slow._ws.send_ping(b"again")
        self.slow._write()
        self.flush()
        self.assertEqual(self.slow.pongs, [b"999", b"again"])

    def test_unsubscribed_symbols_are_dropped(self) -> None:
        self.trade(ES, 1)
        self.trade(CL, 2)
        self.flush()
        self.send_json(self.slow, {"action": "unsubscribe", "symbol": ES})
        messages = self.resume()
        self.assertEqual({each["Symbol"] for each in messages if "Symbol" in each}, {CL})
        self.assertEqual(messages[-1], {"action": "unsubscribe", "symbol": ES, "success": True})

    def test_too_many(self) -> None:
        self.patch(send_queue, "MAX_QUEUED", 14)
        for number in range(14 + 2 * QUEUED_OF_SUBSCRIPTION):
            self.slow.send({"action": "ping", "id": number})
        self.flush()
        self.assertIsNone(self.closed_with(self.slow))
        self.expect_closed()

    def test_events_of_all_subscriptions(self) -> None:
        """A drop of the server closes nobody because of the number of symbols."""
        self.patch(send_queue, "MAX_QUEUED", 0)
        self.simulator.drop()
        self.advance(3)
        self.assertIsNone(self.closed_with(self.slow))
        kinds = [each.get("event") or each["Type"] for each in self.resume()]
        self.assertEqual(kinds, ["stale", "stale", "live", 104, "live", 104])

    @slow
    def test_too_much(self) -> None:
        self.patch(send_queue, "MAX_QUEUED_BYTES", 100_000)
        for _ in range(2):
            self.slow.send({"action": "ping", "x": "y" * 45_000})
        self.flush()
        self.assertEqual(self.factory.limits.unsent.total, self.subscriber_of_slow.outgoing.queued_bytes)
        for volume in range(1, 2000):  # replace each other, and weigh as much as one
            self.trade(ES, volume)
        self.flush()
        self.other.take()
        self.assertIsNone(self.closed_with(self.slow))
        self.slow.send({"action": "ping", "x": "y" * 10_000})
        self.expect_closed()

    def test_the_weight_is_forgotten(self) -> None:
        self.patch(send_queue, "MAX_QUEUED_BYTES", 50_000)
        for _ in range(5):
            self.subscriber_of_slow.transport.producer.pauseProducing()
            self.send_json(self.slow, {"action": "ping", "x": "y" * 45_000})
            self.assertEqual(len(self.resume()), 1)
        self.assertIsNone(self.closed_with(self.slow))

    def test_too_many_while_answers_are_awaited(self) -> None:
        """It is closed once, whatever it still waits for."""
        self.patch(send_queue, "MAX_QUEUED", 20)
        self.patch(send_queue, "QUEUED_OF_SUBSCRIPTION", 0)
        for number in range(50):
            self.simulator.ignore_next(dtc.MarketDataRequest)
            self.slow.send({"action": "subscribe", "symbol": f"S{number}"})
        for number in range(20):
            self.slow.send({"action": "ping", "id": number})
        self.flush()
        self.expect_closed()

    def test_leaves_before_the_close_is_over(self) -> None:
        self.subscriber_of_slow.close_with(4002, "too slow")
        self.assertEqual(self.factory.hub.symbols, [ES])
        self.flush()
        self.assertEqual(self.served(), {ES})

    def expect_closed(self) -> None:
        """Assert that the next message closes the slow subscriber, and no other."""
        self.slow.send({"action": "ping"})
        self.flush()
        self.assertEqual((self.closed_with(self.slow), self.slow.lost), (4002, True))
        self.assertEqual(self.log_text().count("its send queue is full"), 1)
        self.assertEqual(self.served(), {ES})
        self.trade(ES, 7)
        self.flush()
        self.assertEqual(self.trades(self.other), [(ES, 7)])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_gone_while_paused(self) -> None:
        self.trade(ES, 1)
        self.flush()
        self.slow.transport.abortConnection()
        self.flush()
        self.assertEqual(len(self.factory.subscribers), 1)
        self.assertEqual(self.served(), {ES})
        self.assertEqual(self.trades(self.other), [(ES, 1)])


class FakeWriter(TransportWriter):
    """Imitate a writer whose socket is full after `capacity` bytes."""

    def __init__(self, capacity: int, bound: UnsentBound | None = None) -> None:
        super().__init__(None)
        self.sent = b""
        self.overflow_count = 0
        self._capacity = self._free = capacity
        self.send_queue = SendQueue(self, self.overflow, bound=bound)

    def overflow(self) -> None:
        self.overflow_count += 1

    def register(self) -> None:
        """Do nothing, because there is no transport."""

    def send(self, data: bytes) -> None:
        self.sent += data
        self._free -= len(data)
        self.is_full = self._free <= 0

    def drain(self) -> bytes:
        self._free = self._capacity
        before = len(self.sent)
        self.resumeProducing()
        return self.sent[before:]


class BoundTests(SynchronousTestCase):
    """Several queues have one bound together."""

    def setUp(self) -> None:
        self.refusals = Refusals()
        self.bound = UnsentBound(self.refusals, limit=10_000)
        self.senders = [FakeWriter(1, self.bound) for _ in range(3)]
        for each in self.senders:
            each.send_queue.send_message(b"first")

    def fill(self, number: int, *sizes: int) -> None:
        for size in sizes:
            self.senders[number].send_queue.send_message(b"x" * size)

    def test_largest_is_closed(self) -> None:
        self.fill(0, 1000)
        self.fill(1, 3000, 1000)
        self.fill(2, 3000)
        self.assertEqual([each.overflow_count for each in self.senders], [0, 0, 0])
        self.fill(0, 1500)
        self.assertEqual([each.overflow_count for each in self.senders], [0, 1, 0])
        self.assertEqual(self.refusals.counts["unsent"], 1)
        self.assertEqual(self.bound.total, sum(each.send_queue.queued_bytes for each in self.senders))
        self.assertLess(self.bound.total, 6500)
        self.assertEqual(len(self.senders[0].drain() + self.senders[0].drain()), 2500 + 2 * 4)

    def test_what_is_sent_does_not_count(self) -> None:
        for _ in range(10):
            self.fill(0, 4000)
            self.fill(0, 4000)
            while self.senders[0].drain():
                pass
        self.assertEqual((self.bound.total, self.refusals.counts["unsent"]), (0, 0))

    def test_closed_queues_do_not_count(self) -> None:
        self.fill(0, 4000, 4000)
        self.senders[0].send_queue.close()
        self.assertEqual(self.bound.total, 0)
        self.fill(1, 4000, 4000)
        self.assertEqual(self.refusals.counts["unsent"], 0)
        self.assertNotIn(self.senders[0].send_queue, self.bound.queues)


class SendQueueTests(SynchronousTestCase):
    def test_full_again_in_the_middle(self) -> None:
        """Order is kept over several rounds, and by what is put in between."""
        self.patch(send_queue, "_CHUNK", 6)  # two messages of a digit
        sender = FakeWriter(9)
        for number in range(10):
            sender.send_queue.send_message(b"%d" % number, number or None)
        self.assertEqual(sender.sent, frames(b"0", b"1", b"2"))
        self.assertEqual(sender.drain(), frames(b"3", b"4", b"5", b"6"))
        sender.send_queue.send_message(b"a")
        sender.send_queue.send_message(b"b", "key")
        self.assertEqual(sender.drain() + sender.drain(), frames(b"7", b"8", b"9", b"a", b"b"))
        sender.send_queue.send_message(b"c")
        self.assertEqual(sender.sent, frames(*(b"%c" % each for each in b"0123456789abc")))

    def test_many_are_sent_in_no_time(self) -> None:
        """The cost of the send queue is linear in the number of messages."""
        sender = FakeWriter(1)
        sender.send_queue.send_message(b"first")
        many = [b"%d" % number for number in range(stream.MAX_QUEUED)]
        for each in many:
            sender.send_queue.send_message(each)
        queued = b""
        while piece := sender.drain():
            self.assertLess(len(piece), 70_000)
            queued += piece
        self.assertEqual(queued, frames(*many))

    def test_flush_sends_one_piece(self) -> None:
        sent: list[bytes] = []
        sender = FakeWriter(1000)
        self.patch(sender, "send", sent.append)
        for each in (b"a", b"b"):
            sender.send_queue.add(PreparedUpdate([frame(each)], ES, [107]))
        self.assertEqual(sent, [])
        sender.send_queue.flush()
        sender.send_queue.flush()
        self.assertEqual(sent, [frames(b"a", b"b")])

    def test_put_does_not_overtake(self) -> None:
        sender = FakeWriter(1000)
        sender.send_queue.add(PreparedUpdate([frame(b"a")], ES, [107]))
        sender.send_queue.send_message(b"b")
        self.assertEqual(sender.sent, frames(b"a", b"b"))

    def test_nothing_after_the_end(self) -> None:
        sender = FakeWriter(3)
        sender.send_queue.send_message(b"a")
        sender.send_queue.send_message(b"b")
        sender.send_queue.close()
        sender.send_queue.send_message(b"c")
        sender.send_queue.add(PreparedUpdate([frame(b"d")], ES, [107]))
        sender.send_queue.flush()
        self.assertEqual(sender.drain(), b"")
        sender.send_queue.send_message(b"e")
        sender.send_queue.add(PreparedUpdate([frame(b"f")], ES, [107]))
        sender.send_queue.flush()
        self.assertEqual(sender.sent, frames(b"a"))

    def test_later(self) -> None:
        """The late frame of a slow subscriber is made when it is sent."""
        sender = FakeWriter(3)
        sender.send_queue.send_message(b"a")
        for each in (b"b", b"c"):
            sender.send_queue.add(PreparedUpdate([frame(each)], ES, ["book"], lambda: frame(b"book")))
        sender.send_queue.add(PreparedUpdate([frame(b"d")], CL, ["book"], lambda: None))
        sender.send_queue.flush()
        skipped = frame(b'{"event": "skipped", "messages": 1}')
        self.assertEqual(sender.drain() + sender.drain(), skipped + frames(b"book"))


def frames(*payloads: bytes) -> bytes:
    return b"".join(map(frame, payloads))


class FrameTests(SynchronousTestCase):
    def test_lengths(self) -> None:
        """What another library reads is what was framed."""
        for length in (0, 1, 125, 126, 65535, 65536, 70000):
            payload = b"x" * length
            client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
            client.receive_data(frame(payload) + frame(b"next"))
            read = [bytes(each.data) for each in client.events_received() if isinstance(each, Frame)]
            self.assertEqual(read, [payload, b"next"])


class Model:
    """Model the messages that one subscriber must have received."""

    def __init__(self) -> None:
        self.wants: set[str] = set()
        self.received: list[tuple[Any, ...]] = []
        self.owed: OrderedDict[object, tuple[Any, ...]] = OrderedDict()
        self.paused = False

    def expect_message(self, *what: Any) -> None:
        if not self.paused:
            self.received.append(what)
            return
        key = what[:2] if isinstance(what[0], int) else object()
        self.owed.pop(key, None)
        self.owed[key] = what

    def forget(self, symbol: str) -> None:
        for key in [key for key, what in self.owed.items() if isinstance(what[0], int) and what[1] == symbol]:
            del self.owed[key]

    def resume(self) -> None:
        self.paused = False
        self.received += self.owed.values()
        self.owed.clear()


_WHO = st.integers(0, 3)
_SYMBOL = st.sampled_from([ES, CL])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["subscribe", "unsubscribe"]), _WHO, _SYMBOL),
        st.tuples(st.just("trade"), _SYMBOL),
        st.tuples(st.just("trade"), _SYMBOL),
        st.tuples(st.sampled_from(["pause", "resume", "leave"]), _WHO),
    ),
    max_size=40,
)


class ModelTests(StreamCase):
    @slow
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],  # see test_no_fast_paths
    )
    @given(_STEPS)
    def test_subscribers_against_a_model(self, steps: list[Any]) -> None:
        """Whoever comes, pauses and goes: each has got what it wanted, in order, and the server serves no more."""
        pumps = len(self._pumps)
        subscribers = [(*self.connect(), Model()) for _ in range(4)]
        gone: set[int] = set()
        for step in steps:
            if step[0] == "trade":
                self.play_trade(step[1], [model for i, (_, _, model) in enumerate(subscribers) if i not in gone])
            elif step[1] not in gone:
                self.play(step, *subscribers[step[1]])
                if step[0] == "leave":
                    gone.add(step[1])
        for i, (caller, subscriber, model) in enumerate(subscribers):
            if i not in gone:
                self.play(("resume", i), caller, subscriber, model)
                self.assertEqual(self.seen(caller), model.received)
        wanted = Counter(
            symbol for i, (_, _, model) in enumerate(subscribers) if i not in gone for symbol in model.wants
        )
        self.assertEqual(self.served(), set(wanted))
        self.assertEqual(set(self.factory.hub.symbols), set(wanted))
        for caller, _, _ in subscribers:
            caller.transport.abortConnection()
        self.flush()
        self.assertEqual((self.served(), len(self.factory.subscribers)), (set(), 0))
        del self._pumps[pumps:]

    def play_trade(self, symbol: str, models: list[Model]) -> None:
        self.volume = getattr(self, "volume", 0) + 1
        self.trade(symbol, self.volume)
        self.flush()
        for model in models:
            if symbol in model.wants:
                model.expect_message(107, symbol, self.volume)

    def play(self, step: Any, caller: WebSocketCaller, subscriber: MarketDataProtocol, model: Model) -> None:
        match step:
            case ("subscribe", _, symbol):
                model.wants.add(symbol)
                model.expect_message("subscribe", symbol, True)
                model.expect_message(104, symbol, self.simulator.market.tickers[symbol].last_volume)
                self.send_json(caller, {"action": "subscribe", "symbol": symbol})
            case ("unsubscribe", _, symbol):
                known = symbol in model.wants
                model.wants.discard(symbol)
                if known:
                    model.forget(symbol)
                model.expect_message("unsubscribe", symbol, known)
                self.send_json(caller, {"action": "unsubscribe", "symbol": symbol})
            case ("pause", _):
                model.paused = True
                subscriber.transport.producer.pauseProducing()
            case ("resume", _):
                model.resume()
                subscriber.transport.producer.resumeProducing()
                self.flush()
            case ("leave", _):
                caller.leave()
                self.flush()

    def seen(self, caller: WebSocketCaller) -> list[tuple[Any, ...]]:
        """Return the received messages in the form of the model."""
        seen: list[tuple[Any, ...]] = []
        for each in caller.take():
            match each:
                case {"action": action, "symbol": symbol, "success": success}:
                    seen.append((action, symbol, success))
                case {"Type": 107, "Symbol": symbol, "Volume": volume}:
                    seen.append((107, symbol, volume))
                case {"Type": 104, "Symbol": symbol, "LastTradeVolume": volume}:
                    seen.append((104, symbol, volume))
        return seen
