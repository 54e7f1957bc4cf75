"""Answer requests for live market data and depth, and send the updates."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.errors import SimulatorReject
from dtc_twisted.simulator import market_messages
from dtc_twisted.simulator.clients import ClientRegistry
from dtc_twisted.simulator.connection import MainConnection
from dtc_twisted.simulator.market.catalogue import rejection_reason
from dtc_twisted.simulator.market.random_book import BID, DepthView
from dtc_twisted.simulator.market.sierra_json import as_float32, int_or_zero, str_or_empty
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.market.ticker import Event, Ticker
from dtc_twisted.simulator.settings import ServerSettings

AUTO_DEFINITION_ID = 110000000
"""RequestID of unrequested security definitions."""

BATCHES = 100
"""Batches of a randomized book that are sent together."""

_SUBSCRIBE, _UNSUBSCRIBE = dtc.RequestActionEnum.SUBSCRIBE, dtc.RequestActionEnum.UNSUBSCRIBE

SubscribeRequest = dtc.MarketDataRequest | dtc.MarketDepthRequest


class MarketDataHandler:
    """Answer the requests of types 101 and 102, and publish the events of the market.

    has_working_orders: returns whether a symbol has working orders.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: ServerSettings,
        clients: ClientRegistry,
        market: Market,
        has_working_orders: Callable[[str], bool],
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._clients = clients
        self._market = market
        self._has_working_orders = has_working_orders

    def answer(self, connection: MainConnection, request: SubscribeRequest) -> None:
        """Answer a request. Raises SimulatorReject."""
        symbol, symbol_id = str_or_empty(request.Symbol), int_or_zero(request.SymbolID)
        if request.RequestAction == _UNSUBSCRIBE:
            self._unsubscribe(connection, request, symbol_id)
            return
        why = rejection_reason(symbol)
        if why:
            raise SimulatorReject(why)
        ticker, now = self._market.ticker(symbol), self._clock.seconds()
        levels = 0
        if isinstance(request, dtc.MarketDepthRequest):
            levels = max(int_or_zero(request.NumLevels), 0)
            connection.send_together(
                market_messages.depth_snapshot(ticker, symbol_id, levels, connection.features, now)
            )
        else:
            if self._settings.auto_send_security_definition:
                connection.send(ticker.instrument.definition(AUTO_DEFINITION_ID))
            connection.send(market_messages.data_snapshot(ticker, symbol_id, now))
        if request.RequestAction == _SUBSCRIBE:
            if isinstance(request, dtc.MarketDepthRequest):
                connection.depth_ids[symbol] = symbol_id
                connection.depth_levels[symbol] = levels
            else:
                connection.data_ids[symbol] = symbol_id
            self.update_demand([symbol])

    def connection_lost(self, connection: MainConnection) -> None:
        """Remove the subscriptions of a lost connection."""
        symbols = {*connection.data_ids, *connection.depth_ids}
        for of_symbols in (connection.data_ids, connection.depth_ids, connection.depth_levels):
            of_symbols.clear()
        self.update_demand(symbols)

    def publish(self, changes: Sequence[tuple[Ticker, list[Event]]], *, may_drop: bool = True) -> None:
        """Send changes to the subscribers of their symbols.

        may_drop: clients that read too slowly do not get them.
        """
        now = self._clock.seconds()
        encoded: dict[tuple[int, int | None, int | None, int, int], list[bytes]] = {}
        extra = market_messages.COMPACT_UPDATES if self._settings.compact_updates else 0
        for connection in self._clients.logged_on():
            texts: list[bytes] = []
            wants = connection.features | extra
            for index, (ticker, events) in enumerate(changes):
                symbol = ticker.instrument.symbol
                data_id, depth_id = connection.data_ids.get(symbol), connection.depth_ids.get(symbol)
                if data_id is None and depth_id is None:
                    continue
                levels = 0 if depth_id is None else connection.depth_levels[symbol]
                key = (index, data_id, depth_id, levels, wants)
                ready = encoded.get(key)
                if ready is None:
                    messages = market_messages.updates(events, data_id, depth_id, levels, wants, now)
                    ready = encoded[key] = self._settings.encode(messages)
                texts += ready
            if may_drop:
                connection.send_market_data(texts)
            else:
                connection.send_texts(texts)

    def book(self, symbol: str, num_levels: int, as_floats: bool) -> dict[str, list[tuple[float, int, int]]]:
        sides: dict[str, list[tuple[float, int, int]]] = {"bids": [], "asks": []}
        for level in self._market.ticker(symbol).levels(num_levels or None):
            price = as_float32(level.price) if as_floats else level.price
            sides["bids" if level.side == BID else "asks"].append((price, level.quantity, level.num_orders))
        return sides

    def randomize_book(self, symbol: str, changes: int, seed: int) -> None:
        batches = self._market.randomize_book(symbol, changes, seed)
        while some := list(islice(batches, BATCHES)):
            self.publish(some, may_drop=False)

    def _unsubscribe(self, connection: MainConnection, request: SubscribeRequest, symbol_id: int) -> None:
        of_depth = isinstance(request, dtc.MarketDepthRequest)
        subscribed = connection.depth_ids if of_depth else connection.data_ids
        removed = [symbol for symbol, number_ in subscribed.items() if number_ == symbol_id]
        for symbol in removed:
            del subscribed[symbol]
            if of_depth:
                del connection.depth_levels[symbol]
        self.update_demand(removed)

    def update_demand(self, symbols: Iterable[str]) -> None:
        """Start or stop the random walk of symbols, and views of their books.

        Called after a change of their subscriptions.
        """
        market, connections = self._market, self._clients.subscribers()
        for symbol in symbols:
            wanted = any(symbol in each.data_ids or symbol in each.depth_ids for each in connections)
            market.set_walking(symbol, wanted or self._has_working_orders(symbol))
            ticker = market.ticker(symbol)
            views = {each.depth_levels.get(symbol, 0) for each in connections} - {0}
            ticker.views = {
                levels: ticker.views.get(levels) or DepthView(levels, ticker.levels(levels)) for levels in views
            }
