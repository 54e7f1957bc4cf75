"""Accept or refuse requests by API token and by the headers Host and Origin.

A token is sent as `Authorization: Bearer TOKEN`. A browser cannot send that header with a WebSocket. There the token
may be the subprotocol `bearer.TOKEN`, beside `dtc`.

A browser lets every page that it shows send requests to this machine. Host and Origin identify the page.
"""

import re
from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from hmac import compare_digest
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from twisted.web.server import Request

from dtc_twisted.errors import BadParameter, Forbidden, Misdirected, Unauthorized
from dtc_twisted.transport.addresses import ip_address_of
from dtc_twisted.web.request_rate import RequestRate
from dtc_twisted.web.tokens import Principal, TokenFile, digest_of
from dtc_twisted.web.wrong_tokens import WrongTokens

SUBPROTOCOL = "dtc"
"""Name of the WebSocket subprotocol, for clients that ask for one."""

PROXY_HEADERS = ("forwarded", "x-forwarded-for")
"""Headers of a request that a proxy passed on, in lower case."""

_BEARER = "bearer."
_HOST = r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)\.?)(:[0-9]{1,5})?"
_HOST_HEADER = re.compile(_HOST)
_ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://({_HOST})/?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
SAFE_METHODS = (b"GET", b"HEAD")
"""Methods that change nothing (RFC 9110, section 9.2.1)."""


ANONYMOUS = Principal("anonymous")
"""The sender of a request that needs no token."""
LOCAL_PRINCIPAL = Principal("local", may_trade=True)


def read_origin(text: str) -> str:
    """Return an origin as browsers write it. Raises ValueError."""
    match = _ORIGIN.fullmatch(text.lower())
    if match is None:
        raise ValueError(f"expected an origin such as https://trader.example or http://localhost:3000, not {text!r}")
    scheme, host, port = match[1], match[2], match[5]
    return f"{scheme}://{host.removesuffix(port or '') if port == _DEFAULT_PORTS.get(scheme) else host}"


class AccessControl:
    """Accept or refuse requests.

    tokens: the file of the accepted tokens; None: every request is accepted without a token, and may trade.
    origins: accepted origins of web pages besides the gateway's own, as returned by `read_origin`.
    names: host names of this machine. localhost and IP addresses are always accepted.
    wrong_tokens: counts the requests with wrong tokens.
    rate: limits the GET requests of each token; None: they are not limited.
    """

    def __init__(
        self,
        tokens: TokenFile | None = None,
        origins: Collection[str] = (),
        names: Collection[str] = (),
        wrong_tokens: WrongTokens | None = None,
        rate: RequestRate | None = None,
    ) -> None:
        self._tokens = tokens
        self._wrong_tokens = wrong_tokens or WrongTokens()
        self._rate = rate
        self._origins = frozenset(origins)
        hosts = (_ORIGIN.fullmatch(origin) for origin in origins if origin.startswith("http"))
        self._names = {"localhost", *(name.lower() for name in names), *(host[4] for host in hosts if host and host[4])}
        self._is_ours = lru_cache(self._is_this_machine)  # requests have the same few values of Host

    def authorize(self, request: Request, *, needs_token: bool = True) -> bool:
        """Accept a request and attach its Principal to it.

        Return True if the request is a CORS preflight, which needs no other answer than the headers set here.
        Raises Misdirected, Forbidden, Unauthorized or TooManyRequests.
        """
        host = self._host(request)
        is_allowed = self._cross_origin(request, host)
        if not is_allowed:
            _check_site(request, is_page=not needs_token)
        if is_allowed and _is_preflight(request):
            request.setHeader("Access-Control-Allow-Methods", "GET, HEAD, POST, PATCH, DELETE")
            request.setHeader("Access-Control-Allow-Headers", "Authorization, Content-Type")
            request.setHeader("Access-Control-Max-Age", "600")
            return True
        principal = self._principal(request) if needs_token else ANONYMOUS
        request.principal = principal  # type: ignore[attr-defined]
        if self._rate is not None and self._tokens is not None and needs_token and request.method in SAFE_METHODS:
            self._rate.check(principal.name)
        return False

    def add_work(self, request: Request, seconds: float) -> None:
        """Count the time of a request for the rate of its token.

        seconds: how long all else waited for it.
        """
        if self._rate is not None and self._tokens is not None and request.method in SAFE_METHODS:
            principal = principal_of(request)
            if principal is not ANONYMOUS:
                self._rate.add_work(principal.name, seconds)

    def _host(self, request: Request) -> str:
        """Return the Host header; empty if it is missing.

        Only HTTP/1.0 permits a request without Host, and no browser sends one. Raises BadParameter.
        """
        hosts = headers(request, "host")
        if not hosts and request.clientproto == b"HTTP/1.1":
            raise BadParameter("Host: HTTP/1.1 requires this header.")
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
        """Return whether the request comes from another origin that is allowed.

        Raises Forbidden if the origin is not allowed and the request could change something.
        """
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
        # The scheme is not compared, because a proxy may have terminated TLS.
        is_ours = host and origin.partition("://")[2] == host
        if not is_ours and (request.method not in SAFE_METHODS or is_websocket(request)):
            raise Forbidden(f"Origin: {origin[:100]!r} may not do this; --allow-origin lets it.")
        return False

    def _principal(self, request: Request) -> Principal:
        if self._tokens is None:
            return LOCAL_PRINCIPAL
        given = _tokens_in(request)
        fault = "none was given" if not given else "this is none" if len(given) == 1 else "several were given"
        if len(given) == 1:
            digest = digest_of(given[0])
            # Every digest is compared, so that the time of the answer reveals nothing about the tokens.
            found = [principal for known, principal in self._tokens.table.items() if compare_digest(known, digest)]
            if found and not self._tokens.has_expired(found[0]):
                return found[0]
            if found:
                fault = "this one has expired"
        if given:
            self._wrong_tokens.add(request.getClientAddress())
            _close_after_answer(request)
        raise Unauthorized(f"Authorization: expected Bearer and a token of this gateway's; {fault}.")


