"""Parse the body of POST /raw, which sends any message to the server."""

from typing import Any

from dtc_twisted.dtc.messages import MESSAGES, Message, MessageType
from dtc_twisted.errors import BadParameter
from dtc_twisted.web.query import message_from_json
from dtc_twisted.web.rest.routes import ROW_TYPES

_MAX_TYPE = 65535
"""The largest Type: it has 2 bytes in the binary protocol."""

_SESSION = "that is the session's own business"
_SUBSCRIPTION = "subscriptions are the gateway's: see the WebSocket at /stream"
_TRADING = "orders, fills and balances are not changed this way"
_HISTORY = "it takes a connection of its own: see /historicalpricedata and /historicalmarketdepth"

_REFUSED = dict.fromkeys(range(200, 300), _TRADING) | {
    MessageType.LOGON_REQUEST: _SESSION,
    MessageType.LOGON_RESPONSE: _SESSION,
    MessageType.HEARTBEAT: _SESSION,
    MessageType.LOGOFF: _SESSION,
    MessageType.ENCODING_REQUEST: _SESSION,
    MessageType.ENCODING_RESPONSE: _SESSION,
    MessageType.MARKET_DATA_REQUEST: _SUBSCRIPTION,
    MessageType.MARKET_DEPTH_REQUEST: _SUBSCRIPTION,
    MessageType.MARKET_ORDERS_REQUEST: _SUBSCRIPTION,
    MessageType.ADD_CORRECTING_ORDER_FILL: _TRADING,
    MessageType.ACCOUNT_BALANCE_ADJUSTMENT: _TRADING,
    MessageType.HISTORICAL_PRICE_DATA_REQUEST: _HISTORY,
    MessageType.HISTORICAL_MARKET_DEPTH_DATA_REQUEST: _HISTORY,
}


def parse_raw_message(body: dict[str, Any]) -> Message | dict[str, Any]:
    """Return the message that a body describes by `Type` and fields.

    `Type` is a number, or the name of a known type.

    A body of an unknown type is returned unchanged. Raises BadParameter.
    """
    number = _type_number(body.get("Type"))
    if number in _REFUSED:
        raise BadParameter(f"Type: {number} is refused: {_REFUSED[number]}.")
    kind = MESSAGES.get(number)
    if kind is None:
        return body | {"Type": number}
    fields = {name: value for name, value in body.items() if name != "Type"}
    if kind in ROW_TYPES and "RequestID" in fields:
        raise BadParameter("RequestID: the gateway chooses it.")
    return message_from_json(kind, fields)


def _type_number(given: object) -> int:
    if isinstance(given, str) and given in MessageType.__members__:
        return int(MessageType[given])
    if type(given) is not int or not 0 < given <= _MAX_TYPE:
        raise BadParameter(f"Type: expected a whole number from 1 to {_MAX_TYPE}, or the name of a message type.")
    return given
