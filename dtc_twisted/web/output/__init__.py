"""Answers of many rows, written to HTTP as they come, in the format that is wanted."""

from dtc_twisted.web.output.formats import FORMATS, Row, negotiate_format, pretty_json
from dtc_twisted.web.output.streaming_response import StreamingResponse

__all__ = ["FORMATS", "Row", "StreamingResponse", "negotiate_format", "pretty_json"]
