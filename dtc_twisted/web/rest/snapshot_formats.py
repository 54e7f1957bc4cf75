"""Encode the answers of /marketdata and /marketdepth as CSV or NDJSON.

Market data is one row. A book has one row for each level: bids, then asks, best first. Rows of data that are not
current have `stale`, with the reason.
"""

import csv
import io
from typing import Any

import msgspec

from dtc_twisted.dtc.messages import AtBidOrAskEnum, MarketDataSnapshot
from dtc_twisted.errors import BadParameter
from dtc_twisted.web.output import FORMATS, negotiate_format

_LEVEL_NAMES = ("symbol", "Side", "Price", "Quantity", "NumOrders")
_MARKET_DATA_NAMES = ("Type", "Symbol", *MarketDataSnapshot.__struct_fields__)


def snapshot_format(given: str | None, accept: str) -> str:
    """Return json, ndjson or csv.

    given: by the parameter `format`. accept: the header of the request.
    Raises BadParameter for a format that a snapshot does not have.
    """
    if given is None:
        negotiated = negotiate_format(accept)
        return negotiated if negotiated in ("ndjson", "csv") else "json"
    if given not in ("json", "ndjson", "csv"):
        raise BadParameter(f"format: {given!r} was given; expected json, ndjson or csv.")
    return given


def encode_snapshot(value: dict[str, Any], form: str) -> tuple[bytes, str]:
    """Return a snapshot as NDJSON or CSV, and its Content-Type.

    value: the JSON object of market data or of a book.
    """
    is_book = "bids" in value
    rows = _levels(value) if is_book else [value]
    if form == "ndjson":
        return msgspec.json.Encoder().encode_lines(rows), FORMATS[form].content_type
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    names = (
        *(_LEVEL_NAMES if is_book else _MARKET_DATA_NAMES),
        *(name for name in ("Source", "stale") if name in value),
    )
    writer.writerow(names)
    for row in rows:
        plain = msgspec.to_builtins(row)
        writer.writerow([plain.get(name) for name in names])
    return text.getvalue().encode(), FORMATS[form].content_type


def _levels(book: dict[str, Any]) -> list[dict[str, Any]]:
    sides = ((AtBidOrAskEnum.AT_BID, book["bids"]), (AtBidOrAskEnum.AT_ASK, book["asks"]))
    stale = {"stale": book["stale"]} if "stale" in book else {}
    return [
        {"symbol": book["symbol"], "Side": int(side), **msgspec.to_builtins(level), **stale}
        for side, levels in sides
        for level in levels
    ]
