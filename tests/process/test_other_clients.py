"""Clients of other people's manners against `twistd dtc-sim` as it starts by default.

All end what they send with NUL, as Sierra Chart's server demands. None expects NUL in what it receives.
"""

import base64
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.process.test_twistd import ES, PATIENCE, Simulator
from tests.support import slow

reactor: Any = installed

LOGON = {"Type": 1, "ProtocolVersion": 8, "HeartbeatIntervalInSeconds": 10, "ClientName": "other", "TradeMode": 2}


def encoded(message: dict[str, Any]) -> str:
    return json.dumps(message) + "\0"


class WholeTextClient:
    """A client on a bare socket. Each WebSocket message is one JSON text, and is parsed as it is."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._file = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b"101" in self._file.readline()
        while self._file.readline().strip():
            pass

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def send(self, message: dict[str, Any]) -> None:
        text, mask = encoded(message).encode(), os.urandom(4)
        length = bytes((0x80 | len(text),)) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        masked = bytes(each ^ mask[at % 4] for at, each in enumerate(text))
        self._socket.sendall(b"\x81" + length + mask + masked)

    def receive(self) -> Iterator[dict[str, Any]]:
        """Yield the messages. Fails on anything that is not one whole JSON text."""
        while True:
            first, second = self._file.read(2)
            length = second & 0x7F
            if length > 125:
                length = int.from_bytes(self._file.read(2 if length == 126 else 8), "big")
            payload = self._file.read(length)
            if first & 0x0F == 1:
                assert first & 0x80, "a message in fragments"
                yield json.loads(payload.decode("utf-8"))


def receive_until(messages: Iterator[dict[str, Any]], wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Return the messages up to the first one that is wanted."""
    found = []
    for message in messages:
        found.append(message)
        if wanted(message):
            return found
    raise AssertionError(f"not received: {[each['Type'] for each in found]}")


