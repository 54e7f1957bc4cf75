"""The kinds of data that the server sends for a symbol."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from dtc_twisted import depth, market
from dtc_twisted import messages as dtc
from dtc_twisted.messages import Message, RequestActionEnum


class Known(Protocol):
    """What is known of one symbol.

    levels: of depth, how many of each side somebody wants to see; 0 is all there is.
    """

    @property
    def known(self) -> bool:
        """Whether there is anything."""

    def begin(self) -> None:
        """The server is asked anew."""

    def receive(self, messages: list[Any]) -> Iterable[None]:
        """Takes messages as far as there is something to tell, each time it is asked to go on; stops at their end."""

    def tell(self, levels: int) -> tuple[list[int | str], list[bytes]]:
        """What that is to those who see so many levels: kinds and payloads."""

    def whole(self, levels: int, symbol_id: int) -> tuple[int | str, bytes] | None:
        """All that is known: kind and payload; None when it is nothing."""

    def forget(self, levels: int) -> None:
        """Nobody is told of changes to so many levels."""

    def topics(self, kind: Any) -> tuple[str, ...]:
        """The topics that such an update belongs to."""


@dataclass(frozen=True)
class Channel:
    """A kind of data that the server sends for a symbol.

    types: what it sends.
    known: makes the place, for a symbol, where it is kept.
    once: the action that asks for it just once.
    """

    request: type[Any]
    reject: type[Any]
    types: frozenset[type[Message]]
    known: Callable[[str], Known]
    once: RequestActionEnum


MARKET_DATA = Channel(
    dtc.MarketDataRequest, dtc.MarketDataReject, market.TYPES, market.MarketData, RequestActionEnum.SNAPSHOT
)
MARKET_DEPTH = Channel(
    dtc.MarketDepthRequest, dtc.MarketDepthReject, depth.TYPES, depth.Depth, RequestActionEnum.SUBSCRIBE
)
