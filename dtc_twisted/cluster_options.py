"""Define the options of NATS, for `twistd dtc` and `twistd dtc-edge`."""

import os
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted.python import usage

from dtc_twisted.errors import StartupError, how_to_install

NATS_OPTIONS: list[list[Any]] = [
    ["nats", None, None, "Servers of NATS: URLs, separated by commas; serve edges over them."],
    ["nats-user", None, None, "User name at NATS; its password is in NATS_PASSWORD in the environment."],
    ["nats-credentials", None, None, "File with the credentials of a user of NATS (.creds)."],
    ["nats-ca", None, None, "File with the certificates of the authorities of NATS, for tls://."],
    ["nats-cert", None, None, "File with the client certificate for NATS."],
    ["nats-key", None, None, "File with the private key of --nats-cert."],
    ["nats-prefix", None, "dtc", "First part of the subjects, so that several gateways can share NATS."],
]


def check_nats_options(options: Mapping[str, Any]) -> None:
    """Raise UsageError if the options of NATS cannot be used."""
    if options["nats"] is None:
        for name, _, default, _ in NATS_OPTIONS[1:]:
            if options[name] != default:
                raise usage.UsageError(f"--{name} goes with --nats only")
        for name in ("advertise", "no-standby"):
            if options.get(name):
                raise usage.UsageError(f"--{name} goes with --nats only")
        return
    if bool(options["nats-cert"]) != bool(options["nats-key"]):
        raise usage.UsageError("--nats-cert and --nats-key go together: a certificate and its private key")
    if options["nats-user"] and options["nats-credentials"]:
        raise usage.UsageError("--nats-user and --nats-credentials exclude each other")
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


def nats_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of nats-py that state who connects, and how.

    Password and token are those of the environment: NATS_PASSWORD, NATS_TOKEN. Raises StartupError.
    """
    found: dict[str, Any] = {}
    if options["nats-user"]:
        found |= {"user": options["nats-user"], "password": os.environ.get("NATS_PASSWORD", "")}
    elif os.environ.get("NATS_TOKEN"):
        found["token"] = os.environ["NATS_TOKEN"]
    try:
        if options["nats-credentials"]:
            with open(options["nats-credentials"], "rb"):
                found["user_credentials"] = options["nats-credentials"]
        if options["nats-ca"] or options["nats-cert"]:
            context = ssl.create_default_context(cafile=options["nats-ca"])
            if options["nats-cert"]:
                context.load_cert_chain(options["nats-cert"], options["nats-key"])
            found["tls"] = context
    except (OSError, ValueError) as error:
        raise StartupError(f"--nats-credentials, --nats-ca, --nats-cert: {error}") from None
    return found


def require_nats(options: Any, reactor: object) -> None:
    """End the process if nats-py, or the reactor that it needs, is missing."""
    try:
        import nats  # noqa: F401
    except ImportError:
        raise StartupError(f"twistd {options.name}: --nats needs nats-py: {how_to_install('cluster')}") from None
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

    if not isinstance(reactor, AsyncioSelectorReactor):
        raise StartupError(f"twistd {options.name}: --nats needs twistd --reactor asyncio {options.name} ...")
