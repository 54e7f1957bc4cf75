"""From a checked command to the server's word on it: first on disk, then on the wire, once."""

from collections.abc import Callable, Iterable, Sequence

from msgspec import to_builtins
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.session import Session
from dtc_twisted.errors import JournalFailed, OrderRejected, OutcomeUnknown, SessionLost
from dtc_twisted.journal import Command, Journal, UpdateRecord
from dtc_twisted.logs import logger
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.order import Fill, Order
from dtc_twisted.orders.outcomes import CANCEL, CHANGE, NEW, Fields, OutcomeRule, PendingCommand
from dtc_twisted.orders.parsing import JsonObject
from dtc_twisted.orders.reconciler import Reconciler

_log = logger(__name__)

_NAMING = ("ServerOrderID", "ClientOrderID", "TradeAccount")


class CommandSender:
    """Sends commands.

    logged_on: the session; raises NotLoggedOn.
    timeout: seconds to wait for the server's word.
    on_accepted: called with a new or changed order that the server has taken.
    """

    def __init__(
        self,
        clock: IReactorTime,
        logged_on: Callable[[], Session],
        account_state: AccountState,
        reconciler: Reconciler,
        journal: Journal,
        timeout: float,
    ) -> None:
        self.on_accepted: Callable[[Order], None] = lambda order: None
        self._clock = clock
        self._logged_on = logged_on
        self._account_state = account_state
        self._reconciler = reconciler
        self._journal = journal
        self._timeout = timeout
        account_state.order_listeners.append(self._on_order_update)

    # -- from Desk

    def require_ready(self) -> Session:
        """The session, when what the server knows is known. Raises NotLoggedOn."""
        session = self._logged_on()
        self._reconciler.require_synced()
        return session

    async def send_new(
        self, command: Command, messages: Sequence[Message], orders: Sequence[Order], check: Callable[[], None]
    ) -> list[Fields]:
        """Sends new orders, back to back.

        check: called when they are on disk: raises what still speaks against them. Nothing was sent then.
        """
        session = self.require_ready()
        waits = [self._expect_outcome(order, NEW) for order in orders]
        for order in orders:
            self._account_state.add(order)  # counted from now on
        try:
            command = await self._recorded_and_checked(session, command, check)
        except BaseException:
            for order, wait in zip(orders, waits, strict=True):
                self._account_state.remove(order)
                wait.outcome.addErrback(lambda failure: failure.trap(SessionLost))
            raise
        for order in orders:
            order.sent_at = self._clock.seconds()
        for message in messages:
            session.send(message)
        return raise_if_rejected(await self._outcomes(orders, waits), NEW)

    async def send_change(
        self, command: Command, message: dtc.CancelReplaceOrder, order: Order, check: Callable[[], None]
    ) -> list[Fields]:
        """Sends the change of an order."""
        session = self.require_ready()
        wait = self._expect_outcome(order, CHANGE)  # from now on: one at a time, and counted
        wait.quantity = message.Quantity or 0.0
        try:
            await self._recorded_and_checked(session, command, check)
        except BaseException:
            order.pending_commands.remove(wait)
            wait.outcome.addErrback(lambda failure: failure.trap(SessionLost))
            raise
        session.send(message)
        return raise_if_rejected(await self._outcomes([order], [wait]), CHANGE)

    async def send_cancels(self, action: str, who: str, body: JsonObject, orders: Sequence[Order]) -> list[Fields]:
        """Cancels orders, whatever the disk does; the answers are the server's, refusals too."""
        if not orders:
            return []
        session = self.require_ready()
        messages = [dtc.CancelOrder(**identifiers_of(order)) for order in orders]
        recorded = await self.record(self.make_command(action, who, body, messages, orders), insist=True)
        self._check_session(session, recorded)
        waits = [self._expect_outcome(order, CANCEL) for order in orders]
        for message in messages:
            session.send(message)
        return await self._outcomes(orders, waits)

    def make_command(
        self, action: str, who: str, body: JsonObject, messages: Iterable[Message], orders: Sequence[Order]
    ) -> Command:
        """For the journal."""
        account = orders[0].trade_account if orders else ""
        ids = tuple(order.client_order_id for order in orders)
        return Command(self._clock.seconds(), who, action, account, ids, body, [to_builtins(each) for each in messages])

    async def record(self, command: Command, *, insist: bool) -> Command:
        """Puts a command on disk. Raises DuplicateOrder, or JournalFailed, unless `insist`: then it goes on without."""
        recording = self._journal.record(command, insist=insist)
        if insist and self._journal.failure_text and not recording.called:  # it may take its time to fail again
            recording.addErrback(lambda failure: failure.trap(JournalFailed, CancelledError))
            return command
        try:
            return await recording
        except JournalFailed as error:
            if not insist:
                raise
            _log.error("The journal fails, {action} goes on: {text}", action=command.action, text=str(error))
            return command

    def connection_lost(self, reason: str) -> None:
        """The connection is gone: no word comes any more."""
        for order in self._account_state:
            for wait in list(order.pending_commands):
                if not wait.unknown_reason and not wait.outcome.called:
                    wait.outcome.errback(SessionLost(f"the connection was lost: {reason}"))

    # -- inside

    def _expect_outcome(self, order: Order, rule: OutcomeRule) -> PendingCommand:
        """Before it is sent: the answer can be faster than the next line."""
        wait = PendingCommand(rule)
        order.pending_commands.append(wait)
        return wait

    async def _recorded_and_checked(self, session: Session, command: Command, check: Callable[[], None]) -> Command:
        recorded = await self.record(command, insist=command.action == "flatten")
        self._check_session(session, recorded, check)
        return recorded

    def _check_session(self, session: Session, recorded: Command, check: Callable[[], None] = lambda: None) -> None:
        """Whether it may still be sent, now that it is on disk."""
        try:
            if self.require_ready() is not session:
                raise SessionLost("The connection was lost before it was sent.")
            check()
        except BaseException:
            self._journal.withdraw(recorded)
            raise

    async def _outcomes(self, orders: Sequence[Order], waits: Sequence[PendingCommand]) -> list[Fields]:
        """The server's word on each. Raises OutcomeUnknown when one does not come in time."""
        for wait in waits:
            wait.outcome.addTimeout(self._timeout, self._clock)
        words, why = [], ""
        for order, wait in zip(orders, waits, strict=True):
            try:
                words.append(await wait.outcome)
            except (SessionLost, TimeoutError) as error:
                if wait.rule is NEW and order.server_order_id:  # it has not decided, but has the order
                    order.pending_commands.remove(wait)
                    words.append(order.updates[-1])
                else:
                    told = isinstance(error, SessionLost)
                    wait.unknown_reason = why = (
                        str(error) if told else f"the server said nothing for {self._timeout:g} s"
                    )
                    self._account_state.republish(order)
        if why:
            self._reconciler.resync()
            states = [order.to_fields for order in orders]
            raise OutcomeUnknown(f"Nobody knows what became of the {waits[0].rule.name}: {why}.", states)
        return words

    def _on_order_update(self, order: Order, update: Fields, fill: Fill | None) -> None:
        self._journal.record_update(_update_record(self._clock.seconds(), order, update, fill))
        for wait in list(order.pending_commands):
            if wait.rule.settles(update):
                order.pending_commands.remove(wait)
                if not wait.outcome.called:
                    wait.outcome.callback(update)
                if wait.rule is not CANCEL and order.is_open:
                    self.on_accepted(order)


