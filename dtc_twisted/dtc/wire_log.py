"""Log each message to and from the server (LOG_LEVEL=DEBUG, LOG_DATA=1)."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from dtc_twisted.dtc.messages import Message, MessageType
from dtc_twisted.logs import MASK, SECRET_FIELDS, logger, pretty_json, set_level, shorten

_log = logger(__name__)
MAX_INDENTED = 1000
"""Longest JSON text of an unknown message that is indented in the log."""

_DATA_TYPES = {*range(MessageType.MARKET_DATA_SNAPSHOT, MessageType.MARKET_ORDERS_SNAPSHOT_MESSAGE_BOUNDARY + 1)} - {
    MessageType.MARKET_DEPTH_REJECT,
    MessageType.MARKET_ORDERS_REQUEST,
    MessageType.MARKET_ORDERS_REJECT,
} | {
    MessageType.HISTORICAL_PRICE_DATA_RECORD_RESPONSE,
    MessageType.HISTORICAL_PRICE_DATA_TICK_RECORD_RESPONSE,
    MessageType.HISTORICAL_PRICE_DATA_RECORD_RESPONSE_INT,
    MessageType.HISTORICAL_PRICE_DATA_TICK_RECORD_RESPONSE_INT,
    MessageType.HISTORICAL_MARKET_DEPTH_DATA_RECORD_RESPONSE,
}


class WireLog:
    """Log messages sent and received, as indented JSON with secrets masked.

    enabled: callers test it first, because logging is usually off.
    """

    def __init__(self) -> None:
        self.enabled = False
        self._with_market_data = False

    def configure(self, environment: Mapping[str, str]) -> None:
        """Read LOG_LEVEL, and LOG_DATA (1: log market data as well).

        Raises ValueError when LOG_LEVEL names no level.
        """
        self.enabled = set_level(environment)
        self._with_market_data = environment.get("LOG_DATA", "") not in ("", "0")

    def sending(self, message: Message) -> None:
        self._log("Sending", message)

    def sending_unknown(self, fields: Mapping[str, Any]) -> None:
        """Log a message whose type is not in messages.py.

        A long one is not indented, because that can make it a thousand times longer, and is cut.
        """
        masked = {name: MASK for name in SECRET_FIELDS if fields.get(name)}
        data = msgspec.json.encode({**fields, **masked})
        if len(data) <= MAX_INDENTED:
            data = pretty_json({**fields, **masked})
        text = shorten(data.decode(), 4 * MAX_INDENTED)
        _log.debug("Sending Type {number}:\n{json}", number=fields["Type"], json=text)

    def received(self, message: Message) -> None:
        self._log("Received", message)

    def _log(self, verb: str, message: Message) -> None:
        if message.Type not in _DATA_TYPES or self._with_market_data:
            _log.debug("{verb} {name}:\n{json}", verb=verb, name=type(message).__name__, json=format_message(message))


def format_message(message: Message) -> str:
    """Return the message as indented JSON with sorted keys and masked secrets."""
    masked = {name: MASK for name in _secrets(type(message)) if getattr(message, name)}
    return pretty_json(msgspec.structs.replace(message, **masked)).decode()


@cache
def _secrets(message: type[Message]) -> tuple[str, ...]:
    return tuple(name for name in SECRET_FIELDS if name in message.__struct_fields__)


wire_log = WireLog()
"""The wire log of this process."""
