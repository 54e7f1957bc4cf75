"""Write answers of many rows to HTTP as they arrive, in the requested format."""

from dtc_twisted.web.output.columnar import ArrowStream, ColumnEncoder, Parquet
from dtc_twisted.web.output.formats import Row, RowEncoder
from dtc_twisted.web.output.joined_parts import join_parts
from dtc_twisted.web.output.negotiation import FORMATS, make_encoder, negotiate_format
from dtc_twisted.web.output.streaming_response import StreamingResponse

__all__ = [
    "FORMATS",
    "ArrowStream",
    "ColumnEncoder",
    "Parquet",
    "Row",
    "RowEncoder",
    "StreamingResponse",
    "join_parts",
    "make_encoder",
    "negotiate_format",
]
