"""Install Twisted's reactor on asyncio with the event loop of uvloop.

`twistd --reactor uvloop` does it.
"""

from twisted.internet import asyncioreactor


def install() -> None:
    """Install the reactor. Raises ImportError without uvloop."""
    import uvloop

    asyncioreactor.install(uvloop.new_event_loop())