def identifiers_of(order: Order) -> dict[str, str]:
    """What names an order in a message about it."""
    return {name: order.fields[name] for name in _NAMING if order.fields.get(name)}


def raise_if_rejected(words: list[Fields], rule: OutcomeRule) -> list[Fields]:
    """The server's words. Raises OrderRejected when one is a refusal."""
    text = next(filter(None, map(rule.rejection_text, words)), "")
    if text:
        raise OrderRejected(text, words)
    return words


def _update_record(now: float, order: Order, update: Fields, fill: Fill | None) -> UpdateRecord:
    return UpdateRecord(
        at=now,
        client_order_id=order.client_order_id,
        server_order_id=order.server_order_id,
        previous_server_order_id=update.get("PreviousServerOrderID", ""),
        trade_account=order.trade_account,
        symbol=order.symbol,
        status=_clamp_int64(order.status),
        is_open=order.is_open,
        reason=_clamp_int64(update.get("OrderUpdateReason", 0)),
        execution_id="" if fill is None else fill.execution_id,
        fill_at=0.0 if fill is None else fill.filled_at,
        reconciled=bool(update.get("Reconciled", False)),
        message=update,
    )


def _clamp_int64(number: int) -> int:
    """As SQLite takes it: one update that nobody can write would keep all others from the disk."""
    return int(number) if abs(number) < 2**63 else 0
