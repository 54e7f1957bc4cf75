"""Keep the start of a message until its end arrives."""

from dtc_twisted.dtc.codec.repair import OBJECT_TOKEN


class UnfinishedMessage:
    """Hold bytes without a NUL and without the end of an object.

    data: those bytes. Each byte is examined once when it arrives, whatever the size of the pieces.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self._clear_state()

    def __len__(self) -> int:
        return len(self.data)

    def add(self, data: bytes) -> bool:
        """Add bytes. Return whether a NUL or the end of an object is among them."""
        self.data += data
        return self._ends_in(data) or b"\0" in data

    def take(self) -> bytes:
        """Return all bytes, and hold none."""
        data = bytes(self.data)
        self.data = bytearray()
        self._clear_state()
        return data

    def _clear_state(self) -> None:
        self._depth = 0  # number of braces that are open
        self._before = b""  # the start of a string that is not closed, as far as it matters for what follows

    def _ends_in(self, data: bytes) -> bool:
        """Examine further bytes. Return whether the outermost brace is closed."""
        data = self._before + data
        self._before = b""
        for token in OBJECT_TOKEN.finditer(data):
            if token[0] == b"{":
                self._depth += 1
            elif token[0] == b"}" and self._depth:
                self._depth -= 1
                if not self._depth:
                    return True
            elif token[0] == b'"':
                text = data[token.start() :]
                is_escaped = (len(text) - len(text.rstrip(b"\\"))) % 2
                self._before = b'"\\' if is_escaped else b'"'
                break
        return False
