"""What the simulated server answers about accounts: balances, positions, orders, fills, trades, journal."""

from bisect import insort
from collections.abc import Mapping, Sequence
from functools import singledispatchmethod

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from dtc_twisted import messages as dtc
from dtc_twisted.messages import Message
from dtc_twisted.simulator.answers import RefusedError
from dtc_twisted.simulator.holdings import Account, journal
from dtc_twisted.simulator.instruments import DAY, present
from dtc_twisted.simulator.ledger import Ledger, numbered
from dtc_twisted.simulator.orders import Order
from dtc_twisted.simulator.wire import number, text, value_of

JOURNAL_LENGTH = 256
"""Bytes of JOURNAL_ENTRY_RESPONSE.JournalEntry, with the NUL that ends it in the binary protocol."""


class Accounts:
    """Answers requests 300 to 400, 601, 603, 703, 704 and 10100.

    orders: by ServerOrderID, those that have ended too.
    """

    def __init__(self, clock: IReactorTime, ledger: Ledger, orders: Mapping[str, Order]) -> None:
        self._clock = clock
        self._ledger = ledger
        self._orders = orders
        self.accounts = ledger.accounts
        self.journal = journal(int(present(clock.seconds())) // DAY * DAY)
        """Oldest first."""

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
        balances = [self._ledger.balance(account) for account in accounts if account.cash is not None]
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
        return numbered(balances, request_id)

    @answer.register
    def _(self, request: dtc.HistoricalAccountBalancesRequest) -> Sequence[Message]:
        request_id, account = number(request.RequestID), self._named(text(request.TradeAccount))
        start = number(request.StartDateTime)
        found = [balance for balance in account.balances if value_of(balance.DateTime) >= start]
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
        positions = [position for account in accounts for position in self._ledger.positions_of(account)]
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
        return numbered(positions, request_id)

    @answer.register
    def _(self, request: dtc.OpenOrdersRequest) -> Sequence[Message]:
        request_id, names = number(request.RequestID), [each.name for each in self._asked(text(request.TradeAccount))]
        orders = [order for order in self._orders.values() if not order.ended and order.account in names]
        wanted = text(request.ServerOrderID)
        if wanted and not number(request.RequestAllOrders):
            orders = [order for order in orders if order.server_id == wanted]
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
                order.update(dtc.OrderUpdateReasonEnum.OPEN_ORDERS_REQUEST_RESPONSE),
                RequestID=request_id,
                TotalNumMessages=len(orders),
                MessageNumber=i,
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
        return numbered(fills, request_id)

    @answer.register
    def _(self, request: dtc.HistoricalTradesRequest) -> Sequence[Message]:
        request_id, account = number(request.RequestID), self._named(text(request.TradeAccount))
        symbol, start = text(request.Symbol), number(request.StartDateTime)
        trades = [trade for trade in account.trades if value_of(trade.EntryDateTime) >= start]
        trades = [trade for trade in trades if symbol in ("", trade.Symbol)]
        if not trades:
            return [dtc.HistoricalTradesResponse(RequestID=request_id, IsFinalMessage=1)]
        return [replace(trade, RequestID=request_id, IsFinalMessage=int(trade is trades[-1])) for trade in trades]

    @answer.register
    def _(self, request: dtc.JournalEntryAdd) -> Sequence[Message]:
        added = dtc.JournalEntryResponse(
            JournalEntry=text(request.JournalEntry)[: JOURNAL_LENGTH - 1],
            DateTime=number(request.DateTime) or int(present(self._clock.seconds())),
        )
        insort(self.journal, added, key=lambda entry: number(entry.DateTime))
        return []

    @answer.register
    def _(self, request: dtc.JournalEntriesRequest) -> Sequence[Message]:
        found = [entry for entry in self.journal if number(entry.DateTime) >= number(request.StartDateTime)]
        if not found:
            return [dtc.JournalEntryResponse(JournalEntry="", IsFinalResponse=1)]
        return [replace(entry, IsFinalResponse=int(entry is found[-1])) for entry in found]

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
