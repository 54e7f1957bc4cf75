"""A Sierra Chart that needs no Sierra Chart: its two ports, and the strings that a test pulls."""

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
from dtc_twisted.simulator.account_requests import AccountRequests
from dtc_twisted.simulator.connection import MainConnection, SimulatorConnection
from dtc_twisted.simulator.faults import SERVER_NAME, FaultInjector
from dtc_twisted.simulator.history_handler import HistoryConnection
from dtc_twisted.simulator.list_requests import RejectedRequest, SymbolRequests
from dtc_twisted.simulator.market import sierra_json as wire
from dtc_twisted.simulator.market.sierra_json import str_or_empty
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.market.ticker import Event, Ticker
from dtc_twisted.simulator.market_data_handler import MarketDataHandler, SubscribeRequest
from dtc_twisted.simulator.order_handler import OrderCommand, OrderHandler, OrderInspector

WELCOME = "Connected to SC DTC Protocol server. Service=simulator|SymbolSettings=simulator"

TEXT_LENGTH = 128
"""Bytes of GENERAL_LOG_MESSAGE.MessageText, with the NUL that ends it in the binary protocol."""

LIST_CHUNK = 500
"""Messages of a long list that are sent at one turn of the reactor."""

ACCOUNT_INTERVAL = 5.0
"""Seconds between two unsolicited updates of positions and balances while the market runs."""


