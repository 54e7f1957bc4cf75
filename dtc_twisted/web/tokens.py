"""Read the token file, and read it again when it changes.

Each line of the file is one caller. Only SHA-256 digests of tokens are kept in memory, so that no log or dump can
contain a token. (An edge keeps the token of each WebSocket, because the origin checks it again.) The file itself can
hold digests too.
"""

import os
import re
import shlex
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.clocks import wall_time
from dtc_twisted.logs import logger
from dtc_twisted.orders import RiskLimits, Trader, read_limits

HASHED = "sha256:"
"""Prefix of the digest of a token in the file."""

_EXPIRES = "expires="
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,32}")
_SCOPES = {"read": False, "trade": True}
_TOKEN = re.compile(r"[A-Za-z0-9._~+-]{16,128}")  # characters that are valid in Authorization and as subprotocol
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_log = logger(__name__)


@dataclass(frozen=True)
class Principal:
    """Identify the sender of a request.

    name: the name in the token file; "local" if the gateway has no token file.
    may_trade: whether the gateway accepts orders of this sender.
    limits: limits of the sender's orders, in addition to those of the command line.
    expires: end of the token, in seconds UTC; None: it has no end.
    line: digest of the line in the token file; it differs when anything in the line does.
    authorization: at an edge, the header for the origin; empty: there was no token.
    """

    name: str
    may_trade: bool = False
    limits: RiskLimits = field(default_factory=RiskLimits, compare=False)
    expires: float | None = None
    line: bytes = field(default=b"", repr=False, compare=False)
    authorization: str = field(default="", repr=False, compare=False)

    @cached_property
    def trader(self) -> Trader:
        """Return the name and the limits, as order commands need them."""
        return Trader(self.name, self.limits)


TokenTable = Mapping[bytes, Principal]
"""Principals by the SHA-256 digest of their token."""


class TokenFile:
    """Keep the tokens of a file.

    `check` reads the file again when it has changed. If it cannot be read or a line is wrong, the earlier tokens stay
    valid, and the log says why.

    clock: what the ends of tokens follow; set before the gateway serves.
    on_change: called after tokens were added, removed, changed, or have expired.

    The constructor raises OSError or ValueError, as `read_tokens` does.
    """

    clock: IReactorTime

    def __init__(self, path: str) -> None:
        self._path = path
        self._state = _state_of(path)
        self.table = read_tokens(path)
        self.on_change: Callable[[], None] = lambda: None
        self._valid: frozenset[bytes] = frozenset()

    def is_valid(self, principal: Principal) -> bool:
        """Return whether a principal's token is in the file and has not expired."""
        return principal.line in self._valid_lines()

    def has_expired(self, principal: Principal) -> bool:
        """Return whether the principal's token has expired."""
        return principal.expires is not None and wall_time(self.clock) >= principal.expires

    def check(self) -> None:
        """Read the file again if it has changed, and find tokens that have expired."""
        state = _state_of(self._path)
        if state != self._state:
            self._state = state
            self._read()
        valid = self._valid_lines()
        if valid != self._valid:
            self._valid = valid
            self.on_change()

    def _valid_lines(self) -> frozenset[bytes]:
        return frozenset(each.line for each in self.table.values() if not self.has_expired(each))

    def _read(self) -> None:
        try:
            table = read_tokens(self._path)
        except (OSError, ValueError) as error:
            _log.error("The token file cannot be used, and the earlier tokens stay valid: {error}", error=error)
            return
        before = {each.line: each.name for each in self.table.values()}
        after = {each.line: each.name for each in table.values()}
        self.table = table
        removed = sorted(name for line, name in before.items() if line not in after)
        added = sorted(name for line, name in after.items() if line not in before)
        _log.info(
            "The token file was read again: {removed} gone or changed, {added} new or changed.",
            removed=", ".join(removed) or "none",
            added=", ".join(added) or "none",
        )


