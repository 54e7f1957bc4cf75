"""The simulated trade accounts: one that is busy, one that is quiet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from dtc_twisted import messages as dtc
from dtc_twisted.messages import BuySellEnum, Message, OpenCloseTradeEnum, OrderStatusEnum, OrderTypeEnum
from dtc_twisted.simulator.answers import RefusedError
from dtc_twisted.simulator.instruments import DAY, present
from dtc_twisted.simulator.market import Market
from dtc_twisted.simulator.wire import number, text

BUSY, QUIET = "Sim1", "Sim2"
"""TradeAccounts. The quiet one has no balance, position, order or fill: each answer about it is an empty one."""

CURRENCY = "USD"

HISTORY_DAYS = 30

NO_ORDER_ENTRY = "This server does not simulate order entry."

_BUY, _SELL = BuySellEnum.BUY, BuySellEnum.SELL
_ES, _CL = "ESM20_FUT_CME", "CLM20_FUT_NYMEX"


@dataclass
class Account:
    """What there is to ask about one TradeAccount. RequestIDs and counts are filled in by who answers."""

    name: str
    cash: float | None = None
    positions: list[dtc.PositionUpdate] = field(default_factory=list)
    orders: list[dtc.OrderUpdate] = field(default_factory=list)
    fills: list[dtc.HistoricalOrderFillResponse] = field(default_factory=list)
    trades: list[dtc.HistoricalTradesResponse] = field(default_factory=list)
    balances: list[dtc.HistoricalAccountBalanceResponse] = field(default_factory=list)


class Accounts:
    """Answers requests 300 to 400, 601, 603, 703, 704 and 10100.

    market: values the positions.
    """

    def __init__(self, clock: IReactorTime, market: Market) -> None:
        self._clock = clock
        self._market = market
        midnight = int(present(clock.seconds())) // DAY * DAY
        self.accounts = {BUSY: _busy(midnight), QUIET: Account(QUIET)}
        self.journal = [
            dtc.JournalEntryResponse(JournalEntry=entry, DateTime=midnight - days * DAY)
            for days, entry in ((3, "Sold the break of the range."), (1, "No trades: waiting for the report."))
        ]
        self._told: dict[str, float] = {}  # symbol -> OpenProfitLoss

    def changes(self) -> list[Message]:
        """What the server tells unasked since the last call: positions and balances that the market has changed."""
        changed: list[Message] = []
        for account in self.accounts.values():
            moved = [
                position
                for position in map(self._valued, account.positions)
                if self._told.get(text(position.Symbol)) != position.OpenProfitLoss
            ]
            for position in moved:
                self._told[text(position.Symbol)] = _value(position.OpenProfitLoss)
                changed.append(
                    replace(position, RequestID=0, TotalNumberMessages=1, MessageNumber=1, NoPositions=0, Unsolicited=1)
                )
            if moved:
                changed.append(
                    replace(self._balance(account), RequestID=0, TotalNumberMessages=1, MessageNumber=1, Unsolicited=1)
                )
        return changed

    @singledispatchmethod
    def answer(self, request: Message) -> Sequence[Message]:
        """The messages of the answer; none when the request is not one to answer. Raises RefusedError."""
        return []

    @answer.register
    def _(self, request: dtc.TradeAccountsRequest) -> Sequence[Message]:
        return [
            dtc.TradeAccountResponse(
                TotalNumberMessages=len(self.accounts),
                MessageNumber=i,
                TradeAccount=name,
                RequestID=number(request.RequestID),
            )
            for i, name in enumerate(self.accounts, 1)
        ]

    @answer.register
    def _(self, request: dtc.AccountBalanceRequest) -> Sequence[Message]:
        request_id, accounts = number(request.RequestID), self._asked(text(request.TradeAccount))
        balances = [self._balance(account) for account in accounts if account.cash is not None]
        if not balances:
            return [
                dtc.AccountBalanceUpdate(
                    RequestID=request_id,
                    TradeAccount=text(request.TradeAccount),
                    TotalNumberMessages=1,
                    MessageNumber=1,
                    NoAccountBalances=1,
                    Unsolicited=0,
                )
            ]
        return _numbered(balances, request_id)

    @answer.register
    def _(self, request: dtc.HistoricalAccountBalancesRequest) -> Sequence[Message]:
        request_id, account = number(request.RequestID), self._named(text(request.TradeAccount))
        start = number(request.StartDateTime)
        found = [balance for balance in account.balances if _value(balance.DateTime) >= start]
        if not found:
            return [
                dtc.HistoricalAccountBalanceResponse(
                    RequestID=request_id, TradeAccount=account.name, IsFinalResponse=1, NoAccountBalances=1
                )
            ]
        return [replace(each, RequestID=request_id, IsFinalResponse=int(each is found[-1])) for each in found]

    @answer.register
    def _(self, request: dtc.CurrentPositionsRequest) -> Sequence[Message]:
        request_id, accounts = number(request.RequestID), self._asked(text(request.TradeAccount))
        positions = [self._valued(position) for account in accounts for position in account.positions]
        if not positions:
            return [
                dtc.PositionUpdate(
                    RequestID=request_id,
                    TotalNumberMessages=1,
                    MessageNumber=1,
                    TradeAccount=text(request.TradeAccount),
                    NoPositions=1,
                    Unsolicited=0,
                )
            ]
        return _numbered(positions, request_id)

    @answer.register
    def _(self, request: dtc.OpenOrdersRequest) -> Sequence[Message]:
        request_id, accounts = number(request.RequestID), self._asked(text(request.TradeAccount))
        orders = [order for account in accounts for order in account.orders]
        wanted = text(request.ServerOrderID)
        if wanted and not number(request.RequestAllOrders):
            orders = [order for order in orders if order.ServerOrderID == wanted]
        if not orders:
            return [
                dtc.OrderUpdate(
                    RequestID=request_id,
                    TotalNumMessages=1,
                    MessageNumber=1,
                    OrderUpdateReason=dtc.OrderUpdateReasonEnum.OPEN_ORDERS_REQUEST_RESPONSE,
                    TradeAccount=text(request.TradeAccount),
                    NoOrders=1,
                )
            ]
        return [
            replace(
                order,
                RequestID=request_id,
                TotalNumMessages=len(orders),
                MessageNumber=i,
                OrderUpdateReason=dtc.OrderUpdateReasonEnum.OPEN_ORDERS_REQUEST_RESPONSE,
            )
            for i, order in enumerate(orders, 1)
        ]

    @answer.register
    def _(self, request: dtc.HistoricalOrderFillsRequest) -> Sequence[Message]:
        request_id, account = number(request.RequestID), self._named(text(request.TradeAccount))
        days, start = number(request.NumberOfDays), number(request.StartDateTime)
        if days <= 0 and start <= 0:
            raise RefusedError("NumberOfDays and StartDateTime are both not set.")
        since = start if start > 0 else present(self._clock.seconds()) - days * DAY
        wanted = text(request.ServerOrderID)
        fills = [fill for fill in account.fills if number(fill.DateTime) >= since]
        fills = [fill for fill in fills if wanted in ("", fill.ServerOrderID)]
        if not fills:
            return [
                dtc.HistoricalOrderFillResponse(
                    RequestID=request_id,
                    TotalNumberMessages=1,
                    MessageNumber=1,
                    TradeAccount=account.name,
                    NoOrderFills=1,
                )
            ]
        return _numbered(fills, request_id)

    @answer.register
    def _(self, request: dtc.HistoricalTradesRequest) -> Sequence[Message]:
        request_id, account = number(request.RequestID), self._named(text(request.TradeAccount))
        symbol, start = text(request.Symbol), number(request.StartDateTime)
        trades = [trade for trade in account.trades if _value(trade.EntryDateTime) >= start]
        trades = [trade for trade in trades if symbol in ("", trade.Symbol)]
        if not trades:
            return [dtc.HistoricalTradesResponse(RequestID=request_id, IsFinalMessage=1)]
        return [replace(trade, RequestID=request_id, IsFinalMessage=int(trade is trades[-1])) for trade in trades]

    @answer.register
    def _(self, request: dtc.JournalEntryAdd) -> Sequence[Message]:
        self.journal.append(dtc.JournalEntryResponse(JournalEntry=request.JournalEntry, DateTime=request.DateTime))
        return []

    @answer.register
    def _(self, request: dtc.JournalEntriesRequest) -> Sequence[Message]:
        found = [entry for entry in self.journal if number(entry.DateTime) >= number(request.StartDateTime)]
        if not found:
            return [dtc.JournalEntryResponse(JournalEntry="", IsFinalResponse=1)]
        return [replace(entry, IsFinalResponse=int(entry is found[-1])) for entry in found]

    @answer.register
    def _(self, request: dtc.SubmitNewSingleOrder) -> Sequence[Message]:
        return [
            dtc.OrderUpdate(
                TotalNumMessages=1,
                MessageNumber=1,
                Symbol=request.Symbol,
                ClientOrderID=request.ClientOrderID,
                OrderStatus=OrderStatusEnum.ORDER_STATUS_REJECTED,
                OrderUpdateReason=dtc.OrderUpdateReasonEnum.NEW_ORDER_REJECTED,
                TradeAccount=request.TradeAccount,
                InfoText=NO_ORDER_ENTRY,
            )
        ]

    def _asked(self, name: str) -> Sequence[Account]:
        """All accounts when no name is given. Raises RefusedError."""
        return [self._named(name)] if name else list(self.accounts.values())

    def _named(self, name: str) -> Account:
        """Raises RefusedError."""
        if not name:
            raise RefusedError("TradeAccount is not set.")
        if name not in self.accounts:
            raise RefusedError(f"{name[:32]} is not a known trade account.")
        return self.accounts[name]

    def _valued(self, position: dtc.PositionUpdate) -> dtc.PositionUpdate:
        """The position at the last price of its symbol."""
        ticker = self._market.tickers[text(position.Symbol)]
        ticks = ticker.last - ticker.instrument.ticks(_value(position.AveragePrice))
        profit = ticks * ticker.instrument.tick_value * _value(position.Quantity)
        return replace(position, OpenProfitLoss=profit)

    def _balance(self, account: Account) -> dtc.AccountBalanceUpdate:
        """The balance as the present value of the positions makes it."""
        positions = [self._valued(position) for position in account.positions]
        profit = sum(_value(position.OpenProfitLoss) for position in positions)
        margin = sum(_value(position.MarginRequirement) for position in positions)
        cash = account.cash or 0.0
        return dtc.AccountBalanceUpdate(
            CashBalance=cash,
            BalanceAvailableForNewPositions=cash + profit - margin,
            AccountCurrency=CURRENCY,
            TradeAccount=account.name,
            SecuritiesValue=cash + profit,
            MarginRequirement=margin,
            NoAccountBalances=0,
            Unsolicited=0,
            OpenPositionsProfitLoss=profit,
            DailyProfitLoss=profit,
            TradingIsDisabled=0,
        )


def _value(value: float | object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _numbered(
    batch: Sequence[dtc.AccountBalanceUpdate | dtc.PositionUpdate | dtc.HistoricalOrderFillResponse], request_id: int
) -> list[Message]:
    return [
        replace(message, RequestID=request_id, TotalNumberMessages=len(batch), MessageNumber=i)
        for i, message in enumerate(batch, 1)
    ]


def _busy(midnight: int) -> Account:
    """midnight: of today, seconds since 1970. All else is dated before it."""
    position = _position(midnight)
    return Account(
        BUSY,
        cash=104_250.0,
        positions=[position(_ES, 2, 282125, 26_400.0), position(_CL, -1, 1735, 8_200.0)],
        orders=_orders(midnight),
        fills=_fills(midnight),
        trades=_trades(midnight),
        balances=[
            dtc.HistoricalAccountBalanceResponse(
                DateTime=midnight - days * DAY,
                # Up a little over the month, never in a straight line.
                CashBalance=104_250.0 - 125 * days + 50 * (days * 7 % 11) * (days > 0),
                AccountCurrency=CURRENCY,
                TradeAccount=BUSY,
                NoAccountBalances=0,
                TransactionId=f"balance-{midnight - days * DAY}",
            )
            for days in range(HISTORY_DAYS - 1, -1, -1)
        ],
    )


def _position(midnight: int) -> Callable[[str, int, float, float], dtc.PositionUpdate]:
    def position(symbol: str, quantity: int, price: float, margin: float) -> dtc.PositionUpdate:
        return dtc.PositionUpdate(
            Symbol=symbol,
            Quantity=quantity,
            AveragePrice=price,
            PositionIdentifier=f"{BUSY}.{symbol}",
            TradeAccount=BUSY,
            NoPositions=0,
            Unsolicited=0,
            MarginRequirement=margin,
            EntryDateTime=midnight - DAY // 2,
        )

    return position


def _orders(midnight: int) -> list[dtc.OrderUpdate]:
    """Resting orders: they have prices and quantities, and nothing about a fill."""
    rows = (
        (1001, _ES, OrderTypeEnum.ORDER_TYPE_LIMIT, _BUY, 281500, None, 2),
        (1002, _ES, OrderTypeEnum.ORDER_TYPE_STOP, _SELL, 280000, None, 2),
        (1003, _CL, OrderTypeEnum.ORDER_TYPE_STOP_LIMIT, _BUY, 1790, 1795, 1),
    )
    orders = []
    for server_id, symbol, kind, side, price, limit, quantity in rows:
        order = dtc.OrderUpdate(
            Symbol=symbol,
            ServerOrderID=str(server_id),
            ClientOrderID=f"sim-{server_id}",
            OrderStatus=OrderStatusEnum.ORDER_STATUS_OPEN,
            OrderType=kind,
            BuySell=side,
            Price1=price,
            TimeInForce=dtc.TimeInForceEnum.TIF_GOOD_TILL_CANCELED,
            OrderQuantity=quantity,
            FilledQuantity=0,
            RemainingQuantity=quantity,
            TradeAccount=BUSY,
            NoOrders=0,
            OrderReceivedDateTime=midnight - DAY // 4,
            LatestTransactionDateTime=midnight - DAY // 4 + 0.25,
        )
        orders.append(order if limit is None else replace(order, Price2=limit))
    return orders


def _fills(midnight: int) -> list[dtc.HistoricalOrderFillResponse]:
    """In and out of a position in turns, oldest first."""
    fills = []
    for i, days in enumerate(range(24, 0, -2)):
        entry, symbol = i % 2 == 0, _ES if i % 4 < 2 else _CL
        base, tick = (281000, 25) if symbol == _ES else (1700, 1)
        fills.append(
            dtc.HistoricalOrderFillResponse(
                Symbol=symbol,
                ServerOrderID=str(900 + i),
                BuySell=_BUY if entry else _SELL,
                Price=base + tick * (i * 7 % 13),
                DateTime=midnight - days * DAY + DAY * 5 // 8,
                Quantity=1 + i // 2 % 3,
                UniqueExecutionID=f"fill-{900 + i}",
                TradeAccount=BUSY,
                OpenClose=OpenCloseTradeEnum.TRADE_OPEN if entry else OpenCloseTradeEnum.TRADE_CLOSE,
                NoOrderFills=0,
                PositionQuantity=1 + i // 2 % 3 if entry else 0,
            )
        )
    return fills


def _trades(midnight: int) -> list[dtc.HistoricalTradesResponse]:
    """What the fills come to, each entry with its exit."""
    fills = _fills(midnight)
    trades = []
    for entry, exit_ in zip(fills[::2], fills[1::2], strict=True):
        tick, tick_value = (25, 12.5) if entry.Symbol == _ES else (1, 10.0)
        quantity = int(_value(entry.Quantity))
        profit = (_value(exit_.Price) - _value(entry.Price)) / tick * tick_value * quantity
        trades.append(
            dtc.HistoricalTradesResponse(
                Symbol=entry.Symbol,
                TradeAccount=BUSY,
                EntryDateTime=entry.DateTime,
                ExitDateTime=exit_.DateTime,
                EntryPrice=entry.Price,
                ExitPrice=exit_.Price,
                TradeType=_BUY,
                EntryQuantity=quantity,
                ExitQuantity=quantity,
                MaxOpenQuantity=quantity,
                ClosedProfitLoss=profit,
                MaximumOpenPositionLoss=min(profit, 0.0) - tick_value,
                MaximumOpenPositionProfit=max(profit, 0.0) + tick_value,
                Commission=2.1 * quantity,
                OpenFillExecutionID=entry.UniqueExecutionID,
                CloseFillExecutionID=exit_.UniqueExecutionID,
            )
        )
    return trades
