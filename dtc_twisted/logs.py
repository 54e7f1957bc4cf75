"""Log by LOG_LEVEL, and keep secrets out of the log.

`twistd` writes every event that it receives. The threshold is therefore applied before.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    InvalidLogLevelError,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogPublisher,
)
from zope.interface import implementer

_threshold = LogLevelFilterPredicate(defaultLogLevel=LogLevel.info)
_observer = FilteringLogObserver(globalLogPublisher, [_threshold])
SECRET_FIELDS = ("Username", "Password")
"""DTC fields whose values are not logged."""
MASK = "********"
_SECRET_TEXT = re.compile(rf'("(?:{"|".join(SECRET_FIELDS)})"\s*:\s*)"(?:[^"\\]|\\.)*+"?')


def logger(namespace: str) -> Logger:
    """Return a Logger for the module `namespace` that obeys LOG_LEVEL."""
    return Logger(namespace=namespace, observer=_observer)


def set_level(environment: Mapping[str, str]) -> bool:
    """Set the level that LOG_LEVEL names (INFO when empty or missing).

    Returns whether the level is DEBUG. Raises ValueError when LOG_LEVEL names no level.
    """
    name = (environment.get("LOG_LEVEL") or "INFO").lower()
    try:
        level = LogLevel.levelWithName({"warning": "warn"}.get(name, name))
    except InvalidLogLevelError:
        levels = ", ".join(level.name.upper() for level in LogLevel.iterconstants())
        raise ValueError(f"LOG_LEVEL is {name.upper()!r}: expected one of {levels}") from None
    _threshold.setLogLevelForNamespace("dtc_twisted", level)
    return level is LogLevel.debug


def mask_secrets(text: str) -> str:
    """Mask Username and Password in JSON, complete or not."""
    return _SECRET_TEXT.sub(rf'\1"{MASK}"', text)


def shorten(text: str, length: int = 500) -> str:
    """Return a text of another program, cut after `length` characters."""
    return text if len(text) <= length else f"{text[:length]}... ({len(text)} characters)"


class LogLimit:
    """Limit the lines that a server can cause, to MAX_LINES a minute."""

    MAX_LINES = 60

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._began = clock.seconds()
        self._count = 0

    def allows_line(self) -> bool:
        """Count a line, and return whether it is to be logged."""
        now = self._clock.seconds()
        if now - self._began >= 60:
            if self._count > self.MAX_LINES:
                _log.warn("{count} more lines of this kind were left out", count=self._count - self.MAX_LINES)
            self._began, self._count = now, 0
        self._count += 1
        return self._count <= self.MAX_LINES


def call_safely(function: Callable[..., None], *args: Any) -> None:
    """Call a listener, and log what it raises, for the sake of other listeners."""
    try:
        function(*args)
    except Exception:
        _log.failure("Failed to call a listener")


_log = logger(__name__)


@implementer(ILogObserver)
class JsonLog:
    """Write each event of the log as one line of JSON.

    Keys: `time` (ISO 8601, UTC), `level`, `namespace`, `text`, and `traceback` of a failure.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __call__(self, event: LogEvent) -> None:
        level = event.get("log_level")
        line = {
            "time": datetime.fromtimestamp(event.get("log_time", 0.0), UTC).isoformat(timespec="milliseconds"),
            "level": "info" if level is None else level.name,
            "namespace": event.get("log_namespace", ""),
            "text": formatEvent(event),
        }
        failure = event.get("log_failure")
        if failure is not None:
            line["traceback"] = failure.getTraceback()
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def pretty_json(value: object) -> bytes:
    """Encode a value as JSON for users and programs: indented, keys sorted, UTF-8."""
    data: bytes = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=4)
    return data
