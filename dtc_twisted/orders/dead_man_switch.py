"""Cancel a trader's open orders when the trader has disconnected.

A trader renews a switch before its time runs out. If the trader does not, the trader's own open orders are canceled.
If the server is away then, the cancels are sent as soon as it is back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.errors import DTCError, NotLoggedOn, OutcomeUnknown, SessionLost
from dtc_twisted.logs import logger
from dtc_twisted.orders.risk_limits import Trader

_log = logger(__name__)

RENEWED, DISCONNECTED = "deadman", "disconnect"
"""What starts a switch: `POST /trading/deadman`, or the end of a connection that asked for it."""


@dataclass
class _Switch:
    trader: Trader
    reason: str
    timer: IDelayedCall | None = None
    """None: the time has run out, and the cancels have not been sent yet."""


class DeadManSwitches:
    """Hold one switch for each trader and reason.

    cancel: cancels the open orders of a trader, for a reason. It fails with NotLoggedOn or SessionLost if nothing was
        sent.
    """

    def __init__(self, clock: IReactorTime, cancel: Callable[[Trader, str], Deferred[Any]]) -> None:
        self._clock = clock
        self._cancel = cancel
        self._switches: dict[tuple[str, str], _Switch] = {}
        self._is_stopped = False

    # -- called by OrderManager

    def arm(self, trader: Trader, reason: str, seconds: float) -> None:
        """Cancel the trader's orders after some seconds.

        A call of this method or of `disarm` before that replaces or ends the switch.
        """
        self.disarm(trader, reason)
        if self._is_stopped:
            return
        switch = _Switch(trader, reason)
        self._switches[trader.name, reason] = switch
        switch.timer = self._clock.callLater(seconds, self._fire, switch)

    def arm_earliest(self, trader: Trader, reason: str, seconds: float) -> None:
        """Cancel the trader's orders after some seconds, or earlier.

        An armed switch of this kind that runs out earlier is kept.
        """
        switch = self._switches.get((trader.name, reason))
        if switch is not None and (switch.timer is None or switch.timer.getTime() <= self._clock.seconds() + seconds):
            return
        self.arm(trader, reason, seconds)

    def disarm(self, trader: Trader, reason: str) -> None:
        """Remove a switch, if there is one."""
        switch = self._switches.pop((trader.name, reason), None)
        if switch is not None and switch.timer is not None:
            switch.timer.cancel()

    def on_synced(self) -> None:
        """Send the cancels that were due while there was no session."""
        for switch in [*self._switches.values()]:
            if switch.timer is None:
                self._send(switch)

    def stop(self) -> None:
        """Remove all switches, and accept no more, because the gateway ends."""
        self._is_stopped = True
        for switch in self._switches.values():
            if switch.timer is not None:
                switch.timer.cancel()
        self._switches.clear()

    def status(self) -> list[dict[str, Any]]:
        """Return the switches for `/status`: trader, reason, remaining seconds.

        0 seconds: the cancels are due.
        """
        now = self._clock.seconds()
        return [
            {
                "who": each.trader.name,
                "reason": each.reason,
                "seconds": 0.0 if each.timer is None else round(max(0.0, each.timer.getTime() - now), 3),
            }
            for each in self._switches.values()
        ]

    # -- inside

    def _fire(self, switch: _Switch) -> None:
        switch.timer = None
        _log.warn(
            "The switch of {who} ({reason}) has run out: canceling.", who=switch.trader.name, reason=switch.reason
        )
        self._send(switch)

    def _send(self, switch: _Switch) -> None:
        canceling = self._cancel(switch.trader, switch.reason)
        canceling.addCallbacks(lambda _: self._discard(switch), self._failed, errbackArgs=(switch,))
        canceling.addErrback(lambda failure: _log.failure("Failed to cancel the orders of a switch", failure))

    def _failed(self, failure: Failure, switch: _Switch) -> None:
        """Keep the switch if an order may still be open.

        The cancels are sent again after the next read.
        """
        failure.trap(DTCError)
        _log.warn("Canceling for {who}: {text}", who=switch.trader.name, text=failure.getErrorMessage())
        if not failure.check(NotLoggedOn, SessionLost, OutcomeUnknown):
            self._discard(switch)

    def _discard(self, switch: _Switch) -> None:
        key = (switch.trader.name, switch.reason)
        if self._switches.get(key) is switch:
            del self._switches[key]
