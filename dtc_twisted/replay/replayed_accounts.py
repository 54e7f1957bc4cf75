"""Hold the recorded trade accounts, and answer requests about accounts."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message, OrderStatusEnum
from dtc_twisted.simulator.account_requests import AccountRequests
from dtc_twisted.simulator.list_requests import RejectedRequest
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
_EMPTY_FLAGS = ("NoOrders", "NoOrderFills", "NoPositions", "NoAccountBalances")


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

    def receive(self, message: Any) -> bool:
        """Take a recorded message. Return whether it is an update that clients receive."""
        account = str_or_empty(getattr(message, "TradeAccount", ""))
        is_empty = any(getattr(message, flag, 0) == 1 for flag in _EMPTY_FLAGS)
        if isinstance(message, dtc.OrderUpdate):
            self._receive_order(message)
        elif isinstance(message, dtc.PositionUpdate) and not is_empty:
            place = (account, str_or_empty(message.Symbol), str_or_empty(message.PositionIdentifier))
            self._tables["positions"].pop(place, None)
            if float_or_zero(message.Quantity):
                self._tables["positions"][place] = message
        elif isinstance(message, dtc.AccountBalanceUpdate) and not is_empty:
            self._tables["balances"][account] = message
        elif isinstance(message, dtc.HistoricalOrderFillResponse) and not is_empty:
            key = (message.ServerOrderID, message.UniqueExecutionID, message.DateTime, message.Price, message.Quantity)
            self._tables["fills"][key] = message
        elif not isinstance(message, dtc.TradeAccountResponse):
            return False
        if account:
            self._tables["accounts"][account] = account
        is_update = isinstance(message, dtc.OrderUpdate | dtc.PositionUpdate | dtc.AccountBalanceUpdate)
        return is_update and not int_or_zero(message.RequestID) and not is_empty

    def answer(self, request: Any) -> Sequence[Message]:
        """Return the messages of the answer. Raises RejectedRequest."""
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
            raise RejectedRequest(f"{account[:32]} is not a known trade account.")
        rows = [row for row in self._tables[name].values() if account in ("", row.TradeAccount)]
        server_id = str_or_empty(getattr(request, "ServerOrderID", ""))
        if server_id and not int_or_zero(getattr(request, "RequestAllOrders", 0)):
            rows = [row for row in rows if row.ServerOrderID == server_id]
        if not account and name != "fills":
            rows += [row for row in self._own.answer(request) if not _is_empty(row)]
        return _numbered(rows, request) if rows else [_nothing(request, account)]

    def _receive_order(self, message: dtc.OrderUpdate) -> None:
        orders, key = self._tables["orders"], str_or_empty(message.ServerOrderID)
        if not key or message.NoOrders == 1:
            return
        orders.pop(str_or_empty(message.PreviousServerOrderID), None)
        before = orders.pop(key, None)
        if message.OrderStatus not in _CLOSED:
            orders[key] = message if before is None else _merged(before, message)

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
    return any(getattr(message, flag, 0) == 1 for flag in _EMPTY_FLAGS)