def _close_after_answer(request: Request) -> None:
    """Close the connection after the answer.

    Each try of a token then takes a connection of its own.
    """
    request.channel.persistent = False
    request.setHeader("Connection", "close")


def _check_site(request: Request, *, is_page: bool) -> None:
    """Refuse what a page of another origin asks for without CORS.

    Such a page cannot read the answer, but it could learn from its size or type, and each request costs the server.

    is_page: the path is a page, to which other pages may have links.

    Raises Forbidden.
    """
    site = ",".join(headers(request, "sec-fetch-site"))
    if site in ("cross-site", "same-site"):
        is_link = is_page and headers(request, "sec-fetch-mode") == ["navigate"]
        if not is_link:
            raise Forbidden("Sec-Fetch-Site: a page of another origin may not ask for this; --allow-origin lets it.")


def headers(request: Request, name: str) -> list[str]:
    """Return the values of a header, decoded as Latin-1.

    Request.getHeader of Twisted is not used, because it raises UnicodeDecodeError for bytes that are not UTF-8.
    """
    values = request.requestHeaders.getRawHeaders(name.encode())
    return [value.decode("latin-1") for value in values] if values else []


def principal_of(request: Request) -> Principal:
    """Return the sender of an accepted request."""
    principal: Principal = request.principal  # type: ignore[attr-defined]
    return principal


def require_trade_scope(request: Request) -> Principal:
    """Return the sender of an accepted request.

    Raises Forbidden if the sender may not trade.
    """
    principal = principal_of(request)
    if not principal.may_trade:
        raise Forbidden(f"The token of {principal.name} has the scope read; this takes trade.")
    return principal


def is_websocket(request: Request) -> bool:
    """Return whether a request asks for an upgrade to WebSocket."""
    return "websocket" in ",".join(headers(request, "upgrade")).lower()


def strip_token(request: Request) -> None:
    """Remove the token from a request, because later code may log or echo headers."""
    request.requestHeaders.removeHeader("authorization")
    if request.requestHeaders.hasHeader("sec-websocket-protocol"):
        others = [each for each in dict.fromkeys(_subprotocols(request)) if not each.startswith(_BEARER)]
        request.requestHeaders.removeHeader("sec-websocket-protocol")
        if others:
            request.requestHeaders.addRawHeader(b"sec-websocket-protocol", ", ".join(others).encode("latin-1"))


def forwarded_principal_of(request: Request) -> Principal:
    """Return the sender of an accepted request, with the token for the origin."""
    tokens = _tokens_in(request)
    return replace(principal_of(request), authorization=f"Bearer {tokens[0]}" if len(tokens) == 1 else "")


def _tokens_in(request: Request) -> list[str]:
    """Return the different tokens of a request, of both headers."""
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
    """Return whether a match of _HOST is an IP address."""
    try:
        return bool(IPv6Address(host[1]) if host[1] else IPv4Address(host[2]))
    except ValueError:
        return False


def is_from_this_machine(request: Request) -> bool:
    """Return whether a request comes from this machine.

    Its address is a loopback address, or the address that it was sent to. A request that a proxy passed on counts as
    one from another machine.
    """
    if any(request.requestHeaders.hasHeader(name) for name in PROXY_HEADERS):
        return False
    transport: Any = request.transport
    return is_own_address(transport.getPeer(), transport.getHost())


def is_own_address(peer: Any, host: Any) -> bool:
    """Return whether a connection was opened by this machine.

    peer, host: addresses of both ends, as the transport states them.
    """
    address = ip_address_of(getattr(peer, "host", None))
    return address is not None and (address.is_loopback or peer.host == getattr(host, "host", None))
