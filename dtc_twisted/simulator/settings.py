"""Hold the settings that connections and request handlers share."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dtc_twisted.dtc.messages import Message
from dtc_twisted.simulator.market import sierra_json


@dataclass
class ServerSettings:
    """Describe how the server behaves, where real servers differ.

    A change applies to everything that is sent later.
    """

    username: str = ""
    password: str = ""
    """The logon that clients must send. Blank: every logon succeeds."""
    nul_terminator: bool = False
    """Messages end with NUL, and several are sent in one WebSocket message. Otherwise each has its own, without NUL."""
    frame_size: int | None = None
    """The maximum bytes of a text frame. None: no maximum."""
    silent: bool = False
    """Send nothing: no answers, no heartbeats, no pongs."""
    reject_unknown_symbols: bool = False
    """A request for an unknown symbol is rejected. Otherwise the answer has MinPriceIncrement 0 and no Description."""
    balances_of_all_accounts: bool = False
    """ACCOUNT_BALANCE_REQUEST is answered with all accounts, whatever its TradeAccount."""
    reject_balances_without_account: bool = False
    """ACCOUNT_BALANCE_REQUEST without a TradeAccount is rejected."""
    symbol_id_first: bool = False
    """F of types 112 and 117 starts with SymbolID, as a server of 2020 sent it."""
    compact_updates: bool = False
    """Trades and quotes are sent as types 112 and 117 to clients that request no other type."""
    auto_send_security_definition: bool = False
    """An unrequested security definition precedes each market data snapshot."""
    empty_final_record: bool = False
    """Historical data ends with an empty record, date-time 0. Otherwise the last record has the mark."""
    logon_fields: dict[str, Any] = field(default_factory=dict)
    """Fields of LOGON_RESPONSE on the main port that differ from the defaults."""
    answer_delay: float = 0.0
    """Seconds until clients receive updates of orders, positions and balances."""

    def encode(self, messages: Iterable[Message]) -> list[bytes]:
        """Return each message as JSON, without a terminator."""
        return [sierra_json.encode(message, symbol_id_first=self.symbol_id_first) for message in messages]
