"""One symbol: who is told of it, and in which form.

Consumers who want the same (so many levels, in the same form) share a lane: what a message is to them is made once, and
each is handed the same object. What is done for each consumer of a message is one call, of a function that was looked
up before; the rest is done once for all of them, or once for all that one read of the server's socket brought.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import Struct
from twisted.internet.interfaces import IDelayedCall

from dtc_twisted.hub.channel import Known
from dtc_twisted.logs import logger
from dtc_twisted.messages import RequestActionEnum

_log = logger(__name__)


class Update(Struct):
    """News of one symbol.

    kind: the message's Type; of depth "book" or "changes".
    payload: a JSON object (see market.py and depth.py).
    levels: of depth, how many of each side its readers see; 0 is all.
    topics: what it belongs to: "marketdata", and "trades" or "quotes"; "marketdepth".
    seqs: of each topic, the number of its last update, for this symbol and number of levels: of news its own, from 1;
        of a snapshot for a late joiner that of the last update that is in it. It goes on counting: look at once.
    """

    symbol: str
    kind: int | str
    payload: bytes
    levels: int
    topics: tuple[str, ...]
    seqs: dict[str, int]


Form = Callable[[Update], Any]
"""Makes of an update what its consumers are handed; None when it is nothing to them. Equal forms share the work."""


def as_it_is(update: Update) -> Update:
    """The Form of those who want the update itself."""
    return update


class Consumer(Protocol):
    """Somebody who subscribes. The hub calls these in the order in which things happen.

    They may call the hub; what they raise is logged, and is nobody else's trouble.
    """

    def subscribed(self, symbol: str) -> None:
        """The answer to `subscribe`: updates follow, beginning with a snapshot when there is one."""

    def refused(self, symbol: str, text: str) -> None:
        """The answer to `subscribe`: the server does not serve this symbol. `text` is the server's."""

    def market(self, update: Any, /) -> None:
        """There is news, in the consumer's form; the same object for each consumer like this one."""

    def flush(self) -> None:
        """There is no more for now. It may come without any news."""

    def stale(self, symbol: str, reason: str) -> None:
        """Updates have stopped; what was seen may be out of date."""

    def live(self, symbol: str) -> None:
        """Updates are flowing again."""

    def ended(self, symbol: str, text: str) -> None:
        """The server refused a symbol that it served before: the subscription is over."""


class Lane:
    """The consumers of one symbol who are handed the same.

    form: None when they want no news.
    updated: when there was last any: seconds since 1970, UTC; None before.
    """

    def __init__(self, levels: int, form: Form | None) -> None:
        self.levels = levels
        self.form = form
        self.consumers: dict[Consumer, None] = {}
        self.updated: float | None = None
        self.fresh = False  # there was some since the last flush
        self._puts: tuple[Callable[[Any], None], ...] | None = ()  # None: to be looked up anew

    def add(self, consumer: Consumer) -> None:
        self.consumers[consumer] = None
        self._puts = None

    def remove(self, consumer: Consumer) -> None:
        del self.consumers[consumer]
        self._puts = None

    def hand_out(self, item: Any) -> None:
        """Hands the same to each. Who comes or goes meanwhile makes no difference."""
        puts = self._puts
        if puts is None:
            puts = self._puts = tuple([consumer.market for consumer in self.consumers])
        self.fresh = True
        for put in puts:
            try:
                put(item)
            except Exception:  # one consumer's trouble is not the others'
                _log.failure("Failed to deliver")


@dataclass(slots=True)
class Place:
    """Where a consumer stands.

    joined: when; snapshot: whether it was given one then.
    """

    lane: Lane
    joined: float
    snapshot: bool = False


@dataclass
class Wait:
    """A consumer's wait for the server's answer."""

    timer: IDelayedCall
    levels: int
    form: Form | None
    asked: int = 1  # times; each is answered


@dataclass
class Feed:
    """One symbol: its consumers, and what is known of it."""

    symbol: str
    data: Known
    symbol_id: int = 0
    action: RequestActionEnum = RequestActionEnum.SUBSCRIBE  # what the server is asked for
    answered: bool = False  # by the session that is on
    stale: str = ""  # why updates have stopped; empty while they flow or nobody was told yet
    touched: bool = False  # there was news since the last flush
    places: dict[Consumer, Place] = field(default_factory=dict)
    waiting: dict[Consumer, Wait] = field(default_factory=dict)
    lanes: tuple[Lane, ...] = ()
    _seqs: defaultdict[int, defaultdict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )

    # -- who is told

    def join(self, consumer: Consumer, levels: int, form: Form | None, now: float) -> Place:
        """Puts a consumer where it belongs, and takes it away from where it was."""
        if consumer in self.places:
            self.leave(consumer)
        lane = next((each for each in self.lanes if each.levels == levels and each.form == form), None)
        if lane is None:
            lane = Lane(levels, form)
            self.lanes += (lane,)
        lane.add(consumer)
        place = self.places[consumer] = Place(lane, now)
        return place

    def leave(self, consumer: Consumer) -> None:
        lane = self.places.pop(consumer).lane
        lane.remove(consumer)
        if not lane.consumers:
            self.lanes = tuple(each for each in self.lanes if each is not lane)

    # -- what they are told

    def whole(self, levels: int) -> Update | None:
        """All that is known, for one who comes late."""
        whole = self.data.whole(levels, self.symbol_id)
        if whole is None:
            return None
        kind, payload = whole
        topics = self.data.topics(kind)
        seqs = self._seqs[levels]
        return Update(self.symbol, kind, payload, levels, topics, {topic: seqs[topic] for topic in topics})

    def tell(self) -> None:
        """Hands out what the last message, or the batch that it ended, is to each."""
        updates: dict[int, Update | None] = {}
        for lane in self.lanes:
            form, levels = lane.form, lane.levels
            if form is None:
                continue
            update = updates[levels] if levels in updates else updates.setdefault(levels, self._news(levels))
            item = None if update is None else form(update)
            if item is not None:
                lane.hand_out(item)

    def flush(self, now: float) -> None:
        """What was told is all, for now."""
        self.touched = False
        for lane in self.lanes:
            if lane.fresh:
                lane.fresh = False
                lane.updated = now
                for consumer in tuple(lane.consumers):
                    tell(consumer.flush)

    def _news(self, levels: int) -> Update | None:
        told = self.data.tell(levels)
        if told is None:
            return None
        kind, payload = told
        topics, seqs = self.data.topics(kind), self._seqs[levels]
        for topic in topics:
            seqs[topic] += 1
        return Update(self.symbol, kind, payload, levels, topics, seqs)


def tell(what: Callable[..., None], *args: Any) -> None:
    """Calls a consumer."""
    try:
        what(*args)
    except Exception:  # one consumer's trouble is not the others'
        _log.failure("Failed to tell a consumer of {what}", what=args[0] if args else "news")
