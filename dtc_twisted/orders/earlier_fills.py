"""Keep the fills that were read before an order was sent.

They are not those of the order. No clock says this for certain, because the server's may be set back between two fills.
"""

from collections import defaultdict

from twisted.internet.interfaces import IReactorTime

from dtc_twisted.clocks import wall_time
from dtc_twisted.errors import JournalFailed
from dtc_twisted.journal import GATEWAY, Command, Journal
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.server_snapshot import FAR_BACK

_ACTION = "fills"


class EarlierFills:
    """Hold fills of others, also those that earlier processes have read.

    journal: of orders; None: the fills are only in memory.
    """

    def __init__(self, clock: IReactorTime, journal: Journal | None) -> None:
        self.fills: set[Fill] = set()
        self._recorded: set[Fill] = set()
        self._clock = clock
        self._journal = journal

    def restore(self) -> None:
        """Restore what earlier processes have read."""
        assert self._journal is not None
        for command in self._journal.commands_since(_ACTION, wall_time(self._clock) - 2 * FAR_BACK):
            self.fills.update(Fill(*row) for row in command.request["fills"])
        self._recorded = {*self.fills}

    def record(self) -> None:
        """Write those that are new to the journal, before further orders are accepted."""
        new = self.fills - self._recorded
        if not new or self._journal is None:
            return
        self._recorded |= new
        by_account: defaultdict[str, list[Fill]] = defaultdict(list)
        for fill in new:
            by_account[fill.trade_account].append(fill)
        for account, fills in by_account.items():
            request = {"fills": [[*fill] for fill in sorted(fills)]}
            command = Command(wall_time(self._clock), GATEWAY, _ACTION, account, (), request, [])
            self._journal.record(command, insist=True).addErrback(lambda failure: failure.trap(JournalFailed))
