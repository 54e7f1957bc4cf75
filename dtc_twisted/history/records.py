"""Historical records by the dozen: what Codec reads one by one, read in one go where that plainly gives the same."""

from collections.abc import Callable
from itertools import chain
from operator import itemgetter
from typing import Any, get_type_hints

import msgspec
from msgspec import UNSET

from dtc_twisted import messages as dtc
from dtc_twisted.codec import UNSET_NUMBERS, slots
from dtc_twisted.messages import Message

_KINDS: tuple[type[Message], ...] = (
    dtc.HistoricalPriceDataRecordResponse,
    dtc.HistoricalPriceDataTickRecordResponse,
    dtc.HistoricalPriceDataRecordResponse_Int,
    dtc.HistoricalPriceDataTickRecordResponse_Int,
    dtc.HistoricalMarketDepthDataRecordResponse,
)


class Batches:
    """Reads whole batches of records; whatever else comes goes through a Codec, in its order.

    feed: Codec.feed of the connection.
    """

    def __init__(self, feed: Callable[[bytes], list[Message]]) -> None:
        self._feed = feed
        self._tail = b""
        """The beginning of a message; then the codec has none."""
        self._codec_has_part = False

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` (any part of the stream) completes, as of Codec."""
        messages: list[Message] = []
        if self._codec_has_part:
            head, nul, data = data.partition(b"\0")
            messages = self._feed(head + nul)
            self._codec_has_part = not nul
        data = self._tail + data
        end = data.rfind(b"\0") + 1
        batch = _batch(data[:end]) if end else None
        if batch is not None:
            messages += batch
            data = data[end:]
            if not data.rstrip().endswith(b"}"):  # else it may be a whole message without its NUL
                self._tail = data
                return messages
        self._tail = b""
        if data:
            self._codec_has_part = not data.endswith(b"\0")
            messages += self._feed(data)
        return messages


def _batch(data: bytes) -> list[Message] | None:
    """The messages, if all of them are records of one kind, in the same form and without an unset number."""
    read = _READERS.get(data[:_START])
    if read is None or not data.isascii():
        return None
    try:
        return read(b"[%b]" % data[:-1].replace(b"\0", b","))
    except msgspec.MsgspecError:
        return None


def _compact(kind: type[Message]) -> Callable[[bytes], list[Message] | None]:
    names = slots(kind)
    hints = get_type_hints(kind, include_extras=True)
    fields = msgspec.defstruct("F", [(name, hints[name], UNSET) for name in names], array_like=True, gc=False)
    envelope = msgspec.defstruct("Envelope", [("F", fields)], tag_field="Type", tag=kind.Type, gc=False)
    decode = msgspec.json.Decoder(list[envelope]).decode  # type: ignore[valid-type]
    # The fields of a union are one value in F.
    pick = itemgetter(*[names.index(kind.UNION[0] if name in kind.UNION else name) for name in kind.__struct_fields__])

    def read(data: bytes) -> list[Message] | None:
        values = [msgspec.structs.astuple(each.F) for each in decode(data)]  # type: ignore[attr-defined]
        if UNSET_NUMBERS.isdisjoint(chain.from_iterable(values)):
            return [kind(*pick(each)) for each in values]
        return None

    return read


def _named(kind: type[Message]) -> Callable[[bytes], list[Message] | None]:
    decode = msgspec.json.Decoder(list[kind]).decode  # type: ignore[valid-type]

    def read(data: bytes) -> list[Message] | None:
        messages: list[Any] = decode(data)
        values = map(msgspec.structs.astuple, messages)
        if b'"F"' not in data and UNSET_NUMBERS.isdisjoint(chain.from_iterable(values)):
            return messages
        return None

    return read


_START = len('{"Type":803,"F')
_READERS = {f'{{"Type":{kind.Type},"F'.encode(): _compact(kind) for kind in _KINDS} | {
    f'{{"Type":{kind.Type},"R'.encode(): _named(kind) for kind in _KINDS
}
"""By what a batch begins with: `F`, or the name of the first field, RequestID."""


# -- prices as whole numbers

_FLOATS: dict[type[Message], tuple[type[Message], tuple[str, ...]]] = {
    dtc.HistoricalPriceDataRecordResponse_Int: (
        dtc.HistoricalPriceDataRecordResponse,
        ("OpenPrice", "HighPrice", "LowPrice", "LastPrice"),
    ),
    dtc.HistoricalPriceDataTickRecordResponse_Int: (dtc.HistoricalPriceDataTickRecordResponse, ("Price",)),
}
"""What 805 and 806 are with prices that are not multiplied: 803 and 804."""


def is_whole(row: Message) -> bool:
    """Whether its prices are whole numbers, to be divided by IntToFloatPriceDivisor of the header (801)."""
    return type(row) in _FLOATS


def divided(row: Message, divisor: float) -> Message:
    """The record that a whole-number one stands for."""
    kind, prices = _FLOATS[type(row)]
    fields = {
        name: value / divisor if name in prices else value
        for name, value in msgspec.structs.asdict(row).items()
        if value is not UNSET
    }
    return kind(**fields)
