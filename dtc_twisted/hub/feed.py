"""One symbol: who is told of it, and in which form."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from dtc_twisted.hub.channel import Known
from dtc_twisted.hub.consumer import Consumer, Form, Update
from dtc_twisted.hub.turn import Lane, Turn
from dtc_twisted.messages import RequestActionEnum


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
            self.lanes = tuple(sorted((*self.lanes, lane), key=lambda each: each.levels))
        lane.add(consumer)
        place = self.places[consumer] = Place(lane, now)
        return place

    def leave(self, consumer: Consumer) -> None:
        lane = self.places.pop(consumer).lane
        lane.remove(consumer)
        if not lane:
            self.lanes = tuple(each for each in self.lanes if each is not lane)
            self._forget(lane.levels)

    # -- what they are told

    def whole(self, levels: int) -> Update | None:
        """All that is known, for one who comes late."""
        whole = self.data.whole(levels, self.symbol_id)
        self._forget(levels)
        if whole is None:
            return None
        kind, payload = whole
        topics, seqs = self.data.topics, self._seqs[levels]
        return Update(self.symbol, [kind], [payload], levels, topics, {topic: seqs[topic] for topic in topics(kind)})

    def read(self, turn: Turn, messages: list[Any]) -> None:
        """Takes what came together, and puts into the turn what it is to each."""
        for _ in self.data.receive(messages):
            self.tell(turn)

    def tell(self, turn: Turn) -> None:
        """Puts into the turn what there is to tell."""
        update: Update | None = None
        levels = -1
        for lane in self.lanes:  # those with as many levels are neighbours
            form = lane.form
            if form is None:
                continue
            if lane.levels != levels:
                levels = lane.levels
                update = self._news(levels)
            item = None if update is None else form(update)
            if item is not None:
                turn.add(lane, item)

    def _forget(self, levels: int) -> None:
        """Unless somebody sees so many."""
        if all(each.levels != levels for each in self.lanes):
            self.data.forget(levels)

    def _news(self, levels: int) -> Update | None:
        kinds, payloads = self.data.tell(levels)
        if not payloads:
            return None
        topics, seqs = self.data.topics, self._seqs[levels]
        for kind in set(kinds):
            count = kinds.count(kind)
            for topic in topics(kind):
                seqs[topic] += count
        return Update(self.symbol, kinds, payloads, levels, topics, seqs)
