"""Decode a whole read of regular messages in one call.

Regular messages are ASCII, of known types, with values of the right types, and all or none of them end with a NUL. The
result is the same as that of decoding the messages one by one, or None.
"""

from functools import lru_cache, reduce
from itertools import chain
from operator import attrgetter, or_
from typing import Any

import msgspec
from msgspec.structs import astuple

from dtc_twisted.dtc.codec.encodings import UNSET_VALUES, CompactDecoder, without_unset_numbers
from dtc_twisted.dtc.messages import MESSAGES, Message


class BulkDecoder:
    """Decode reads in which the types of `forms` are compact, and no others."""

    def __init__(self, forms: frozenset[CompactDecoder]) -> None:
        kinds: dict[int, Any] = {**MESSAGES, **{form.message.Type: form.envelope for form in forms}}
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(reduce(or_, kinds.values()))
        self._readers = {form.envelope: form.build for form in forms}
        self._makers = {form.envelope: form.make_all for form in forms}

    def decode(self, data: bytes, between: bytes) -> list[Message] | None:
        r"""Return the messages in `data`; None if they are not regular.

        between: the bytes between two messages: `}\0{` or `}{`.
        """
        # An escaped key could be an F that is not counted below. (`in` takes twice as long as `find`.)
        if not data.isascii() or data.find(b"\\") >= 0:
            return None
        # Within a JSON string the inserted line end is an error, so each `between` separates two messages. One message
        # more than separators proves that no message was lost.
        try:
            found = self._decoder.decode_lines(data.replace(between, b"}\n{"))
        except (msgspec.MsgspecError, RecursionError):
            return None
        if len(found) != data.count(between) + 1:
            return None
        compact = self._build(found)
        # A further F belongs to a compact message that was decoded as one with names.
        return found if data.count(b"F") == compact or data.count(b'"F"') == compact else None

    def _build(self, found: list[Any]) -> int:
        """Replace what was decoded by messages, and return how many of them are compact."""
        make_all = self._makers.get(type(found[0]))
        if make_all is not None and len(found) > 1 and len(set(map(type, found))) == 1:
            # One search for "unset" in all values is faster than one in those of each message.
            values = list(map(astuple, map(_values_of, found)))
            if UNSET_VALUES.isdisjoint(chain.from_iterable(values)):
                found[:] = make_all(values)
                return len(found)
        compact = 0
        for place, each in enumerate(found):
            read = self._readers.get(type(each))
            if read is None:
                found[place] = without_unset_numbers(each)
            else:
                found[place] = read(each.F)
                compact += 1
        return compact


_values_of = attrgetter("F")


@lru_cache(maxsize=32)
def bulk_decoder(forms: frozenset[CompactDecoder]) -> BulkDecoder:
    """Return the decoder for these compact types; at most one form of each type."""
    return BulkDecoder(forms)
