"""Describe the kinds of data that the server sends for a symbol."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message, RequestActionEnum
from dtc_twisted.market_data import last_values, order_book


class SymbolState(Protocol):
    """Hold the known data of one symbol.

    levels: of market depth, a number of levels of each side; 0 is all.
    """

    @property
    def has_data(self) -> bool:
        """Whether anything is known."""

    def expect_snapshot(self) -> None:
        """Prepare for the snapshot that follows a new request."""

    def discard(self) -> None:
        """Ignore messages until a new request, because some were lost."""

    def receive(self, messages: list[Any]) -> Iterable[None]:
        """Take messages, and yield each time that there is something to publish."""

    def updates(self, levels: int) -> list[Any]:
        """Return the messages to publish, for a number of levels."""

    def snapshot(self, levels: int, symbol_id: int) -> Any | None:
        """Return all that is known as one message; None if nothing is known."""

    def drop_view(self, levels: int) -> None:
        """Stop following the changes of a number of levels."""


@dataclass(frozen=True)
class SubscriptionType:
    """Describe a kind of data that the server sends for a symbol.

    update_types: message types of the data.
    make_state: makes the state of a symbol.
    snapshot_action: the action that requests one snapshot.
    """

    request_type: type[Any]
    reject_type: type[Any]
    update_types: frozenset[type[Message]]
    make_state: Callable[[], SymbolState]
    snapshot_action: RequestActionEnum


MARKET_DATA = SubscriptionType(
    dtc.MarketDataRequest,
    dtc.MarketDataReject,
    last_values.UPDATE_CLASSES,
    last_values.MarketDataState,
    RequestActionEnum.SNAPSHOT,
)
MARKET_DEPTH = SubscriptionType(
    dtc.MarketDepthRequest,
    dtc.MarketDepthReject,
    order_book.MESSAGE_CLASSES,
    order_book.DepthState,
    RequestActionEnum.SUBSCRIBE,
)
