"""What a URL asks for: the parameters of a query, as the fields of a DTC request and the shape of the answer.

What a JSON object says of the fields of a message is read here as well: both go by the kinds of fields.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile
from typing import Any, get_args, get_type_hints

from msgspec import UNSET

from dtc_twisted.messages import DTCEnum, HistoricalDataIntervalEnum, HistoricalMarketDepthDataRequest, Message

_INTEGER = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?")
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(\.\d{1,6})?)?)(Z|[+\- ]\d\d:?\d\d)?)?",
    re.ASCII,
)
_HUGE = 1e15
"""No price or quantity is as large."""
_INTERVAL = re.compile(r"([1-9][0-9]{0,4})([smh])|1([dw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DAY, _WEEK = _SECONDS["d"], _SECONDS["w"]

_MICROSECONDS: set[type[Message]] = {HistoricalMarketDepthDataRequest}
"""Date-times are in these on the wire; in seconds in all other requests."""


class BadParameter(ValueError):
    """A parameter is missing, unknown or of the wrong kind. The text names it and says what was expected."""


@dataclass(frozen=True)
class Get:
    """What may be asked at a path: a DTC request and those of its fields that come from the query.

    one_of: at least one of these has to be there, and not zero.
    """

    request: type[Message]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shape:
    """How the answer is to be written.

    format: "json", "ndjson" or "csv"; None: the query does not say.
    display_prices: prices as people read them, instead of the server's own.
    iso_times: date-times in ISO 8601, instead of DTC's numbers.
    """

    format: str | None = None
    display_prices: bool = False
    iso_times: bool = False


def arguments(request: Any) -> dict[bytes, list[bytes]]:
    """The query. Raises BadParameter for what Twisted would leave out."""
    query = request.uri.partition(b"?")[2]
    for part in re.split(b"[&;]", query):
        if part and b"=" not in part:
            raise BadParameter(f"{part[:100].decode('utf-8', 'replace')}: expected a name, = and a value.")
    args: dict[bytes, list[bytes]] = request.args
    return args


def shape(args: dict[bytes, list[bytes]]) -> tuple[Shape, dict[bytes, list[bytes]]]:
    """The shape that a query asks for, and the parameters that are left for `question`. Raises BadParameter."""
    left = dict(args)
    shape = Shape(
        format=_choice(left, "format", "json", "ndjson", "csv"),
        display_prices=_choice(left, "prices", "server", "display") == "display",
        iso_times=_choice(left, "times", "dtc", "iso") == "iso",
    )
    return shape, left


def _choice(args: dict[bytes, list[bytes]], name: str, *choices: str) -> str | None:
    """Takes a parameter out of `args`; None when it is not there."""
    values = args.pop(name.encode(), None)
    if values is None:
        return None
    text = _once(name, values)
    if text not in choices:
        raise _wrong(name, values[0], f"{', '.join(choices[:-1])} or {choices[-1]}")
    return text


def question(get: Get, args: dict[bytes, list[bytes]]) -> Message:
    """The DTC request that a query asks for. Raises BadParameter."""
    names = (*get.required, *get.one_of, *get.optional)
    no_others(args, names)
    known = kinds(get.request)
    fields = {name: known[name].value(name, args[name.encode()]) for name in names if name.encode() in args}
    for name in get.required:
        if name not in fields:  # 0 is a value: INTERVAL_TICK
            raise BadParameter(f"{name}: missing; expected {known[name].expected}.")
    if get.one_of and not any(fields.get(name) for name in get.one_of):
        raise BadParameter(f"{' or '.join(get.one_of)}: missing; expected one of them, and not 0.")
    return get.request(**fields)


def no_others(args: Iterable[bytes], names: tuple[str, ...]) -> None:
    for name in args:
        if name not in {each.encode() for each in names}:
            expected = ", ".join(names) or "no parameters"
            raise BadParameter(f"{name.decode('utf-8', 'replace')}: not a parameter of this; expected {expected}.")


def message_of(kind: type[Message], fields: dict[str, Any]) -> Message:
    """The message whose fields, without Type, a JSON object has; null is unset. Raises BadParameter."""
    known = kinds(kind)
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in known:
            expected = ", ".join(known) or "none"
            raise BadParameter(f"{name[:100]}: not a field of {kind.__name__}; expected {expected}.")
        read = UNSET if value is None else known[name].of_json(value)
        if read is None:
            shown = json.dumps(value, ensure_ascii=False)[:100]
            raise BadParameter(f"{name}: {shown} was given; expected {known[name].expected_of(str(value))}.")
        values[name] = read
    return kind(**values)


def _once(name: str, values: list[bytes]) -> str:
    if len(values) > 1:
        raise BadParameter(f"{name}: given {len(values)} times; expected once.")
    return values[0].decode("utf-8", "surrogateescape")


def _wrong(name: str, value: bytes, expected: str) -> BadParameter:
    shown = value[:100].decode("utf-8", "backslashreplace")
    return BadParameter(f"{name}: {shown!r} was given; expected {expected}.")


# -- the kinds of fields


class Kind:
    """What a parameter may be, by the DTC field of its name."""

    expected: str

    def value(self, name: str, values: list[bytes]) -> str | float:
        """Raises BadParameter."""
        text = _once(name, values)
        value = self.read(text)
        if value is None:
            raise _wrong(name, values[0], self.expected_of(text))
        return value

    def read(self, text: str) -> str | float | None:
        """The value for the wire; None when the text is none."""
        raise NotImplementedError

    def of_json(self, value: object) -> str | float | None:
        """The same, of a value in JSON: numbers may be numbers there."""
        return self.read(str(value)) if type(value) in (int, str) else None

    def expected_of(self, text: str) -> str:
        return self.expected


class _Text(Kind):
    def __init__(self, length: int) -> None:
        self._length = length  # the protocol counts a NUL at the end
        self.expected = f"a text in UTF-8 of 1 to {length - 1} characters"

    def read(self, text: str) -> str | None:
        return text if 0 < len(text) < self._length and text.isprintable() else None

    def of_json(self, value: object) -> str | None:
        return self.read(value) if isinstance(value, str) else None


class _Integer(Kind):
    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most
        self.expected = f"a whole number from {least} to {most}"

    def read(self, text: str) -> int | None:
        return int(text) if _INTEGER.fullmatch(text) and self._least <= int(text) <= self._most else None

    def of_json(self, value: object) -> int | None:
        return self.read(str(value)) if type(value) is int else None


class _Number(Kind):
    """A price, a quantity; whole ones stay integers. The huge numbers that mean "unset" are none."""

    expected = "a number"

    def read(self, text: str) -> float | None:
        return self.of_json(json.loads(text)) if _NUMBER.fullmatch(text) else None

    def of_json(self, value: object) -> float | None:
        if isinstance(value, int | float) and type(value) is not bool and -_HUGE < value < _HUGE:
            return value
        return None


class _DateTime(Kind):
    """per_second: units of the field in a second."""

    def __init__(self, least: int, most: int, per_second: int) -> None:
        self._per_second = per_second
        # Rounded towards zero: what is in these fits the field.
        self._seconds = _Integer(-(-least // per_second), most // per_second)
        fraction = " or microseconds" if per_second > 1 else ""
        self.expected = (
            f"whole seconds since 1970 or a date-time in ISO 8601 to the second{fraction}, "
            "in UTC when it names no zone (2026-01-31, 2026-01-31T13:30:00Z)"
        )

    def read(self, text: str) -> int | None:
        if _INTEGER.fullmatch(text):
            seconds = self._seconds.read(text)
            return None if seconds is None else seconds * self._per_second
        match = _ISO.fullmatch(text)
        if match is None:
            return None
        date, time, fraction, zone = match.groups()
        if fraction and self._per_second == 1:
            return None
        zone = (zone or "Z").replace(" ", "+")  # a + that was not escaped in the URL
        try:
            moment = datetime.fromisoformat(f"{date}T{time or '00:00'}{zone}")
        except ValueError:  # the 31st of February
            return None
        return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1_000_000 // self._per_second)

    def expected_of(self, text: str) -> str:
        return self._seconds.expected if _INTEGER.fullmatch(text) else self.expected


class _Enum(Kind):
    """A member, by its number, its name, or its name without what all names begin with."""

    def __init__(self, enum: type[DTCEnum]) -> None:
        words = zip(*(each.name.split("_") for each in enum), strict=False)
        start = sum(len(each[0]) + 1 for each in takewhile(lambda each: len({*each}) == 1, words))
        self._members = {str(each.value): each for each in enum}
        self._members |= {each.name: each for each in enum} | {each.name[start:]: each for each in enum}
        self.expected = f"one of {', '.join(each.name[start:] for each in enum)}, or its number"

    def read(self, text: str) -> DTCEnum | None:
        return self._members.get(text.upper())


class _Interval(_Enum):
    """Seconds between records: more than the enum has names for."""

    def __init__(self) -> None:
        super().__init__(HistoricalDataIntervalEnum)
        self.expected = f"seconds from 0 (ticks) to {_DAY} or {_WEEK} (a week), or tick, 1s, 5m, 2h, 1d, 1w or the like"

    def read(self, text: str) -> DTCEnum | None:
        if _INTEGER.fullmatch(text):
            seconds = int(text)
        elif (match := _INTERVAL.fullmatch(text)) is not None:
            number, unit, single = match.groups()
            seconds = _SECONDS[single] if single else int(number) * _SECONDS[unit]
            if seconds > _DAY and not single:  # 168 hours are not a week, which begins on a certain day
                return None
        else:
            return super().read(text)
        return HistoricalDataIntervalEnum(seconds) if 0 <= seconds <= _DAY or seconds == _WEEK else None


@cache
def kinds(request: type[Message]) -> dict[str, Kind]:
    """The kinds of a message's fields."""
    hints = get_type_hints(request, include_extras=True)
    return {name: _kind(request, name, hints[name]) for name in request.__struct_fields__}


def _kind(request: type[Message], name: str, hint: Any) -> Kind:
    """From the hint of a field (messages.py: char_n, an integer type or an enum), and its name.

    The types of date-times are other names for those of whole numbers: only the field's name tells them apart.
    """
    for each in get_args(hint):
        if each is HistoricalDataIntervalEnum:
            return _Interval()
        if isinstance(each, type) and issubclass(each, DTCEnum):
            return _Enum(each)
        if hasattr(each, "__metadata__"):
            limits = each.__metadata__[0].extra
            if each.__origin__ is str:
                return _Text(limits["length"])
            if each.__origin__ is int and name.endswith("DateTime"):
                return _DateTime(limits["min"], limits["max"], 1_000_000 if request in _MICROSECONDS else 1)
            if each.__origin__ is int:
                return _Integer(limits["min"], limits["max"])
            return _Number()
    raise TypeError(f"{request.__name__}.{name} is of no kind")
