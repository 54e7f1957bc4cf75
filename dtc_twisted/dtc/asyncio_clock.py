"""Run the timers of a Session on asyncio, without a Twisted reactor."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


@implementer(IDelayedCall)
class AsyncioDelayedCall:
    """Call a function once, later, on an event loop.

    at: when, on the loop's clock, in seconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, at: float, function: Callable[[], Any]) -> None:
        self._loop = loop
        self._function = function
        self._state = "active"
        self._at = at
        self._handle = loop.call_at(at, self._call)

    def active(self) -> bool:
        """Return whether the function is still to be called."""
        return self._state == "active"

    def cancel(self) -> None:
        """Cancel the call. Raises AlreadyCalled or AlreadyCancelled."""
        self._require_active()
        self._state = "cancelled"
        self._handle.cancel()

    def reset(self, secondsFromNow: float) -> None:
        """Call the function `secondsFromNow` from now.

        Raises AlreadyCalled or AlreadyCancelled.
        """
        self._move(self._loop.time() + secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """Call the function later by `secondsLater`.

        Raises AlreadyCalled or AlreadyCancelled.
        """
        self._move(self._at + secondsLater)

    def getTime(self) -> float:
        """Return when the function is called: seconds since 1970."""
        return time.time() + self._at - self._loop.time()

    def _move(self, at: float) -> None:
        self._require_active()
        self._handle.cancel()
        self._at = at
        self._handle = self._loop.call_at(at, self._call)

    def _require_active(self) -> None:
        if self._state != "active":
            raise AlreadyCalled if self._state == "called" else AlreadyCancelled

    def _call(self) -> None:
        self._state = "called"
        self._function()


@implementer(IReactorTime)
class AsyncioClock:
    """Give the time, and call functions later, on an asyncio event loop.

    loop: the running loop when not given.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._calls: list[AsyncioDelayedCall] = []

    def seconds(self) -> float:
        """Return the time: seconds since 1970, UTC."""
        return time.time()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object) -> IDelayedCall:
        """Call a function in so many seconds."""
        self._calls = [call for call in self._calls if call.active()]
        call = AsyncioDelayedCall(self._loop, self._loop.time() + delay, lambda: callable(*args, **kwargs))
        self._calls.append(call)
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        """Return the calls that are still to be made."""
        return [call for call in self._calls if call.active()]
