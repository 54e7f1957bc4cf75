"""Run the whole plugin in memory: gateway, simulator and callers on one fake reactor with a clock."""

import json
import os
import random
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from unittest import TestResult

import txaio
from treq.testing import StubTreq
from twisted.application.service import MultiService
from twisted.internet.address import IPv4Address
from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.test.iosim import ConnectionCompleter, FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri
from werkzeug.routing import Rule
from zope.interface import directlyProvides

from dtc_twisted.dtc.messages import Message
from dtc_twisted.gateway import WebService
from dtc_twisted.journal import opening
from dtc_twisted.tap import Options, makeService
from dtc_twisted.testing import ScriptedSimulator

MEMORY = "/dev/shm"
MARKETDATA = "ws://127.0.0.1:8080/api/v1/marketdata"

T = TypeVar("T")


class MemoryReactor(MemoryReactorClock):
    """A reactor in memory whose ports state the address that they listen on."""

    def _sortCalls(self) -> None:
        """Leave the delayed calls as they are. The original sorts them at each `callLater`, and after each call."""

    def due_calls(self) -> list[DelayedCall]:
        """Return the delayed calls whose time has come."""
        now = self.rightNow
        # without a method call for each: `delayed_time` is more than 0 after DelayedCall.delay or reset
        return [call for call in self.calls if call.time + call.delayed_time <= now]

    def advance(self, amount: float) -> None:
        """Advance the clock, and run the calls that are due, the earliest first."""
        self.rightNow += amount
        while due := self.due_calls():
            call = min(due, key=DelayedCall.getTime)
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        port = port or 50_000 + len(self.tcpServers)  # a free one
        listening: Any = super().listenTCP(port, factory, backlog, interface)
        if isinstance(listening.getHost(), IPv4Address):
            listening._hostAddress = IPv4Address("TCP", interface or "0.0.0.0", port)
        return listening


def write_private(path: str | Path, text: str) -> None:
    """Write a file that only its owner can read, as a token file has to be."""
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)


def slow(test: T) -> T:
    """Leave a test class or method out of the fast set, which runs when FAST_TESTS is in the environment."""
    if "FAST_TESTS" in os.environ:
        test.skip = "slow"  # type: ignore[attr-defined]
    return test


def without_fsync(case: SynchronousTestCase) -> None:
    """Leave out the flushing of files to the disk. No test has a loss of power, and each flush takes milliseconds."""
    case.patch(opening, "SYNCHRONOUS", "OFF")
    case.patch(os, "fsync", lambda descriptor: None)


class FileTestCase(SynchronousTestCase):
    """Keep the files of the tests in memory, where the system has /dev/shm.

    Each journal that is made and closed on a disk takes 8 ms more.
    """

    _folder: str | None = None
    """The folder of the files; None: there is none, or a state machine of hypothesis has made the case."""

    def run(self, result: TestResult | None = None) -> Any:
        if not os.path.isdir(MEMORY):
            return super().run(result)
        with tempfile.TemporaryDirectory(prefix="dtc-twisted-test-", dir=MEMORY) as self._folder:
            return super().run(result)

    def mktemp(self) -> str:
        """Return a path at which there is nothing yet."""
        if self._folder is None:
            return str(super().mktemp())
        return os.path.join(tempfile.mkdtemp(dir=self._folder), "temp")


_compile_builder = Rule._compile_builder
_builders: dict[Any, Any] = {}


def _compile_builder_once(rule: Rule, append_unknown: bool = True) -> Any:
    """Compile the URL builder of a route once for all gateways, because each compilation takes 0.5 ms."""
    assert not rule.defaults
    key = (*rule._trace, append_unknown)
    if key not in _builders:
        _builders[key] = _compile_builder(rule, append_unknown)
    return _builders[key]


Rule._compile_builder = _compile_builder_once  # type: ignore[assignment, method-assign]


def routes_of(resource: Any) -> set[tuple[str, str]]:
    """Return method and path of all routes of an ApiResource. HEAD is left out."""
    exact = {(method.decode(), path.decode()) for method, path in resource._exact_routes}
    patterns = {(method, rule.rule) for rule in resource._app.url_map.iter_rules() for method in rule.methods}
    return {each for each in exact | patterns if each[0] != "HEAD"}


