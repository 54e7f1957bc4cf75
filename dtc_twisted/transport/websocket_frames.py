"""Parse complete WebSocket text frames of less than 64 KiB (RFC 6455)."""

_TEXT = 0x81
"""First byte of a text message in one frame: FIN, no RSV bit, opcode 1."""

_LENGTH_16 = 126
"""Second byte of a frame whose length is in the next two bytes.

A smaller value is the length itself. A larger one marks a 64-bit length or a masked frame.
"""


def parse_text_frames(data: bytes) -> tuple[list[bytes], int, bool]:
    """Parse the complete text frames at the start of `data`.

    data: starts with the first byte of a frame.

    Returns the payloads, the number of bytes parsed, and whether an incomplete text frame follows. If not, nothing
    follows, or a frame of another kind.
    """
    payloads: list[bytes] = []
    at, size = 0, len(data)
    while at < size and data[at] == _TEXT:
        begin = at + 2
        if begin > size:
            return payloads, at, True
        length = data[at + 1]
        if length >= _LENGTH_16:
            if length > _LENGTH_16:
                break
            begin = at + 4
            if begin > size:
                return payloads, at, True
            length = data[at + 2] << 8 | data[at + 3]
            if length < _LENGTH_16:  # the short form is required; Autobahn fails the connection
                break
        end = begin + length
        if end > size:
            return payloads, at, True
        payloads.append(data[begin:end])
        at = end
    return payloads, at, False
