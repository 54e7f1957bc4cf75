"""Describe the state of the connection to the server."""

from dataclasses import dataclass
from enum import StrEnum


class UpstreamState(StrEnum):
    CONNECTING = "connecting"
    LOGGING_ON = "logging_on"
    READY = "ready"
    WAITING = "waiting"  # for the next attempt
    REFUSED = "refused"  # the server does not allow a reconnect
    STOPPED = "stopped"


@dataclass(frozen=True)
class UpstreamStatus:
    """State of the connection to the server.

    url: the address that is connected, or is being connected to.
    reason: why there is no session; empty while there is one.
    logged_on_since, retry_at: seconds since 1970, UTC.
    reconnects: number of sessions after the first.
    """

    state: UpstreamState
    url: str
    reason: str = ""
    server_name: str = ""
    logged_on_since: float | None = None
    retry_at: float | None = None
    reconnects: int = 0