def texts(client: Any) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each message of a client of the package websockets."""
    while True:
        text = client.recv(timeout=PATIENCE)
        assert isinstance(text, str), "a binary message"
        yield json.loads(text)


class AncestorProtocol(WebSocketClientProtocol):
    """A client as the ancestor had: on Autobahn, one request after the other, numbers as texts."""

    factory: Any

    REQUESTS = (
        ({"Type": "601", "RequestID": "1", "TradeAccount": ""}, 600),
        ({"Type": "303", "RequestID": "2", "NumberOfDays": "7", "TradeAccount": "Sim1"}, 304),
        ({"Type": "305", "RequestID": "3", "TradeAccount": "Sim1"}, 306),
        ({"Type": "400", "RequestID": "4"}, 401),
        ({"Type": "506", "RequestID": "5", "Symbol": ES, "Exchange": ""}, 507),
    )

    def onOpen(self) -> None:
        self._waiting = list(self.REQUESTS)
        self._post(LOGON | {"ProtocolVersion": "8", "HeartbeatIntervalInSeconds": "10"})

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        try:
            message = json.loads(payload)
        except ValueError as error:
            self._finish(error)
            return
        if message["Type"] == 2:
            self._next()
        elif self._waiting and message["Type"] == self._waiting[0][1] and message.get("RequestID"):
            self.factory.answers.append(message)
            if message.get("MessageNumber", 1) == message.get("TotalNumberMessages", 1):
                self._waiting.pop(0)
                self._next()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        # only now: the timers of a connection that is closing still run
        self._finish(ConnectionError(reason) if self._waiting else None)

    def _next(self) -> None:
        if self._waiting:
            self._post(self._waiting[0][0])
        else:
            self.sendClose()

    def _post(self, message: dict[str, Any]) -> None:
        self.sendMessage(encoded(message).encode())

    def _finish(self, error: Exception | None) -> None:
        done, self.factory.done = self.factory.done, None
        if done is not None:
            done.callback(None) if error is None else done.errback(error)


@slow
class OtherClientTests(TestCase):
    timeout = 60

    @inlineCallbacks
    def setUp(self) -> Any:  # type: ignore[override]
        self.simulator = yield deferToThread(Simulator)
        self.addCleanup(deferToThread, self.simulator.stop)
        self.port = int(self.simulator.port)
        self.url = f"ws://127.0.0.1:{self.port}/"

    def test_whole_message_is_one_json_text(self) -> Any:
        return deferToThread(self.whole_message_is_one_json_text)

    def whole_message_is_one_json_text(self) -> None:
        with closing(WholeTextClient(self.port)) as client:
            client.send(LOGON)
            messages = client.receive()
            receive_until(messages, lambda message: message["Type"] == 2 and message["Result"] == 1)
            client.send({"Type": 101, "RequestAction": 1, "SymbolID": 5, "Symbol": ES, "Exchange": ""})
            found = receive_until(messages, lambda message: message["Type"] in (104, 107, 108) and "F" in message)
            self.assertTrue(found)
            client.send({"Type": 102, "RequestAction": 1, "SymbolID": 6, "Symbol": ES, "NumLevels": 5})
            receive_until(messages, lambda message: message["Type"] == 122 or message["Type"] == 145)

    def test_numbers_as_texts(self) -> Any:
        return deferToThread(self.numbers_as_texts)

    def numbers_as_texts(self) -> None:
        with connect(self.url) as client:
            client.send(encoded({name: str(value) for name, value in LOGON.items()}))
            messages = texts(client)
            receive_until(messages, lambda message: message["Type"] == 2 and message["Result"] == 1)
            client.send(encoded({"Type": "303", "RequestID": "9", "NumberOfDays": "7", "TradeAccount": "Sim1"}))
            answer = receive_until(messages, lambda message: message["Type"] == 304)[-1]
            self.assertEqual(answer["RequestID"], 9)
            client.send(encoded({"Type": "101", "RequestAction": "1", "SymbolID": "3", "Symbol": ES}))
            receive_until(messages, lambda message: message["Type"] == 104)

    def test_heartbeats_of_its_own(self) -> Any:
        return deferToThread(self.heartbeats_of_its_own)

    def heartbeats_of_its_own(self) -> None:
        """Send heartbeats on a timer of the client, and fail when those of the server stop."""
        with connect(self.url, ping_interval=None) as client:
            client.send(encoded(LOGON | {"HeartbeatIntervalInSeconds": 1}))
            messages, beats = texts(client), 0
            end = time.monotonic() + 6
            while time.monotonic() < end:
                client.send(encoded({"Type": 3, "NumDroppedMessages": 0, "CurrentDateTime": int(time.time())}))
                receive_until(messages, lambda message: message["Type"] == 3)
                beats += 1
            self.assertTrue(4 <= beats <= 12, beats)

    def test_browser(self) -> Any:
        return deferToThread(self.browser)

    def browser(self) -> None:
        """Send an origin, offer compression, and take only text messages with numbers up to 2**53."""
        headers = {"User-Agent": "Mozilla/5.0", "Cache-Control": "no-cache", "Accept-Language": "en"}
        offer = [ClientPerMessageDeflateFactory(client_max_window_bits=True)]
        with connect(
            self.url,
            origin=Origin("http://localhost:3000"),
            extensions=offer,
            additional_headers=headers,
        ) as client:
            client.send(encoded(LOGON))
            messages = texts(client)
            receive_until(messages, lambda message: message["Type"] == 2 and message["Result"] == 1)
            client.send(encoded({"Type": 101, "RequestAction": 1, "SymbolID": 1, "Symbol": ES}))
            found = receive_until(messages, lambda message: message["Type"] == 107)
            client.send(encoded({"Type": 5, "Reason": "The page is closed."}))
        numbers = [value for message in found for value in message.values() if isinstance(value, int)]
        self.assertTrue(all(abs(value) < 2**53 for value in numbers))

    @inlineCallbacks
    def test_ancestor(self) -> Any:
        factory: Any = WebSocketClientFactory(self.url, reactor=reactor)
        factory.protocol = AncestorProtocol
        factory.noisy = False
        factory.answers = []
        done = factory.done = Deferred()
        yield HostnameEndpoint(reactor, "127.0.0.1", self.port).connect(factory)
        yield done.addTimeout(PATIENCE, reactor)
        self.assertEqual(
            list(dict.fromkeys((each["Type"], each["RequestID"]) for each in factory.answers)),
            [(600, 1), (304, 2), (306, 3), (401, 4), (507, 5)],
        )
