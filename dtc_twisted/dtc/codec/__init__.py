"""Convert bytes to messages and back, in DTC's JSON encodings over a WebSocket.

A message is a JSON object that ends with one NUL byte. Its fields have names, or it is compact: `{"Type": 107,
"F": [...]}`, with the values in the order of the protocol. The decoder recognizes the encoding of each message. The
payloads of WebSocket messages form one stream of bytes: a payload may contain several messages or a part of one, and a
server may omit the NUL.

`codec` has the Codec, `bulk_decoder` decodes a whole read in one call, `encodings` has the two encodings of a message,
`field_repair` handles fields of the wrong type, `repair` invalid bytes, and `unfinished` messages in pieces.
"""

from dtc_twisted.dtc.codec.codec import MAX_LOGGED_ERRORS, MAX_MESSAGE, Codec
from dtc_twisted.dtc.codec.encodings import UNSET_NUMBERS, compact_field_names, encode_named
from dtc_twisted.dtc.codec.field_repair import repair_count
from dtc_twisted.dtc.codec.repair import MESSAGE_START, whole_number

__all__ = [
    "MAX_LOGGED_ERRORS",
    "MAX_MESSAGE",
    "MESSAGE_START",
    "UNSET_NUMBERS",
    "Codec",
    "compact_field_names",
    "encode_named",
    "repair_count",
    "whole_number",
]