class Simulator(FaultInjector, OrderInspector, Service):
    """Both ports of the simulated server.

    reactor: the clock; nothing else is asked of it.
    rate: market updates per second over all symbols.
    seed: the same seed gives the same market.
    username, password: what a client must log on with; blank: anything.
    """

    def __init__(
        self, reactor: IReactorTime, *, rate: float = 20.0, seed: int = 1, username: str = "", password: str = ""
    ) -> None:
        super().__init__(username, password)
        self.clock = reactor
        self.market = Market(reactor, rate=rate, seed=seed, on_events=self._on_events)
        self.trading = OrderHandler(self)
        self.accounts = AccountRequests(reactor, self.trading.portfolio, self.trading.engine.orders)
        self.received: deque[Message] = deque(maxlen=1000)
        """What clients sent to the main port, in order."""
        self.history_received: deque[Message] = deque(maxlen=1000)
        """What clients sent to the historical port, in order."""
        self.connections: list[SimulatorConnection] = []
        """Open connections of the main port, oldest first."""
        self.history_connections: list[SimulatorConnection] = []
        """Open connections of the historical port, oldest first."""
        self.symbol_id_first = False
        """F of types 112 and 117 begins with SymbolID, as a server of 2020 sent it."""
        self.compact_updates = False
        """Trades and quotes go out as types 112 and 117 to clients that ask for nothing else."""
        self.auto_send_security_definition = False
        """A security definition comes before each market data snapshot, unasked."""
        self.empty_final_record = False
        """Historical data ends with an empty record, date-time 0, instead of a mark on the last one."""
        self.logon_fields: dict[str, Any] = {}
        """Fields of LOGON_RESPONSE on the main port that differ from the usual."""
        self.answer_delay = 0.0
        """Seconds that pass until clients are told what becomes of orders, positions and balances."""
        self.frame_size: int | None = None
        self.terminator = b"\0"
        self._symbols = SymbolRequests()
        self.live = MarketDataHandler(self)
        self._accounts_due = 0.0
        self.factory = self._make_factory(MainConnection)
        self.history_factory = self._make_factory(HistoryConnection)

    def _make_factory(self, connection: type[SimulatorConnection]) -> WebSocketServerFactory:
        factory = WebSocketServerFactory(server=SERVER_NAME, reactor=self.clock)
        # Autobahn's timers round down to whole seconds: anything below 3 s may be over at once.
        factory.setProtocolOptions(openHandshakeTimeout=5, closeHandshakeTimeout=3)
        factory.noisy = False
        factory.protocol = partial(connection, self)  # type: ignore[assignment]
        return factory

    # -- from the application

    def startService(self) -> None:
        super().startService()
        self.start_market()

    def stopService(self) -> Deferred[Any]:
        """LOGOFF and close for all. Fires when all connections are gone."""
        super().stopService()
        self.stop_market()
        connections = [*self.connections, *self.history_connections]
        for connection in connections:
            connection.log_off("The server is shutting down.")
        return DeferredList([connection.closed for connection in connections])

    # -- from whoever plays the server

    def start_market(self) -> None:
        self._accounts_due = self.clock.seconds() + ACCOUNT_INTERVAL
        self.market.start()
        self.trading.engine.expiry.start()

    def stop_market(self) -> None:
        """No trades, no quotes, and no order expires."""
        self.market.stop()
        self.trading.engine.expiry.stop()

    def trade(self, symbol: str, price: float, volume: int, at_bid_or_ask: int) -> None:
        """A trade at this price of the server's format. Raises KeyError when the symbol is not known."""
        self._on_events([self.market.trade(symbol, price, volume, dtc.AtBidOrAskEnum(at_bid_or_ask))])

    def trade_at(self, symbol: str, price: float, volume: int) -> None:
        """The market goes to this price of the server's format, and trades so much there.

        A price above the best ask becomes the best ask, one below the best bid the best bid, a tick from the other side
        and with the quantities as they were. Raises KeyError when the symbol is not known.
        """
        ticker = self.market.ticker(symbol)
        instrument, ticks = ticker.instrument, ticker.instrument.ticks(price)
        at = dtc.AtBidOrAskEnum.AT_ASK if ticks >= ticker.ask else dtc.AtBidOrAskEnum.AT_BID
        if not ticker.bid <= ticks <= ticker.ask:
            bid = ticks - 1 if ticks > ticker.ask else ticks
            self.quote(symbol, instrument.price(bid), ticker.bids[0], instrument.price(bid + 1), ticker.asks[0])
        self.trade(symbol, instrument.price(ticks), volume, at)

    def quote(self, symbol: str, bid: float, bid_quantity: int, ask: float, ask_quantity: int) -> None:
        """Moves the book to these best prices of the server's format.

        Raises KeyError when the symbol is not known, ValueError when bid and ask cross.
        """
        self._on_events([self.market.quote(symbol, bid, bid_quantity, ask, ask_quantity)])

    def book(
        self, symbol: str, num_levels: int = 0, as_floats: bool = False
    ) -> dict[str, list[tuple[float, int, int]]]:
        """{"bids": [(price, quantity, num_orders), ...], "asks": [...]}, each side from its best price.

        num_levels: of each side; 0: all.
        as_floats: prices as types 140 and 145 have them, 4-byte floats widened to 8; else as types 106 and 122 do.
        Raises KeyError when the symbol is not known.
        """
        return self.live.book(symbol, num_levels, as_floats)

    def randomize_book(self, symbol: str, changes: int, seed: int) -> None:
        """Makes so many random changes of the book's levels, and sends them to all subscribers, however slow.

        Quotes and trades stay as they are; from now on the book does not walk, until the next `quote`.
        Raises KeyError when the symbol is not known.
        """
        self.live.randomize_book(symbol, changes, seed)

    def send(self, message: Message) -> None:
        """To each connection that is logged on."""
        for connection in self.logged_on():
            connection.send(message)

    def send_raw(self, data: bytes) -> None:
        """These bytes, in one text frame, to each connection that is logged on."""
        for connection in self.logged_on():
            connection.send_raw(data)

    def go_silent(self) -> None:
        """Connections stay open, and nothing at all is sent: no answers, no heartbeats, no pongs."""
        self.silent = True

    def end_silence(self) -> None:
        """Ends `go_silent`. What was not sent meanwhile is lost."""
        self.silent = False

    def drop(self) -> None:
        """Cuts all connections, of both ports, without a word."""
        for connection in [*self.connections, *self.history_connections]:
            connection.drop()

    def log_off(self, reason: str, do_not_reconnect: bool = False) -> None:
        """LOGOFF to each connection of the main port, then close."""
        for connection in list(self.connections):
            connection.log_off(reason, do_not_reconnect)

    def set_frame_size(self, size: int | None) -> None:
        """From now on payloads go out in text frames of at most `size` bytes; None: one frame each."""
        self.frame_size = size

    def set_nul_terminator(self, nul: bool) -> None:
        """Whether messages end with NUL from now on."""
        self.terminator = b"\0" if nul else b""

    def feed_status(self, available: bool) -> None:
        status = dtc.MarketDataFeedStatusEnum
        self.send(
            dtc.MarketDataFeedStatus(
                Status=status.MARKET_DATA_FEED_AVAILABLE if available else status.MARKET_DATA_FEED_UNAVAILABLE
            )
        )

    # -- from connections

    def connection_made(self, connection: SimulatorConnection) -> None:
        (self.connections if isinstance(connection, MainConnection) else self.history_connections).append(connection)

    def connection_lost(self, connection: SimulatorConnection) -> None:
        for connections in (self.connections, self.history_connections):
            if connection in connections:
                connections.remove(connection)
        if isinstance(connection, MainConnection):
            self.live.connection_lost(connection)
            self.trading.connection_lost(connection)

    def main_connections(self) -> list[MainConnection]:
        return [each for each in self.connections if isinstance(each, MainConnection)]

    def logged_on(self) -> list[MainConnection]:
        return [each for each in self.main_connections() if each.logged_on]

    def payload(self, messages: Iterable[Message]) -> bytes:
        """The messages as they are sent, one after the other."""
        first, end = self.symbol_id_first, self.terminator
        return b"".join([wire.encode(message, symbol_id_first=first) + end for message in messages])

    # -- answers

    def answer(self, connection: SimulatorConnection, message: Message) -> None:
        self.trading.on_message(connection, message)
        match message:
            case dtc.LogonRequest():
                self._log_on(connection, message)
            case dtc.Logoff():
                connection.close()
            case dtc.HistoricalPriceDataRequest() | dtc.HistoricalMarketDepthDataRequest() if isinstance(
                connection, HistoryConnection
            ):
                connection.serve(message)
            case dtc.HistoricalPriceDataRequest() | dtc.HistoricalMarketDepthDataRequest():
                self.refuse(connection, message, "There is no historical data on this port.")
            case dtc.MarketDataRequest() | dtc.MarketDepthRequest() if isinstance(connection, MainConnection):
                self._answer_live(connection, message)
            case _ if isinstance(message, OrderCommand) and isinstance(connection, MainConnection):
                self.trading.execute(connection, message)
            case _ if isinstance(connection, MainConnection):
                self._answer_list(connection, message)

    def _log_on(self, connection: SimulatorConnection, request: dtc.LogonRequest) -> None:
        greeting = f"{SERVER_NAME}: logon of {str_or_empty(request.ClientName)}."
        connection.send(dtc.GeneralLogMessage(MessageText=greeting[: TEXT_LENGTH - 1]))
        refused = self.refusal_of_logon(request)
        if refused is not None:
            connection.send(refused)
            return
        connection.send(self._logon_response(connection))
        connection.on_logon(request)

    def _logon_response(self, connection: SimulatorConnection) -> dtc.LogonResponse:
        main = isinstance(connection, MainConnection)
        fields: dict[str, Any] = {
            "ProtocolVersion": dtc.CURRENT_VERSION,
            "Result": dtc.LogonStatusEnum.LOGON_SUCCESS,
            "ResultText": WELCOME,
            "ReconnectAddress": "",
            "Integer_1": 0,
            "ServerName": SERVER_NAME,
            "MarketDepthUpdatesBestBidAndAsk": 0,
            "TradingIsSupported": int(main),
            "OCOOrdersSupported": int(main),
            "OrderCancelReplaceSupported": int(main),
            "SymbolExchangeDelimiter": "",
            "SecurityDefinitionsSupported": int(main),
            "HistoricalPriceDataSupported": int(not main),
            "ResubscribeWhenMarketDataFeedAvailable": 0,
            "MarketDepthIsSupported": int(main),
            "OneHistoricalPriceDataRequestPerConnection": int(not main),
            "BracketOrdersSupported": int(main),
            "UsesMultiplePositionsPerSymbolAndTradeAccount": 0,
            "MarketDataSupported": int(main),
        }
        return dtc.LogonResponse(**fields | (self.logon_fields if main else {}))

    def _answer_live(self, connection: MainConnection, request: SubscribeRequest) -> None:
        try:
            self.live.answer(connection, request)
        except RejectedRequest as error:
            self.refuse(connection, request, str(error))

    def _answer_list(self, connection: SimulatorConnection, request: Message) -> None:
        try:
            answer = self._symbols.answer(request)
            if answer is None:
                answer = self.accounts.answer(request)
        except RejectedRequest as error:
            self.refuse(connection, request, str(error))
        else:
            self._send_list(connection, iter(answer))

    def _send_list(self, connection: SimulatorConnection, answer: Iterator[Message]) -> None:
        """All of it; when it is long a part at each turn of the reactor, each part in one frame."""
        if not connection.open:
            return
        part = list(islice(answer, LIST_CHUNK))
        if len(part) < LIST_CHUNK:
            connection.send(*part)
        else:
            connection.send_in_one_frame(part)
            self.clock.callLater(0, self._send_list, connection, answer)

    # -- from the market

    def _on_events(self, changes: list[tuple[Ticker, list[Event]]]) -> None:
        self.live.publish(changes)
        for ticker, events in changes:
            self.trading.engine.on_events(ticker, events)
        now = self.clock.seconds()
        if self.market.running and now >= self._accounts_due:
            self._accounts_due = now + ACCOUNT_INTERVAL
            for message in self.trading.portfolio.changed_messages():
                self.trading.broadcast(message)