def _state_of(path: str) -> tuple[int, ...] | None:
    """Return numbers of a file that a change or replacement alters.

    Return None if there is no file.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode


def digest_of(token: str) -> bytes:
    """Return the SHA-256 digest of a token."""
    return sha256(token.encode()).digest()


def make_line(name: str, scope: str, token: str, options: list[str]) -> str:
    """Return a line of the token file, with the digest of the token.

    options: texts of the form NAME=VALUE.

    Raises ValueError if `read_tokens` would refuse the line.
    """
    line = shlex.join([name, scope, HASHED + digest_of(token).hex(), *options])
    _read_line(1, line)
    return line


def read_tokens(path: str) -> TokenTable:
    """Read a token file.

    Each line is `NAME SCOPE TOKEN [OPTION=VALUE ...]`. SCOPE is read or trade. TOKEN is the token, or `sha256:` and its
    digest in hexadecimal. OPTION is `expires`, a date or a time in UTC, or a limit. Empty lines and lines that begin
    with # are skipped. A part that contains spaces is put in quotation marks.

    Raises OSError if the file cannot be read. Raises ValueError if a line is wrong, or if other users can read the
    file: the text has the line's number and the reason, and never a part of the line.
    """
    tokens: dict[bytes, Principal] = {}
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        _check_mode(file.fileno())
        for number, line in enumerate(file, 1):
            if line.strip() and not line.lstrip().startswith("#"):
                principal, digest = _read_line(number, line)
                if principal.name in {each.name for each in tokens.values()}:
                    raise ValueError(f"line {number}: an earlier line has this name already")
                if digest in tokens:
                    raise ValueError(f"line {number}: an earlier line has this token already")
                tokens[digest] = principal
    if not tokens:
        raise ValueError("no tokens: expected lines of NAME SCOPE TOKEN")
    return tokens


def _check_mode(descriptor: int) -> None:
    """Raise ValueError if other users of the machine can read or write the file.

    Windows states no such mode.
    """
    if os.name == "posix" and os.fstat(descriptor).st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ValueError("other users can read or write the file: chmod 600 makes it yours alone")


def _read_line(number: int, line: str) -> tuple[Principal, bytes]:
    try:
        parts = shlex.split(line)
    except ValueError:
        raise ValueError(f"line {number}: a quotation mark is not closed") from None
    principal, digest = _read_token(number, parts)
    return replace(principal, line=sha256("\0".join(parts).encode()).digest()), digest


def _read_token(number: int, parts: list[str]) -> tuple[Principal, bytes]:
    if len(parts) < 3 or not all("=" in part for part in parts[3:]):
        raise ValueError(f"line {number}: expected NAME SCOPE TOKEN [OPTION=VALUE ...]")
    name, scope, token, *options = parts
    if not _NAME.fullmatch(name):
        raise ValueError(f"line {number}: the name: expected 1 to 32 letters, digits, or any of . _ @ -")
    if scope not in _SCOPES:
        raise ValueError(f"line {number}: the scope: expected {' or '.join(_SCOPES)}")
    digest = _read_digest(number, token)
    ends = [each.removeprefix(_EXPIRES) for each in options if each.startswith(_EXPIRES)]
    if len(ends) > 1:
        raise ValueError(f"line {number}: expires: given twice")
    rest = [each for each in options if not each.startswith(_EXPIRES)]
    if rest and not _SCOPES[scope]:
        raise ValueError(f"line {number}: limits go with the scope trade only")
    try:
        limits = read_limits(rest, f"of the token {name}")
        expires = _read_end(ends[0]) if ends else None
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
    return Principal(name, _SCOPES[scope], limits, expires), digest


def _read_digest(number: int, token: str) -> bytes:
    hashed = _DIGEST.fullmatch(token)
    if hashed is not None:
        return bytes.fromhex(hashed[1])
    if token.startswith(HASHED):
        raise ValueError(f"line {number}: the token: after sha256:, expected 64 of 0 to 9 and a to f")
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"line {number}: the token: expected 16 to 128 letters, digits, or any of . _ ~ + -")
    return digest_of(token)


def _read_end(text: str) -> float:
    """Return the seconds UTC at which a token expires.

    A date is the beginning of that day.
    """
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expires: expected a date such as 2027-01-31, or a time such as 2027-01-31T18:00Z") from None
    return (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp()
