"""Keep the fills that were read before an order was sent.

They are not those of the order. No clock says this for certain, because the server's may be set back between two fills.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import takewhile

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.clocks import wall_time
from dtc_twisted.errors import JournalFailed
from dtc_twisted.journal import GATEWAY, Command, Journal
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.server_snapshot import FAR_BACK

_ACTION = "fills"

_KEPT_SECONDS = 2 * FAR_BACK
"""Seconds for which fills are kept after they were first read. Later reads do not go back to them."""


class EarlierFills:
    """Hold fills of others, also those that earlier processes have read.

    journal: of orders; None: the fills are only in memory.
    """

    def __init__(self, clock: IReactorTime, journal: Journal | None) -> None:
        self._read_at: dict[Fill, float] = {}  # on the clock, the first fill that was read first
        self._unrecorded: list[Fill] = []
        self._clock = clock
        self._journal = journal

    def __contains__(self, fill: Fill) -> bool:
        return fill in self._read_at

    def __len__(self) -> int:
        return len(self._read_at)

    def restore(self) -> None:
        """Restore what earlier processes have read."""
        assert self._journal is not None
        now = wall_time(self._clock)
        for command in self._journal.commands_since(_ACTION, now - _KEPT_SECONDS):
            read_at = command.at - now + self._clock.seconds()
            for row in command.request["fills"]:
                self._read_at.setdefault(Fill(*row), read_at)

    def add(self, fills: Iterable[Fill]) -> None:
        """Add fills that were read now."""
        now = self._clock.seconds()
        for fill in fills:
            if fill not in self._read_at:
                self._read_at[fill] = now
                self._unrecorded.append(fill)

    def record(self) -> None:
        """Write those that are new to the journal, before further orders are accepted.

        Fills that cannot be read again are given up.
        """
        end = self._clock.seconds() - _KEPT_SECONDS
        for fill in [*takewhile(lambda each: self._read_at[each] < end, self._read_at)]:
            del self._read_at[fill]
        new, self._unrecorded = self._unrecorded, []
        if self._journal is None:
            return
        by_account: defaultdict[str, list[Fill]] = defaultdict(list)
        for fill in new:
            by_account[fill.trade_account].append(fill)
        for account, fills in by_account.items():
            request = {"fills": [[*fill] for fill in sorted(fills)]}
            command = Command(wall_time(self._clock), GATEWAY, _ACTION, account, (), request, [])
            self._journal.record(command, insist=True).addErrback(lambda failure: failure.trap(JournalFailed))
