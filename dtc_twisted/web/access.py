"""Who may talk to the gateway: API tokens, and what keeps the web pages of others out.

A token is `Authorization: Bearer TOKEN`. Browsers cannot send that with a WebSocket: there it may be the subprotocol
`bearer.TOKEN`, beside `dtc`. Tokens are kept as their digests, so that nothing can show one.

A browser lets any page that it shows send requests to this machine. Host and Origin tell whose page it was.
"""

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv4Address, IPv6Address

from twisted.web.server import Request

from dtc_twisted.errors import Forbidden, Misdirected, Unauthorized
from dtc_twisted.orders import RiskLimits, Trader, read_limits

SUBPROTOCOL = "dtc"
"""What a WebSocket speaks here, for clients that name it."""

_BEARER = "bearer."
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,32}")
_SCOPES = {"read": False, "trade": True}
_TOKEN = re.compile(r"[A-Za-z0-9._~+-]{16,128}")  # what may stand in both headers
_HOST = r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?)(:[0-9]{1,5})?"
_HOST_HEADER = re.compile(_HOST)
_ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://({_HOST})/?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SAFE_METHODS = (b"GET", b"HEAD")


@dataclass(frozen=True)
class Principal:
    """Who sent a request.

    name: as in the file of tokens; "local" where there is none.
    may_trade: whether orders are taken from it.
    limits: of its orders, besides those of the command line.
    """

    name: str
    may_trade: bool = False
    limits: RiskLimits = field(default_factory=RiskLimits, compare=False)

    @property
    def trader(self) -> Trader:
        """The same, for commands."""
        return Trader(self.name, self.limits)


ANYBODY = Principal("anybody")
"""The sender of a request that needs no token."""
LOCAL_PRINCIPAL = Principal("local", may_trade=True)

TokenTable = Mapping[bytes, Principal]
"""Whose token has this digest."""


def read_tokens(path: str) -> TokenTable:
    """Reads lines of `NAME SCOPE TOKEN [LIMIT=VALUE ...]`, SCOPE being read or trade; those that are empty or begin
    with # say nothing. A word with spaces in it stands in quotation marks.

    Raises OSError, or ValueError that says which line is wrong, and why, in words that hold nothing of it.
    """
    tokens: dict[bytes, Principal] = {}
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip() and not line.lstrip().startswith("#"):
                caller, digest = _read_token(number, _words(number, line))
                if caller.name in {each.name for each in tokens.values()}:
                    raise ValueError(f"line {number}: an earlier line has this name already")
                if digest in tokens:
                    raise ValueError(f"line {number}: an earlier line has this token already")
                tokens[digest] = caller
    if not tokens:
        raise ValueError("no tokens: expected lines of NAME SCOPE TOKEN")
    return tokens


def _words(number: int, line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        raise ValueError(f"line {number}: a quotation mark is not closed") from None


def _read_token(number: int, words: list[str]) -> tuple[Principal, bytes]:
    if len(words) < 3 or not all("=" in word for word in words[3:]):
        raise ValueError(f"line {number}: expected NAME SCOPE TOKEN [LIMIT=VALUE ...]")
    name, scope, token, *rest = words
    if not _NAME.fullmatch(name):
        raise ValueError(f"line {number}: the name: expected 1 to 32 letters, digits, or any of . _ @ -")
    if scope not in _SCOPES:
        raise ValueError(f"line {number}: the scope: expected {' or '.join(_SCOPES)}")
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"line {number}: the token: expected 16 to 128 letters, digits, or any of . _ ~ + -")
    if rest and not _SCOPES[scope]:
        raise ValueError(f"line {number}: limits go with the scope trade only")
    try:
        limits = read_limits(rest, f"of the token {name}")
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
    return Principal(name, _SCOPES[scope], limits), _digest(token)


