"""Parse and encode WebSocket frames (RFC 6455, section 5.2).

Only complete text frames of less than 64 KiB are parsed here. Encoded frames are not masked, as from a server, unless
the name of the function states it.
"""

_TEXT = 0x81
"""First byte of a text message in one frame: FIN, no RSV bit, opcode 1."""

_LENGTH_16 = 126
"""Second byte of a frame whose length is in the next two bytes.

A smaller value is the length itself. A larger one marks a 64-bit length or a masked frame.
"""

_LENGTH_64 = 127
"""Second byte of a frame whose length is in the next eight bytes."""

_MASKED = 0x80
"""Bit of the second byte that marks a masked frame."""

_PONG = 0x8A
"""First byte of a pong: FIN, no RSV bit, opcode 10."""


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


def encode_text_frame(payload: bytes) -> bytes:
    """Encode a text message as one frame."""
    return _text_header(len(payload)) + payload


def frame_payload(frame: bytes) -> bytes:
    """Return the payload of one text frame, as `encode_text_frame` returns it."""
    begin, end = _payload_bounds(frame, 0)
    return frame[begin:end]


def split_text_frames(data: bytes) -> list[bytes]:
    """Return the frames that `data` consists of.

    data: frames as `encode_text_frame` returns them, joined.
    """
    frames, place = [], 0
    while place < len(data):
        _, end = _payload_bounds(data, place)
        frames.append(data[place:end])
        place = end
    return frames


def encode_masked_text_frame(payload: bytes, mask: bytes) -> bytes:
    """Encode a text message as one frame of a client. mask: 4 random bytes."""
    size = len(payload)
    header = bytearray(_text_header(size))
    header[1] |= _MASKED
    key = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return bytes(header) + mask + masked.to_bytes(size, "big")


def encode_text_frames(payloads: list[bytes]) -> list[bytes]:
    """Encode text messages as one frame each."""
    try:
        return [_TEXT_HEADERS[len(payload)] + payload for payload in payloads]
    except IndexError:
        return [encode_text_frame(payload) for payload in payloads]


def encode_pong_frame(payload: bytes) -> bytes:
    """Encode the answer to a ping, whose payload has at most 125 bytes."""
    return bytes((_PONG, len(payload))) + payload


def _payload_bounds(data: bytes, at: int) -> tuple[int, int]:
    """Return the begin and the end of the payload of the frame at a place."""
    length, begin = data[at + 1], at + 2
    if length >= _LENGTH_16:
        begin += 2 if length == _LENGTH_16 else 8
        length = int.from_bytes(data[at + 2 : begin], "big")
    return begin, begin + length


def _text_header(length: int) -> bytes:
    if length < _LENGTH_16:
        return bytes((_TEXT, length))
    if length < 0x10000:
        return bytes((_TEXT, _LENGTH_16)) + length.to_bytes(2, "big")
    return bytes((_TEXT, _LENGTH_64)) + length.to_bytes(8, "big")


_TEXT_HEADERS = [_text_header(length) for length in range(1024)]
"""Headers by length, because almost all messages are shorter than 1024 bytes."""
