"""Answers of many rows, written to HTTP as they come, in the format that is wanted."""

from dtc_twisted.rows.answer import Answer
from dtc_twisted.rows.formats import FORMATS, Row, accepted, indented

__all__ = ["FORMATS", "Answer", "Row", "accepted", "indented"]
