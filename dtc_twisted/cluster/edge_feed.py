"""Feed a hub of an edge with the updates that the origin publishes."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.cluster.bus import RepeatedRequest
from dtc_twisted.cluster.wire import Event, UpdateHead, WantedSnapshot, decode_symbol_message, symbol_token
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import RequestActionEnum
from dtc_twisted.dtc.own_symbol_ids import OwnSymbolIds
from dtc_twisted.logs import logger
from dtc_twisted.market_data import MARKET_DEPTH, BookChanges, BookSnapshot, Hub, ReadBatch, SubscriptionType

_log = logger(__name__)

LOST = "updates were lost between the origin and this edge"

MAX_HELD = 10_000
"""Messages of a symbol that are held until its snapshot has arrived."""


class FollowedSymbol:
    """Hold how far one symbol has been received.

    request: asks for the snapshot.
    counts: updates so far of each type, as subscribers count them.
    held: messages that arrived while the snapshot was awaited; None: none is awaited.
    """

    request: RepeatedRequest

    def __init__(self, symbol: str, symbol_id: int, *, once: bool) -> None:
        self.symbol = symbol
        self.symbol_id = symbol_id
        self.once = once
        self.epoch = 0
        self.seq = 0
        self.counts: defaultdict[type, int] = defaultdict(int)
        self.held: list[bytes] | None = None


class EdgeFeed(OwnSymbolIds):
    """Take the place of a session with the server, for one hub of an edge.

    channel: name of the hub, "marketdata" or "marketdepth".
    kind: the kind of data of the hub.
    request_snapshot: asks the origin for a snapshot.
    """

    logon = None

    def __init__(
        self,
        clock: IReactorTime,
        channel: str,
        kind: SubscriptionType,
        hub: Hub,
        batch: ReadBatch,
        request_snapshot: Callable[[WantedSnapshot], Deferred[bytes]],
    ) -> None:
        super().__init__()
        self.channel = channel
        self.generation = 0
        """Generation of the present origin. What others publish is ignored."""
        self.lost_count = 0
        """Times that updates of a symbol were lost, so that a snapshot was needed."""
        self._clock = clock
        self._kind = kind
        self._hub = hub
        hub.is_numbered_elsewhere = True
        self._batch = batch
        self._request_snapshot = request_snapshot
        self._followed: dict[str, FollowedSymbol] = {}
        self._by_token: dict[str, FollowedSymbol] = {}

    @property
    def symbols(self) -> list[str]:
        """The symbols whose updates are needed."""
        return [symbol for symbol, followed in self._followed.items() if not followed.once]

    # -- called by Hub, as of a session

    def send(self, request: Any) -> None:
        """Follow a symbol, fetch its snapshot once, or stop following it."""
        symbol = request.Symbol
        replaced = self._followed.get(symbol)
        if replaced is not None:
            replaced.request.stop()
            self._remove(replaced)
        if request.RequestAction == RequestActionEnum.UNSUBSCRIBE:
            return
        once = request.RequestAction == RequestActionEnum.SNAPSHOT
        followed = FollowedSymbol(symbol, request.SymbolID, once=once)
        followed.request = RepeatedRequest(
            self._clock,
            partial(self._ask, followed),
            partial(self._receive_snapshot, followed),
            partial(self._ask_later, followed),
        )
        self._followed[symbol] = self._by_token[symbol_token(symbol)] = followed
        followed.request.start()

    # -- called by OriginLink

    def start(self, generation: int) -> None:
        """Begin to follow the symbols of the hub at an origin."""
        self.generation = generation
        self._hub.attach(self)

    def stop(self, reason: str) -> None:
        """Stop following: the origin, or the connection to it, is gone."""
        for followed in self._followed.values():
            followed.request.stop()
        self._followed.clear()
        self._by_token.clear()
        self._hub.detach(reason)

    def receive(self, token: str, data: bytes) -> None:
        """Take a message about a symbol."""
        followed = self._by_token.get(token)
        if followed is None:
            return
        if followed.held is not None:
            if len(followed.held) < MAX_HELD:  # with more, the gap is noticed
                followed.held.append(data)
            return
        try:
            head, messages = decode_symbol_message(data)
        except msgspec.MsgspecError as error:
            _log.warn("A message about {symbol} cannot be read: {error}", symbol=followed.symbol, error=error)
            self._lose(followed)
            return
        if head.generation != self.generation:
            return
        if isinstance(head, UpdateHead):
            self._receive_updates(followed, head, messages)
        else:
            self._receive_event(followed, head)

    # -- updates

    def _receive_updates(self, followed: FollowedSymbol, head: UpdateHead, messages: list[Any]) -> None:
        sizes = head.sizes
        known = followed.seq + 1 - head.seq  # updates of the message that are in the snapshot
        if head.epoch < followed.epoch or (head.epoch == followed.epoch and known >= (len(sizes) or len(messages))):
            return
        if head.epoch != followed.epoch or known < 0:
            self._lose(followed)
            return
        if known and sizes:
            messages, sizes = messages[sum(sizes[:known]) :], sizes[known:]
        elif known:
            messages = messages[known:]
        self._count(followed, messages, sizes)
        self._dispatch(followed, messages)

    def _count(self, followed: FollowedSymbol, messages: list[Any], sizes: list[int]) -> None:
        """Count updates as the subscribers of the origin do."""
        counts = followed.counts = followed.counts.copy()
        if sizes:
            place = 0
            for size in sizes:
                is_book = isinstance(messages[place], dtc.MarketDepthSnapshotLevel)
                counts[BookSnapshot if is_book else BookChanges] += 1
                place += size
            followed.seq += len(sizes)
        else:
            for message in messages:
                counts[type(message)] += 1
            followed.seq += len(messages)

    def _dispatch(self, followed: FollowedSymbol, messages: list[Any]) -> None:
        """Pass messages to the hub, whose numbers then are those of the origin."""
        handlers, symbol_id = self._hub.handlers, followed.symbol_id
        for message in messages:
            message.SymbolID = symbol_id
            handlers[type(message)](message)
        self._hub.process_waiting(symbol_id)  # they are counted before the numbers are set
        self._batch.flush()
        self._hub.renumber(followed.symbol, followed.epoch, followed.counts)

    def _receive_event(self, followed: FollowedSymbol, event: Event) -> None:
        if event.epoch < followed.epoch and event.event != "ended":
            return
        if event.event == "ended":
            self._reject(followed, event.text)
        elif event.epoch != followed.epoch or event.seq > followed.seq:
            self._lose(followed)
        elif event.event == "stale":
            self._hub.mark_symbol_stale(followed.symbol_id, event.text)
        elif event.event == "live":
            self._hub.mark_symbol_live(followed.symbol_id)

    def _lose(self, followed: FollowedSymbol) -> None:
        """Begin anew with a snapshot, because updates are missing."""
        self.lost_count += 1
        self._hub.mark_symbol_stale(followed.symbol_id, LOST)
        followed.request.start()

    def _reject(self, followed: FollowedSymbol, text: str) -> None:
        followed.request.stop()
        self._remove(followed)
        message = self._kind.reject_type(SymbolID=followed.symbol_id, RejectText=text)
        self._hub.handlers[self._kind.reject_type](message)
        self._batch.flush()

    # -- snapshots

    def _ask(self, followed: FollowedSymbol) -> Deferred[bytes]:
        """Ask for a snapshot, and hold what arrives until then."""
        followed.held = []
        return self._request_snapshot(WantedSnapshot(self.channel, followed.symbol, followed.once))

    def _ask_later(self, followed: FollowedSymbol) -> None:
        if self._followed.get(followed.symbol) is followed:
            followed.request.start_later()

    def _receive_snapshot(self, followed: FollowedSymbol, data: bytes) -> None:
        event, messages = decode_symbol_message(data)
        if not isinstance(event, Event) or event.generation != self.generation:
            self._ask_later(followed)
            return
        if event.event == "rejected":
            self._reject(followed, event.text)
            return
        held, followed.held = followed.held or [], None
        if followed.once:
            self._remove(followed)
        if messages:
            self._hub.source_stale_reason = event.text  # for callers who are answered before the symbol is marked
            try:
                self._take_snapshot(followed, event, messages)
            finally:
                self._hub.source_stale_reason = ""
        if event.text:
            self._hub.mark_symbol_stale(followed.symbol_id, event.text)
        token = symbol_token(followed.symbol)
        for each in held:
            self.receive(token, each)

    def _remove(self, followed: FollowedSymbol) -> None:
        self._followed.pop(followed.symbol, None)
        self._by_token.pop(symbol_token(followed.symbol), None)

    def _take_snapshot(self, followed: FollowedSymbol, event: Event, messages: list[Any]) -> None:
        """Pass a snapshot to the hub. It has the number of the last update in it."""
        followed.epoch, followed.seq = event.epoch, event.seq
        types: list[type[Any]] = [*self._kind.update_types, BookSnapshot, BookChanges]
        kinds = {kind.__name__: kind for kind in types}
        followed.counts = defaultdict(int, {kinds.get(name, object): count for name, count in event.counts.items()})
        before = followed.counts.copy()
        before[BookSnapshot if self._kind is MARKET_DEPTH else type(messages[0])] -= 1  # the hub counts it as an update
        if self._hub.has_numbers(followed.symbol, followed.epoch, followed.counts):
            self._hub.end_stale(followed.symbol)  # `live` has the number that the subscribers know
        self._hub.renumber(followed.symbol, followed.epoch, before)
        self._dispatch(followed, messages)
