"""Track fills that the positions stated by the server may not include yet.

The server states a fill and the position that follows from it in two messages, in either order, and sometimes only one
of them. The held position is the stated one plus the later fills. Fills are settled when a stated position equals the
one before plus the first of them. A position that equals no such sum settles nothing until positions are read, because
another client may have traded.
"""

from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.dtc.messages import BuySellEnum
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.fills import QUANTITY_TOLERANCE, SIGNS, Fill
from dtc_twisted.orders.names import symbol_key
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.outcomes import Fields

POSITION_LAG = 2.0
"""Seconds that may lie between a fill and the position with the fill, whichever comes first.

Afterwards positions are read.
"""

SETTLED_AFTER = 60.0
"""Age of a fill, in seconds, at which a read of positions settles the fill although the position has not moved."""

_MAX_FILLS = 1000
"""Fills of one position that are kept apart."""

Key = tuple[str, str]
"""TradeAccount, and `symbol_key`."""


class _Fill(NamedTuple):
    """Hold one fill.

    quantity: negative when sold.
    noted_at: monotonic seconds.
    version: version of the AccountState; 0: before any read.
    """

    quantity: float
    noted_at: float
    version: int


class _Position:
    """Hold the position of one symbol in one account.

    symbol: its name, as it was stated last.
    stated: the position without `fills`.
    early: the part of `stated` whose fill has not arrived yet.
    early_at: when that part was last stated; monotonic seconds.
    unexplained: how far `stated` has moved without fills since positions were read.
    """

    def __init__(self, symbol: str, stated: float) -> None:
        self.symbol = symbol
        self.stated = stated
        self.fills: list[_Fill] = []
        self.early = 0.0
        self.early_at = 0.0
        self.unexplained = 0.0


