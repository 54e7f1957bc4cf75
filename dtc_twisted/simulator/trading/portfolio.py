"""Account for fills: positions, cash and round trips of the simulated accounts."""

from collections.abc import Iterable, Sequence

from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import BuySellEnum, Message, OpenCloseTradeEnum
from dtc_twisted.simulator.market.instruments import DAY, Instrument, simulated_time
from dtc_twisted.simulator.market.sierra_json import float_or_zero, int_or_zero, str_or_empty, without_noise
from dtc_twisted.simulator.market.simulated_market import Market
from dtc_twisted.simulator.trading.demo_accounts import (
    CURRENCY,
    IDLE_ACCOUNT,
    TradeAccount,
    make_active_account,
    make_position,
    margin,
)
from dtc_twisted.simulator.trading.simulated_orders import SimulatedFill, SimulatedOrder


class Portfolio:
    """Hold the accounts by name, and value their positions at market prices.

    accounts: None: the demo accounts.
    """

    def __init__(self, clock: IReactorTime, market: Market, accounts: Sequence[TradeAccount] | None = None) -> None:
        self._market = market
        if accounts is None:
            midnight = int(simulated_time(clock.seconds())) // DAY * DAY
            accounts = (make_active_account(midnight), TradeAccount(IDLE_ACCOUNT, cash=50_000.0))
        self.accounts = {account.name: account for account in accounts}
        self.fills: list[dtc.HistoricalOrderFillResponse] = [
            fill for account in self.accounts.values() for fill in account.fills
        ]
        """Fills of all accounts, oldest first."""
        self._last_profit: dict[tuple[str, str], float] = {}  # (account, symbol) -> OpenProfitLoss

    def apply_fill(self, order: SimulatedOrder, fill: SimulatedFill) -> list[Message]:
        """Account for a fill. Return the unsolicited updates that follow."""
        account, instrument = self.accounts[order.account], self._market.ticker(order.symbol).instrument
        position = account.positions.get(order.symbol)
        before = float_or_zero(position.Quantity) if position else 0
        signed = order.sign * fill.quantity
        closed = min(abs(before), fill.quantity) if before * signed < 0 else 0
        if position and closed:
            self._close(account, position, instrument, fill, closed)
        after = without_noise(before + signed)
        if position is None or before * after < 0:  # opened, or reversed
            position = make_position(order.account, order.symbol, after, fill.price, int(fill.at))
        elif closed:
            position = replace(position, Quantity=after)
        else:
            cost = before * float_or_zero(position.AveragePrice) + signed * fill.price
            position = replace(position, Quantity=after, AveragePrice=without_noise(cost / after))
        if after:
            account.positions[order.symbol] = position
        else:
            account.positions.pop(order.symbol, None)
            position = replace(position, AveragePrice=0)
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
        position = self.valued(position)
        self._last_profit[order.account, order.symbol] = float_or_zero(position.OpenProfitLoss)
        return _unsolicited(position, *self._balances_of(account))

    def changed_messages(self) -> list[Message]:
        """Return unsolicited updates of values that the market has changed.

        These are positions and balances with other values than at the last call.
        """
        changed: list[Message] = []
        for account in self.accounts.values():
            moved = [
                position
                for position in self.positions_of(account)
                if self._last_profit.get((account.name, str_or_empty(position.Symbol))) != position.OpenProfitLoss
            ]
            for position in moved:
                self._last_profit[account.name, str_or_empty(position.Symbol)] = float_or_zero(position.OpenProfitLoss)
            if moved:
                changed += _unsolicited(*moved, *self._balances_of(account))
        return changed

    def positions_of(self, account: TradeAccount) -> list[dtc.PositionUpdate]:
        """Return the positions of an account, at the last prices."""
        return [self.valued(position) for position in account.positions.values()]

    def valued(self, position: dtc.PositionUpdate) -> dtc.PositionUpdate:
        """Return a position with its values at the last price of its symbol."""
        ticker = self._market.ticker(str_or_empty(position.Symbol))
        ticks = ticker.last - float_or_zero(position.AveragePrice) / ticker.instrument.tick
        quantity = float_or_zero(position.Quantity)
        return replace(
            position,
            OpenProfitLoss=round(ticks * ticker.instrument.tick_value * quantity, 6),
            MarginRequirement=margin(ticker.instrument) * abs(quantity),
        )

    def balance(self, account: TradeAccount) -> dtc.AccountBalanceUpdate:
        """Return the balance with the present value of the positions."""
        positions = self.positions_of(account)
        profit = sum(float_or_zero(position.OpenProfitLoss) for position in positions)
        needed = sum(float_or_zero(position.MarginRequirement) for position in positions)
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
        """Return whether the account lacks the margin for the added position.

        Resting orders are not counted.
        """
        account = self.accounts[order.account]
        if account.cash is None:
            return False
        position = account.positions.get(order.symbol)
        quantity = float_or_zero(position.Quantity) if position else 0
        added = abs(quantity + order.sign * order.remaining) - abs(quantity)
        needed = added * margin(self._market.ticker(order.symbol).instrument)
        return added > 0 and needed > float_or_zero(self.balance(account).BalanceAvailableForNewPositions)

    def _balances_of(self, account: TradeAccount) -> list[dtc.AccountBalanceUpdate]:
        return [] if account.cash is None else [self.balance(account)]

    def _close(
        self,
        account: TradeAccount,
        position: dtc.PositionUpdate,
        instrument: Instrument,
        fill: SimulatedFill,
        quantity: float,
    ) -> None:
        """Close a quantity of a position, and add its profit to the cash."""
        long = float_or_zero(position.Quantity) > 0
        ticks = (fill.price - float_or_zero(position.AveragePrice)) / instrument.tick * (1 if long else -1)
        profit = round(ticks * instrument.tick_value * quantity, 6)
        account.realised = round(account.realised + profit, 6)
        if account.cash is not None:
            account.cash = round(account.cash + profit, 6)
        account.trades.append(
            dtc.HistoricalTradesResponse(
                Symbol=instrument.symbol,
                TradeAccount=account.name,
                EntryDateTime=int_or_zero(position.EntryDateTime),
                ExitDateTime=fill.at,
                EntryPrice=position.AveragePrice,
                ExitPrice=fill.price,
                TradeType=BuySellEnum.BUY if long else BuySellEnum.SELL,
                EntryQuantity=_integer_quantity(quantity),
                ExitQuantity=_integer_quantity(quantity),
                MaxOpenQuantity=_integer_quantity(abs(float_or_zero(position.Quantity))),
                ClosedProfitLoss=profit,
                MaximumOpenPositionLoss=min(profit, 0.0),
                MaximumOpenPositionProfit=max(profit, 0.0),
                Commission=0.0,
                CloseFillExecutionID=fill.execution_id,
            )
        )


def _integer_quantity(quantity: float) -> int | UnsetType:
    """Return the quantity of a round trip; unset if it has a fraction.

    The protocol has integers here.
    """
    return int(quantity) if quantity == int(quantity) else UNSET


def _unsolicited(*messages: dtc.PositionUpdate | dtc.AccountBalanceUpdate) -> list[Message]:
    return [replace(each, RequestID=0, TotalNumberMessages=1, MessageNumber=1, Unsolicited=1) for each in messages]


def number_messages(
    batch: Iterable[dtc.AccountBalanceUpdate | dtc.PositionUpdate | dtc.HistoricalOrderFillResponse], request_id: int
) -> list[Message]:
    """Return the messages with RequestID and message counts."""
    batch = list(batch)
    return [
        replace(message, RequestID=request_id, TotalNumberMessages=len(batch), MessageNumber=i)
        for i, message in enumerate(batch, 1)
    ]
