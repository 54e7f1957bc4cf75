"""Check the undocumented parts of Autobahn and Twisted that the package uses.

A new release may change them.
"""

import ast
import inspect
import textwrap
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autobahn.twisted.websocket import WebSocketAdapterProtocol
from twisted.trial.unittest import SynchronousTestCase

import dtc_twisted
from dtc_twisted.simulator.connection import SimulatorConnection
from dtc_twisted.transport.client import DTCClientProtocol
from dtc_twisted.web.rest.http_channel import LimitedChannel
from dtc_twisted.web.stream.stream_protocol import StreamProtocol
from tests.support import GatewayTestCase, slow

DOCUMENTED = {
    "__init__",
    "connectionLost",
    "dataReceived",
    "factory",
    "onClose",
    "onConnect",
    "onMessage",
    "onMessageFrameData",
    "onOpen",
    "onPing",
    "peer",
    "registerProducer",
    "sendClose",
    "sendMessage",
    "transport",
    "unregisterProducer",
}

UNDOCUMENTED: dict[type[WebSocketAdapterProtocol], set[str]] = {
    DTCClientProtocol: {
        "STATE_CLOSED",
        "STATE_CLOSING",
        "STATE_OPEN",
        "consumeData",
        "current_frame",
        "current_frame_masker",
        "data",
        "failHandshake",
        "inside_message",
        "onCloseFrame",
        "processHandshake",
        "remoteCloseReason",
        "sendData",
        "state",
    },
    StreamProtocol: {
        "STATE_OPEN",
        "consumeData",
        "current_frame",
        "failedByMe",
        "processData",
        "sendCloseFrame",
        "sendData",
        "state",
    },
    SimulatorConnection: {"STATE_OPEN", "state"},
}
"""Class of ours -> the attributes of its Autobahn base class that it uses."""

PRIVATE_OF_HTTP_CHANNEL = {
    "_abortingCall",
    "_buffer",
    "_dataBuffer",
    "_handlingRequest",
    "_networkProducer",
    "_receivedHeaderCount",
    "_receivedHeaderSize",
    "_requestProducer",
    "_respondToBadRequestAndDisconnect",
    "_send100Continue",
    "_waitingForTransport",
}
"""Private names of Twisted's HTTPChannel that LimitedChannel uses."""


@cache
def tree_of(kind: type) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(kind)))


def names_of(library: str, kind: type) -> set[str]:
    """Return the attributes that a library gives to a class: those of the class, and those set on `self`."""
    names = set()
    for base in kind.__mro__:
        if base.__module__.startswith(library):
            names |= {*vars(base)}
            stores = (node for node in ast.walk(tree_of(base)) if isinstance(node, ast.Attribute))
            names |= {node.attr for node in stores if isinstance(node.ctx, ast.Store)}
    return names


def names_used(kind: type) -> set[str]:
    """Return the attributes that a class defines, or uses by way of `self` or `super()`."""
    names = set()
    for node in ast.walk(tree_of(kind)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "super()"):
            names.add(node.attr)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return names


def private_names(tree: ast.AST) -> list[str]:
    """Return the uses of private attributes of objects other than `self`."""
    return [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.endswith("_")
        and node.attr not in ("_replace", "_exit")  # of a named tuple, of os: both are public
        and ast.unparse(node.value) not in ("self", "cls", "super()")
    ]


class AutobahnTests(GatewayTestCase):
    def protocol(self, kind: type[WebSocketAdapterProtocol]) -> Any:
        """Return a connected protocol of this class."""
        ends = [end.protocol for pump in self._pumps for end in (pump.clientIO, pump.serverIO)]
        inner = [value for end in ends for value in vars(end).values()]  # an endpoint's wrapper has it as an attribute
        return next(each for each in [*ends, *inner] if isinstance(each, kind))

    def check(self, protocol: Any, kind: type[WebSocketAdapterProtocol]) -> None:
        for name in sorted(UNDOCUMENTED[kind]):
            self.assertTrue(
                hasattr(protocol, name),
                f"Autobahn {version('autobahn')} has no {name!r} any more, which {kind.__module__}.{kind.__name__} "
                "uses: find what replaces it, or exclude this version in setup.cfg.",
            )

    def test_client(self) -> None:
        protocol = self.protocol(DTCClientProtocol)
        self.assertEqual((protocol.data, protocol.current_frame, protocol.inside_message), (b"", None, False))
        # The first 10 bytes of a binary message of 256: a heartbeat after spaces.
        payload = b'{"Type":3}\0'.rjust(256)
        protocol.dataReceived(b"\x82\x7e\x01\x00" + payload[:10])
        self.assertEqual((protocol.current_frame.length, protocol.current_frame_masker.pointer()), (256, 10))
        self.assertTrue(protocol.inside_message)
        self.check(protocol, DTCClientProtocol)
        protocol.dataReceived(payload[10:])
        self.assertEqual((protocol.current_frame, protocol.inside_message), (None, False))

    def test_servers(self) -> None:
        self.subscriber()
        for kind in (StreamProtocol, SimulatorConnection):
            self.check(self.protocol(kind), kind)

    @slow
    def test_no_other_is_used(self) -> None:
        """The lists above are complete."""
        for kind, undocumented in UNDOCUMENTED.items():
            subclasses = {each for each in kind.__subclasses__() if each.__module__.startswith("dtc_twisted")}
            used = {name for each in {kind, *subclasses} for name in names_used(each) & names_of("autobahn", each)}
            self.assertEqual(used - DOCUMENTED, undocumented, kind.__name__)

    def test_every_class_is_listed(self) -> None:
        bases = [*WebSocketAdapterProtocol.__subclasses__()]
        ours = [each for base in bases for each in base.__subclasses__() if each.__module__.startswith("dtc_twisted")]
        self.assertEqual({*ours}, {*UNDOCUMENTED})


class TwistedTests(SynchronousTestCase):
    def test_private_names_of_the_http_channel(self) -> None:
        """If one is missing, a release of Twisted has changed it: see what replaces it."""
        used = {name for name in names_used(LimitedChannel) if name.startswith("_")}
        self.assertEqual(used & names_of("twisted", LimitedChannel), PRIVATE_OF_HTTP_CHANNEL)


class PrivateTests(SynchronousTestCase):
    @slow
    def test_no_private_attribute_of_others(self) -> None:
        found = {
            str(path.name): uses
            for path in Path(dtc_twisted.__file__).parent.rglob("*.py")
            if (uses := private_names(ast.parse(path.read_text("utf-8"))))
        }
        self.assertEqual(found, {})

    def test_private_attributes_are_found(self) -> None:
        tree = ast.parse("self._a\nself.b._c\nd()._e\nf.g\nh._replace(i=1)")
        self.assertEqual(private_names(tree), ["2: self.b._c", "3: d()._e"])
