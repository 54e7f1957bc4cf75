"""Make the content of the simulated trade accounts: one is active, one is not."""

from dataclasses import dataclass, field

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import BuySellEnum, OpenCloseTradeEnum, OrderTypeEnum
from dtc_twisted.simulator.market.instruments import DAY, Instrument
from dtc_twisted.simulator.market.sierra_json import float_or_zero
from dtc_twisted.simulator.trading.simulated_orders import OPEN, SimulatedOrder

ACTIVE_ACCOUNT, IDLE_ACCOUNT = "Sim1", "Sim2"
"""TradeAccounts. The inactive one has cash and nothing else: no position, order, fill or history."""

CURRENCY = "USD"

HISTORY_DAYS = 30

_BUY, _SELL = BuySellEnum.BUY, BuySellEnum.SELL
_ES, _CL, _EURUSD = "ESM20_FUT_CME", "CLM20_FUT_NYMEX", "EURUSD"

EARLIER_TRADES = 50
"""Number of round trips that are older than the known fills."""

_TRADED = ((_ES, 25, 12.5, 281000), (_CL, 1, 10.0, 1700), (_EURUSD, 0.00005, 5.0, 1.08))
"""Symbol, tick, value of a tick in the account's currency, price."""

_MARGINS = {_ES: 13_200.0, _CL: 8_200.0}
"""Margin of a contract by symbol. The margin of other symbols is a tenth of their value."""

_NOTES = (
    "Sold the break of the range.",
    "No trades: waiting for the report.",
    "Stopped out twice before lunch. Smaller from here on.",
    "Held the winner to the close for once.",
    "Inventories: flat until the number, long after it.",
    "Carried it overnight, with a tight stop.",
    'Rule of the week: "no entry without an exit".',
    "Moved the stop, and should not have.\nWritten down so that it is not ignored.",
)
"""Texts of the trader's journal."""

JOURNAL_DAYS = 90


@dataclass
class TradeAccount:
    """Hold the data of one TradeAccount.

    RequestIDs and message counts are set when a request is answered.
    """

    name: str
    cash: float | None = None
    """None: the account has no balance."""
    realised: float = 0.0
    """Profit of positions closed since the server started."""
    positions: dict[str, dtc.PositionUpdate] = field(default_factory=dict)
    """Positions by symbol. Profit and margin are set when a request is answered."""
    fills: list[dtc.HistoricalOrderFillResponse] = field(default_factory=list)
    trades: list[dtc.HistoricalTradesResponse] = field(default_factory=list)
    balances: list[dtc.HistoricalAccountBalanceResponse] = field(default_factory=list)


def make_active_account(midnight: int) -> TradeAccount:
    """Make the active account.

    midnight: start of the day, in seconds since 1970. All data is older.
    """
    return TradeAccount(
        ACTIVE_ACCOUNT,
        cash=104_250.0,
        positions={_ES: _position(midnight, _ES, 2, 282125), _CL: _position(midnight, _CL, -1, 1735)},
        fills=[*_fills(midnight), *_opening_fills(midnight)],
        trades=_trades(midnight),
        balances=[
            dtc.HistoricalAccountBalanceResponse(
                DateTime=midnight - days * DAY,
                # The balance grows a little over the month, with variations.
                CashBalance=104_250.0 - 125 * days + 50 * (days * 7 % 11) * (days > 0),
                AccountCurrency=CURRENCY,
                TradeAccount=ACTIVE_ACCOUNT,
                NoAccountBalances=0,
                TransactionId=f"balance-{midnight - days * DAY}",
            )
            for days in range(HISTORY_DAYS - 1, -1, -1)
        ],
    )


def make_position(account: str, symbol: str, quantity: float, price: float, entered: int) -> dtc.PositionUpdate:
    """Make a position.

    quantity: negative for a short position.
    entered: seconds since 1970.
    """
    return dtc.PositionUpdate(
        Symbol=symbol,
        Quantity=quantity,
        AveragePrice=price,
        PositionIdentifier=f"{account}.{symbol}"[: dtc.ORDER_ID_LENGTH - 1],
        TradeAccount=account,
        NoPositions=0,
        Unsolicited=0,
        EntryDateTime=entered,
    )


def margin(instrument: Instrument) -> float:
    """Return the margin of one contract or unit, in the account's currency."""
    known = _MARGINS.get(instrument.symbol)
    return instrument.last / instrument.tick * instrument.tick_value / 10 if known is None else known


