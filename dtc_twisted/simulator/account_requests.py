"""Answer requests about accounts.

These are balances, positions, orders, fills, trades and the journal.
"""

from bisect import insort
from collections.abc import Mapping, Sequence
from functools import singledispatchmethod

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import SimulatorReject
from dtc_twisted.simulator.market.instruments import DAY, simulated_time
from dtc_twisted.simulator.market.sierra_json import float_or_zero, int_or_zero, str_or_empty
from dtc_twisted.simulator.settings import ServerSettings
from dtc_twisted.simulator.trading.demo_accounts import TradeAccount, journal_entries
from dtc_twisted.simulator.trading.portfolio import Portfolio, number_messages
from dtc_twisted.simulator.trading.simulated_orders import SimulatedOrder

JOURNAL_LENGTH = 256
"""Bytes of JOURNAL_ENTRY_RESPONSE.JournalEntry, with the NUL that ends it in the binary protocol."""


class AccountRequests:
    """Answer the requests of types 300 to 400, 601, 603, 703, 704 and 10100.

    orders: all orders by ServerOrderID, also closed ones.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: ServerSettings,
        portfolio: Portfolio,
        orders: Mapping[str, SimulatedOrder],
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._portfolio = portfolio
        self._orders = orders
        self.accounts = portfolio.accounts
        self.journal = journal_entries(int(simulated_time(clock.seconds())) // DAY * DAY)
        """Oldest first."""

    @singledispatchmethod
    def answer(self, request: Message) -> Sequence[Message]:
        """Return the messages of the answer. Raises SimulatorReject.

        A request that is not about accounts has no messages.
        """
        return []

    @answer.register
    def _(self, request: dtc.TradeAccountsRequest) -> Sequence[Message]:
        return [
            dtc.TradeAccountResponse(
                TotalNumberMessages=len(self.accounts),
                MessageNumber=i,
                TradeAccount=name,
                RequestID=int_or_zero(request.RequestID),
            )
            for i, name in enumerate(self.accounts, 1)
        ]

    @answer.register
    def _(self, request: dtc.AccountBalanceRequest) -> Sequence[Message]:
        request_id, name = int_or_zero(request.RequestID), str_or_empty(request.TradeAccount)
        if not name and self._settings.reject_balances_without_account:
            raise SimulatorReject("TradeAccount is not set.")
        accounts = self._requested_accounts("" if self._settings.balances_of_all_accounts else name)
        balances = [self._portfolio.balance(account) for account in accounts if account.cash is not None]
        if not balances:
            return [
                dtc.AccountBalanceUpdate(
                    RequestID=request_id,
                    TradeAccount=str_or_empty(request.TradeAccount),
                    TotalNumberMessages=1,
                    MessageNumber=1,
                    NoAccountBalances=1,
                    Unsolicited=0,
                )
            ]
        return number_messages(balances, request_id)

    @answer.register
    def _(self, request: dtc.HistoricalAccountBalancesRequest) -> Sequence[Message]:
        request_id, account = int_or_zero(request.RequestID), self._account(str_or_empty(request.TradeAccount))
        start = int_or_zero(request.StartDateTime)
        found = [balance for balance in account.balances if float_or_zero(balance.DateTime) >= start]
        if not found:
            return [
                dtc.HistoricalAccountBalanceResponse(
                    RequestID=request_id, TradeAccount=account.name, IsFinalResponse=1, NoAccountBalances=1
                )
            ]
        return [replace(each, RequestID=request_id, IsFinalResponse=int(each is found[-1])) for each in found]

    @answer.register
    def _(self, request: dtc.CurrentPositionsRequest) -> Sequence[Message]:
        request_id, accounts = (
            int_or_zero(request.RequestID),
            self._requested_accounts(str_or_empty(request.TradeAccount)),
        )
        positions = [position for account in accounts for position in self._portfolio.positions_of(account)]
        if not positions:
            return [
                dtc.PositionUpdate(
                    RequestID=request_id,
                    TotalNumberMessages=1,
                    MessageNumber=1,
                    TradeAccount=str_or_empty(request.TradeAccount),
                    NoPositions=1,
                    Unsolicited=0,
                )
            ]
        return number_messages(positions, request_id)

    @answer.register
    def _(self, request: dtc.OpenOrdersRequest) -> Sequence[Message]:
        request_id, names = (
            int_or_zero(request.RequestID),
            [each.name for each in self._requested_accounts(str_or_empty(request.TradeAccount))],
        )
        orders = [order for order in self._orders.values() if not order.ended and order.account in names]
        server_id = str_or_empty(request.ServerOrderID)
        if server_id and not int_or_zero(request.RequestAllOrders):
            orders = [order for order in orders if order.server_id == server_id]
        if not orders:
            return [
                dtc.OrderUpdate(
                    RequestID=request_id,
                    TotalNumMessages=1,
                    MessageNumber=1,
                    OrderUpdateReason=dtc.OrderUpdateReasonEnum.OPEN_ORDERS_REQUEST_RESPONSE,
                    TradeAccount=str_or_empty(request.TradeAccount),
                    NoOrders=1,
                )
            ]
        return [
            replace(
                order.update(dtc.OrderUpdateReasonEnum.OPEN_ORDERS_REQUEST_RESPONSE),
                RequestID=request_id,
                TotalNumMessages=len(orders),
                MessageNumber=i,
            )
            for i, order in enumerate(orders, 1)
        ]

    @answer.register
    def _(self, request: dtc.HistoricalOrderFillsRequest) -> Sequence[Message]:
        request_id, account = int_or_zero(request.RequestID), self._account(str_or_empty(request.TradeAccount))
        days, start = int_or_zero(request.NumberOfDays), int_or_zero(request.StartDateTime)
        if days <= 0 and start <= 0:
            raise SimulatorReject("NumberOfDays and StartDateTime are both not set.")
        since = start if start > 0 else simulated_time(self._clock.seconds()) - days * DAY
        server_id = str_or_empty(request.ServerOrderID)
        fills = [fill for fill in account.fills if int_or_zero(fill.DateTime) >= since]
        fills = [fill for fill in fills if server_id in ("", fill.ServerOrderID)]
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
        return number_messages(fills, request_id)

    @answer.register
    def _(self, request: dtc.HistoricalTradesRequest) -> Sequence[Message]:
        request_id, account = int_or_zero(request.RequestID), self._account(str_or_empty(request.TradeAccount))
        symbol, start = str_or_empty(request.Symbol), int_or_zero(request.StartDateTime)
        trades = [trade for trade in account.trades if float_or_zero(trade.EntryDateTime) >= start]
        trades = [trade for trade in trades if symbol in ("", trade.Symbol)]
        if not trades:
            return [dtc.HistoricalTradesResponse(RequestID=request_id, IsFinalMessage=1)]
        return [replace(trade, RequestID=request_id, IsFinalMessage=int(trade is trades[-1])) for trade in trades]

    @answer.register
    def _(self, request: dtc.JournalEntryAdd) -> Sequence[Message]:
        added = dtc.JournalEntryResponse(
            JournalEntry=str_or_empty(request.JournalEntry)[: JOURNAL_LENGTH - 1],
            DateTime=int_or_zero(request.DateTime) or int(simulated_time(self._clock.seconds())),
        )
        insort(self.journal, added, key=lambda entry: int_or_zero(entry.DateTime))
        return []

    @answer.register
    def _(self, request: dtc.JournalEntriesRequest) -> Sequence[Message]:
        found = [entry for entry in self.journal if int_or_zero(entry.DateTime) >= int_or_zero(request.StartDateTime)]
        if not found:
            return [dtc.JournalEntryResponse(JournalEntry="", IsFinalResponse=1)]
        return [replace(entry, IsFinalResponse=int(entry is found[-1])) for entry in found]

    def _requested_accounts(self, name: str) -> Sequence[TradeAccount]:
        """Return the account of a name, or all accounts if the name is empty.

        Raises SimulatorReject.
        """
        return [self._account(name)] if name else list(self.accounts.values())

    def _account(self, name: str) -> TradeAccount:
        """Return the account of a name. Raises SimulatorReject."""
        if not name:
            raise SimulatorReject("TradeAccount is not set.")
        if name not in self.accounts:
            raise SimulatorReject(f"{name[:32]} is not a known trade account.")
        return self.accounts[name]
