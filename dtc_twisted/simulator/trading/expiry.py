"""Expire orders when their time in force is over."""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.dtc.messages import TimeInForceEnum
from dtc_twisted.simulator.market.instruments import DAY, simulated_time
from dtc_twisted.simulator.trading.simulated_orders import SimulatedOrder

RESOLUTION = 1e-6
"""Resolution of a float with seconds since 1970, in seconds."""


class Expiry:
    """Call `expire` with each order whose time in force is over.

    A day order expires at midnight UTC, another at its GoodTillDateTime.
    """

    def __init__(self, clock: IReactorTime, expire: Callable[[SimulatedOrder], None]) -> None:
        self._clock = clock
        self._expire = expire
        self._ends: dict[SimulatedOrder, float] = {}  # on the clock
        self._call: IDelayedCall | None = None

    def watch(self, order: SimulatedOrder) -> None:
        """Watch an order. Call again if its time in force has changed."""
        self._ends.pop(order, None)
        now = self._clock.seconds()
        simulated = simulated_time(now)
        if order.time_in_force == TimeInForceEnum.TIF_DAY:
            self._ends[order] = now + (simulated // DAY + 1) * DAY - simulated
        elif order.time_in_force == TimeInForceEnum.TIF_GOOD_TILL_DATE_TIME:
            self._ends[order] = now + order.good_till - simulated
        self.start()

    def unwatch(self, order: SimulatedOrder) -> None:
        if self._ends.pop(order, None) is not None:
            self.start()

    def start(self) -> None:
        """Wait for the next order to expire."""
        self.stop()
        if self._ends:
            pause = min(self._ends.values()) - self._clock.seconds()
            self._call = self._clock.callLater(max(pause, 0.0), self._run)

    def stop(self) -> None:
        """Stop until the next order is watched, or `start` is called."""
        if self._call is not None:
            self._call.cancel()
        self._call = None

    def _run(self) -> None:
        self._call = None
        now = self._clock.seconds() + RESOLUTION
        for order in [order for order, end in self._ends.items() if end <= now]:
            if order in self._ends:  # an expired order may have closed it
                self._expire(order)
        self.start()
