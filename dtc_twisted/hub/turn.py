"""What one read of the server's socket brings for everybody.

Consumers who want the same (of one symbol, so many levels, in the same form) share a lane: what a message is to them is
made once. It is handed out when all messages of the read have been looked at, so that each consumer has one thing to
send. Mostly that is news of a single lane, which all in it are given in one loop.

Messages of one symbol that follow upon each other are looked at together, too: that is cheaper by far than one by one.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.hub.consumer import Consumer, Form, Group, Sink, Update
from dtc_twisted.logs import logger

_log = logger(__name__)


class Lane:
    """The consumers of one symbol who are handed the same.

    form: None when they want no news.
    updated: when there was last any: seconds since 1970, UTC; None before.
    """

    def __init__(self, levels: int, form: Form | None) -> None:
        self.levels = levels
        self.form = form
        self.updated: float | None = None
        self._consumers: dict[Consumer, Sink] = {}
        self._sinks: tuple[Sink, ...] | None = None  # None: to be put together anew
        self._group: Group | None = None

    def __len__(self) -> int:
        return len(self._consumers)

    def add(self, consumer: Consumer) -> None:
        self._consumers[consumer] = consumer.sink
        self._sinks = self._group = None

    def remove(self, consumer: Consumer) -> None:
        del self._consumers[consumer]
        self._sinks = self._group = None

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """Of those who are in it; who comes or goes makes another one."""
        if self._sinks is None:
            self._sinks = tuple(self._consumers.values())
        return self._sinks

    @property
    def group(self) -> Group:
        """The same, to be handed news at once."""
        if self._group is None:
            assert self.form is not None
            self._group = self.form.group(self.sinks)
        return self._group


class Reader(Protocol):
    """Looks at messages of one symbol."""

    def read(self, turn: "Turn", messages: list[Any], /) -> None:
        """Puts into the turn what they are to each."""


class Turn:
    """Collects news until it is over."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._reader: Reader | None = None
        self._messages: list[Any] = []  # that it has not looked at
        self._lanes: list[Lane] = []
        self._items: list[Any] = []  # one for each of the lanes

    def take(self, reader: Reader, message: Any) -> None:
        """There is a message, to be looked at soon."""
        if reader is not self._reader:
            self.look()
            self._reader = reader
        self._messages.append(message)

    def look(self) -> None:
        """Has looked at all messages so far."""
        reader, messages = self._reader, self._messages
        if reader is None:
            return
        self._reader, self._messages = None, []
        try:
            reader.read(self, messages)
        except Exception:  # the other symbols' messages are not to suffer
            _log.failure("Failed to process {name}", name=type(messages[-1]).__name__)

    def add(self, lane: Lane, item: Any) -> None:
        """There is news."""
        self._lanes.append(lane)
        self._items.append(item)

    def flush(self) -> None:
        """Hands out what there is, to each in the order of arrival."""
        self.look()
        lanes, items = self._lanes, self._items
        if not items:
            return
        self._lanes, self._items = [], []
        now = self._clock.seconds()
        lane = lanes[0]
        if len(items) == 1 or len(set(lanes)) == 1:
            lane.updated = now
            tell(lane.group.deliver, items)
            return
        touched: dict[Sink, None] = {}
        for lane, item in zip(lanes, items, strict=True):
            lane.updated = now
            for sink in lane.sinks:
                tell(sink.add, item)
            touched.update(dict.fromkeys(lane.sinks))
        for sink in touched:
            tell(sink.flush)


class Each:
    """A Form: the update itself, for sinks that want no more than that."""

    def __call__(self, update: Update, /) -> Update:
        return update

    def group(self, sinks: Sequence[Sink], /) -> Group:
        return OneByOne(sinks)


class OneByOne:
    """A Group of any sinks."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def deliver(self, items: list[Any], /) -> None:
        for sink in self._sinks:
            for item in items:
                tell(sink.add, item)
            tell(sink.flush)


AS_IT_IS = Each()


def tell(what: Callable[..., None], *args: Any) -> None:
    """Calls a consumer or a sink."""
    try:
        what(*args)
    except Exception:  # one consumer's trouble is not the others'
        _log.failure("Failed to tell a consumer")
