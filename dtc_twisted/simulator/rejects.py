"""Make the messages that reject requests and order commands."""

from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.responses import RESPONSES
from dtc_twisted.simulator.market.sierra_json import int_or_zero

REJECT_TYPES: dict[type[Message], type[Message]] = {
    **{request: spec.reject for request, spec in RESPONSES.items() if spec.reject is not None},
    dtc.MarketDataRequest: dtc.MarketDataReject,
    dtc.MarketDepthRequest: dtc.MarketDepthReject,
    dtc.MarketOrdersRequest: dtc.MarketOrdersReject,
    dtc.AccountBalanceAdjustment: dtc.AccountBalanceAdjustmentReject,
}
"""Reject message of each request. Other requests cannot be rejected."""


ORDER_REJECTS: dict[type[Message], dtc.OrderUpdateReasonEnum] = {
    dtc.SubmitNewSingleOrder: dtc.OrderUpdateReasonEnum.NEW_ORDER_REJECTED,
    dtc.SubmitNewOCOOrder: dtc.OrderUpdateReasonEnum.NEW_ORDER_REJECTED,
    dtc.SubmitFlattenPositionOrder: dtc.OrderUpdateReasonEnum.NEW_ORDER_REJECTED,
    dtc.FlattenPositionsForTradeAccount: dtc.OrderUpdateReasonEnum.NEW_ORDER_REJECTED,
    dtc.CancelOrder: dtc.OrderUpdateReasonEnum.ORDER_CANCEL_REJECTED,
    dtc.CancelReplaceOrder: dtc.OrderUpdateReasonEnum.ORDER_CANCEL_REPLACE_REJECTED,
}
"""OrderUpdateReason of the ORDER_UPDATE that rejects a command."""


def make_rejects(request: Message, text: str, **fields: Any) -> list[Message]:
    """Return the messages that reject a request; none if it cannot be rejected.

    fields: further fields of the reject.
    """
    reason = ORDER_REJECTS.get(type(request))
    if reason is not None:
        return _order_rejects(request, reason, text, **fields)
    kind = REJECT_TYPES.get(type(request))
    if kind is None:
        return []
    names = kind.__struct_fields__
    echoed: dict[str, Any] = {
        name: int_or_zero(getattr(request, name)) for name in ("RequestID", "SymbolID") if name in names
    }
    if "RejectReasonCode" in names:
        echoed["RejectReasonCode"] = dtc.HistoricalPriceDataRejectReasonCodeEnum.HPDR_GENERAL_REJECT_ERROR
    echoed |= {name: value for name, value in fields.items() if name in names}
    return [kind(**echoed, RejectText=text[: dtc.TEXT_DESCRIPTION_LENGTH - 1])]


def _order_rejects(request: Message, reason: dtc.OrderUpdateReasonEnum, text: str, **fields: Any) -> list[Message]:
    """Return an ORDER_UPDATE for each ClientOrderID of the request.

    A new order has no ServerOrderID yet.
    """
    echoed: dict[str, Any] = {
        name: getattr(request, name)
        for name in ("Symbol", "ServerOrderID", "TradeAccount")
        if name in request.__struct_fields__
    }
    if reason == dtc.OrderUpdateReasonEnum.NEW_ORDER_REJECTED:
        echoed["OrderStatus"] = dtc.OrderStatusEnum.ORDER_STATUS_REJECTED
    echoed |= {"RequestID": 0, "TotalNumMessages": 1, "MessageNumber": 1, "OrderUpdateReason": reason, "NoOrders": 0}
    echoed["InfoText"] = text[: dtc.TEXT_DESCRIPTION_LENGTH - 1]
    return [
        dtc.OrderUpdate(**echoed | {"ClientOrderID": getattr(request, name)} | fields)
        for name in ("ClientOrderID", "ClientOrderID_1", "ClientOrderID_2")
        if name in request.__struct_fields__
    ]
