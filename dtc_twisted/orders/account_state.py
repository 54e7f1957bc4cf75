"""Keep the live state of the trade accounts, as the server states it.

The state has orders with their fills, positions and balances.

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
from dtc_twisted.orders.position_table import PositionKey, PositionTable, is_named
from dtc_twisted.orders.stated_fields import is_not_finite

CHANNELS = ("orders", "positions", "balances")

_REQUEST_FIELDS = (
    *("RequestID", "TotalNumberMessages", "MessageNumber", "NoPositions", "NoAccountBalances", "Unsolicited"),
)
_EPSILON = 1e-6


class AccountState(OrderState):
    """Hold orders, positions and balances."""

    types = (OrderUpdate, PositionUpdate, AccountBalanceUpdate)
    """Message types that `receive` accepts."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.position_read_listeners: list[Callable[[int], None]] = []
        """Called when all positions were read, with the `version` when they were asked for."""
        self.seqs = dict.fromkeys(CHANNELS, 0)
        self.positions = PositionTable()
        self.balances: dict[str, Fields] = {}
        """By TradeAccount."""
        self._balance_versions: dict[str, int] = {}  # the change that touched a balance last

    # -- called by readers of accounts

    def position(self, trade_account: str, symbol: str) -> float:
        """Return the quantity, negative when short.

        Several positions of the symbol are summed.
        """
        return self.positions.quantity(trade_account, symbol)

    def position_offset(self, trade_account: str, symbol: str) -> float | None:
        """Return the part of a position that the known fills do not explain.

        None: the position that the last fill made is not stated yet.
        """
        key = (trade_account, symbol)
        if self.fill_versions.get(key, 0) > self.positions.version(*key):
            return None
        return self.position(*key) - self.traded[key]

    def take_position_offset(self, order: Order, now: float) -> None:
        """Store the position offset of an order that is sent.

        The order's fills are compared with the offset later.

        While other orders of the symbol wait for their outcome, their fills may be in the position already. Then the
        offset from before these orders applies.
        """
        for other in self.unsettled():
            is_same_symbol = (other.trade_account, other.symbol) == (order.trade_account, order.symbol)
            is_before = other.sent_at and other.sequence < order.sequence and not other.acknowledged_by
            if is_before and is_same_symbol:
                order.position_offset, order.offset_taken_at = other.position_offset, other.offset_taken_at
                order.late_fills = other.late_fills
                return
        order.position_offset = self.position_offset(order.trade_account, order.symbol)
        order.offset_taken_at = now

    def is_position_explained(self, order: Order, others: float = 0.0) -> bool:
        """Return whether the known fills explain the position.

        Changes since the order's offset was taken are compared.

        others: net quantity of fills that are not assigned to any order, and cannot be this one's.
        """
        if order.position_offset is None:
            return True
        key = (order.trade_account, order.symbol)
        change = self.position(*key) - self.traded[key] - order.position_offset
        return any(abs(each) < _EPSILON for each in (change, change + order.late_fills, change - others))

    def symbols_held(self, trade_account: str, symbol: str = "") -> list[str]:
        """Return the symbols that an account has positions in.

        symbol: only this one, if it is not empty.
        """
        return [name for name in self.positions.symbols(trade_account) if symbol in ("", name)]

    def snapshot(self, channel: str) -> list[Fields]:
        """Return all that is known on a channel."""
        if channel == "orders":
            return self.order_rows()
        return list((self.positions.rows if channel == "positions" else self.balances).values())

    # -- called with what the server sends

    def receive(self, message: Message) -> None:
        """Apply a message of the server that no request waits for.

        A late answer does not say when it was true: what was stated since the logon is newer.
        """
        since = self.session_version if is_answer(message) else None
        match message:
            case OrderUpdate():
                self.apply_order_update(message)
            case PositionUpdate():
                if message.NoPositions != 1:
                    self.update_position(message, since)
            case AccountBalanceUpdate():
                self.update_balance(message, since)

    def update_position(self, message: PositionUpdate, since: int | None = None) -> PositionKey:
        """Apply a position. Return its key.

        since: the version when the server was asked; what changed since is newer than the answer. None: the server sent
        the message by itself.
        """
        fields, table = _without_request_fields(message), self.positions
        if fields.get("Quantity") and fields.get("AveragePrice") == 0:
            del fields["AveragePrice"]  # 0 is no price
        key, is_unexpected = table.key_for(fields, since)
        if since is not None and table.is_newer(key, since):
            return key
        self.version += 1
        if since is not None:
            if fields == _without_mark(table.rows.get(key, {})):
                table.touch(key, self.version, since)
                return key
            fields["Reconciled"] = True
        self._publish("positions", table.set(key, fields, self.version, since))
        if since is None and (is_unexpected or "Quantity" not in fields or not is_named(key)):
            self._ask_for_read()  # the server may have replaced the other position
        return key

    def update_balance(self, message: AccountBalanceUpdate, since: int | None = None) -> str:
        """Apply a balance, as `update_position`. Return the account."""
        fields = _without_request_fields(message)
        account = str(fields.get("TradeAccount", ""))
        if message.NoAccountBalances == 1:
            return account
        if since is None or self._balance_versions.get(account, 0) <= since:
            if since is not None:
                if fields == _without_mark(self.balances.get(account, {})):
                    self._set_balance_version(account)
                    return account
                fields["Reconciled"] = True
            self.balances[account] = fields
            self._set_balance_version(account)
            self._publish("balances", fields)
        return account

    def remove_absent(self, positions: Iterable[PositionKey], balances: Iterable[str] | None, since: int) -> None:
        """Remove positions and balances that the server did not state in a full read.

        balances: None: some could not be read.
        """
        for key, row in self.positions.absent(positions).items():
            if not self.positions.is_newer(key, since):
                self.version += 1
                removed = row | {"Quantity": 0, "Reconciled": True}
                self.positions.set(key, removed, self.version, since)
                if is_named(key):
                    self._publish("positions", removed)
        for account in () if balances is None else self.balances.keys() - set(balances):
            if self._balance_versions.get(account, 0) <= since:
                del self.balances[account]
        for listener in self.position_read_listeners:
            listener(since)

    def _set_balance_version(self, account: str) -> None:
        self.version += 1
        self._balance_versions[account] = self.version


def is_answer(message: Message) -> bool:
    """Return whether the server sent a message as an answer to a request."""
    return bool(getattr(message, "RequestID", 0)) and getattr(message, "Unsolicited", 0) != 1


def _without_request_fields(message: Message) -> dict[str, Any]:
    fields = to_builtins(message).items()
    return {name: value for name, value in fields if name not in _REQUEST_FIELDS and not is_not_finite(value)}


def _without_mark(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name != "Reconciled"}
