"""The kinds of data that the server sends for a symbol."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message, RequestActionEnum
from dtc_twisted.market_data import last_values as market
from dtc_twisted.market_data import order_book as depth


class SymbolState(Protocol):
    """What is known of one symbol.

    levels: of depth, how many of each side somebody wants to see; 0 is all there is.
    """

    @property
    def has_data(self) -> bool:
        """Whether there is anything."""

    def expect_snapshot(self) -> None:
        """The server is asked anew."""

    def receive(self, messages: list[Any]) -> Iterable[None]:
        """Takes messages as far as there is something to tell, each time it is asked to go on; stops at their end."""

    def encode_updates(self, levels: int) -> tuple[list[int | str], list[bytes]]:
        """What that is to those who see so many levels: kinds and payloads."""

    def snapshot(self, levels: int, symbol_id: int) -> tuple[int | str, bytes] | None:
        """All that is known: kind and payload; None when it is nothing."""

    def drop_view(self, levels: int) -> None:
        """Nobody is told of changes to so many levels."""

    def channels_of(self, kind: Any) -> tuple[str, ...]:
        """The topics that such an update belongs to."""


@dataclass(frozen=True)
class SubscriptionType:
    """A kind of data that the server sends for a symbol.

    types: what it sends.
    known: makes the place, for a symbol, where it is kept.
    once: the action that asks for it just once.
    """

    request_type: type[Any]
    reject_type: type[Any]
    update_types: frozenset[type[Message]]
    make_state: Callable[[str], SymbolState]
    snapshot_action: RequestActionEnum


MARKET_DATA = SubscriptionType(
    dtc.MarketDataRequest,
    dtc.MarketDataReject,
    market.UPDATE_CLASSES,
    market.MarketDataState,
    RequestActionEnum.SNAPSHOT,
)
MARKET_DEPTH = SubscriptionType(
    dtc.MarketDepthRequest, dtc.MarketDepthReject, depth.MESSAGE_CLASSES, depth.DepthState, RequestActionEnum.SUBSCRIBE
)
