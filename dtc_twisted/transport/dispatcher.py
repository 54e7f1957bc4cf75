"""Dispatch messages to their handlers by type."""

from collections.abc import Callable, Sequence
from typing import Any

from dtc_twisted.dtc.codec.encodings import encode_named
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.own_messages import added_types
from dtc_twisted.dtc.session import Handlers, SessionListener
from dtc_twisted.logs import logger

_log = logger(__name__)


class Dispatcher:
    """Call every handler of a message's type.

    A handler's failure does not affect the others.
    """

    def __init__(self) -> None:
        self.unknown_message_listeners: list[Callable[[int, bytes], None]] = []
        """Called with Type and JSON text of messages whose type is unknown here."""
        self._handlers: dict[type[Message], list[Callable[[Any], None]]] = {}

    def set_listeners(self, listeners: Sequence[SessionListener]) -> Handlers:
        """Take the handlers of listeners, and return the only ones of their type."""
        self._handlers.clear()
        for listener in listeners:
            for kind, handler in listener.handlers.items():
                self._handlers.setdefault(kind, []).append(handler)
        return {kind: handlers[0] for kind, handlers in self._handlers.items() if len(handlers) == 1}

    def dispatch(self, message: Message) -> None:
        """Call the handlers of a message."""
        if message.Type in added_types:
            self.dispatch_unknown(message.Type, encode_named(message))
            return
        for handler in self._handlers.get(type(message), ()):
            try:
                handler(message)
            except Exception:
                _log.failure("Failed to process {name}", name=type(message).__name__)

    def dispatch_unknown(self, number: int, text: bytes) -> None:
        """Call the listeners to messages whose type is unknown here.

        text: JSON in UTF-8.
        """
        for listener in self.unknown_message_listeners:
            try:
                listener(number, text)
            except Exception:
                _log.failure("Failed to process a message of type {number}", number=number)
