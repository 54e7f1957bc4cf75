"""Run order commands over /stream.

The commands are those of REST, with a request id that the client chooses.

    -> {"action": "submit", "id": 7, "order": {"Symbol": ..., "TradeAccount": ..., ...}}
    <- {"action": "submit", "id": 7, "success": true, "updates": [{"Type": 301, ...}]}
    <- {"action": "submit", "id": 7, "success": false, "error": {"type": "OrderRejected", "status": 422, ...}}

| action | fields besides `id` |
| `submit`, `oco`, `bracket` | `order`: the body of POST /orders, /orders/oco, /orders/bracket, `check` included |
| `replace` | `order_id`, `order`: the body of PATCH /orders/ID |
| `cancel` | `order_id` |
| `cancelall`, `flatten` | `order`: the body of POST /cancelall, /flatten |
| `cancel_on_disconnect` | `after`: seconds after the end of this connection; null: not at all |

Replies come when the outcomes are known, in any order. A command is completed even if the connection ends first.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.errors import BadParameter, Forbidden
from dtc_twisted.orders import Fields, OrderManager
from dtc_twisted.web import order_commands
from dtc_twisted.web.stream.validation import id_error
from dtc_twisted.web.tokens import Principal

_BODY = ("order",)
ACTION_FIELDS = {
    **dict.fromkeys(order_commands.SUBMIT_ACTIONS, _BODY),
    "replace": ("order_id", "order"),
    "cancel": ("order_id",),
    "cancelall": _BODY,
    "flatten": _BODY,
    "cancel_on_disconnect": ("after",),
}
"""Fields of each action, besides `id`."""
ORDER_ACTIONS = frozenset(ACTION_FIELDS)
"""The actions of order entry."""


class OrderEntry:
    """Run the order commands of one connection.

    manager: None while order entry is off.
    get_converter: returns the converter of a symbol's prices.
    reply: called with the fields of the request to repeat, and with those of the outcome.
    """

    def __init__(
        self,
        manager: OrderManager | None,
        principal: Principal,
        get_converter: order_commands.ConverterGetter,
        reply: Callable[[dict[str, Any], Fields], None],
    ) -> None:
        self._manager = manager
        self._principal = principal
        self._get_converter = get_converter
        self._reply = reply
        self._cancel_after: float | None = None

    def handle(self, request: dict[str, Any]) -> None:
        """Run a command, and reply when its outcome is known. Never raises."""
        echo: dict[str, Any] = {name: request[name] for name in ("action", "id") if name in request}
        result = Deferred.fromCoroutine(self._run(request)).addErrback(order_commands.error_row)
        result.addCallback(lambda fields: self._reply(echo, fields))

    def connection_lost(self) -> None:
        """Start the switch that the client asked for with `cancel_on_disconnect`."""
        if self._manager is not None and self._cancel_after is not None:
            order_commands.connection_lost(self._manager, self._principal.trader, self._cancel_after)

    async def _run(self, request: dict[str, Any]) -> Fields:
        action = request["action"]
        check_form(request)
        manager, trader = order_commands.require_manager(self._manager), self._principal.trader
        require_scope(self._principal)
        if action == "cancel_on_disconnect":
            return self._cancel_on_disconnect(manager, request)
        body = _object(request) if "order" in ACTION_FIELDS[action] else {}
        order_id = _order_id(request) if "order_id" in ACTION_FIELDS[action] else ""
        match action:
            case "replace":
                updates = order_commands.replace(manager, order_id, body, trader)
            case "cancel":
                updates = manager.cancel(order_id, trader)
            case "cancelall":
                updates = manager.cancel_all(body, trader)
            case "flatten":
                updates = manager.flatten(body, trader)
            case _:
                updates = order_commands.submit(manager, action, body, trader)
        updates.addCallback(order_commands.convert, order_commands.options_of(body), self._get_converter)
        return {"success": True, "updates": await updates}

    def _cancel_on_disconnect(self, manager: OrderManager, request: dict[str, Any]) -> Fields:
        after = None if request.get("after") is None else order_commands.seconds_of(request, "after")
        self._cancel_after = after
        order_commands.connection_back(manager, self._principal.trader)
        return {"success": True, "after": after}


def check_form(request: dict[str, Any]) -> None:
    """Raise BadParameter for a request with other fields than those of its action."""
    if (error := id_error(request)) is not None:
        raise BadParameter(error)
    fields = {name: value for name, value in request.items() if name not in ("action", "id")}
    order_commands.reject_others(fields, ACTION_FIELDS[request["action"]])


def require_scope(principal: Principal) -> None:
    """Raise Forbidden if the sender of a request may not trade."""
    if not principal.may_trade:
        raise Forbidden("The token's scope is read; expected trade.")


def _object(request: dict[str, Any]) -> Fields:
    body = request.get("order", {})
    if not isinstance(body, dict):
        raise BadParameter("order: expected an object.")
    return body


def _order_id(request: dict[str, Any]) -> str:
    order_id = request.get("order_id")
    if not isinstance(order_id, str) or not order_id:
        raise BadParameter("order_id: expected the ClientOrderID or ServerOrderID of an order.")
    return order_id
