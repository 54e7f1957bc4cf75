"""Write answers of many rows to HTTP as they arrive, in the requested format."""

from dtc_twisted.web.output.formats import FORMATS, Row, negotiate_format
from dtc_twisted.web.output.streaming_response import StreamingResponse

__all__ = ["FORMATS", "Row", "StreamingResponse", "negotiate_format"]
