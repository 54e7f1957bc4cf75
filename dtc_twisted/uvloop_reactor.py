"""Install Twisted's reactor on asyncio with the event loop of uvloop.

`twistd --reactor uvloop` does it.
"""

import asyncio

from twisted.internet import asyncioreactor


def install() -> None:
    """Install the reactor. Raises ImportError without uvloop."""
    import uvloop

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)  # nats-py begins before the loop runs
    asyncioreactor.install(loop)
