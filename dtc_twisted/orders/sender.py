"""Record accepted commands in the journal, send them once, await outcomes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from msgspec import to_builtins
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.clocks import wall_time
from dtc_twisted.deadlines import Deadlines
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.session import Session
from dtc_twisted.errors import Conflict, JournalFailed, OrderRejected, OutcomeUnknown, SessionLost
from dtc_twisted.journal import Command, Journal, PublishedState, UpdateRecord
from dtc_twisted.logs import logger
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_messages import requested_fields
from dtc_twisted.orders.outcomes import (
    CANCEL,
    CHANGE,
    IN_PROGRESS,
    NEW,
    Fields,
    OutcomeRule,
    PendingCommand,
    status_text,
)
from dtc_twisted.orders.parsing import JsonObject
from dtc_twisted.orders.reconciler import Reconciler

_log = logger(__name__)

_IDENTIFIERS = ("ServerOrderID", "ClientOrderID", "TradeAccount")


@dataclass(frozen=True)
class AcceptedCommand:
    """Hold a checked command that is passed from the manager to the sender.

    principal: name of the principal.
    body: body of the caller's request.
    messages: messages to send, without an interruption.
    orders: orders concerned, one for each outcome. New orders are not in the state yet.
    insists: whether the command is sent even if the disk fails, because it reduces risk.
    to_cancel: orders to cancel once the server has acknowledged them; they are only written to the journal.
    account: the trade account, if there are no orders.
    check: called when the command is on disk; raises if the command must not be sent any more.
    """

    action: str
    principal: str
    body: JsonObject
    messages: Sequence[Message] = ()
    orders: Sequence[Order] = ()
    rule: OutcomeRule = NEW
    insists: bool = field(default=False, kw_only=True)
    to_cancel: Sequence[Order] = field(default=(), kw_only=True)
    account: str = field(default="", kw_only=True)
    check: Callable[[], None] = field(default=lambda: None, kw_only=True)


class CommandSender:
    """Record and send commands.

    require_session: returns the session; raises NotLoggedOn.
    timeout: seconds to wait for an outcome.
    """

    def __init__(
        self,
        clock: IReactorTime,
        require_session: Callable[[], Session],
        state: AccountState,
        reconciler: Reconciler,
        journal: Journal,
        timeout: float,
    ) -> None:
        self._clock = clock
        self._require_session = require_session
        self._state = state
        self._reconciler = reconciler
        self._journal = journal
        self._timeout = timeout
        self._deadlines = Deadlines(clock, timeout)
        state.record = self._record
        state.order_listeners.append(self._on_order_update)

    # -- called by OrderManager

    def require_ready(self) -> Session:
        """Return the session, if the state is in sync. Raises NotLoggedOn."""
        session = self._require_session()
        self._reconciler.require_synced()
        return session

    async def send(self, accepted: AcceptedCommand) -> list[Fields]:
        """Record and send a command.

        Return the update that states the outcome for each order, rejections too.

        Raises OutcomeUnknown; all other errors say that nothing was sent.
        """
        if not accepted.orders:
            if accepted.to_cancel:
                await self.record(accepted)
            return []
        session = self._session_for(accepted)
        if accepted.rule is CANCEL:
            recorded = await self.record(accepted)
            self._require_open(session, recorded, accepted)
            pending = self._expect(accepted)
        else:
            pending = self._expect(accepted)  # counted from now on
            try:
                recorded = await self.record(accepted)
                self._require_open(session, recorded, accepted)
            except BaseException:
                self._withdraw(accepted, pending)
                raise
        if accepted.rule is NEW:
            for order in accepted.orders:
                order.sent_at, order.sent_clock = wall_time(self._clock), self._clock.seconds()
                order.sent_by = accepted.principal
                self._state.take_position_offset(order, order.sent_at)
        try:
            send_all(session, accepted.messages)
        except SessionLost:
            self._withdraw(accepted, pending)
            self._journal.withdraw(recorded)
            raise
        try:
            return await self._outcomes(accepted, pending)
        finally:
            await self._journal.written()  # the channel of orders states an outcome before the answer does

    async def record(self, accepted: AcceptedCommand) -> Command:
        """Put a command on disk.

        Raises DuplicateOrder, or JournalFailed unless the command insists.
        """
        orders = (*accepted.orders, *accepted.to_cancel)
        command = Command(
            wall_time(self._clock),
            accepted.principal,
            accepted.action,
            orders[0].trade_account if orders else accepted.account,
            tuple(order.client_order_id for order in orders),
            accepted.body,
            [to_builtins(each) for each in accepted.messages],
        )
        recording = self._journal.record(command, insist=accepted.insists)
        if accepted.insists and self._journal.failure_text and not recording.called:  # it may take its time to fail
            recording.addErrback(lambda failure: failure.trap(JournalFailed, CancelledError))
            return command
        try:
            return await recording
        except JournalFailed as error:
            if not accepted.insists:
                raise
            _log.error("The journal fails, {action} goes on: {text}", action=command.action, text=str(error))
            return command

    def stop(self) -> None:
        """End the time limits of outcomes."""
        self._deadlines.stop()

    def connection_lost(self, reason: str) -> None:
        """Set the outcomes of all pending commands to unknown."""
        for order in self._state.unsettled():
            for command in [*order.pending_commands]:
                if not command.unknown_reason and not command.outcome.called:
                    command.outcome.errback(SessionLost(f"the connection was lost: {reason}"))

    # -- inside

    def _session_for(self, accepted: AcceptedCommand) -> Session:
        """Return the session.

        A flatten needs no more, because it names no order of the server; nor does a cancel of an order that is certain.
        """
        return self._require_session() if accepted.insists else self.require_ready()

    def _expect(self, accepted: AcceptedCommand) -> list[PendingCommand]:
        """Await the outcomes. Called before sending, because an answer can be fast."""
        requested = requested_fields(to_builtins(accepted.messages[0])) if accepted.rule is CHANGE else {}
        pending = [PendingCommand(accepted.rule, requested=requested) for _ in accepted.orders]
        for order, command in zip(accepted.orders, pending, strict=True):
            if accepted.rule is NEW:
                self._state.add(order)
            self._state.expect(order, command)
        return pending

    def _withdraw(self, accepted: AcceptedCommand, pending: Sequence[PendingCommand]) -> None:
        for order, command in zip(accepted.orders, pending, strict=True):
            if accepted.rule is NEW:
                self._state.remove(order)
            else:
                self._state.settle(order, command)
            command.outcome.addErrback(lambda failure: failure.trap(SessionLost))

    def _require_open(self, session: Session, recorded: Command, accepted: AcceptedCommand) -> None:
        """Raise unless the command, which is on disk now, may still be sent."""
        try:
            if self._session_for(accepted) is not session:
                raise SessionLost("The connection was lost before it was sent.")
            accepted.check()
            if accepted.rule is CHANGE:
                require_open(accepted.orders[0])
        except BaseException:
            self._journal.withdraw(recorded)
            raise

    async def _outcomes(self, accepted: AcceptedCommand, pending: Sequence[PendingCommand]) -> list[Fields]:
        """Return the update that states the outcome for each order.

        Raises OutcomeUnknown when one does not come.
        """
        for command in pending:
            self._deadlines.add(command.outcome, partial(command.outcome.errback, TimeoutError()))
        outcomes, reason = [], ""
        for order, command in zip(accepted.orders, pending, strict=True):
            try:
                outcome = await command.outcome
            except (SessionLost, TimeoutError) as error:
                if accepted.rule is NEW and is_in_progress(order):
                    self._state.settle(order, command)
                    outcomes.append(order.updates[-1])
                    continue
                is_lost = isinstance(error, SessionLost)
                reason = str(error) if is_lost else f"the server said nothing for {self._timeout:g} s"
                self._state.set_unknown(order, command, reason)
                continue
            if command.is_left_open(outcome, order.fields):
                text = f"Order {order.display_id} is {status_text(order.status)}."
                raise OutcomeUnknown(f"{text} Whether it was changed before is not known.", [order.to_fields])
            outcomes.append(outcome)
        if reason:
            self._reconciler.resync()
            states = [order.to_fields for order in accepted.orders]
            raise OutcomeUnknown(f"The outcome of the {accepted.rule.name} is unknown: {reason}.", states)
        return outcomes

    def _record(self, seq: int, order: Order | None, update: Fields, fill: Fill | None) -> None:
        if order is None:
            self._journal.record_published(PublishedState(seq, update))
        else:
            self._journal.record_update(_update_record(wall_time(self._clock), seq, order, update, fill))

    def _on_order_update(self, order: Order, update: Fields, fill: Fill | None) -> None:
        for command in [*order.pending_commands]:
            if command.rule.settles(update):
                self._state.settle(order, command)
                if not command.outcome.called:
                    command.outcome.callback(update)


def send_all(session: Session, messages: Sequence[Message]) -> None:
    """Send messages.

    Raises SessionLost if none was sent; without an error, the outcome of the others is awaited.
    """
    for number, message in enumerate(messages):
        try:
            session.send(message)
        except SessionLost:
            if not number:
                raise
            return


def is_in_progress(order: Order) -> bool:
    """Return whether the server has received an order and not decided about it."""
    return bool(order.updates) and order.updates[-1].get("OrderStatus") in IN_PROGRESS


def require_open(order: Order) -> None:
    """Raise Conflict unless an order can be changed and canceled."""
    if not order.is_open:
        raise Conflict(f"Order {order.display_id} is not open: it is {status_text(order.status)}.")
    if not order.server_order_id:
        raise Conflict(f"The server has not acknowledged order {order.display_id} yet.")


def identifiers_of(order: Order) -> dict[str, str]:
    """Return the identifiers of an order for a message about it."""
    return {name: order.fields[name] for name in _IDENTIFIERS if order.fields.get(name)}


def raise_if_rejected(outcomes: list[Fields], rule: OutcomeRule) -> list[Fields]:
    """Return the outcomes. Raises OrderRejected when one is a rejection."""
    text = next(filter(None, map(rule.rejection_text, outcomes)), "")
    if text:
        raise OrderRejected(text, outcomes)
    return outcomes


def _update_record(now: float, seq: int, order: Order, update: Fields, fill: Fill | None) -> UpdateRecord:
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
        is_answer=bool(order.sent_at) and NEW.settles(update),
        seq=seq,
    )


def _clamp_int64(number: int) -> int:
    """Limit a number to 64 bits, as SQLite requires.

    One update that cannot be written would block all others.
    """
    return int(number) if abs(number) < 2**63 else 0
