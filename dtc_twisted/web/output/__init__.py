"""Answers of many rows, written to HTTP as they come, in the format that is wanted."""

from dtc_twisted.web.output.formats import FORMATS, Row, negotiate_format
from dtc_twisted.web.output.streaming_response import StreamingResponse

__all__ = ["FORMATS", "Row", "StreamingResponse", "negotiate_format"]
