"""Define what a stream yields."""

from dataclasses import dataclass
from typing import Any

from dtc_twisted.client.rows import OrderResult
from dtc_twisted.dtc.messages import AccountBalanceUpdate, AtBidOrAskEnum, Message, PositionUpdate


@dataclass(frozen=True)
class Level:
    """A level of an order book. price: display price."""

    price: float
    quantity: float
    orders: int = 0

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Level":
        """Make a level of its JSON object."""
        return cls(fields["Price"], fields["Quantity"], fields.get("NumOrders", 0))


@dataclass(frozen=True)
class Subscribed:
    """A subscription is confirmed, or was refused.

    error: why it was refused; empty if it is confirmed.
    """

    channel: str
    symbol: str = ""
    error: str = ""


@dataclass(frozen=True)
class MarketUpdate:
    """A message of market data: a trade, a quote, a snapshot, with display prices."""

    channel: str
    symbol: str
    seq: int
    message: Message


@dataclass(frozen=True)
class Book:
    """A whole order book, best prices first. seq: None if it is not of a stream."""

    channel: str
    symbol: str
    seq: int | None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True)
class BookChange:
    """Changes of an order book, which belong together.

    changes: side, and the level. A level with the quantity 0 is deleted.
    """

    channel: str
    symbol: str
    seq: int
    changes: tuple[tuple[AtBidOrAskEnum, Level], ...]


@dataclass(frozen=True)
class AccountUpdate:
    """An update of an order, a position or a balance.

    is_snapshot: it is part of all that exist, which a subscription begins with.
    """

    channel: str
    seq: int
    item: OrderResult | PositionUpdate | AccountBalanceUpdate
    is_snapshot: bool = False


@dataclass(frozen=True)
class Stale:
    """Updates have stopped: the values may be out of date.

    symbol: empty for channels without symbols.
    """

    channel: str
    symbol: str
    reason: str


@dataclass(frozen=True)
class Live:
    """Updates come again."""

    channel: str
    symbol: str


@dataclass(frozen=True)
class Ended:
    """The server rejects the symbol: the subscription has ended."""

    channel: str
    symbol: str
    error: str


@dataclass(frozen=True)
class Skipped:
    """The program read too slowly: so many messages were replaced by later ones."""

    messages: int


@dataclass(frozen=True)
class Disconnected:
    """The connection to the gateway was lost. The stream connects again by itself."""

    reason: str


@dataclass(frozen=True)
class Gap:
    """Updates of a subscription were missed.

    after, before: the numbers of the last update before the gap and of the first after it.
    missed: how many; None if the gateway numbers from the start again, so that it cannot be known.
    since, until: when the updates before and after the gap arrived, seconds since 1970, UTC.
    """

    channel: str
    symbol: str
    after: int
    before: int
    missed: int | None
    since: float
    until: float


StreamEvent = (
    Subscribed | MarketUpdate | Book | BookChange | AccountUpdate | Stale | Live | Ended | Skipped | Disconnected | Gap
)
