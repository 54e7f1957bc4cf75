"""Parse the value of a DTC field from text (a query) or JSON.

The parser of a field follows from its type in messages.py: text, whole number, number, date-time or enumeration.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile
from typing import Any

from dtc_twisted.dtc.fields import MICROSECONDS, MILLISECONDS, SECONDS, SECONDS_END, FieldType, field_types
from dtc_twisted.dtc.messages import DTCEnum, HistoricalDataIntervalEnum, Message
from dtc_twisted.errors import BadParameter

_INTEGER = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?")
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(\.\d{1,6})?)?)(Z|[+\- ]\d\d:?\d\d)?)?",
    re.ASCII,
)
_FIRST_MICROSECOND = 10**14
"""Smaller numbers are seconds or milliseconds. In milliseconds this is the year 5138, in microseconds 1973."""
_LAST_MICROSECOND = 2**63 - 1
_MAX_NUMBER = 1e15
"""Limit of prices and quantities."""
_INTERVAL = re.compile(r"([1-9][0-9]{0,4})([smh])|1([dw])")
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""JSON Schema pattern of texts without control characters."""
DATE_TIME_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": (
        "^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
        "[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?$"
    ),
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DAY, _WEEK = _SECONDS["d"], _SECONDS["w"]


def single_value(name: str, values: list[bytes]) -> str:
    if len(values) > 1:
        raise BadParameter(f"{name}: given {len(values)} times; expected once.")
    return values[0].decode("utf-8", "surrogateescape")


def bad_value(name: str, value: bytes, expected: str) -> BadParameter:
    shown = value[:100].decode("utf-8", "backslashreplace")
    return BadParameter(f"{name}: {shown!r} was given; expected {expected}.")


class FieldParser:
    """Parse the values of one DTC field.

    expected: describes the values, for error texts.
    schema: describes them as a JSON Schema.
    """

    expected: str
    schema: dict[str, Any]

    def parse_query(self, name: str, values: list[bytes]) -> str | float:
        """Parse the values of a query parameter. Raises BadParameter."""
        text = single_value(name, values)
        value = self.parse_text(text)
        if value is None:
            raise bad_value(name, values[0], self.expected_for(text))
        return value

    def parse_text(self, text: str) -> str | float | None:
        """Return the value for the message; None if the text is invalid."""
        raise NotImplementedError

    def parse_json(self, value: object) -> str | float | None:
        """Return the value of a JSON value, which may be a number; None if invalid."""
        return self.parse_text(str(value)) if type(value) in (int, str) else None

    def expected_for(self, text: str) -> str:
        return self.expected


class _Text(FieldParser):
    def __init__(self, length: int) -> None:
        self._length = length  # the length of the protocol includes a NUL
        self.expected = f"a text in UTF-8 of 1 to {length - 1} characters"
        self.schema = {"type": "string", "minLength": 1, "maxLength": length - 1, "pattern": PRINTABLE}

    def parse_text(self, text: str) -> str | None:
        return text if 0 < len(text) < self._length and text.isprintable() else None

    def parse_json(self, value: object) -> str | None:
        return self.parse_text(value) if isinstance(value, str) else None


class _Integer(FieldParser):
    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most
        self.expected = f"a whole number from {least} to {most}"
        self.schema = {"type": "integer", "minimum": least, "maximum": most}

    def parse_text(self, text: str) -> int | None:
        return int(text) if _INTEGER.fullmatch(text) and self._least <= int(text) <= self._most else None

    def parse_json(self, value: object) -> int | None:
        return self.parse_text(str(value)) if type(value) is int else None


class _Number(FieldParser):
    """A price or a quantity.

    Integers stay integers. The huge numbers that mean "unset" are invalid.
    """

    expected = "a number"
    schema: dict[str, Any] = {
        "type": "number",
        "exclusiveMinimum": -_MAX_NUMBER,
        "exclusiveMaximum": _MAX_NUMBER,
    }

    def parse_text(self, text: str) -> float | None:
        return self.parse_json(json.loads(text)) if _NUMBER.fullmatch(text) else None

    def parse_json(self, value: object) -> float | None:
        if isinstance(value, int | float) and type(value) is not bool and -_MAX_NUMBER < value < _MAX_NUMBER:
            return value
        return None


