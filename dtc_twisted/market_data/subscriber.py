"""Those who subscribe, and what they are handed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct


class Update(Struct):
    """News of one symbol: what came together.

    kinds: of each message its Type; of depth "book" or "changes".
    payloads: of each a JSON object (see market.py and depth.py).
    levels: of depth, how many of each side its readers see; 0 is all.
    topics: what a kind belongs to: "marketdata", and "trades" or "quotes"; "marketdepth".
    seqs: of each topic, the number of its last message, for this symbol and number of levels, from 1; of a snapshot for
        a late joiner that of the last one that is in it. It goes on counting: look at once.
    """

    symbol: str
    kinds: list[int | str]
    payloads: list[bytes]
    levels: int
    channels_of: Callable[[Any], tuple[str, ...]]
    seqs: Mapping[str, int]

    def messages_for(self, topic: str) -> list[tuple[int, int | str, bytes]]:
        """The messages that belong to a topic: number, kind and payload."""
        those = [each for each in zip(self.kinds, self.payloads, strict=True) if topic in self.channels_of(each[0])]
        first = self.seqs[topic] - len(those) + 1 if those else 0
        return [(number, *each) for number, each in enumerate(those, first)]


class Encoder(Protocol):
    """What its consumers are handed of an update. Equal forms share the work."""

    def __call__(self, update: Update, /) -> Any:
        """Makes it; None: the update is nothing to them."""

    def broadcaster(self, sinks: Sequence[Any], /) -> "Broadcaster":
        """Puts together those who are handed the same."""


class Broadcaster(Protocol):
    """Sinks that are handed the same."""

    def broadcast(self, items: list[Any], /) -> None:
        """Hands it to each, and that is all for now. What one of them does is not the others' trouble."""


class Sink(Protocol):
    """Where a consumer's news goes."""

    def add(self, item: Any, /) -> None:
        """There is news, in the consumer's form; the same object for each consumer like this one."""

    def flush(self) -> None:
        """There is no more for now. It may come without any news."""


class Consumer(Protocol):
    """Somebody who subscribes. The hub calls it, and its sink, in the order in which things happen.

    They may call the hub; what they raise is logged, and is nobody else's trouble.
    """

    @property
    def sink(self) -> Sink:
        """The same as long as the consumer is subscribed."""

    def on_subscribed(self, symbol: str) -> None:
        """The answer to `subscribe`: updates follow, beginning with a snapshot when there is one."""

    def on_rejected(self, symbol: str, text: str) -> None:
        """The answer to `subscribe`: the server does not serve this symbol. `text` is the server's."""

    def on_stale(self, symbol: str, reason: str) -> None:
        """Updates have stopped; what was seen may be out of date."""

    def on_live(self, symbol: str) -> None:
        """Updates are flowing again."""

    def on_ended(self, symbol: str, text: str) -> None:
        """The server refused a symbol that it served before: the subscription is over."""
