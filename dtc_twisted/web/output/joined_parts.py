"""Pass on parts of a body that are encoded already."""

from collections.abc import Sequence
from typing import Any, cast

from dtc_twisted.web.output.formats import RowEncoder


def join_parts(form: RowEncoder) -> RowEncoder:
    """Return an encoder that passes on parts, with the content type of a format."""
    joined: Any = JoinedParts(form)
    return cast(RowEncoder, joined)


class JoinedParts:
    """Write encoded parts as `StreamingResponse` writes rows.

    format: the encoder of the format, for the content type and the text of an error.
    """

    def __init__(self, form: RowEncoder) -> None:
        self.content_type = form.content_type
        self.error = form.error

    def rows(self, rows: Sequence[Any]) -> bytes:
        return b"".join(rows)

    def end(self) -> bytes:
        return b""
