"""A whole read of ordinary messages, decoded in one call.

Ordinary is what a server sends all day: ASCII, known types, one NUL after each message (or none at all), values of the
right type. A Reader gives exactly what reading the messages one by one would give, or it declines.
"""

from functools import lru_cache, reduce
from operator import or_
from typing import Any

import msgspec

from dtc_twisted.dtc.codec.encodings import CompactDecoder, without_unset_numbers
from dtc_twisted.dtc.messages import MESSAGES, Message


class BulkDecoder:
    """Decodes where the types of `forms` come compact, and all others by names."""

    def __init__(self, forms: frozenset[CompactDecoder]) -> None:
        kinds: dict[int, Any] = {**MESSAGES, **{form.message.Type: form.envelope for form in forms}}
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(reduce(or_, kinds.values()))
        self._readers = {form.envelope: form.build for form in forms}

    def decode(self, data: bytes, between: bytes) -> list[Message] | None:
        r"""The messages in `data`; None when they are not ordinary.

        between: what stands between two messages: `}\0{` or `}{`.
        """
        # With a backslash a key could be an F that is not seen below. (`in` would take twice as long as `find`.)
        if not data.isascii() or data.find(b"\\") >= 0:
            return None
        # JSON has `between` nowhere but in a text, and there a line end is an error. So each one found ends a message,
        # and when there is one message more than that, one stands between each two.
        try:
            found = self._decoder.decode_lines(data.replace(between, b"}\n{"))
        except (msgspec.MsgspecError, RecursionError):
            return None
        if len(found) != data.count(between) + 1:
            return None
        compact = 0
        for place, each in enumerate(found):
            read = self._readers.get(type(each))
            if read is None:
                found[place] = without_unset_numbers(each)
            else:
                found[place] = read(each.F)
                compact += 1
        # Any other F is that of a compact message that was read by names.
        return found if data.count(b"F") == compact or data.count(b'"F"') == compact else None


@lru_cache(maxsize=32)
def bulk_decoder(forms: frozenset[CompactDecoder]) -> BulkDecoder:
    """The Reader for these; at most one form of each type."""
    return BulkDecoder(forms)
