"""Serve the two ports of the simulated server, and answer each message."""

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import SimulatorReject
from dtc_twisted.simulator.account_requests import AccountRequests
from dtc_twisted.simulator.clients import ClientRegistry
from dtc_twisted.simulator.connection import MainConnection, SimulatorConnection
from dtc_twisted.simulator.file_writer import DataFileWriter
from dtc_twisted.simulator.history_handler import HistoryConnection, Request
from dtc_twisted.simulator.list_requests import SymbolRequests
from dtc_twisted.simulator.logon import SERVER_NAME, failed_logon, greeting, successful_logon
from dtc_twisted.simulator.market import sierra_json
from dtc_twisted.simulator.market.instruments import simulated_time
from dtc_twisted.simulator.market.live_history import LiveHistory
from dtc_twisted.simulator.market.sierra_json import str_or_empty
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.market.ticker import Event, Ticker
from dtc_twisted.simulator.market_data_handler import MarketDataHandler, SubscribeRequest
from dtc_twisted.simulator.order_handler import OrderCommand, OrderHandler
from dtc_twisted.simulator.rejects import make_rejects
from dtc_twisted.simulator.settings import ServerSettings

LIST_CHUNK = 500
"""Messages of a long list that are sent in one iteration of the reactor."""

ACCOUNT_INTERVAL = 5.0
"""Seconds between unsolicited updates of positions and balances while the market runs."""


