"""Read the server's state, and determine whether the answers are complete."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from dtc_twisted.dtc.messages import (
    AccountBalanceRequest,
    AccountBalanceUpdate,
    CurrentPositionsRequest,
    HistoricalOrderFillResponse,
    HistoricalOrderFillsRequest,
    Message,
    OpenOrdersRequest,
    OrderUpdate,
    PositionUpdate,
    TradeAccountsRequest,
)
from dtc_twisted.dtc.responses import RESPONSES, ResponseSpec, rows_of_account
from dtc_twisted.dtc.session import Session
from dtc_twisted.errors import RequestRejected, RequestTimedOut
from dtc_twisted.logs import logger, shorten

_log = logger(__name__)

FAR_BACK = 2 * 86400.0
"""Seconds by which fills are read back when something is in doubt.

Either clock may have been wrong by a day.
"""


@dataclass
class Batch:
    """Hold the answer to one request.

    rows: the messages, each once.
    is_complete: none is missing. A message that is missing, or cannot be read, may be the one that matters.
    """

    rows: list[Any] = field(default_factory=list)
    is_complete: bool = False


Ask = Callable[[Any], Awaitable[Batch]]
"""Send a request, and return the answer."""


@dataclass
class ServerSnapshot:
    """Hold the server's state.

    began: time of the first request, seconds since 1970.
    accounts: the trade accounts that the server lists.
    is_disabled: whether they accept no orders, by account, where the list states it.
    fills: answers by account; None: the server does not state its fills.
    fills_since: from when on fills were asked for, by account; seconds since 1970 on the server's clock.
    orders_since, positions_since, balances_since: version of the account state when each request was sent.
    """

    began: float
    accounts: list[str]
    open_orders: Batch
    fills: dict[str, Batch | None]
    fills_since: dict[str, float]
    positions: Batch
    balances: Batch
    orders_since: int
    positions_since: int
    balances_since: int
    is_disabled: dict[str, bool] = field(default_factory=dict)

    def mark_incomplete(self, surplus: Collection[type[Message]]) -> None:
        """Count answers as incomplete that had more messages than the server stated.

        surplus: the types of these messages.
        """
        self.open_orders.is_complete &= OrderUpdate not in surplus
        self.positions.is_complete &= PositionUpdate not in surplus
        self.balances.is_complete &= AccountBalanceUpdate not in surplus
        for batch in self.fills.values():
            if batch is not None:
                batch.is_complete &= HistoricalOrderFillResponse not in surplus

    def states_fills(self, trade_account: str) -> bool:
        """Return whether all fills of an account are known, as far back as was asked.

        Of an order whose account is not known (empty): whether those of all accounts are.
        """
        if not trade_account:
            return all(map(self.states_fills, filter(None, self.accounts)))
        batch = self.fills.get(trade_account)
        return batch is not None and batch.is_complete and trade_account in self.accounts

    def states_far_back(self, trade_account: str) -> bool:
        """Return whether all fills since FAR_BACK are known.

        Then no clock is needed: each may have been wrong by a day.
        """
        if not trade_account:
            return all(map(self.states_far_back, filter(None, self.accounts)))
        is_far_back = self.began - self.fills_since.get(trade_account, self.began) >= FAR_BACK
        return is_far_back and self.states_fills(trade_account)


async def read_server(
    session: Session,
    timeout: float,
    now: float,
    version: Callable[[], int],
    fills_since: Callable[[Sequence[str]], dict[str, float]],
    known_accounts: Sequence[str] = (),
) -> ServerSnapshot:
    """Request the server's state.

    version: returns the version of the AccountState.
    fills_since: given the accounts that the server lists, returns from when on fills are wanted, by account.
    known_accounts: listed before; they stay if the list is not complete now.

    Raises RequestRejected, RequestTimedOut, SessionLost.
    """

    async def ask(request: Message) -> Batch:
        rows: list[Any] = []
        try:
            await session.request(request, timeout, rows.append)
        except RequestTimedOut:
            if not rows:
                raise
            return Batch(rows)
        return Batch(rows, _is_complete(RESPONSES[type(request)], rows))

    listed = await ask(TradeAccountsRequest())
    accounts = [each.TradeAccount for each in listed.rows if _have([each], "TradeAccount")]
    if not listed.is_complete or len(accounts) < len(listed.rows):
        accounts = [*dict.fromkeys([*accounts, *known_accounts])]
    orders_since = version()
    open_orders = await _ask_all(ask, OpenOrdersRequest(), accounts)
    wanted = fills_since(accounts)
    fills = await _read_fills(ask, wanted)
    positions_since = version()
    positions = await _ask_all(ask, CurrentPositionsRequest(), accounts)
    positions.is_complete = positions.is_complete and _have(positions.rows, "TradeAccount", "Symbol")
    balances_since = version()
    balances = await _read_balances(ask, accounts)
    return ServerSnapshot(
        *(now, accounts, open_orders, fills, wanted, positions, balances),
        *(orders_since, positions_since, balances_since, _disabled(listed.rows)),
    )


def _disabled(rows: Iterable[Any]) -> dict[str, bool]:
    """Return the accounts whose TradingIsDisabled is stated, and its value."""
    return {row.TradeAccount: row.TradingIsDisabled == 1 for row in rows if row.TradingIsDisabled is not UNSET}


async def _ask_all(ask: Ask, request: Any, accounts: Sequence[str]) -> Batch:
    """Request what belongs to all accounts.

    If the server rejects that, request what belongs to each account.
    """
    try:
        return await ask(request)
    except RequestRejected:
        if not accounts:
            raise
    rows, is_complete = list[Any](), True
    for account in accounts:
        batch = await ask(replace(request, TradeAccount=account))
        rows += rows_of_account(batch.rows, account)
        is_complete = is_complete and batch.is_complete
    return Batch(rows, is_complete)


async def _read_fills(ask: Ask, wanted: Mapping[str, float]) -> dict[str, Batch | None]:
    """Request the fills of accounts, each from a time on.

    None: the server does not state them. After an account without an answer, no other is asked for.
    """
    fills: dict[str, Batch | None] = dict.fromkeys(wanted)
    unstated: list[str] = []
    for account, since in wanted.items():
        try:
            batch = await ask(HistoricalOrderFillsRequest(TradeAccount=account, StartDateTime=int(since)))
        except RequestRejected as error:
            unstated.append(f"{account} ({shorten(str(error), 100)})")
        except RequestTimedOut:
            _log.warn("The server does not answer about the fills of {account}", account=account)
            break
        else:
            rows = rows_of_account(batch.rows, account)
            fills[account] = Batch(rows, batch.is_complete and _have(rows, "Quantity"))
    if unstated:
        _log.warn("The server does not state the fills of {accounts}", accounts=shorten(", ".join(unstated)))
    return fills


async def _read_balances(ask: Ask, accounts: Sequence[str]) -> Batch:
    """Request the balances of all accounts.

    If the server does not state them, request those of each account.
    """
    refusals: list[str] = []
    try:
        balances = await ask(AccountBalanceRequest())
    except (RequestRejected, RequestTimedOut) as error:
        balances = Batch()
        refusals = [str(error)]
    if accounts and not balances.rows:
        refusals = []
        rows: dict[str, Any] = {}  # a server may ignore the account, and state all balances each time
        balances.is_complete = True
        for account in accounts:
            try:
                batch = await ask(AccountBalanceRequest(TradeAccount=account))
            except RequestRejected as error:
                refusals.append(f"{account} ({shorten(str(error), 100)})")
                continue
            except RequestTimedOut as error:
                refusals.append(f"{account} ({error})")
                break
            rows |= {row.TradeAccount: row for row in batch.rows}
            balances.is_complete = balances.is_complete and batch.is_complete
        balances.rows = [*rows.values()]
    balances.is_complete = balances.is_complete and _have(balances.rows, "TradeAccount")
    if refusals:
        balances.is_complete = False
        _log.warn("The server does not state the balances: {text}", text=shorten(", ".join(refusals)))
    return balances


def _have(rows: Iterable[Any], *names: str) -> bool:
    """Return whether the identifying fields are readable in all rows."""
    return all(getattr(row, name) not in ("", UNSET) for row in rows for name in names)


def _is_complete(spec: ResponseSpec, rows: Sequence[Any]) -> bool:
    """Return whether an answer has all messages from 1 to their total."""
    if not rows:
        return True  # the server said that there are none
    totals = {spec.total(row) for row in rows}
    return len(totals) == 1 and {spec.number(row) for row in rows} == set(range(1, totals.pop() + 1))