class _DateTime(FieldParser):
    """A date-time.

    The magnitude of a whole number states its unit, as in the rows of answers.

    per_second: units of the field in a second.
    """

    def __init__(self, least: int, most: int, per_second: int) -> None:
        self._per_second = per_second
        self._least, self._most = least, most
        self._number = _Integer(0 if least == 0 else -_LAST_MICROSECOND - 1, _LAST_MICROSECOND)
        fraction = " or microseconds" if per_second > 1 else ""
        self.expected = (
            "whole seconds, milliseconds or microseconds since 1970, or a date-time in ISO 8601 "
            f"to the second{fraction}, in UTC when it names no zone (2026-01-31, 2026-01-31T13:30:00Z)"
        )
        self.schema = {"anyOf": [self._number.schema, {"type": "string", "format": "date"}, DATE_TIME_SCHEMA]}

    def parse_text(self, text: str) -> int | None:
        if _INTEGER.fullmatch(text):
            number = self._number.parse_text(text)
            return None if number is None else self._in_units(number)
        match = _ISO.fullmatch(text)
        if match is None:
            return None
        date, time, fraction, zone = match.groups()
        if fraction and self._per_second == 1:
            return None
        zone = (zone or "Z").replace(" ", "+")  # a `+` that was not escaped in the URL
        try:
            moment = datetime.fromisoformat(f"{date}T{time or '00:00'}{zone}")
        except ValueError:  # the 31st of February
            return None
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=MICROSECONDS // self._per_second)

    def _in_units(self, number: int) -> int | None:
        """Return a number of any unit in units of the field.

        Fractions of a unit are cut off.
        """
        given = MICROSECONDS if abs(number) >= _FIRST_MICROSECOND else SECONDS
        if SECONDS_END <= abs(number) < _FIRST_MICROSECOND:
            given = MILLISECONDS
        value = number * self._per_second // given
        return value if self._least <= value <= self._most else None

    def expected_for(self, text: str) -> str:
        return self._number.expected if _INTEGER.fullmatch(text) else self.expected


class _Enum(FieldParser):
    """A member, by its number, its name, or its name without the common prefix."""

    def __init__(self, enum: type[DTCEnum]) -> None:
        name_parts = zip(*(each.name.split("_") for each in enum), strict=False)
        start = sum(len(each[0]) + 1 for each in takewhile(lambda each: len({*each}) == 1, name_parts))
        self._members = {str(each.value): each for each in enum}
        self._members |= {each.name: each for each in enum} | {each.name[start:]: each for each in enum}
        self.expected = f"one of {', '.join(each.name[start:] for each in enum)}, or its number"
        names = [each.name[start:] for each in enum]
        numbers = [each.value for each in enum]
        self.schema = {"anyOf": [{"type": "string", "enum": names}, {"type": "integer", "enum": numbers}]}

    def parse_text(self, text: str) -> DTCEnum | None:
        return self._members.get(text.upper())


class _Interval(_Enum):
    """Seconds between records. More values are allowed than the enum has names."""

    def __init__(self) -> None:
        super().__init__(HistoricalDataIntervalEnum)
        self.expected = f"seconds from 0 (ticks) to {_DAY} or {_WEEK} (a week), or tick, 1s, 5m, 2h, 1d, 1w or the like"
        self.schema = {
            "anyOf": [
                {"type": "string", "pattern": "^(tick|([1-9]|[1-5][0-9])[sm]|([1-9]|1[0-9]|2[0-4])h|1[dw])$"},
                {"type": "integer", "minimum": 0, "maximum": _DAY},
                {"const": _WEEK},
            ]
        }

    def parse_text(self, text: str) -> DTCEnum | None:
        if _INTEGER.fullmatch(text):
            seconds = int(text)
        elif (match := _INTERVAL.fullmatch(text)) is not None:
            number, unit, single = match.groups()
            seconds = _SECONDS[single] if single else int(number) * _SECONDS[unit]
            if seconds > _DAY and not single:  # 168 hours are not a week, which starts on a fixed day
                return None
        else:
            return super().parse_text(text)
        return HistoricalDataIntervalEnum(seconds) if 0 <= seconds <= _DAY or seconds == _WEEK else None


class _List(FieldParser):
    """Take an array or a nested structure, as in a user's own messages."""

    expected = "a list"
    schema: dict[str, Any] = {"type": "array"}

    def parse_text(self, text: str) -> None:
        return None

    def parse_json(self, value: object) -> Any:
        return value if isinstance(value, list) else None


@cache
def field_parsers(request: type[Message]) -> dict[str, FieldParser]:
    """Return the parsers of the fields of a message."""
    return {name: _field_parser(name, field) for name, field in field_types(request).items()}


def _field_parser(name: str, field: FieldType) -> FieldParser:
    if field.enum is HistoricalDataIntervalEnum:
        return _Interval()
    if field.enum is not None:
        return _Enum(field.enum)
    if field.base is list:
        return _List()
    if field.base is str:
        return _Text(field.length)
    if field.base is not int:
        return _Number()
    if name.endswith("DateTime"):
        unit = field.unit or SECONDS
        return _DateTime(field.minimum, field.maximum, unit if unit > 0 else SECONDS)
    return _Integer(field.minimum, field.maximum)
