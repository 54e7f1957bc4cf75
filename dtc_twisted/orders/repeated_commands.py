"""Run each command that makes orders once.

For one ClientOrderID and body there is one order, and one answer.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from dtc_twisted.errors import Conflict, JournalFailed, OutcomeUnknown
from dtc_twisted.journal import Command, Journal
from dtc_twisted.logs import logger
from dtc_twisted.orders import parsing
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.order_state import new_order_outcome
from dtc_twisted.orders.outcomes import NEW, Fields
from dtc_twisted.orders.parsing import JsonObject
from dtc_twisted.orders.sender import raise_if_rejected

_log = logger(__name__)


class OneShotObserver:
    """Give the result of one operation to any number of waiters.

    A waiter can leave without an effect on the operation and on the others.
    """

    def __init__(self, running: Deferred[Any]) -> None:
        self.has_fired = False
        self._result: Any = None
        self._waiting: list[Deferred[Any]] = []
        self._has_lost_waiter = False
        self._callbacks: list[Callable[[], Any]] = []
        running.addBoth(self._ended)

    def when_fired(self) -> Deferred[Any]:
        """Return a Deferred of the result. Cancel it to leave."""
        waiting: Deferred[Any] = Deferred(self._leave)
        if self.has_fired:
            waiting.callback(self._result)
        else:
            self._waiting.append(waiting)
        return waiting

    def call_when_fired(self, callback: Callable[[], Any]) -> None:
        """Call a function when the operation ends."""
        self._callbacks.append(callback)

    def _ended(self, result: Any) -> None:
        self.has_fired, self._result = True, result
        for callback in self._callbacks:
            callback()
        if isinstance(result, Failure) and self._has_lost_waiter and not self._waiting:
            _log.warn("A command failed after its caller had left: {text}", text=result.getErrorMessage())
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(result)

    def _leave(self, waiting: Deferred[Any]) -> None:
        self._waiting.remove(waiting)
        self._has_lost_waiter = True


class RepeatedCommands:
    """Run commands, and answer repeated ones as before.

    report_outcome: called with the result and the action of each command that is run; returns the result.
    """

    def __init__(self, state: AccountState, journal: Journal, report_outcome: Callable[[Any, str], Any]) -> None:
        self._state = state
        self._journal = journal
        self._report_outcome = report_outcome
        self._commands_in_progress: dict[str, tuple[tuple[str, JsonObject], OneShotObserver]] = {}  # by ClientOrderID

    def check_unused(self, body: JsonObject) -> None:
        """Raise Conflict if a ClientOrderID of a command has been used."""
        for name in parsing.client_order_ids(body):
            if name in self._commands_in_progress or self._journal.has_order(name):
                raise _id_conflict(name)

    def run_once(
        self, action: str, body: JsonObject, begin: Callable[[], Coroutine[Any, Any, list[Fields]]]
    ) -> Deferred[list[Fields]]:
        """Run a command, or answer it again.

        Fails with Conflict if a ClientOrderID is another order's.
        """
        ids = [*dict.fromkeys(parsing.client_order_ids(body))]
        for name in ids:
            if name in self._commands_in_progress:
                first, shared = self._commands_in_progress[name]
                if first != (action, body):
                    return fail(_id_conflict(name))
                return shared.when_fired().addCallback(_as_repeated)
            if not self._journal.has_order(name):
                if any(self._state.index.by_client(name)):  # another client's order
                    return fail(_id_conflict(name))
                continue
            return Deferred.fromCoroutine(self._repeat(name, action, body))
        running: Deferred[list[Fields]] = Deferred()
        shared = OneShotObserver(running)
        self._commands_in_progress |= dict.fromkeys(ids, ((action, body), shared))
        shared.call_when_fired(lambda: [self._commands_in_progress.pop(name) for name in ids])
        waiting = shared.when_fired()
        Deferred.fromCoroutine(begin()).addBoth(self._report_outcome, action).addBoth(running.callback)
        return waiting

    async def _repeat(self, name: str, action: str, body: JsonObject) -> list[Fields]:
        """Answer a command whose ClientOrderID the journal has."""
        try:
            command = await self._journal.find_command(name)
        except JournalFailed:
            if action != "flatten":  # positions are closed whatever the disk does
                raise
            command = None
        if command is None or (command.action, command.request) != (action, body):
            raise _id_conflict(name)
        return await self._recorded_answer(command)

    def _recorded_answer(self, command: Command) -> Deferred[list[Fields]]:
        """Answer a command again, with the latest outcome that the server stated."""
        orders = [order for order in map(self._state.sent_order, command.client_order_ids) if order is not None]
        outcomes = [new_order_outcome(order) for order in orders]
        if None in outcomes or not outcomes:
            return fail(OutcomeUnknown("The outcome is not known yet.", [order.to_fields for order in orders]))
        answer = succeed([each for each in outcomes if each is not None]).addCallback(raise_if_rejected, NEW)
        return answer.addCallback(_as_repeated)


def _as_repeated(answer: list[Fields]) -> list[Fields]:
    """Return the answer to a repeated command, which was not sent again."""
    return [each | {"Repeated": True} for each in answer]


def _id_conflict(name: str) -> Conflict:
    return Conflict(f"ClientOrderID: {name} is the id of another order.")