class Simulator(Service):
    """Serve both ports of the simulated server.

    `dtc_twisted.testing` adds fault injection and the inspection of orders.

    reactor: the clock; nothing else of it is used.
    rate: market updates per second over all symbols.
    seed: the same seed gives the same market.
    settings: how the server behaves, where real servers differ.
    data_folder: folder to write data files to; empty: none are written.
    joins_history: whether historical prices end with the trades of the live market. Otherwise they depend on the time
        only, and are the same in each run.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        rate: float = 20.0,
        seed: int = 1,
        username: str = "",
        password: str = "",
        settings: ServerSettings | None = None,
        data_folder: str = "",
        joins_history: bool = False,
    ) -> None:
        self.clock = reactor
        self.settings = settings or ServerSettings(username, password)
        self.clients = ClientRegistry()
        self.market = Market(reactor, rate=rate, seed=seed, on_events=self._on_events)
        self.trading = OrderHandler(
            reactor, self.settings, self.clients, self.market, lambda symbols: self.live.update_demand(symbols)
        )
        engine = self.trading.engine
        self.live = MarketDataHandler(reactor, self.settings, self.clients, self.market, engine.has_working_orders)
        self.accounts = AccountRequests(reactor, self.settings, self.trading.portfolio, engine.orders)
        self.received: deque[Message] = deque(maxlen=1000)
        """Messages of clients to the main port, in order."""
        self.history_received: deque[Message] = deque(maxlen=1000)
        """Messages of clients to the historical port, in order."""
        self._file_writer = DataFileWriter(reactor, data_folder) if data_folder else None
        self._live_history = LiveHistory() if joins_history else None
        self._symbols = SymbolRequests(self.settings)
        self._accounts_due = 0.0
        self.factory = self._make_factory(MainConnection)
        self.history_factory = self._make_factory(HistoryConnection)

    @property
    def connections(self) -> list[SimulatorConnection]:
        """Open connections of the main port, oldest first."""
        return self.clients.main

    @property
    def history_connections(self) -> list[SimulatorConnection]:
        """Open connections of the historical port, oldest first."""
        return self.clients.historical

    def _make_factory(self, connection: type[SimulatorConnection]) -> WebSocketServerFactory:
        factory = WebSocketServerFactory(server=SERVER_NAME, reactor=self.clock)
        # Autobahn's timers round down to whole seconds, so that a time below 3 s may end at once.
        factory.setProtocolOptions(openHandshakeTimeout=5, closeHandshakeTimeout=3)
        factory.noisy = False
        factory.protocol = partial(connection, self.clock, self.settings, self)  # type: ignore[assignment]
        return factory

    # -- called by the application

    def startService(self) -> None:
        super().startService()
        if self._file_writer is not None:
            for instrument in self._file_writer.instruments:
                self.market.set_walking(instrument.symbol, True)
            self._file_writer.start()
        if self._live_history is not None:
            self._live_history.start(self.market.tickers.values(), simulated_time(self.clock.seconds()))
        self.start_market()

    def stopService(self) -> Deferred[Any]:
        """Log off and close all connections. Fires when the last one has ended."""
        super().stopService()
        self.stop_market()
        if self._file_writer is not None:
            self._file_writer.stop()
        connections = self.clients.all()
        for connection in connections:
            connection.log_off("The server is shutting down.")
        return DeferredList([connection.closed for connection in connections])

    # -- called by scripts and tests

    def start_market(self) -> None:
        """Start the random walk, and the expiry of orders."""
        self._accounts_due = self.clock.seconds() + ACCOUNT_INTERVAL
        self.market.start()
        self.trading.engine.expiry.start()

    def stop_market(self) -> None:
        """Stop the random walk, and the expiry of orders."""
        self.market.stop()
        self.trading.engine.expiry.stop()

    def trade(self, symbol: str, price: float, volume: int, at_bid_or_ask: int) -> None:
        """Trade at a price in the server's format. Raises KeyError for unknown symbols."""
        self._on_events([self.market.trade(symbol, price, volume, dtc.AtBidOrAskEnum(at_bid_or_ask))])

    def trade_at(self, symbol: str, price: float, volume: int) -> None:
        """Move the market to a price in the server's format, and trade there.

        A price above the best ask becomes the best ask, one below the best bid the best bid. The other side is a tick
        away, and the quantities stay the same. Raises KeyError if the symbol is not known.
        """
        ticker = self.market.ticker(symbol)
        instrument, ticks = ticker.instrument, ticker.instrument.ticks(price)
        at = dtc.AtBidOrAskEnum.AT_ASK if ticks >= ticker.ask else dtc.AtBidOrAskEnum.AT_BID
        if not ticker.bid <= ticks <= ticker.ask:
            bid = ticks - 1 if ticks > ticker.ask else ticks
            self.quote(symbol, instrument.price(bid), ticker.bids[0], instrument.price(bid + 1), ticker.asks[0])
        self.trade(symbol, instrument.price(ticks), volume, at)

    def quote(self, symbol: str, bid: float, bid_quantity: int, ask: float, ask_quantity: int) -> None:
        """Move the book to these best prices in the server's format.

        Raises KeyError if the symbol is not known, ValueError if bid and ask cross.
        """
        self._on_events([self.market.quote(symbol, bid, bid_quantity, ask, ask_quantity)])

    def book(
        self, symbol: str, num_levels: int = 0, as_floats: bool = False
    ) -> dict[str, list[tuple[float, int, int]]]:
        """Return the book: {"bids": [(price, quantity, num_orders), ...], "asks": [...]}.

        Each side starts at its best price.

        num_levels: of each side; 0: all.
        as_floats: prices as in types 140 and 145, 4-byte floats widened to 8. Otherwise as in types 106 and 122.
        Raises KeyError if the symbol is not known.
        """
        return self.live.book(symbol, num_levels, as_floats)

    def randomize_book(self, symbol: str, changes: int, seed: int) -> None:
        """Make random changes of the book's levels, and send them to all subscribers.

        Slow subscribers get them as well.

        Quotes and trades stay the same. The book does not walk until the next `quote`.
        Raises KeyError if the symbol is not known.
        """
        self.live.randomize_book(symbol, changes, seed)

    def send(self, message: Message) -> None:
        """Send a message to each connection that is logged on."""
        for connection in self.clients.logged_on():
            connection.send(message)

    def send_raw(self, data: bytes) -> None:
        """Send these bytes, in one text frame, to each connection that is logged on."""
        for connection in self.clients.logged_on():
            connection.send_raw(data)

    def go_silent(self) -> None:
        """Stop sending: no answers, no heartbeats, no pongs. Connections stay open."""
        self.settings.silent = True

    def end_silence(self) -> None:
        """End `go_silent`. Messages that were not sent are lost."""
        self.settings.silent = False

    def drop(self) -> None:
        """Abort all connections of both ports, without LOGOFF or WebSocket close."""
        for connection in self.clients.all():
            connection.drop()

    def log_off(self, reason: str, do_not_reconnect: bool = False) -> None:
        """Send LOGOFF to each connection of the main port, then close."""
        for connection in list(self.connections):
            connection.log_off(reason, do_not_reconnect)

    def set_frame_size(self, size: int | None) -> None:
        """Split messages into text frames of at most `size` bytes. None: do not split."""
        self.settings.frame_size = size

    def set_nul_terminator(self, nul: bool) -> None:
        """Set whether messages end with NUL."""
        self.settings.nul_terminator = nul

    def feed_status(self, available: bool) -> None:
        """Send MARKET_DATA_FEED_STATUS to each connection that is logged on."""
        status = dtc.MarketDataFeedStatusEnum
        self.send(
            dtc.MarketDataFeedStatus(
                Status=status.MARKET_DATA_FEED_AVAILABLE if available else status.MARKET_DATA_FEED_UNAVAILABLE
            )
        )

    # -- called by connections

    def connection_made(self, connection: SimulatorConnection) -> None:
        """Register a connection."""
        self.clients.add(connection)

    def connection_lost(self, connection: SimulatorConnection) -> None:
        """Remove a connection, its subscriptions and its delayed messages."""
        self.clients.remove(connection)
        if isinstance(connection, MainConnection):
            self.live.connection_lost(connection)
            self.trading.connection_lost(connection)

    def message_received(self, connection: SimulatorConnection, message: Message) -> None:
        """Record a message, and handle it if the client is logged on or logs on."""
        (self.received if isinstance(connection, MainConnection) else self.history_received).append(message)
        if not self.settings.silent and (connection.logged_on or isinstance(message, dtc.LogonRequest)):
            self.handle(connection, sierra_json.clamp_to_int32(message))

    def handle(self, connection: SimulatorConnection, message: Message) -> None:
        """Handle a message. A test kit overrides this to inject faults."""
        self.answer(connection, message)

    def refusal_of_logon(self, request: dtc.LogonRequest) -> dtc.LogonResponse | None:
        """Return the answer to a logon that fails; None if it succeeds."""
        expected = (self.settings.username, self.settings.password)
        if not any(expected) or expected == (str_or_empty(request.Username), str_or_empty(request.Password)):
            return None
        return failed_logon(dtc.LogonStatusEnum.LOGON_ERROR, "Username or Password is not correct.")

    def next_cut(self) -> int | None:
        """Return the number of records before the next answer is aborted; None: never."""
        return None

    # -- answers

    def answer(self, connection: SimulatorConnection, message: Message) -> None:
        """Execute or answer a message."""
        self.trading.on_message(connection, message)
        match message:
            case dtc.LogonRequest():
                self._log_on(connection, message)
            case dtc.Logoff():
                connection.close()
            case dtc.HistoricalPriceDataRequest() | dtc.HistoricalMarketDepthDataRequest() if isinstance(
                connection, HistoryConnection
            ):
                self._answer_history(connection, message)
            case dtc.HistoricalPriceDataRequest() | dtc.HistoricalMarketDepthDataRequest():
                self.refuse(connection, message, "There is no historical data on this port.")
            case dtc.MarketDataRequest() | dtc.MarketDepthRequest() if isinstance(connection, MainConnection):
                self._answer_live(connection, message)
            case _ if isinstance(message, OrderCommand) and isinstance(connection, MainConnection):
                self.trading.execute(connection, message)
            case _ if isinstance(connection, MainConnection):
                self._answer_list(connection, message)

    def refuse(self, connection: SimulatorConnection, message: Message, text: str, **fields: Any) -> None:
        """Send the reject of a request, if it has one.

        The historical port then closes the connection.
        """
        rejects = make_rejects(message, text, **fields)
        if rejects:
            connection.send(*rejects)
            connection.on_request_rejected()

    def _answer_history(self, connection: HistoryConnection, request: Request) -> None:
        try:
            connection.serve(request, self.next_cut, self._live_history)
        except SimulatorReject as error:
            self.refuse(connection, request, str(error), **error.fields)

    def _log_on(self, connection: SimulatorConnection, request: dtc.LogonRequest) -> None:
        connection.send(greeting(request))
        refused = self.refusal_of_logon(request)
        if refused is not None:
            connection.send(refused)
            return
        connection.send(successful_logon(self.settings, isinstance(connection, MainConnection)))
        connection.on_logon(request)

    def answer_subscription(self, connection: MainConnection, request: SubscribeRequest) -> None:
        """Answer a request for market data or depth. Raises SimulatorReject."""
        self.live.answer(connection, request)

    def list_answer(self, request: Message) -> Iterable[Message]:
        """Return the answer to a request for a list. Raises SimulatorReject."""
        answer = self._symbols.answer(request)
        return self.accounts.answer(request) if answer is None else answer

    def _answer_live(self, connection: MainConnection, request: SubscribeRequest) -> None:
        try:
            self.answer_subscription(connection, request)
        except SimulatorReject as error:
            self.refuse(connection, request, str(error))

    def _answer_list(self, connection: SimulatorConnection, request: Message) -> None:
        try:
            answer = self.list_answer(request)
        except SimulatorReject as error:
            self.refuse(connection, request, str(error))
        else:
            self._send_list(connection, iter(answer))

    def _send_list(self, connection: SimulatorConnection, answer: Iterator[Message]) -> None:
        """Send a list; a long one in parts, one in each iteration of the reactor."""
        if not connection.open:
            return
        part = list(islice(answer, LIST_CHUNK))
        if len(part) < LIST_CHUNK:
            connection.send(*part)
        else:
            connection.send_together(part)
            self.clock.callLater(0, self._send_list, connection, answer)

    # -- called by the market

    def _on_events(self, changes: list[tuple[Ticker, list[Event]]]) -> None:
        if self._live_history is not None:
            self._live_history.write(changes, self.clock.seconds())
        self.live.publish(changes)
        if self._file_writer is not None:
            self._file_writer.write(changes)
        for ticker, events in changes:
            self.trading.engine.on_events(ticker, events)
        now = self.clock.seconds()
        if self.market.running and now >= self._accounts_due:
            self._accounts_due = now + ACCOUNT_INTERVAL
            for message in self.trading.portfolio.changed_messages():
                self.trading.broadcast(message)