def process_environment(**extra: str) -> dict[str, str]:
    """Return the environment of a process that a test starts.

    Coverage is not measured there, because that makes it several times slower.
    """
    left_out = ("LOG_LEVEL", "LOG_DATA", "DTC_PASSWORD", "COVERAGE_PROCESS_CONFIG")
    return {name: value for name, value in os.environ.items() if name not in left_out} | extra


class SocketTransport(FakeTransport):
    """Imitate a TCP transport with a socket, and check the order of calls.

    capacity: bytes that the socket accepts before it is full.
    """

    def __init__(self, protocol: Any, isServer: bool, hostAddress: Any = None) -> None:
        super().__init__(protocol, isServer, hostAddress)
        directlyProvides(self, IReadWriteDescriptor)
        self.capacity = sys.maxsize
        self.options: dict[int, int] = {}
        self._has_unsent = False  # what was written, and is not on its way

    def write(self, data: bytes) -> None:
        super().write(data)
        self._has_unsent = self._has_unsent or bool(data and self.stream)

    def getOutBuffer(self) -> Any:
        """Return the bytes for the other end."""
        if self._has_unsent and not self.capacity:
            return None
        data = super().getOutBuffer()
        if self._has_unsent:
            self._has_unsent = False
            if self.producer is not None and not self.streamingProducer:
                self.producer.resumeProducing()
        return data

    def _checkProducer(self) -> None:
        """Ask the producer for more when the written bytes are sent."""

    # -- the socket

    def getHandle(self) -> Any:
        return self

    def setsockopt(self, level: int, option: int, value: int) -> None:
        known = ((socket.IPPROTO_TCP, 16 * 1024), (socket.SOL_SOCKET, 256 * 1024))
        assert (level, value) in known, (level, option, value)
        self.options[option] = value

    def send(self, data: bytes) -> int:
        assert not self._has_unsent, "what is sent here overtakes what was written"
        if self.disconnecting:
            raise OSError("closed")
        if not self.capacity:
            raise BlockingIOError
        sent = min(len(data), self.capacity)
        self.capacity -= sent
        self.stream.append(data[:sent])
        return sent


class Caller(Protocol):
    """Record the data that arrives at the client's end of an HTTP connection."""

    transport: FakeTransport

    def __init__(self) -> None:
        self.received = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True


