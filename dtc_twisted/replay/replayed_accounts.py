"""Hold the recorded trade accounts, and answer requests about accounts."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message, OrderStatusEnum
from dtc_twisted.dtc.responses import EMPTY_FLAGS
from dtc_twisted.errors import SimulatorReject
from dtc_twisted.simulator.account_requests import AccountRequests
from dtc_twisted.simulator.market.sierra_json import float_or_zero, int_or_zero, str_or_empty

_CLOSED = {
    OrderStatusEnum.ORDER_STATUS_FILLED,
    OrderStatusEnum.ORDER_STATUS_CANCELED,
    OrderStatusEnum.ORDER_STATUS_REJECTED,
}
_REQUESTS: dict[type[Message], str] = {
    dtc.AccountBalanceRequest: "balances",
    dtc.CurrentPositionsRequest: "positions",
    dtc.OpenOrdersRequest: "orders",
    dtc.HistoricalOrderFillsRequest: "fills",
    dtc.TradeAccountsRequest: "accounts",
}
_UPDATES = (dtc.OrderUpdate, dtc.PositionUpdate, dtc.AccountBalanceUpdate)
_OF_REQUEST = (
    *("RequestID", "TotalNumMessages", "TotalNumberMessages", "MessageNumber", "Unsolicited", "OrderUpdateReason"),
)
"""Fields that say how a message was requested, not what it states."""


class ReplayedAccounts:
    """Merge the recorded accounts with the account of the replay.

    Orders of the replay are executed in its own account.

    own: answers requests about the account of the replay.
    """

    def __init__(self, own: AccountRequests) -> None:
        self._own = own
        self._tables: dict[str, dict[Any, Any]] = {}
        self.clear()

    def clear(self) -> None:
        """Drop what was recorded."""
        self._tables = {name: {} for name in _REQUESTS.values()}

    def receive(self, message: Any) -> Message | None:
        """Take a recorded message, and return the update that clients receive.

        None: there is none.

        An answer to a request of the recorded session is an update if it states something new.
        """
        account = str_or_empty(getattr(message, "TradeAccount", ""))
        if isinstance(message, _UPDATES):
            if _is_empty(message):
                return None
            is_new = self._update(message, account)
        elif isinstance(message, dtc.HistoricalOrderFillResponse) and not _is_empty(message):
            key = (message.ServerOrderID, message.UniqueExecutionID, message.DateTime, message.Price, message.Quantity)
            self._tables["fills"][key] = message
            is_new = False
        elif isinstance(message, dtc.TradeAccountResponse):
            is_new = False
        else:
            return None
        if account:
            self._tables["accounts"][account] = account
        if not is_new and int_or_zero(getattr(message, "RequestID", 0)):
            return None
        return _unsolicited(message) if isinstance(message, _UPDATES) else None

    def _update(self, message: Any, account: str) -> bool:
        """Store an order, a position or a balance.

        Return whether it differs from what is stored.
        """
        if isinstance(message, dtc.OrderUpdate):
            return self._receive_order(message)
        if isinstance(message, dtc.AccountBalanceUpdate):
            before = self._tables["balances"].get(account)
            self._tables["balances"][account] = message
            return before is None or _content(before) != _content(message)
        key = (account, str_or_empty(message.Symbol), str_or_empty(message.PositionIdentifier))
        before = self._tables["positions"].pop(key, None)
        if float_or_zero(message.Quantity):
            self._tables["positions"][key] = message
        return before is None or _content(before) != _content(message)

    def answer(self, request: Any) -> Sequence[Message]:
        """Return the messages of the answer. Raises SimulatorReject."""
        kind: type[Message] = type(request)
        name = _REQUESTS.get(kind)
        if name is None:
            return self._own.answer(request)
        account = str_or_empty(getattr(request, "TradeAccount", ""))
        if name == "accounts":
            return self._accounts(request)
        if account in self._own.accounts:
            return self._own.answer(request)
        if account and account not in self._tables["accounts"]:
            raise SimulatorReject(f"{account[:32]} is not a known trade account.")
        rows = [row for row in self._tables[name].values() if account in ("", row.TradeAccount)]
        server_id = str_or_empty(getattr(request, "ServerOrderID", ""))
        if server_id and not int_or_zero(getattr(request, "RequestAllOrders", 0)):
            rows = [row for row in rows if row.ServerOrderID == server_id]
        if not account and name != "fills":
            rows += [row for row in self._own.answer(request) if not _is_empty(row)]
        return _numbered(rows, request) if rows else [_nothing(request, account)]

    def _receive_order(self, message: dtc.OrderUpdate) -> bool:
        orders, key = self._tables["orders"], str_or_empty(message.ServerOrderID)
        if not key:
            return True
        orders.pop(str_or_empty(message.PreviousServerOrderID), None)
        before = orders.pop(key, None)
        if message.OrderStatus not in _CLOSED:
            orders[key] = message if before is None else _merged(before, message)
        return before is None or _content(before) != _content(_merged(before, message))

    def _accounts(self, request: dtc.TradeAccountsRequest) -> Sequence[Message]:
        names = [*self._tables["accounts"], *(name for name in self._own.accounts)]
        return [
            dtc.TradeAccountResponse(
                TotalNumberMessages=len(names),
                MessageNumber=number,
                TradeAccount=name,
                RequestID=int_or_zero(request.RequestID),
            )
            for number, name in enumerate(names, 1)
        ]


def _nothing(request: Any, account: str) -> Message:
    """Return the answer that states that there is nothing."""
    fields: dict[str, Any] = {"RequestID": int_or_zero(request.RequestID), "MessageNumber": 1, "TradeAccount": account}
    match request:
        case dtc.OpenOrdersRequest():
            reason = dtc.OrderUpdateReasonEnum.OPEN_ORDERS_REQUEST_RESPONSE
            return dtc.OrderUpdate(**fields, TotalNumMessages=1, OrderUpdateReason=reason, NoOrders=1)
        case dtc.HistoricalOrderFillsRequest():
            return dtc.HistoricalOrderFillResponse(**fields, TotalNumberMessages=1, NoOrderFills=1)
        case dtc.CurrentPositionsRequest():
            return dtc.PositionUpdate(**fields, TotalNumberMessages=1, NoPositions=1, Unsolicited=0)
    return dtc.AccountBalanceUpdate(**fields, TotalNumberMessages=1, NoAccountBalances=1, Unsolicited=0)


def _numbered(rows: Iterable[Any], request: Any) -> list[Message]:
    rows = list(rows)
    numbered: list[Message] = []
    for number, row in enumerate(rows, 1):
        fields: dict[str, Any] = {"RequestID": int_or_zero(request.RequestID), "MessageNumber": number}
        if isinstance(row, dtc.OrderUpdate):
            fields |= {"TotalNumMessages": len(rows)}
            fields |= {"OrderUpdateReason": dtc.OrderUpdateReasonEnum.OPEN_ORDERS_REQUEST_RESPONSE}
        else:
            fields |= {"TotalNumberMessages": len(rows)}
        if isinstance(row, dtc.PositionUpdate | dtc.AccountBalanceUpdate):
            fields |= {"Unsolicited": 0}
        numbered.append(replace(row, **fields))
    return numbered


def _merged(before: Any, message: Any) -> Any:
    """Return an order with the fields of its latest update.

    Fields that this leaves out are those of the earlier ones.
    """
    names = message.__struct_fields__
    left_out = {name: getattr(before, name) for name in names if getattr(message, name) is UNSET}
    return replace(message, **left_out) if left_out else message


def _is_empty(message: Message) -> bool:
    return any(getattr(message, flag, 0) == 1 for flag in EMPTY_FLAGS)


def _content(message: Message) -> list[object]:
    return [getattr(message, name) for name in message.__struct_fields__ if name not in _OF_REQUEST]


def _unsolicited(message: Any) -> Message:
    """Return an update as the server sends it by itself."""
    if not int_or_zero(message.RequestID):
        return message  # type: ignore[no-any-return]
    fields: dict[str, Any] = {"RequestID": 0, "MessageNumber": 1}
    if isinstance(message, dtc.OrderUpdate):
        return replace(message, **fields, TotalNumMessages=1)
    return replace(message, **fields, TotalNumberMessages=1, Unsolicited=1)  # type: ignore[no-any-return]