def read_origin(text: str) -> str:
    """An origin as browsers write it. Raises ValueError."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        raise ValueError(f"expected an origin such as https://trader.example or http://localhost:3000, not {text!r}")
    scheme, host, port = match[1], match[2], match[5]
    return f"{scheme}://{host.removesuffix(port or '') if port == _DEFAULT_PORTS.get(scheme) else host}"


class AccessControl:
    """Lets requests in, or not.

    tokens: of those who may come; None: everybody may do everything.
    origins: of web pages that may, besides our own; as `read_origin` makes them.
    names: host names that this machine is called by; localhost and addresses are known.
    """

    def __init__(
        self, tokens: TokenTable | None = None, origins: Collection[str] = (), names: Collection[str] = ()
    ) -> None:
        self._tokens = tokens
        self._origins = frozenset(origins)
        hosts = (_ORIGIN.fullmatch(origin) for origin in origins if origin.startswith("http"))
        self._names = {"localhost", *(name.lower() for name in names), *(host[4] for host in hosts if host and host[4])}
        self._is_ours = lru_cache(self._is_this_machine)  # callers say the same few

    def authorize(self, request: Request, *, needs_token: bool = True) -> bool:
        """Lets a request in, whose `caller` is known then; whether that is all it wants (a CORS preflight).

        Raises Misdirected, Forbidden or Unauthorized.
        """
        host = self._host(request)
        if self._cross_origin(request, host) and _is_preflight(request):
            request.setHeader("Access-Control-Allow-Methods", "GET, HEAD, POST, PATCH, DELETE")
            request.setHeader("Access-Control-Allow-Headers", "Authorization, Content-Type")
            request.setHeader("Access-Control-Max-Age", "600")
            return True
        request.setComponent(Principal, self._caller(request) if needs_token else ANYBODY)
        return False

    def _host(self, request: Request) -> str:
        """The Host header. Only HTTP/1.0, which no browser speaks, goes without."""
        hosts = headers(request, "host")
        host = ",".join(hosts).lower()
        if hosts and not self._is_ours(host):
            raise Misdirected(
                f"Host: {host[:100]!r} is not this gateway: expected localhost, an address, this machine's name, "
                "or the host of an --allow-origin."
            )
        return host

    def _is_this_machine(self, host: str) -> bool:
        match = _HOST_HEADER.fullmatch(host)
        return match is not None and (match[2] in self._names or _is_address(match))

    def _cross_origin(self, request: Request, host: str) -> bool:
        """Whether the request is of another origin that is allowed. Raises Forbidden when it is not and should be."""
        if self._origins:
            request.setHeader("Vary", "Origin")
        given = headers(request, "origin")
        if not given:
            return False
        origin = ",".join(given).lower()
        if origin in self._origins:
            request.setHeader("Access-Control-Allow-Origin", origin)
            request.setHeader("Access-Control-Expose-Headers", "Retry-After")
            return True
        # A proxy may have taken https off: the scheme is not looked at.
        is_ours = host and origin.partition("://")[2] == host
        if not is_ours and (request.method not in _SAFE_METHODS or is_websocket(request)):
            raise Forbidden(f"Origin: {origin[:100]!r} may not do this; --allow-origin lets it.")
        return False

    def _caller(self, request: Request) -> Principal:
        if self._tokens is None:
            return LOCAL_PRINCIPAL
        given = _tokens_in(request)
        if len(given) == 1:
            digest = _digest(given[0])
            # All are compared, and digests tell nothing of what they are made of: time says nothing.
            found = [caller for known, caller in self._tokens.items() if compare_digest(known, digest)]
            if found:
                return found[0]
        what = "none was given" if not given else "this is none" if len(given) == 1 else "several were given"
        raise Unauthorized(f"Authorization: expected Bearer and a token of this gateway's; {what}.")


def headers(request: Request, name: str) -> list[str]:
    """The values of a request's header, whatever bytes they are: Twisted's own way raises for what is not UTF-8."""
    return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name.encode(), [])]


def principal_of(request: Request) -> Principal:
    """Who sent a request that was let in."""
    who: Principal = request.getComponent(Principal)
    return who


def require_trade_scope(request: Request) -> Principal:
    """The same, where it takes the scope trade. Raises Forbidden."""
    who = principal_of(request)
    if not who.may_trade:
        raise Forbidden(f"The token of {who.name} has the scope read; this takes trade.")
    return who


def is_websocket(request: Request) -> bool:
    """Whether a request wants to become a WebSocket."""
    return "websocket" in ",".join(headers(request, "upgrade")).lower()


def strip_token(request: Request) -> None:
    """Takes the token out of a request that goes on to those who may log or repeat what they read."""
    request.requestHeaders.removeHeader("authorization")
    if request.requestHeaders.hasHeader("sec-websocket-protocol"):
        left = [each for each in dict.fromkeys(_subprotocols(request)) if not each.startswith(_BEARER)]
        request.requestHeaders.removeHeader("sec-websocket-protocol")
        if left:
            request.requestHeaders.addRawHeader(b"sec-websocket-protocol", ", ".join(left).encode("latin-1"))


def _tokens_in(request: Request) -> list[str]:
    """The different tokens that a request brings."""
    pairs = [each.partition(" ") for each in headers(request, "authorization")]
    tokens = [token.strip() for scheme, _, token in pairs if scheme.lower() == "bearer"]
    if is_websocket(request):
        tokens += [each.removeprefix(_BEARER) for each in _subprotocols(request) if each.startswith(_BEARER)]
    return [*dict.fromkeys(tokens)]


def _subprotocols(request: Request) -> list[str]:
    lines = headers(request, "sec-websocket-protocol")
    return [each.strip() for line in lines for each in line.split(",") if each.strip()]


def _is_preflight(request: Request) -> bool:
    return request.method == b"OPTIONS" and bool(headers(request, "access-control-request-method"))


def _is_address(host: re.Match[str]) -> bool:
    """Of _HOST."""
    try:
        return bool(IPv6Address(host[1]) if host[1] else IPv4Address(host[2]))
    except ValueError:
        return False


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
