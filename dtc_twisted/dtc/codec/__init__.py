"""Bytes <-> messages: DTC's JSON encodings as they travel over a WebSocket.

A message is a JSON object that ends with one NUL byte. Its fields come by name, or as `{"Type": 107, "F": [...]}` in
the order of the protocol ("compact"). Which of the two a peer uses is told by what arrives, never by the type. The
payloads of WebSocket messages are one stream of bytes: a payload may hold several messages, or a part of one, and a
server may leave out the NUL.

`stream` has the Codec, `bulk` its short cut for a whole read of ordinary messages, `forms` the two forms of one
message, `text` what is done to bytes that are not in order.
"""

from dtc_twisted.dtc.codec.codec import MAX_LOGGED_ERRORS, MAX_MESSAGE, Codec
from dtc_twisted.dtc.codec.encodings import UNSET_NUMBERS, compact_field_names

__all__ = ["MAX_LOGGED_ERRORS", "MAX_MESSAGE", "UNSET_NUMBERS", "Codec", "compact_field_names"]
