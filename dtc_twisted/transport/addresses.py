"""Parse addresses: of the DTC server, and of the ends of a connection."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

_NAME = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(?:\.(?!-)[\w-]{1,63}(?<!-))*\.?")


def parse_host(text: str) -> str:
    """Return a host name, or an address without brackets.

    text: an IPv6 address may have brackets.

    Raises ValueError.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare or bare != text:
        try:
            IPv6Address(bare)
        except ValueError:
            raise ValueError(f"{text!r} is no host name or address (the port has an option of its own)") from None
    elif len(bare) > 253 or not _NAME.fullmatch(bare):
        raise ValueError(f"{text!r} is no host name or address")
    return bare


def is_address(text: str) -> bool:
    """Return whether a text is an IP address, without brackets."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def ip_address_of(host: object) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a transport states as its host.

    None: it states another text, or none. The zone is left out. An IPv4 address that is mapped to IPv6 is returned as
    one of IPv4.
    """
    try:
        address = ip_address(str(host).partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def make_url(scheme: str, host: str, port: int) -> str:
    """Return the URL of a server: ws://host:port/.

    host: an IPv6 address without brackets.
    """
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"


def redirected_url(address: str, old_url: str) -> str | None:
    """Return the URL of a LOGON_RESPONSE.ReconnectAddress, or None if it is invalid.

    address: host, host:port or a whole URL. What it does not have is taken from the old URL.
    """
    if not address:
        return None
    old = urlsplit(old_url)
    try:
        new = urlsplit(address if "://" in address else f"{old.scheme}://{address}")
        host, port = parse_host(new.hostname or ""), new.port or old.port or 0
    except ValueError:
        return None
    return make_url(old.scheme, host, port)
