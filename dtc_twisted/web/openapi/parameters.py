"""Describe the parameters of queries, from the tables that parse them."""

from functools import cache
from typing import Any

from dtc_twisted.dtc.field_parser import field_parsers
from dtc_twisted.dtc.messages import HistoricalPriceDataRequest
from dtc_twisted.web.openapi.operations import ParameterSpec
from dtc_twisted.web.query import CHOICES, RequestSpec

TEXTS: dict[str, tuple[str, Any]] = {
    "EndDateTime": ("The end of the time range.", None),
    "Exchange": ("An exchange of `/exchangelist`.", "CME"),
    "MaxDaysToReturn": ("The number of days before the end of the data; 0: no limit.", 1),
    "NumLevels": ("The number of levels of each side; 0 or absent: all.", 5),
    "NumberOfDays": ("The number of days before now. This or StartDateTime is required.", 30),
    "RecordInterval": (
        "Seconds of each record (0 is ticks), or `tick`, `1s`, `5m`, `1h`, `1d`, `1w` and the like.",
        "1h",
    ),
    "SearchText": ("The text to search for.", "crude"),
    "SearchType": ("Whether symbols or descriptions are searched.", "BY_DESCRIPTION"),
    "SecurityType": ("The type of the securities.", "FUTURES"),
    "ServerOrderID": ("The server's id of an order.", None),
    "StartDateTime": ("The start of the time range.", None),
    "Symbol": ("A symbol, as Sierra Chart writes it.", "ESM20_FUT_CME"),
    "TradeAccount": ("A trade account of `/tradeaccounts`.", "Sim1"),
    "UnderlyingSymbol": ("The symbol of the underlying.", "ES"),
}
"""Meaning, and an example for which the demo has an answer, of each parameter."""

_OUTPUT_TEXTS = {
    "format": "The format of the answer. Without it, the header Accept chooses.",
    "prices": "Server prices, or display prices: multiplied by the symbol's DisplayPriceMultiplier.",
    "source": "Where the data come from. auto: from a file if there is one, and from the server otherwise.",
    "times": "Date-times as DTC's numbers, or in ISO 8601, UTC.",
}


@cache
def request_parameters(spec: RequestSpec) -> tuple[ParameterSpec, ...]:
    """Return the parameters of a DTC request."""
    parsers = field_parsers(spec.request)
    return tuple(
        ParameterSpec(name, parsers[name].schema, TEXTS[name][0], "query", name in spec.required, TEXTS[name][1])
        for name in (*spec.required, *spec.one_of, *spec.optional)
    )


def output_parameters(*names: str) -> tuple[ParameterSpec, ...]:
    """Return the parameters that choose the shape of an answer."""
    return tuple(
        ParameterSpec(name, {"type": "string", "enum": [*CHOICES[name]], "default": CHOICES[name][0]}, text)
        for name, text in _OUTPUT_TEXTS.items()
        if name in names
    )


def file_parameters(spec: RequestSpec) -> tuple[ParameterSpec, ...]:
    """Return the parameters for data of files of a request for history."""
    source = output_parameters("source")
    if spec.request is not HistoricalPriceDataRequest:
        return source
    pattern = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"
    text = "Times of the trading session, HH:MM-HH:MM: bars are built within it. With data of files only."
    return (
        *source,
        ParameterSpec("session", {"type": "string", "pattern": pattern}, text),
        ParameterSpec("timezone", {"type": "string"}, "The time zone of the session, such as America/Chicago."),
    )
