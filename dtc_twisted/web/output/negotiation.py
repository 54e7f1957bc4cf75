"""Choose the format of an answer."""

from functools import lru_cache

from dtc_twisted.datafiles.optional import load_arrow
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import BadParameter, how_to_install
from dtc_twisted.web.output.columnar import ArrowStream, ColumnEncoder, Parquet
from dtc_twisted.web.output.formats import Csv, JsonArray, JsonLines, RowEncoder

DEFAULT = "json"

FORMATS: dict[str, type[RowEncoder]] = {
    "json": JsonArray,
    "ndjson": JsonLines,
    "csv": Csv,
    "arrow": ArrowStream,
    "parquet": Parquet,
}
"""Encoders by the value of `format` in a query."""


@lru_cache
def negotiate_format(accept: str) -> str:
    """Return the format that an Accept header prefers; JSON if it prefers none.

    Source: RFC 9110, section 12.5.1.
    """
    ranges = [_media_range(each) for each in accept.split(",")]
    best, highest = DEFAULT, (0.0, 0)
    for name, encoding in FORMATS.items():
        kind = encoding.content_type.partition(";")[0]
        # The most precise media range that matches decides.
        matching = [(precision, q) for precision, text, q in ranges if text in (kind, kind.split("/")[0] + "/*", "*/*")]
        precision, q = max(matching, default=(0, 0.0))
        if q > 0 and (q, precision) > highest:
            best, highest = name, (q, precision)
    return best


def _media_range(text: str) -> tuple[int, str, float]:
    """Return the precision (0 to 2), type/subtype and weight q of a media range."""
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    q = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        weight = float(q)
    except ValueError:
        weight = 0.0
    return 2 - kind.count("*"), kind, weight


def make_encoder(form: str, row_type: type[Message], *, iso_times: bool) -> RowEncoder:
    """Return the encoder of a format.

    iso_times: whether date-times are written as text.
    Raises BadParameter if a format needs a package that is not installed, or has no texts.
    """
    kind = FORMATS[form]
    if issubclass(kind, ColumnEncoder):
        if load_arrow() is None:
            raise BadParameter(f"format: {form} needs pyarrow ({how_to_install('files')}).")
        if iso_times:
            raise BadParameter(f"times: {form} has timestamps; iso is for text formats.")
    return kind(row_type)
