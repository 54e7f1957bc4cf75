"""Encode and decode what origin and edges send each other.

Updates of a symbol are one message for each turn of the reactor: a line

    [generation, epoch, seq, sizes]

and then one DTC message in each line, as JSON with field names. `seq` is the number of the first update. An update of
market data is one DTC message, and `sizes` is empty. An update of market depth is several, and `sizes` has their
number for each update. All else begins with a JSON object: an Event, followed by the messages of a snapshot, a Beat, a
Demand, a WantedSnapshot.

The generation is the origin's: one that starts later has a larger one, and edges ignore the smaller ones. The epoch
and `seq` are those of the subscribers, as Hub.numbering describes.
"""

import re
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from dtc_twisted.dtc.messages import MESSAGES, Message
from dtc_twisted.errors import PUBLIC_ERRORS, DTCError, RequestRejected, public_error
from dtc_twisted.logs import logger

_log = logger(__name__)
T = TypeVar("T")


class UpdateHead(Struct, array_like=True):
    """State the numbers of the updates that follow."""

    generation: int
    epoch: int
    seq: int
    sizes: list[int] = []


class Event(Struct, omit_defaults=True):
    """State something about a symbol besides its updates, or answer a WantedSnapshot.

    seq: number of the last update.
    event: "stale", "live", "ended", "rejected" or "snapshot".
    text: the server's text, or the reason; of a snapshot: why it may be out of date.
    counts: of a snapshot, the number of updates of each type so far.
    """

    generation: int
    event: str
    epoch: int = 0
    seq: int = 0
    text: str = ""
    counts: dict[str, int] = {}


class Beat(Struct, omit_defaults=True):
    """State that an origin is alive, and its connection to the server.

    connection: number of the origin's connection to NATS. Before it changes, updates may have been lost.
    url: where the origin serves REST, without a path; empty: it is not known.
    state, reason, server_name, logged_on_since: see UpstreamStatus.
    time: seconds since 1970, UTC.
    trade_mode, trading: as in /status.
    """

    generation: int
    connection: int
    time: float
    state: str
    reason: str = ""
    server_name: str = ""
    logged_on_since: float | None = None
    url: str = ""
    trade_mode: str = ""
    trading: dict[str, Any] | None = None


class Demand(Struct):
    """State all symbols that an edge needs, by channel."""

    edge: str
    symbols: dict[str, list[str]]


class WantedSnapshot(Struct):
    """Ask for a snapshot of a symbol.

    once: no updates are needed.
    """

    channel: str
    symbol: str
    once: bool = False


class AccountRequest(Struct, omit_defaults=True):
    """Ask for what was missed of a channel of the accounts, or for a snapshot.

    generation, after: of the last message that is known; 0: none.
    epoch, from_seq: of the first update that is missed, as subscribers know them; 0: all are.
    """

    channel: str
    generation: int = 0
    after: int = 0
    epoch: int = 0
    from_seq: int = 0


class AccountHead(Struct, omit_defaults=True):
    """Begin messages of a channel of the accounts, one in each line.

    They are as subscribers receive them.

    kind: "updates", "snapshot", or "stale": there is no snapshot at present. An answer with what follows the wanted
        update is "resumed".
    number: of the last message, counted by the origin.
    epoch, seq: of the last update, as subscribers know them.
    reason: of an answer: why updates may be missing at present; empty: none are.
    missed: of an answer without the wanted update: how many updates are missing; None: it is not known.
    """

    generation: int
    kind: str
    number: int
    epoch: int
    seq: int
    reason: str = ""
    missed: int | None = None


class RequestAnswer(Struct, omit_defaults=True):
    """Begin the answer to a DTC request. The messages follow, one in each line.

    error: public name of the error, if the request failed.
    """

    error: str = ""
    text: str = ""


_encoder = msgspec.json.Encoder()
_decode_messages = msgspec.json.Decoder(reduce(or_, MESSAGES.values())).decode_lines
_decode_update_head = msgspec.json.Decoder(UpdateHead).decode
_decode_event = msgspec.json.Decoder(Event).decode
_ERRORS = {
    name: kind
    for kind, (_, name) in PUBLIC_ERRORS.items()
    if issubclass(kind, DTCError) and kind.__init__ is DTCError.__init__
}


def symbol_token(symbol: str) -> str:
    """Return a symbol as a part of a subject: other bytes than [A-Za-z0-9_-] are =XX."""
    return re.sub(rb"[^A-Za-z0-9_-]", lambda found: b"=%02X" % found[0][0], symbol.encode()).decode()


def encode(head: Struct, messages: list[Message] | bytes = b"") -> bytes:
    """Encode a head, and the messages that follow."""
    lines = messages if isinstance(messages, bytes) else encode_lines(messages)
    return _encoder.encode(head) + b"\n" + lines


def encode_lines(messages: Sequence[Message]) -> bytes:
    """Encode messages, each with a line end."""
    return _encoder.encode_lines(messages)


def decode_symbol_message(data: bytes) -> tuple[UpdateHead | Event, list[Any]]:
    """Decode a message about a symbol, or the answer to a WantedSnapshot.

    Raises msgspec.MsgspecError.
    """
    head, _, lines = data.partition(b"\n")
    found = _decode_update_head(head) if head.startswith(b"[") else _decode_event(head)
    return found, _decode_messages(lines)


def decode_message(data: bytes, kind: type[T]) -> T | None:
    """Decode a message without lines; None: it has another form."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError:
        _log.warn("A message over NATS is no {kind}: {data}", kind=kind.__name__, data=data[:100])
        return None


def decode_dtc_message(data: bytes) -> Message | None:
    """Decode one DTC message; None: it is none."""
    try:
        return next(iter(_decode_messages(data)), None)
    except msgspec.MsgspecError:
        return None


def decode_account_message(data: bytes) -> tuple[AccountHead, list[bytes]]:
    """Decode messages of a channel of the accounts. Raises msgspec.MsgspecError."""
    head, _, lines = data.partition(b"\n")
    return msgspec.json.decode(head, type=AccountHead), lines.split(b"\n") if lines else []


def encode_failure(error: BaseException) -> bytes:
    """Encode the answer to a DTC request that failed."""
    return encode(RequestAnswer(public_error(error)[1], str(error)))


def decode_answer(data: bytes) -> list[Message]:
    """Decode the answer to a DTC request.

    Raises a DTCError if the request failed, and msgspec.MsgspecError.
    """
    head, _, lines = data.partition(b"\n")
    answer = msgspec.json.decode(head, type=RequestAnswer)
    if answer.error:
        raise _ERRORS.get(answer.error, RequestRejected)(answer.text)
    return list(_decode_messages(lines))
