"""Serve Sierra Chart's DTC data over REST and WebSocket (`twistd dtc`).

Other programs can use the parts named here.

`messages`: every DTC message and enumeration. `Codec`: bytes to messages and back. `Session`: logon, heartbeats and
requests without sockets, with `LogonSettings` and `Feature`. `AsyncioClock`: runs a Session on asyncio. `errors`: what
requests fail with. `testing`: the simulated server and its faults. See docs/python.md.

Names are imported on first use, because a program that needs one part must not load the others.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dtc_twisted import errors as errors
    from dtc_twisted.dtc import messages as messages
    from dtc_twisted.dtc.asyncio_clock import AsyncioClock as AsyncioClock
    from dtc_twisted.dtc.codec import Codec as Codec
    from dtc_twisted.dtc.features import Feature as Feature
    from dtc_twisted.dtc.session import LogonSettings as LogonSettings
    from dtc_twisted.dtc.session import Session as Session

__version__ = "0.1.0"

_MODULE_OF = {
    "AsyncioClock": "dtc_twisted.dtc.asyncio_clock",
    "Codec": "dtc_twisted.dtc.codec",
    "Feature": "dtc_twisted.dtc.features",
    "LogonSettings": "dtc_twisted.dtc.session",
    "Session": "dtc_twisted.dtc.session",
    "errors": "dtc_twisted.errors",
    "messages": "dtc_twisted.dtc.messages",
}
__all__ = [*sorted(_MODULE_OF), "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name. Raises AttributeError for other names."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_MODULE_OF[name])
    return module if _MODULE_OF[name].endswith(f".{name}") else getattr(module, name)
