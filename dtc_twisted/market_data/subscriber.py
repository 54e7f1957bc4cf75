"""Define what a subscriber to a hub implements, and what a hub passes to it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct


class Update(Struct, eq=False):
    """The messages of one symbol that are published together.

    messages: DTC messages; of market depth BookSnapshot or BookChanges (order_book.py).
    levels: of market depth, the number of levels of each side; 0 is all.
    counts: messages published so far of each type, for this symbol and number of levels, with those of this update. A
        snapshot is not counted if it was made for one subscriber. Use it at once, because it goes on counting.
    epoch: what `counts` counts from, see Hub.numbering.
    payloads: the messages as the server sent them, encoded; None: not made yet.
    display_payloads: the same with display prices, by converter; None: not made yet.

    stale_reason: why the updates have stopped, of a snapshot for a caller; empty: they have not.
    source: "file" if the messages were made of a data file; empty: they are the server's.

    Encoders keep the payloads here, so that each is made once.
    """

    symbol: str
    messages: list[Any]
    levels: int
    counts: Mapping[type, int]
    epoch: int = 0
    payloads: list[bytes] | None = None
    display_payloads: dict[Any, list[bytes | None]] | None = None
    source: str = ""
    stale_reason: str = ""


class Encoder(Protocol):
    """Make what subscribers receive of an update. Equal encoders share the result."""

    def __call__(self, update: Update, /) -> Any:
        """Encode an update; None: it contains nothing for these subscribers."""

    def last_number(self, counts: Mapping[type, int], /) -> int | None:
        """Return the number of the last message; None: messages have no numbers.

        counts: as of Update. Items with numbers are NumberedItems (replay_buffer.py).
        """

    def broadcaster(self, sinks: Sequence[Any], /) -> "Broadcaster":
        """Return a broadcaster to the sinks of all subscribers that receive the same."""


class Broadcaster(Protocol):
    """Send the same to several sinks."""

    def broadcast(self, items: list[Any], /) -> None:
        """Add the items to each sink and flush it.

        A sink's failure does not affect the others.
        """


class Sink(Protocol):
    """Take the items of one subscriber."""

    def add(self, item: Any, /) -> None:
        """Add an encoded update.

        The object is shared by all subscribers with an equal encoder.
        """

    def flush(self) -> None:
        """Send what was added. Called at the end of a read, also if nothing was added."""


class Consumer(Protocol):
    """Subscribe to a hub, which calls these methods in the order of events.

    The methods may call the hub. What they raise is logged, and affects no other consumer.
    """

    @property
    def sink(self) -> Sink:
        """The sink, which stays the same during a subscription."""

    def on_subscribed(self, symbol: str) -> None:
        """Handle a successful `subscribe`: updates follow, a snapshot first."""

    def on_rejected(self, symbol: str, text: str) -> None:
        """Handle the answer to `subscribe`: the server rejected it. text: the server's."""

    def on_stale(self, symbol: str, reason: str) -> None:
        """Handle the loss of updates: what was received may be out of date."""

    def on_live(self, symbol: str) -> None:
        """Handle the return of updates."""

    def on_ended(self, symbol: str, text: str) -> None:
        """Handle the end of a subscription that the server rejects after serving it."""
