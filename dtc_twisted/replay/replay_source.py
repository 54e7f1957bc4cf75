"""Describe what a replay plays."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from dtc_twisted.dtc.messages import Message, SecurityDefinitionResponse


class ReplayEvent(NamedTuple):
    """Hold messages that arrived together.

    time: microseconds since 1970, UTC.
    messages: each with its symbol; None for messages that are not about the market data of one symbol.
    is_state: they state what was known, and were not sent at this time.
    """

    time: int
    messages: list[tuple[str | None, Message]]
    is_state: bool = False


class ReplayedTrade(NamedTuple):
    """Hold a trade for historical prices.

    time: microseconds since 1970, UTC.
    bid, ask: prices before the trade; 0: not known.
    """

    time: int
    price: float
    volume: float
    bid_volume: float
    ask_volume: float
    bid: float
    ask: float


class ReplaySource(Protocol):
    """Provide the events of a session.

    Methods raise UnusableRecording or UnusableDataFile.

    first, last: times of the first and the last event, microseconds since 1970, UTC.
    symbols: symbols with market data or depth.
    definitions: security definitions by symbol, as far as they are known.
    answers: recorded answers by request_key of their request.
    """

    first: int
    last: int
    symbols: frozenset[str]

    @property
    def definitions(self) -> Mapping[str, SecurityDefinitionResponse]: ...

    @property
    def answers(self) -> Mapping[tuple[Any, ...], list[Message]]: ...

    def events(self, start: int) -> Iterator[ReplayEvent]:
        """Yield the events in the order of time.

        The first may be earlier than `start`, microseconds since 1970: together they make the state at that time.
        """

    def trades(self, symbol: str, begin: int, end: int) -> Iterator[ReplayedTrade | None]:
        """Yield the trades of a symbol before `end`, oldest first.

        None: there is no trade yet, and the caller may pause.
        """


def request_key(request: Message) -> tuple[Any, ...]:
    """Return what two requests have in common if their answers are the same."""
    fields = ((name, getattr(request, name)) for name in request.__struct_fields__ if name != "RequestID")
    return (request.Type, *((name, value) for name, value in fields if value))
