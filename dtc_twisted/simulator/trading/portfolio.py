"""What the simulated accounts hold, and what a fill does to it: positions, cash, round trips."""

from collections.abc import Iterable

from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import BuySellEnum, Message, OpenCloseTradeEnum
from dtc_twisted.simulator.market.instruments import DAY, Instrument, simulated_time
from dtc_twisted.simulator.market.sierra_json import float_or_zero, int_or_zero, str_or_empty, without_noise
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.trading.demo_accounts import (
    ACTIVE_ACCOUNT,
    CURRENCY,
    IDLE_ACCOUNT,
    TradeAccount,
    make_active_account,
    margin,
    position,
)
from dtc_twisted.simulator.trading.simulated_orders import SimulatedFill, SimulatedOrder


class Portfolio:
    """The accounts by name. market: values the positions."""

    def __init__(self, clock: IReactorTime, market: Market) -> None:
        self._market = market
        midnight = int(simulated_time(clock.seconds())) // DAY * DAY
        self.accounts = {
            ACTIVE_ACCOUNT: make_active_account(midnight),
            IDLE_ACCOUNT: TradeAccount(IDLE_ACCOUNT, cash=50_000.0),
        }
        self.fills: list[dtc.HistoricalOrderFillResponse] = [
            fill for account in self.accounts.values() for fill in account.fills
        ]
        """Of all accounts, oldest first."""
        self._last_profit: dict[tuple[str, str], float] = {}  # (account, symbol) -> OpenProfitLoss

    def apply_fill(self, order: SimulatedOrder, fill: SimulatedFill) -> list[Message]:
        """Enters what was filled of an order. What is told of that unasked."""
        account, instrument = self.accounts[order.account], self._market.ticker(order.symbol).instrument
        held = account.positions.get(order.symbol)
        before = float_or_zero(held.Quantity) if held else 0
        signed = order.sign * fill.quantity
        closed = min(abs(before), fill.quantity) if before * signed < 0 else 0
        if held and closed:
            self._close(account, held, instrument, fill, closed)
        after = without_noise(before + signed)
        if held is None or before * after < 0:  # begun or turned over
            held = position(order.account, order.symbol, after, fill.price, int(fill.at))
        elif closed:
            held = replace(held, Quantity=after)
        else:
            cost = before * float_or_zero(held.AveragePrice) + signed * fill.price
            held = replace(held, Quantity=after, AveragePrice=without_noise(cost / after))
        if after:
            account.positions[order.symbol] = held
        else:
            account.positions.pop(order.symbol, None)
            held = replace(held, AveragePrice=0)
        entry = dtc.HistoricalOrderFillResponse(
            Symbol=order.symbol,
            ServerOrderID=order.server_id,
            BuySell=order.side,
            Price=fill.price,
            DateTime=int(fill.at),
            Quantity=fill.quantity,
            UniqueExecutionID=fill.execution_id,
            TradeAccount=order.account,
            OpenClose=OpenCloseTradeEnum.TRADE_CLOSE if closed else OpenCloseTradeEnum.TRADE_OPEN,
            NoOrderFills=0,
            PositionQuantity=after,
        )
        account.fills.append(entry)
        self.fills.append(entry)
        held = self.valued(held)
        self._last_profit[order.account, order.symbol] = float_or_zero(held.OpenProfitLoss)
        return _unsolicited(held, *self._balances_of(account))

    def changed_messages(self) -> list[Message]:
        """What is told unasked of positions and balances that the market has changed since the last call."""
        changed: list[Message] = []
        for account in self.accounts.values():
            moved = [
                held
                for held in self.positions_of(account)
                if self._last_profit.get((account.name, str_or_empty(held.Symbol))) != held.OpenProfitLoss
            ]
            for held in moved:
                self._last_profit[account.name, str_or_empty(held.Symbol)] = float_or_zero(held.OpenProfitLoss)
            if moved:
                changed += _unsolicited(*moved, *self._balances_of(account))
        return changed

    def positions_of(self, account: TradeAccount) -> list[dtc.PositionUpdate]:
        """At the last prices."""
        return [self.valued(held) for held in account.positions.values()]

    def valued(self, held: dtc.PositionUpdate) -> dtc.PositionUpdate:
        """The position at the last price of its symbol."""
        ticker = self._market.ticker(str_or_empty(held.Symbol))
        ticks = ticker.last - float_or_zero(held.AveragePrice) / ticker.instrument.tick
        quantity = float_or_zero(held.Quantity)
        return replace(
            held,
            OpenProfitLoss=round(ticks * ticker.instrument.tick_value * quantity, 6),
            MarginRequirement=margin(ticker.instrument) * abs(quantity),
        )

    def balance(self, account: TradeAccount) -> dtc.AccountBalanceUpdate:
        """As the present value of the positions makes it."""
        positions = self.positions_of(account)
        profit = sum(float_or_zero(held.OpenProfitLoss) for held in positions)
        needed = sum(float_or_zero(held.MarginRequirement) for held in positions)
        cash = account.cash or 0.0
        return dtc.AccountBalanceUpdate(
            CashBalance=cash,
            BalanceAvailableForNewPositions=cash + profit - needed,
            AccountCurrency=CURRENCY,
            TradeAccount=account.name,
            SecuritiesValue=cash + profit,
            MarginRequirement=needed,
            NoAccountBalances=0,
            Unsolicited=0,
            OpenPositionsProfitLoss=profit,
            DailyProfitLoss=round(profit + account.realised, 6),
            TradingIsDisabled=0,
        )

    def lacks_margin(self, order: SimulatedOrder) -> bool:
        """Whether the account cannot carry what the order would add to its position. Resting orders do not count."""
        account = self.accounts[order.account]
        if account.cash is None:
            return False
        held = account.positions.get(order.symbol)
        quantity = float_or_zero(held.Quantity) if held else 0
        added = abs(quantity + order.sign * order.remaining) - abs(quantity)
        needed = added * margin(self._market.ticker(order.symbol).instrument)
        return added > 0 and needed > float_or_zero(self.balance(account).BalanceAvailableForNewPositions)

    def _balances_of(self, account: TradeAccount) -> list[dtc.AccountBalanceUpdate]:
        return [] if account.cash is None else [self.balance(account)]

    def _close(
        self,
        account: TradeAccount,
        held: dtc.PositionUpdate,
        instrument: Instrument,
        fill: SimulatedFill,
        quantity: float,
    ) -> None:
        """So much of the position is closed: its profit becomes cash."""
        long = float_or_zero(held.Quantity) > 0
        ticks = (fill.price - float_or_zero(held.AveragePrice)) / instrument.tick * (1 if long else -1)
        profit = round(ticks * instrument.tick_value * quantity, 6)
        account.realised = round(account.realised + profit, 6)
        if account.cash is not None:
            account.cash = round(account.cash + profit, 6)
        account.trades.append(
            dtc.HistoricalTradesResponse(
                Symbol=instrument.symbol,
                TradeAccount=account.name,
                EntryDateTime=int_or_zero(held.EntryDateTime),
                ExitDateTime=fill.at,
                EntryPrice=held.AveragePrice,
                ExitPrice=fill.price,
                TradeType=BuySellEnum.BUY if long else BuySellEnum.SELL,
                EntryQuantity=_whole(quantity),
                ExitQuantity=_whole(quantity),
                MaxOpenQuantity=_whole(abs(float_or_zero(held.Quantity))),
                ClosedProfitLoss=profit,
                MaximumOpenPositionLoss=min(profit, 0.0),
                MaximumOpenPositionProfit=max(profit, 0.0),
                Commission=0.0,
                CloseFillExecutionID=fill.execution_id,
            )
        )


def _whole(quantity: float) -> int | UnsetType:
    """The protocol's quantities of a round trip are integers: a fraction of a coin cannot be told."""
    return int(quantity) if quantity == int(quantity) else UNSET


def _unsolicited(*messages: dtc.PositionUpdate | dtc.AccountBalanceUpdate) -> list[Message]:
    return [replace(each, RequestID=0, TotalNumberMessages=1, MessageNumber=1, Unsolicited=1) for each in messages]


def number_messages(
    batch: Iterable[dtc.AccountBalanceUpdate | dtc.PositionUpdate | dtc.HistoricalOrderFillResponse], request_id: int
) -> list[Message]:
    """The messages as the answer to a request."""
    batch = list(batch)
    return [
        replace(message, RequestID=request_id, TotalNumberMessages=len(batch), MessageNumber=i)
        for i, message in enumerate(batch, 1)
    ]
