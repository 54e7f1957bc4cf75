"""Define the options of NATS, for `twistd dtc` and `twistd dtc-edge`."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted.python import usage

from dtc_twisted.services import StartupError

NATS_OPTIONS: list[list[Any]] = [
    ["nats", None, None, "Servers of NATS: URLs, separated by commas; serve edges over them."],
    ["nats-prefix", None, "dtc", "First part of the subjects, so that several gateways can share NATS."],
]


def check_nats_options(options: Mapping[str, Any]) -> None:
    """Raise UsageError if the options of NATS cannot be used."""
    if not options["nats"]:
        if options["nats-prefix"] != "dtc":
            raise usage.UsageError("--nats-prefix goes with --nats only")
        if options.get("advertise"):
            raise usage.UsageError("--advertise goes with --nats only")
        return
    for url in nats_servers(options):
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise usage.UsageError(f"--nats: expected URLs such as nats://HOST:4222 or tls://HOST:4222, not {url!r}")
    if options.get("advertise") and not re.fullmatch(r"https?://[^/?#]+", options["advertise"]):
        raise usage.UsageError(f"--advertise: expected a URL such as https://HOST:8080, not {options['advertise']!r}")
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", options["nats-prefix"]):
        raise usage.UsageError(f"--nats-prefix: expected letters and digits, not {options['nats-prefix']!r}")


def nats_servers(options: Mapping[str, Any]) -> list[str]:
    """Return the URLs of --nats."""
    return [each.strip() for each in options["nats"].split(",")]


def require_nats(options: Any, reactor: object) -> None:
    """End the process if nats-py, or the reactor that it needs, is missing."""
    try:
        import nats  # noqa: F401
    except ImportError:
        raise StartupError(f"twistd {options.name}: --nats needs nats-py: pip install 'dtc-twisted[cluster]'") from None
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

    if not isinstance(reactor, AsyncioSelectorReactor):
        raise StartupError(f"twistd {options.name}: --nats needs twistd --reactor asyncio {options.name} ...")
