"""Keep symbols subscribed from the start (`--symbol`)."""

from collections.abc import Sequence

from dtc_twisted.dtc.session import Handlers, Session
from dtc_twisted.logs import logger
from dtc_twisted.market_data.hub import Hub

_log = logger(__name__)


class PinnedSymbols:
    """Stay subscribed to symbols whether or not there are other subscribers.

    A Consumer that sends nothing.
    """

    handlers: Handlers = {}

    def __init__(self, hub: Hub, symbols: Sequence[str]) -> None:
        self._hub = hub
        self._symbols = symbols

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        for symbol in self._symbols:
            self._hub.subscribe(symbol, self, encoder=None)

    def detach(self, reason: str) -> None: ...

    # -- from Hub (Consumer)

    def on_subscribed(self, symbol: str) -> None: ...

    def on_rejected(self, symbol: str, text: str) -> None:
        _log.warn("The server refuses {symbol}: {text}", symbol=symbol, text=text)

    @property
    def sink(self) -> "PinnedSymbols":
        return self

    def add(self, item: object, /) -> None: ...

    def flush(self) -> None: ...

    def on_stale(self, symbol: str, reason: str) -> None: ...

    def on_live(self, symbol: str) -> None: ...

    on_ended = on_rejected