def _position(midnight: int, symbol: str, quantity: int, price: float) -> dtc.PositionUpdate:
    return make_position(ACTIVE_ACCOUNT, symbol, quantity, price, midnight - DAY // 2)


def make_active_orders(midnight: int) -> list[SimulatedOrder]:
    """Make the resting orders of the active account."""
    rows = (
        (1001, _ES, OrderTypeEnum.ORDER_TYPE_LIMIT, _BUY, 281500, None, 2),
        (1002, _ES, OrderTypeEnum.ORDER_TYPE_STOP, _SELL, 280000, None, 2),
        (1003, _CL, OrderTypeEnum.ORDER_TYPE_STOP_LIMIT, _BUY, 1790, 1795, 1),
        (1004, _EURUSD, OrderTypeEnum.ORDER_TYPE_LIMIT, _SELL, 1.0925, None, 125000),
        (1005, _ES, OrderTypeEnum.ORDER_TYPE_MARKET_IF_TOUCHED, _SELL, 286000, None, 1),
    )
    return [
        SimulatedOrder(
            server_id=str(server_id),
            client_id=f"sim-{server_id}",
            symbol=symbol,
            account=ACTIVE_ACCOUNT,
            type=kind,
            side=side,
            quantity=quantity,
            price1=price,
            price2=limit,
            time_in_force=dtc.TimeInForceEnum.TIF_GOOD_TILL_CANCELED,
            status=OPEN,
            received=midnight - DAY // 4,
            changed=midnight - DAY // 4 + 0.25,
        )
        for server_id, symbol, kind, side, price, limit, quantity in rows
    ]


def _fills(midnight: int) -> list[dtc.HistoricalOrderFillResponse]:
    """Make fills that open and close positions in turns, oldest first."""
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
                TradeAccount=ACTIVE_ACCOUNT,
                OpenClose=OpenCloseTradeEnum.TRADE_OPEN if entry else OpenCloseTradeEnum.TRADE_CLOSE,
                NoOrderFills=0,
                PositionQuantity=1 + i // 2 % 3 if entry else 0,
            )
        )
    return fills


def _opening_fills(midnight: int) -> list[dtc.HistoricalOrderFillResponse]:
    """Return the fills that opened the present positions."""
    return [
        dtc.HistoricalOrderFillResponse(
            Symbol=symbol,
            ServerOrderID=str(order_id),
            BuySell=_BUY if quantity > 0 else _SELL,
            Price=price,
            DateTime=midnight - DAY // 2,
            Quantity=abs(quantity),
            UniqueExecutionID=f"fill-{order_id}",
            TradeAccount=ACTIVE_ACCOUNT,
            OpenClose=OpenCloseTradeEnum.TRADE_OPEN,
            NoOrderFills=0,
            PositionQuantity=quantity,
        )
        for order_id, symbol, quantity, price in ((912, _ES, 2, 282125), (913, _CL, -1, 1735))
    ]


def _trades(midnight: int) -> list[dtc.HistoricalTradesResponse]:
    """Make half a year of long and short round trips, then those of the fills."""
    trades = []
    for i in range(EARLIER_TRADES):
        symbol, tick, tick_value, base = _TRADED[i % 3]
        entered = midnight - (25 + 3 * (EARLIER_TRADES - i)) * DAY + DAY // 2 + 977 * (i % 11)
        quantity, is_buy, ticks = 1 + i % 3, i % 5 < 3, i * 11 % 23 - 10
        price = base + tick * (i * 7 % 31)
        trades.append(
            dtc.HistoricalTradesResponse(
                Symbol=symbol,
                TradeAccount=ACTIVE_ACCOUNT,
                EntryDateTime=entered + 0.25,
                ExitDateTime=entered + 600 + 2400 * (i % 9) + 0.75,
                EntryPrice=round(price, 5),
                ExitPrice=round(price + tick * (ticks if is_buy else -ticks), 5),
                TradeType=_BUY if is_buy else _SELL,
                EntryQuantity=quantity,
                ExitQuantity=quantity,
                MaxOpenQuantity=quantity,
                ClosedProfitLoss=ticks * tick_value * quantity,
                MaximumOpenPositionLoss=(min(ticks, 0) - 2) * tick_value * quantity,
                MaximumOpenPositionProfit=(max(ticks, 0) + 3) * tick_value * quantity,
                Commission=2.1 * quantity,
                OpenFillExecutionID=f"fill-{300 + 2 * i}",
                CloseFillExecutionID=f"fill-{301 + 2 * i}",
            )
        )
    return trades + _trades_of_fills(_fills(midnight))


def _trades_of_fills(fills: list[dtc.HistoricalOrderFillResponse]) -> list[dtc.HistoricalTradesResponse]:
    """Make a trade of each opening fill and its closing fill."""
    trades = []
    for entry, exit_ in zip(fills[::2], fills[1::2], strict=True):
        tick, tick_value = (25, 12.5) if entry.Symbol == _ES else (1, 10.0)
        quantity = int(float_or_zero(entry.Quantity))
        profit = (float_or_zero(exit_.Price) - float_or_zero(entry.Price)) / tick * tick_value * quantity
        trades.append(
            dtc.HistoricalTradesResponse(
                Symbol=entry.Symbol,
                TradeAccount=ACTIVE_ACCOUNT,
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


def journal_entries(midnight: int) -> list[dtc.JournalEntryResponse]:
    """Make journal entries for most days, oldest first."""
    return [
        dtc.JournalEntryResponse(
            JournalEntry=_NOTES[days % len(_NOTES)], DateTime=midnight - days * DAY + DAY * 7 // 8 + 61 * (days % 13)
        )
        for days in range(JOURNAL_DAYS, 0, -1)
        if days % 7 > 1
    ]