class UnsettledFills:
    """Follow the fills and positions of an AccountState.

    resync: has orders and positions read.
    """

    def __init__(self, clock: IReactorTime, state: AccountState, resync: Callable[[], None]) -> None:
        self._clock = clock
        self._state = state
        self._resync = resync
        self._positions: dict[Key, _Position] = {}
        self._filled: WeakKeyDictionary[Order, float] = WeakKeyDictionary()
        self._timer: IDelayedCall | None = None
        state.order_listeners.append(self._on_order_update)
        state.listeners.append(self._on_change)
        state.position_read_listeners.append(self._on_positions_read)

    def stop(self) -> None:
        """Cancel the timer."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    # -- called by the limits and by flatten

    def is_settled(self, trade_account: str, symbol: str) -> bool:
        """Return whether the stated position includes all fills."""
        position = self._positions.get((trade_account, symbol_key(symbol)))
        return position is None or not position.fills

    def stated(self, trade_account: str, symbol: str) -> float:
        """Return the stated position over all spellings of the symbol.

        Negative when short.
        """
        return self._state.positions.quantity_of_spellings(trade_account, symbol)

    def held(self, trade_account: str, symbol: str) -> float:
        """Return the position with all fills; negative when short."""
        return self.stated(trade_account, symbol) + self._sums(trade_account, symbol)[0]

    def worst(self, side: int, trade_account: str, symbol: str) -> float:
        """Return the largest possible position on this side.

        The stated position may include some of the fills already.
        """
        stated, sums = self.stated(trade_account, symbol), self._sums(trade_account, symbol)
        return stated + max(sums) if side == BuySellEnum.BUY else -stated - min(sums)

    def accounts(self) -> list[str]:
        """Return the accounts that have positions, or fills that are not settled."""
        return sorted({key[0] for key in self._state.positions.rows} | {account for account, _ in self._positions})

    def unexplained(self, side: int, trade_account: str, symbol: str) -> float:
        """Return how far the stated position has moved to a side without fills.

        Such a move can mean that orders were filled.
        """
        position = self._positions.get((trade_account, symbol_key(symbol)))
        return 0.0 if position is None else max(0.0, SIGNS.get(side, 0) * position.unexplained)

    def symbols_held(self, trade_account: str) -> list[str]:
        """Return the symbols with a position, as stated or with all fills."""
        names = {symbol_key(name): name for name in self._state.symbols_held(trade_account)}
        for (account, key), position in self._positions.items():
            if account == trade_account and position.fills and abs(self.held(account, key)) > QUANTITY_TOLERANCE:
                names.setdefault(key, position.symbol)
        return sorted(names.values())

    # -- called by AccountState

    def _on_order_update(self, order: Order, update: Fields, fill: Fill | None) -> None:
        before = self._filled.get(order)
        if before is None:  # first seen here; an order that was loaded again has a past
            before = max((each.get("FilledQuantity") or 0.0 for each in order.updates[:-1]), default=0.0)
        self._filled[order] = order.filled
        quantity = order.filled - before
        if not quantity or order.buy_sell not in SIGNS:
            return
        version = 0 if update.get("Reconciled") else self._state.version
        self._add(order, _Fill(SIGNS[order.buy_sell] * quantity, self._clock.seconds(), version))

    def _on_change(self, channel: str, fields: Fields) -> None:
        if channel == "positions":
            account, symbol = fields.get("TradeAccount", ""), fields.get("Symbol", "")
            if (account, symbol_key(symbol)) not in self._positions:
                position = self._position(account, symbol)
                position.stated = self.stated(account, symbol) if fields.get("Reconciled") else 0.0
            self._on_stated(account, symbol, is_read=bool(fields.get("Reconciled")))

    def _on_positions_read(self, asked_version: int) -> None:
        """Apply a read of positions that began at this version of the AccountState."""
        now = self._clock.seconds()
        for (account, key), position in self._positions.items():
            self._on_stated(account, position.symbol, is_read=True)
            if now - position.early_at > POSITION_LAG:
                position.unexplained = 0.0
            stated = self.stated(account, key)
            is_explained = abs(stated - position.stated) < QUANTITY_TOLERANCE
            since = now - SETTLED_AFTER
            left = [
                fill
                for fill in position.fills
                if fill.version > asked_version or (is_explained and fill.noted_at > since)
            ]
            if len(left) < len(position.fills):
                position.fills, position.stated = left, stated

    # -- inside

    def _add(self, order: Order, fill: _Fill) -> None:
        position = self._position(order.trade_account, order.symbol)
        position.symbol = order.symbol
        early = position.early if fill.noted_at - position.early_at <= POSITION_LAG else 0.0
        if early * fill.quantity > 0 and abs(fill.quantity) <= abs(early) + QUANTITY_TOLERANCE:
            position.early = early - fill.quantity
            position.unexplained -= fill.quantity
            return
        position.early = 0.0
        position.fills.append(fill)
        if len(position.fills) > _MAX_FILLS:
            first, second, *rest = position.fills
            merged = _Fill(first.quantity + second.quantity, second.noted_at, second.version)
            position.fills = [merged, *rest]
        self._check_after(POSITION_LAG)

    def _on_stated(self, trade_account: str, symbol: str, *, is_read: bool) -> None:
        position = self._position(trade_account, symbol)
        stated, before = self.stated(trade_account, symbol), position.stated
        if not position.fills:
            if abs(stated - before) > QUANTITY_TOLERANCE and not is_read:
                now = self._clock.seconds()
                known = position.early if now - position.early_at <= POSITION_LAG else 0.0
                position.early, position.early_at = known + stated - before, now
                position.unexplained += stated - before
            position.stated = stated
            return
        total, included = before, None
        for number, fill in enumerate(position.fills, 1):
            total += fill.quantity
            if abs(total - stated) < QUANTITY_TOLERANCE:
                included = number
        if included is not None:
            position.fills, position.stated = position.fills[included:], stated
        elif abs(stated - before) > QUANTITY_TOLERANCE:
            position.unexplained = stated - before

    def _check_after(self, seconds: float) -> None:
        self.stop()
        self._timer = self._clock.callLater(seconds, self._resync_if_unsettled)

    def _resync_if_unsettled(self) -> None:
        if any(position.fills for position in self._positions.values()):
            self._check_after(SETTLED_AFTER)
            self._resync()

    def _position(self, trade_account: str, symbol: str) -> _Position:
        key = (trade_account, symbol_key(symbol))
        if key not in self._positions:
            self._positions[key] = _Position(symbol, self.stated(trade_account, symbol))
        return self._positions[key]

    def _sums(self, trade_account: str, symbol: str) -> list[float]:
        """Return the sums of the last fills: of all, of all but the first, and so on.

        The last sum, of none, is 0.
        """
        position = self._positions.get((trade_account, symbol_key(symbol)))
        sums = [0.0]
        for fill in reversed(position.fills if position is not None else []):
            sums.append(sums[-1] + fill.quantity)
        return sums[::-1]
