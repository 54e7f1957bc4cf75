"""What is logged, and how much: LOG_LEVEL and LOG_DATA.

`twistd` writes every event it is given, so the threshold stands here, before it.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from twisted.logger import (
    FilteringLogObserver,
    InvalidLogLevelError,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)

from dtc_twisted.messages import Message, MessageType

_threshold = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
_observer = FilteringLogObserver(globalLogPublisher, [_threshold])
_SECRET = "********"
_SECRETS = ("Username", "Password")
_SECRET_TEXT = re.compile(rf'("(?:{"|".join(_SECRETS)})"\s*:\s*)"(?:[^"\\]|\\.)*+"?')
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


def logger(namespace: str) -> Logger:
    """A Logger for the module `namespace` that keeps to LOG_LEVEL."""
    return Logger(namespace=namespace, observer=_observer)


class Wire:
    """Logs messages as they are sent and received, as indented JSON, with secrets masked."""

    def __init__(self) -> None:
        self.on = False
        self._data = False

    def configure(self, environment: Mapping[str, str]) -> None:
        """Reads LOG_LEVEL (a level's name; INFO when empty or missing) and LOG_DATA (1: market data is logged as well).

        Raises ValueError when LOG_LEVEL names no level.
        """
        name = (environment.get("LOG_LEVEL") or "INFO").lower()
        try:
            level = LogLevel.levelWithName({"warning": "warn"}.get(name, name))
        except InvalidLogLevelError:
            levels = ", ".join(level.name.upper() for level in LogLevel.iterconstants())
            raise ValueError(f"LOG_LEVEL is {name.upper()!r}: expected one of {levels}") from None
        _threshold.setLogLevelForNamespace("dtc_twisted", level)
        self.on = level is LogLevel.debug
        self._data = environment.get("LOG_DATA", "") not in ("", "0")

    def sending(self, message: Message) -> None:
        self._log("Sending", message)

    def sending_unknown(self, fields: Mapping[str, Any]) -> None:
        """A message of a type that is not known here."""
        masked = {name: _SECRET for name in _SECRETS if fields.get(name)}
        _log.debug("Sending Type {number}:\n{json}", number=fields["Type"], json=_indented({**fields, **masked}))

    def received(self, message: Message) -> None:
        self._log("Received", message)

    def _log(self, verb: str, message: Message) -> None:
        if message.Type not in _DATA_TYPES or self._data:
            _log.debug("{verb} {name}:\n{json}", verb=verb, name=type(message).__name__, json=as_text(message))


def as_text(message: Message) -> str:
    """The message as indented JSON with sorted keys; a Username or Password is masked."""
    masked = {name: _SECRET for name in _secrets(type(message)) if getattr(message, name)}
    return _indented(msgspec.structs.replace(message, **masked))


def masked(text: str) -> str:
    """A piece of JSON, or of what should have been some, whose Username and Password are masked."""
    return _SECRET_TEXT.sub(rf'\1"{_SECRET}"', text)


def _indented(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=4).decode()


@cache
def _secrets(message: type[Message]) -> tuple[str, ...]:
    return tuple(name for name in _SECRETS if name in message.__struct_fields__)


_log = logger(__name__)
wire = Wire()
"""The one in use. Look at `wire.on` before anything else: it is off almost always."""
