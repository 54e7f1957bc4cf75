"""The live view of the trade accounts: orders and their fills, positions, balances, as the server states them.

Changes are published on one of three channels, "orders", "positions" and "balances", numbered from 1 on each. The
updates of an order are published once, in the order in which the server stated them; what is known already is not
published again.
"""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import to_builtins

from dtc_twisted.dtc.messages import AccountBalanceUpdate, Message, OrderUpdate, PositionUpdate
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_state import OrderState
from dtc_twisted.orders.outcomes import Fields

CHANNELS = ("orders", "positions", "balances")

PositionKey = tuple[str, str, str]
"""TradeAccount, Symbol and, where one symbol may have several, PositionIdentifier."""

_REQUEST_FIELDS = (
    *("RequestID", "TotalNumberMessages", "MessageNumber", "NoPositions", "NoAccountBalances", "Unsolicited"),
)
_EPSILON = 1e-6


class AccountState(OrderState):
    """Orders, positions and balances."""

    types = (OrderUpdate, PositionUpdate, AccountBalanceUpdate)
    """What `receive` takes."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.position_read_listeners: list[Callable[[int], None]] = []
        """Called when all positions were read, with the `version` when they were asked for."""
        self.seqs = dict.fromkeys(CHANNELS, 0)
        self.positions: dict[PositionKey, Fields] = {}
        self.balances: dict[str, Fields] = {}
        """By TradeAccount."""
        self.multiple_positions = False
        """The server may have several positions of one symbol in one account."""
        self._versions: dict[object, int] = {}  # the change that touched a position or balance last

    # -- called by whoever shows or checks accounts

    def position(self, trade_account: str, symbol: str) -> float:
        """Return the quantity, negative when short."""
        if not self.multiple_positions:
            return float(self.positions.get((trade_account, symbol, ""), {}).get("Quantity", 0))
        return sum(
            float(position.get("Quantity", 0))
            for (account, name, _), position in self.positions.items()
            if (account, name) == (trade_account, symbol)
        )

    def position_version(self, trade_account: str, symbol: str) -> int:
        """Return the `version` when the server last stated a position; 0: never."""
        if not self.multiple_positions:
            return self._versions.get((trade_account, symbol, ""), 0)
        name = (trade_account, symbol)
        return max((n for key, n in self._versions.items() if isinstance(key, tuple) and key[:2] == name), default=0)

    def position_offset(self, trade_account: str, symbol: str) -> float | None:
        """Return the part of a position that the known fills do not explain.

        None: the position that the last fill made is not stated yet.
        """
        key = (trade_account, symbol)
        if self.fill_versions.get(key, 0) > self.position_version(*key):
            return None
        return self.position(*key) - self.traded[key]

    def take_position_offset(self, order: Order, now: float) -> None:
        """Note the position offset of an order that is sent: what its fills will be compared with.

        While other orders of the symbol wait for their outcome, their fills may be in the position already. Then the
        offset from before these orders applies.
        """
        for other in self.unsettled():
            is_same_symbol = (other.trade_account, other.symbol) == (order.trade_account, order.symbol)
            if other.sent_at and other.sequence < order.sequence and is_same_symbol:
                order.position_offset, order.offset_taken_at = other.position_offset, other.offset_taken_at
                order.late_fills = other.late_fills
                return
        order.position_offset = self.position_offset(order.trade_account, order.symbol)
        order.offset_taken_at = now

    def is_position_explained(self, order: Order) -> bool:
        """Return whether the known fills explain how the position changed since an order's offset was taken."""
        if order.position_offset is None:
            return True
        key = (order.trade_account, order.symbol)
        change = self.position(*key) - self.traded[key] - order.position_offset
        return abs(change) < _EPSILON or abs(change + order.late_fills) < _EPSILON

    def symbols_held(self, trade_account: str, symbol: str = "") -> list[str]:
        """Return the symbols that an account has positions in; of one symbol only, if it is given."""
        keys = {(account, name) for account, name, _ in self.positions if symbol in ("", name)}
        return sorted(name for account, name in keys if account == trade_account and self.position(account, name))

    def snapshot(self, channel: str) -> list[Fields]:
        """Return all that is known on a channel."""
        if channel == "orders":
            return self.order_rows()
        return list((self.positions if channel == "positions" else self.balances).values())

    # -- called with what the server sends

    def receive(self, message: Message) -> None:
        """Apply what the server sent by itself."""
        match message:
            case OrderUpdate():
                self.apply_order_update(message)
            case PositionUpdate():
                self.update_position(message)
            case AccountBalanceUpdate():
                self.update_balance(message)

    def update_position(self, message: PositionUpdate, since: int | None = None) -> PositionKey:
        """Apply a position. Return its key.

        since: the version when the server was asked; what changed since is newer than the answer. None: the server sent
        the message by itself.
        """
        fields = _without_request_fields(message)
        key = self.position_key(message)
        if since is None or self._versions.get(key, 0) <= since:
            if since is not None:
                self._bump_version(key)
                if fields == _without_mark(self.positions.get(key, {})):
                    return key
                fields["Reconciled"] = True
            if fields.get("Quantity"):
                self.positions[key] = fields
            else:
                self.positions.pop(key, None)
            self._bump_version(key)
            self._publish("positions", fields)
        return key

    def update_balance(self, message: AccountBalanceUpdate, since: int | None = None) -> str:
        """Apply a balance, as `update_position`. Return the account."""
        fields = _without_request_fields(message)
        account = str(fields.get("TradeAccount", ""))
        if since is None or self._versions.get(account, 0) <= since:
            if since is not None:
                if fields == _without_mark(self.balances.get(account, {})):
                    return account
                fields["Reconciled"] = True
            self.balances[account] = fields
            self._bump_version(account)
            self._publish("balances", fields)
        return account

    def remove_absent(self, positions: Iterable[PositionKey], balances: Iterable[str], since: int) -> None:
        """Remove all other positions and balances: the server stated all that there are."""
        for key in self.positions.keys() - set(positions):
            if self._versions.get(key, 0) <= since:
                gone = self.positions.pop(key) | {"Quantity": 0, "Reconciled": True}
                self._bump_version(key)
                self._publish("positions", gone)
        for account in self.balances.keys() - set(balances):
            if self._versions.get(account, 0) <= since:
                del self.balances[account]
        for listener in self.position_read_listeners:
            listener(since)

    def position_key(self, message: PositionUpdate) -> PositionKey:
        fields = to_builtins(message)
        identifier = fields.get("PositionIdentifier", "") if self.multiple_positions else ""
        return fields.get("TradeAccount", ""), fields.get("Symbol", ""), identifier

    def _bump_version(self, key: object) -> None:
        self.version += 1
        self._versions[key] = self.version


def _without_request_fields(message: Message) -> dict[str, Any]:
    fields = to_builtins(message)
    return {name: value for name, value in fields.items() if name not in _REQUEST_FIELDS}


def _without_mark(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name != "Reconciled"}