class Answer:
    """Parse an HTTP response. `headers` are by name in lower case."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class TreqAnswer(Answer):
    """Wrap a response to treq whose body is complete."""

    def __init__(self, response: Any, body: bytes) -> None:
        self.status = response.code
        self.headers = {
            name.decode().lower(): b", ".join(values).decode() for name, values in response.headers.getAllRawHeaders()
        }
        if response.length is not UNKNOWN_LENGTH:
            self.headers["content-length"] = str(response.length)
        self.body = body


class WebSocketCaller(Protocol):
    """Connect as a subscriber, with the protocol of the `websockets` library."""

    transport: FakeTransport

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self._ws = ClientProtocol(parse_uri(url), max_size=None)
        self._headers = headers or {}
        self.answered: dict[str, str] = {}
        """The headers of the answer to the handshake, their names in lower case."""
        self.messages: list[Any] = []
        """What arrived, decoded from JSON, oldest first."""
        self.texts: list[str] = []
        self.pongs: list[bytes] = []
        self.close_code: int | None = None
        self.lost = False

    def connectionMade(self) -> None:
        request = self._ws.connect()
        request.headers.update(self._headers)
        offered: Any = self._headers.get("Sec-WebSocket-Protocol", "").split(", ")
        self._ws.available_subprotocols = offered
        self._ws.send_request(request)
        self._write()

    def dataReceived(self, data: bytes) -> None:
        self._ws.receive_data(data)
        for event in self._ws.events_received():
            if isinstance(event, Response):
                self.answered = {name.lower(): value for name, value in event.headers.raw_items()}
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                text = bytes(event.data).decode()
                self.texts.append(text)
                self.messages.append(json.loads(text))
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self.pongs.append(bytes(event.data))
            elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE:
                self.close_code = int.from_bytes(bytes(event.data)[:2], "big")
        self._write()

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True

    def send(self, message: Any) -> None:
        self.send_text(json.dumps(message))

    def send_text(self, text: str) -> None:
        self._ws.send_text(text.encode())
        self._write()

    def send_binary(self, data: bytes) -> None:
        self._ws.send_binary(data)
        self._write()

    def leave(self) -> None:
        self._ws.send_close(1000)
        self._write()

    def take(self) -> list[Any]:
        """Return the data since the last call."""
        messages, self.messages = self.messages, []
        return messages

    def _write(self) -> None:
        for data in self._ws.data_to_send():
            if data:
                self.transport.write(data)


def _is_in_use(transport: FakeTransport) -> bool:
    """Return whether the transport is connected, or holds bytes that were written before it was disconnected."""
    return bool(transport.stream or not transport.disconnected)


class GatewayTestCase(FileTestCase):
    """Provide a gateway, a simulator at 127.0.0.1:11099, and callers."""

    options: tuple[str, ...] = ("--host", "127.0.0.1")
    fast = True
    """Whether the ways around Twisted's and Autobahn's buffers are taken."""
    start_market = False
    """Whether the simulated market runs; tests mostly script it."""

    def setUp(self) -> None:
        without_fsync(self)
        # Of the pauses between tries. A seed would not do: each factory of Autobahn's seeds anew.
        self.patch(random, "random", random.Random(1).random)
        self.clock = MemoryReactor()
        self.clock.advance(1_700_000_000)
        self.patch(txaio.config, "loop", self.clock)  # type: ignore[attr-defined]
        self.log: list[LogEvent] = []
        observer: Any = self.log.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self._pumps: list[IOPump] = []
        self.simulator = ScriptedSimulator(self.clock)
        self.clock.listenTCP(11099, self.simulator.factory)
        if self.start_market:
            self.simulator.startService()
        self.service = self.make_gateway(*self.options)
        self.service.startService()
        self.flush()

    @property
    def web_service(self) -> WebService:
        """Return the service of the gateway's HTTP port."""
        services = [*self.service]
        for each in services:  # grows meanwhile
            services += each if isinstance(each, MultiService) else ()
        return next(each for each in services if isinstance(each, WebService))

    def tearDown(self) -> None:
        """Stop everything, and assert that nothing is left."""
        loop, txaio.config.loop = txaio.config.loop, self.clock  # type: ignore[attr-defined]
        try:  # trial has undone its patches already: timers of closing WebSockets would be the real reactor's
            self._stop_everything()
        finally:
            txaio.config.loop = loop  # type: ignore[attr-defined]

    def _stop_everything(self) -> None:
        self.simulator.end_silence()
        self.simulator.stop_market()
        stopped = self.service.stopService()
        self.advance(4)
        if stopped is not None:
            self.assertTrue(stopped.called, "the gateway did not stop")
        for connection in list(self.simulator.connections):
            connection.dropConnection(abort=True)
        self.advance(4)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNotIn("Traceback", self.log_text())

    def make_gateway(self, *arguments: str) -> Any:
        options = Options()
        options.parseOptions(list(arguments))
        reactor: Any = self.clock
        return makeService(options, reactor=reactor)

    # -- time and traffic

    def flush(self, also: Callable[[], None] = lambda: None) -> None:
        """Move bytes and connections until nothing moves any more and no call is due.

        also: called in each round; moves bytes that are outside of this reactor. Returns whether it moved any.
        """
        completer = ConnectionCompleter(self.clock)
        moved = True
        while moved:
            moved = False
            also()
            while (pump := completer.succeedOnce(greet=False)) is not None:
                self._pumps.append(pump)
                moved = True
            for pump in list(self._pumps):
                moved = pump.flush() or moved
            if self.clock.due_calls():
                self.clock.advance(0)
                moved = True
        self._pumps = [pump for pump in self._pumps if any(map(_is_in_use, (pump.clientIO, pump.serverIO)))]

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Advance the clock, and let everything happen that is due.

        Bytes move in the first step, and then only after a call that was due.
        """
        is_first = True
        while seconds > 0:
            self.clock.rightNow += min(step, seconds)
            if is_first or self.clock.due_calls():
                self.clock.advance(0)
                self.flush()
            is_first = False
            seconds -= step

    # -- callers

    def call(self, protocol: Any, port: int = 8080) -> Any:
        """Connect a caller to a listening port."""
        server = self.site(port).buildProtocol(IPv4Address("TCP", "127.0.0.1", 40000))
        transport = FakeTransport(protocol, isServer=False)
        kind = SocketTransport if self.fast else FakeTransport
        ours = kind(server, isServer=True, hostAddress=IPv4Address("TCP", "127.0.0.1", port))
        ours.peerAddress = IPv4Address("TCP", "127.0.0.1", 40000)
        self._pumps.append(connect(server, ours, protocol, transport, clock=self.clock))
        self.flush()
        return protocol

    def begin(self, path: str, method: str = "GET", headers: str = "", body: bytes | None = None) -> Caller:
        """Send a request without waiting for the answer.

        headers: lines, each with its line end.
        body: as JSON, unless `headers` say otherwise.
        """
        caller: Caller = self.call(Caller())
        if body is not None:
            kind = "" if "Content-Type:" in headers else "Content-Type: application/json\r\n"
            headers += f"{kind}Content-Length: {len(body)}\r\n"
        lines = f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        caller.transport.write(lines.encode() + (body or b""))
        self.flush()
        return caller

    def channel_of(self, caller: Caller) -> Any:
        """Return the gateway's HTTP channel of a caller.

        The transport pauses it when the caller does not read.
        """
        server: Any = next(pump.server for pump in self._pumps if pump.client is caller)
        return server

    def transport_of(self, caller: Any) -> Any:
        """Return the transport at the gateway's end of a caller's connection."""
        return next(pump.serverIO for pump in self._pumps if pump.client is caller)

    def fetch(self, path: str, method: str = "GET", headers: str = "", body: bytes | None = None) -> Answer:
        """Call the gateway's resource with treq, and return the answer.

        The arguments are those of `begin`.
        """
        client: Any = StubTreq(self.site().resource)
        fields = Headers()
        for line in headers.splitlines():
            name, _, value = line.partition(": ")
            fields.addRawHeader(name, value)
        if body is not None and not fields.hasHeader("Content-Type"):
            fields.addRawHeader("Content-Type", "application/json")
        url = f"http://localhost/api/v1{path}"
        answered = client.request(method, url, headers=fields, data=body)
        self.flush(client.flush)
        response = self.successResultOf(answered)
        self.assertEqual(response.request.absoluteURI, url.encode(), "treq wrote the path anew: use fetch_raw")
        content = client.content(response)
        self.flush(client.flush)
        return TreqAnswer(response, self.successResultOf(content))

    def fetch_raw(self, path: str, method: str = "GET", headers: str = "", body: bytes | None = None) -> Answer:
        """Return the bytes of an answer: for odd paths, and for headers that HTTP clients keep to themselves."""
        caller = self.begin(path, method, headers, body)
        self.assertTrue(caller.lost, f"{path} was not answered")
        return Answer(caller.received)

    def site(self, port: int = 8080) -> Any:
        """Return the factory that listens on a port."""
        return next(factory for number, factory, *_ in self.clock.tcpServers if number == port)

    def subscriber(self, *symbols: str) -> WebSocketCaller:
        """Return a WebSocket client, subscribed to these symbols."""
        caller: WebSocketCaller = self.call(WebSocketCaller(MARKETDATA))
        for symbol in symbols:
            self.send_json(caller, {"action": "subscribe", "symbol": symbol})
        return caller

    def send_json(self, caller: WebSocketCaller, message: Any) -> None:
        """Send a message as JSON."""
        caller.send(message)
        self.flush()

    # -- what is seen

    def status(self) -> Any:
        return self.fetch("/status").json

    def log_text(self) -> str:
        return "\n".join(formatEvent(event) for event in self.log)

    def sent(self, kind: type[Message]) -> list[Any]:
        """Return the messages of a type that the simulator received."""
        return [message for message in self.simulator.received if isinstance(message, kind)]
