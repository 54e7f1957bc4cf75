"""Build the recorder, and state what the gateway knows when a segment begins."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from twisted.internet.interfaces import IReactorTime

from dtc_twisted import __version__
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import encode_named
from dtc_twisted.dtc.messages import Message, MessageType, RequestActionEnum
from dtc_twisted.errors import NoZstandard, StartupError, StoreLocked
from dtc_twisted.gateway.gateway_parts import MarketDataParts, OrderParts
from dtc_twisted.gateway.gateway_settings import Settings
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.journal.file_lock import FileLock
from dtc_twisted.market_data.book_messages import book_messages
from dtc_twisted.market_data.order_book import BookSnapshot
from dtc_twisted.market_data.symbol_feed import SymbolFeed
from dtc_twisted.recording import RecordingLimits
from dtc_twisted.recording.recorder import Recorder
from dtc_twisted.transport.upstream import Upstream

_SUBSCRIBE = RequestActionEnum.SUBSCRIBE
_SUBSCRIBE_TYPES = {MessageType.MARKET_DATA_REQUEST, MessageType.MARKET_DEPTH_REQUEST}


class _Subscribe(msgspec.Struct):
    """The fields of a request that are needed here."""

    Type: int
    Symbol: str = ""


class RequiredRecorder(Recorder):
    """End the process when the recording cannot begin.

    folder: is locked while the service runs, because another gateway may not record to it.
    on_subscribed: called with each symbol that is requested from the server.
    """

    on_subscribed: Callable[[str], None] = staticmethod(lambda symbol: None)

    def sent(self, data: bytes) -> None:
        super().sent(data)
        message = msgspec.json.decode(data.rstrip(b"\0"), type=_Subscribe)
        if message.Type in _SUBSCRIBE_TYPES and message.Symbol:
            self.on_subscribed(message.Symbol)

    def __init__(self, reactor: IReactorTime, folder: str, limits: RecordingLimits, program: str) -> None:
        super().__init__(reactor, folder, limits, program)
        self._lock_path = os.path.join(folder, "lock")
        self._lock: FileLock | None = None

    def startService(self) -> None:
        try:
            os.makedirs(os.path.dirname(self._lock_path), mode=0o700, exist_ok=True)
            self._lock = FileLock(self._lock_path)
            super().startService()
        except StoreLocked:
            folder = os.path.dirname(self._lock_path)
            raise StartupError(f"twistd dtc: --record: {folder} is in use by another gateway.") from None
        except OSError as error:
            raise StartupError(f"twistd dtc: --record: {error.strerror or error}: {error.filename}") from None
        except NoZstandard as error:
            raise StartupError(f"twistd dtc: --record: {error}") from None

    def stopService(self) -> None:
        super().stopService()
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def make_recorder(
    settings: Settings,
    upstream: Upstream,
    definitions: SecurityDefinitions,
    market_data: MarketDataParts,
    orders: OrderParts,
    reactor: IGatewayReactor,
) -> Recorder | None:
    """Build the recorder. It needs --record."""
    if not settings["record"]:
        return None
    limits = RecordingLimits(
        int(settings["record-segment-size"] * (1 << 20)), settings["record-segment-age"] * 60.0, settings["record-keep"]
    )
    recorder = RequiredRecorder(reactor, settings["record"], limits, f"dtc_twisted {__version__}")
    recorder.state = lambda: b"".join(
        encode_named(message) + b"\0" for message in session_state(definitions, market_data, orders)
    )
    upstream.traffic_observer = recorder

    def request_definition(symbol: str) -> None:
        """Request the definition, so that the recording has it."""
        reactor.callLater(0, lambda: definitions.definition(symbol).addErrback(lambda failure: None))

    recorder.on_subscribed = request_definition
    return recorder


def session_state(
    definitions: SecurityDefinitions, market_data: MarketDataParts, orders: OrderParts
) -> Iterator[Message]:
    """Yield what the gateway knows, as requests and messages of the server."""
    market_data.batch.process()
    yield from definitions.known
    for feed in market_data.hubs["marketdata"].feeds:
        if feed.symbol_id:
            yield dtc.MarketDataRequest(RequestAction=_SUBSCRIBE, SymbolID=feed.symbol_id, Symbol=feed.symbol)
            snapshot = feed.state.snapshot(0, feed.symbol_id)
            if snapshot is not None:
                yield snapshot
    for feed in market_data.hubs["marketdepth"].feeds:
        if feed.symbol_id:
            yield dtc.MarketDepthRequest(RequestAction=_SUBSCRIBE, SymbolID=feed.symbol_id, Symbol=feed.symbol)
            yield from _book(feed)
    state = orders.state
    for order in state.open_orders():
        yield _converted(order.fields, dtc.OrderUpdate)
    for row in state.snapshot("positions"):
        yield _converted(row, dtc.PositionUpdate)
    for row in state.snapshot("balances"):
        yield _converted(row, dtc.AccountBalanceUpdate)


def _book(feed: SymbolFeed) -> Iterable[Message]:
    book = feed.state.snapshot(0, feed.symbol_id)
    return book_messages(book, feed.symbol_id) if isinstance(book, BookSnapshot) else ()


def _converted(fields: dict[str, Any], kind: type[Message]) -> Message:
    known: Iterable[str] = kind.__struct_fields__
    return msgspec.convert({name: fields[name] for name in known if name in fields}, kind, strict=False)
