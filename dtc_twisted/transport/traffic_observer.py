"""Describe what may observe the traffic with the server."""

from typing import Protocol

from dtc_twisted.dtc.messages import Message
from dtc_twisted.logs import SECRET_FIELDS


class TrafficObserver(Protocol):
    """Receive all traffic with the server, before it is processed.

    The methods must not raise.
    """

    def opened(self, url: str) -> None:
        """Handle a new connection."""

    def received(self, data: bytes, *, is_boundary: bool) -> None:
        """Handle the bytes of one read.

        is_boundary: they begin with a message.
        """

    def sent(self, data: bytes) -> None:
        """Handle a message that was sent.

        A message with a password or a token is not passed on.
        """

    def closed(self, reason: str) -> None:
        """Handle the end of the connection."""


def has_secrets(kind: type[Message]) -> bool:
    """Return whether messages of a type can contain a password or a token."""
    return any(name in SECRET_FIELDS for name in kind.__struct_fields__)
