"""The WebSocket frames that a server sends all day, read without ado: text, whole, of less than 64 KiB."""

_TEXT = 0x81
"""The first byte of a text message in one frame: FIN, no RSV bit, opcode 1."""

_LENGTH_16 = 126
"""The second byte where the length is in the next two; less is the length itself, more is masked or 64 bits long."""


def parse_text_frames(data: bytes) -> tuple[list[bytes], int, bool]:
    """The payloads of the text messages that `data`, which begins with a frame, begins with.

    Also how many bytes they took, and whether what follows them is the beginning of another one. If it is not, it is a
    frame of another kind, a forbidden one perhaps, or nothing at all.
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
            if length < _LENGTH_16:  # must be written in the short form
                break
        end = begin + length
        if end > size:
            return payloads, at, True
        payloads.append(data[begin:end])
        at = end
    return payloads, at, False
