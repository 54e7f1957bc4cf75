"""Order entry: who may send what, and when; the commands.

What matters most, in this order: no order is sent twice; none is lost from sight; nobody sends who should not. A
command that was begun runs to its end whether its caller stays or not. When the server's word does not come in time,
nobody knows what became of the order: it is marked so, and its account takes no new ones until the server was asked
what it knows.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.definitions.converter import SECONDS, format_iso
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.dtc.messages import CancelOrder, Message, SecurityDefinitionResponse
from dtc_twisted.dtc.session import Handlers, Session
from dtc_twisted.errors import (
    Conflict,
    DTCError,
    JournalFailed,
    NoSuchOrder,
    NotReady,
    OutcomeUnknown,
    RequestRejected,
    RequestTimedOut,
)
from dtc_twisted.journal import Command, Journal
from dtc_twisted.logs import logger
from dtc_twisted.orders import parsing as ticket
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.fills import Fill
from dtc_twisted.orders.halt import TradingHalt
from dtc_twisted.orders.one_shot import OneShotObserver
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_state import new_order_outcome
from dtc_twisted.orders.outcomes import CANCEL, CHANGE, NEW, Fields
from dtc_twisted.orders.parsing import BadOrder, JsonObject
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.recovery import restore_from_journal
from dtc_twisted.orders.risk_limits import RiskLimits
from dtc_twisted.orders.sender import AcceptedCommand, CommandSender, identifiers_of, raise_if_rejected, require_open

_log = logger(__name__)

_PARSERS: dict[str, Callable[[JsonObject, float], Sequence[Message]]] = {
    "submit": lambda body, now: [ticket.parse_single(body, now)],
    "oco": lambda body, now: [ticket.parse_oco(body, now)],
    "bracket": ticket.parse_bracket,
}
_LOGON_FLAGS = {
    "submit": "TradingIsSupported",
    "oco": "OCOOrdersSupported",
    "bracket": "BracketOrdersSupported",
    "replace": "OrderCancelReplaceSupported",
}
"""The flag of LOGON_RESPONSE that says whether the server takes it."""

OrderUpdates = Deferred[list[Fields]]
"""The ORDER_UPDATEs, by field names, that were the server's word on a command, one for each order."""


class OrderManager(Service):
    """Takes commands.

    logged_on: the session; raises NotLoggedOn.
    timeout: seconds to wait for the server's word.

    Commands fail with BadOrder, NotPermitted, Conflict, NoSuchOrder, JournalFailed, NotLoggedOn or RequestRejected, and
    nothing was sent; with OrderRejected, and the server refused; with OutcomeUnknown, and nobody knows.
    """

    handlers: Handlers = {}  # updates are the Reconciler's business

    def __init__(
        self,
        clock: IReactorTime,
        logged_on: Callable[[], Session],
        definitions: SecurityDefinitions,
        account_state: AccountState,
        reconciler: Reconciler,
        journal: Journal,
        limits: RiskLimits,
        timeout: float,
    ) -> None:
        self.halt_state = TradingHalt()
        self.journal = journal
        self._clock = clock
        self._definitions = definitions
        self._account_state = account_state
        self._reconciler = reconciler
        self._limits = limits
        self._sender = CommandSender(clock, logged_on, account_state, reconciler, journal, self.halt_state, timeout)
        self._commands_in_progress: dict[str, tuple[tuple[str, JsonObject], OneShotObserver]] = {}  # by ClientOrderID
        reconciler.sync_listeners.append(self._on_synced)
        account_state.order_listeners.append(self._on_order_update)

    # -- from the service tree

    def startService(self) -> None:
        """Takes up what the journal says was open, or sent without an answer, when the last process ended."""
        super().startService()
        last = self.journal.last("halt", "resume")
        if last is not None and last.action == "halt":
            self.halt_state.text = _halt_text(last.at, last.who)
        restore_from_journal(self.journal, self._account_state)
        self._reconciler.ensure_synced().addErrback(lambda failure: failure.trap(DTCError))

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        """The Reconciler's business."""

    def detach(self, reason: str) -> None:
        self._sender.connection_lost(reason)

    # -- from REST

    def submit(self, action: str, body: JsonObject, who: str) -> OrderUpdates:
        """New orders. action: "submit", "oco" or "bracket". who: the caller's name.

        Of the same ClientOrderID and body there is one order, and one answer.
        """
        return self._run_once(action, body, lambda: self._submit(action, body, who))

    def flatten(self, body: JsonObject, who: str) -> OrderUpdates:
        """Closes the position of a Symbol, or all of a TradeAccount; no orders when there is none."""
        return self._run_once("flatten", body, lambda: self._flatten(body, who))

    def replace(self, order_id: str, body: JsonObject, who: str) -> OrderUpdates:
        return OneShotObserver(Deferred.fromCoroutine(self._replace(order_id, body, who))).when_fired()

    def cancel(self, order_id: str, who: str) -> OrderUpdates:
        return OneShotObserver(Deferred.fromCoroutine(self._cancel(order_id, who))).when_fired()

    def cancel_all(self, body: JsonObject, who: str) -> OrderUpdates:
        """All open orders, or those of a TradeAccount or Symbol; refusals are among the answers."""
        return OneShotObserver(Deferred.fromCoroutine(self._cancel_all(body, who))).when_fired()

    def halt(self, who: str) -> OrderUpdates:
        """From now on no new orders; all open ones are canceled, now and whenever some are found later."""
        return OneShotObserver(Deferred.fromCoroutine(self._halt(who))).when_fired()

    def resume(self, who: str) -> Deferred[None]:
        return OneShotObserver(Deferred.fromCoroutine(self._resume(who))).when_fired()

    def status(self) -> dict[str, Any]:
        """For people."""
        return {
            "halted": self.halt_state.text or None,
            "ready": self._reconciler.is_synced,
            "reason": self._reconciler.reason,
            "journal": self.journal.failure_text or "ok",
            "unknown": [order.display_id for order in self._account_state.unknown()],
        }

    # -- the same command again

    def _run_once(self, action: str, body: JsonObject, begin: Callable[[], Any]) -> OrderUpdates:
        ids = ticket.client_order_ids(body)
        for name in ids:
            if name in self._commands_in_progress:
                first, shared = self._commands_in_progress[name]
                return shared.when_fired() if first == (action, body) else fail(_id_conflict(name))
            if not self.journal.has_order(name):
                if any(self._account_state.index.by_client(name)):  # of somebody else
                    return fail(_id_conflict(name))
                continue
            try:
                command = self.journal.command_of(name)
            except JournalFailed:
                if action != "flatten":  # positions are closed whatever the disk does
                    raise
                command = None
            is_same = command is not None and (command.action, command.request) == (action, body)
            return self._recorded_answer(command) if command is not None and is_same else fail(_id_conflict(name))
        running: OrderUpdates = Deferred()
        shared = OneShotObserver(running)
        self._commands_in_progress |= dict.fromkeys(ids, ((action, body), shared))
        shared.call_when_fired(lambda: [self._commands_in_progress.pop(name) for name in ids])
        waiting = shared.when_fired()
        Deferred.fromCoroutine(begin()).addBoth(running.callback)
        return waiting

    def _recorded_answer(self, command: Command) -> OrderUpdates:
        """Answer a command again, with the server's latest word on the outcome."""
        orders = [order for order in map(self._account_state.sent_order, command.client_order_ids) if order is not None]
        outcomes = [new_order_outcome(order) for order in orders]
        if None in outcomes or not outcomes:
            return fail(OutcomeUnknown("Nobody knows yet what became of it.", [order.to_fields for order in orders]))
        return succeed([each for each in outcomes if each is not None]).addCallback(raise_if_rejected, NEW)

    # -- commands

    async def _submit(self, action: str, body: JsonObject, who: str) -> list[Fields]:
        display, fields = ticket.split_price_option(body)
        now = self._clock.seconds()
        messages = ticket.with_client_order_ids(_PARSERS[action](fields, now), now)
        account, symbol = messages[0].TradeAccount, messages[0].Symbol
        self._limits.check_scope(account, symbol)
        self._check_account_tradable(action, account)
        definition = await self._definition(symbol)
        messages = [ticket.with_server_prices(each, definition, display=display) for each in messages]
        self._check_account_tradable(action, account)
        orders = ticket.orders_from_messages(messages)
        self._limits.check(orders, self._account_state, self._clock.seconds())
        self._limits.count_orders(len(orders), self._clock.seconds())
        outcomes = await self._sender.send(AcceptedCommand(action, who, body, messages, orders))
        return raise_if_rejected(outcomes, NEW)

    async def _flatten(self, body: JsonObject, who: str) -> list[Fields]:
        message = ticket.parse_flatten(body)
        account, symbol = message.TradeAccount or "", message.Symbol or ""
        self._limits.check_scope(account, symbol)
        self._sender.require_ready()
        symbols = self._account_state.symbols_held(account, symbol)
        for each in self._account_state.unsettled():
            if each.closes_position and each.is_in_flight and each.trade_account == account and each.symbol in symbols:
                raise Conflict(
                    f"Order {each.display_id} flattens {each.symbol} already, and its outcome is not known yet."
                )
        if not symbols:
            return []
        # One message for each position, not one for the account: only an order that we named has an outcome.
        (first,) = ticket.with_client_order_ids([message], self._clock.seconds())
        messages = [
            replace(first, Symbol=each, ClientOrderID=ticket.suffixed_id(first.ClientOrderID, number))
            for number, each in enumerate(symbols, 1)
        ]
        orders = ticket.orders_from_messages(messages)
        for order in orders:
            order.assume_closing(self._account_state.position(account, order.symbol))
        outcomes = await self._sender.send(AcceptedCommand("flatten", who, body, messages, orders, insists=True))
        return raise_if_rejected(outcomes, NEW)

    async def _replace(self, order_id: str, body: JsonObject, who: str) -> list[Fields]:
        display, fields = ticket.split_price_option(body)
        order = self._open_order(order_id)
        change = ticket.parse_replace(fields, order.order_type, self._clock.seconds())
        self._check_account_tradable("replace", order.trade_account)
        definition = await self._definition(order.symbol)
        change = ticket.with_server_prices(change, definition, display=display)

        require_open(order)
        self._check_account_tradable("replace", order.trade_account)
        if order.has_pending(CHANGE):
            raise Conflict(f"Another change of order {order.display_id} is under way.")
        changed = Order(order.fields | ({"OrderQuantity": change.Quantity} if change.Quantity else {}))
        changed.oco_id, changed.is_child = order.oco_id, order.is_child
        if changed.quantity <= order.filled:
            raise BadOrder([f"Quantity: expected more than what is filled already, {order.filled:g}."])
        self._limits.check([changed], self._account_state, self._clock.seconds(), instead=order)
        self._limits.count_orders(1, self._clock.seconds())
        change = replace(change, **identifiers_of(order))
        outcomes = await self._sender.send(AcceptedCommand("replace", who, body, [change], [order], CHANGE))
        return raise_if_rejected(outcomes, CHANGE)

    async def _cancel(self, order_id: str, who: str) -> list[Fields]:
        order = self._open_order(order_id)
        return raise_if_rejected(await self._cancel_orders("cancel", who, {}, [order]), CANCEL)

    async def _cancel_all(self, body: JsonObject, who: str) -> list[Fields]:
        account, symbol = ticket.parse_cancel_all(body)
        if account:
            self._limits.check_scope(account, symbol)
        self._sender.require_ready()
        return await self._cancel_orders("cancelall", who, body, self._cancelable(account, symbol))

    async def _halt(self, who: str) -> list[Fields]:
        accepted = AcceptedCommand("halt", who, {}, insists=True)
        self.halt_state.text = _halt_text(self._clock.seconds(), who)
        _log.warn("Trading is halted {halted}", halted=self.halt_state.text)
        await self._sender.record(accepted)
        if not self._reconciler.is_synced:
            return []  # they are canceled once the server is there
        return await self._cancel_orders("cancelall", who, {}, self._cancelable())

    async def _resume(self, who: str) -> None:
        await self._sender.record(AcceptedCommand("resume", who, {}))
        self.halt_state.text = ""
        _log.warn("Trading is resumed by {who}", who=who)

    async def _cancel_orders(self, action: str, who: str, body: JsonObject, orders: Sequence[Order]) -> list[Fields]:
        messages = [CancelOrder(**identifiers_of(order)) for order in orders]
        return await self._sender.send(AcceptedCommand(action, who, body, messages, orders, CANCEL, insists=True))

    # -- what may be done

    def _check_account_tradable(self, action: str, account: str) -> None:
        """Whether an account may have new orders now."""
        self.halt_state.check()
        session = self._sender.require_ready()
        for name in ("TradingIsSupported", _LOGON_FLAGS[action]):
            if getattr(session.logon, name) != 1:
                raise RequestRejected(f"The server does not support this: {name} is not 1.")
        for doubtful in self._account_state.unknown(account):
            raise Conflict(
                f"The outcome of order {doubtful.display_id} is unknown ({doubtful.unknown_reason}); "
                f"account {account} takes no new orders until it is settled."
            )

    async def _definition(self, symbol: str) -> SecurityDefinitionResponse:
        try:
            return await self._definitions.definition(symbol)
        except RequestTimedOut as error:
            raise NotReady(f"What prices of {symbol} mean is not known, nothing was sent: {error}") from None

    def _open_order(self, order_id: str) -> Order:
        self._sender.require_ready()
        order = self._account_state.order(order_id)
        if order is None:
            raise NoSuchOrder(f"No order {order_id} is known.")
        self._limits.check_scope(order.trade_account, order.symbol)
        require_open(order)
        return order

    def _cancelable(self, account: str = "", symbol: str = "") -> list[Order]:
        """Open orders of the accounts and symbols that may be traded."""
        limits = self._limits
        return [
            order
            for order in self._account_state.open_orders(account, symbol)
            if order.server_order_id
            and (not limits.accounts or order.trade_account in limits.accounts)
            and (not limits.symbols or order.symbol in limits.symbols)
        ]

    def _on_order_update(self, order: Order, update: Fields, fill: Fill | None) -> None:
        if fill is not None:
            self._limits.on_fill(fill, self._account_state, self._clock.seconds())
        self._cancel_if_halted(order, update)

    # -- while halted

    def _on_synced(self) -> None:
        if self.halt_state.text:
            self._cancel_in_background(self._cancelable())

    def _cancel_if_halted(self, order: Order, update: Fields) -> None:
        """Cancel an order that the server accepts, or accepts the change of, while trading is halted."""
        reason = update.get("OrderUpdateReason")
        is_new = reason == NEW.done_reason or len(order.updates) == 1
        if not self.halt_state.text or order.closes_position or "Reconciled" in update:
            return
        if order.is_open and order.server_order_id and (is_new or reason == CHANGE.done_reason):
            self._cancel_in_background([order])

    def _cancel_in_background(self, orders: list[Order]) -> None:
        """Cancel orders that turn up while trading is halted."""
        canceling = Deferred.fromCoroutine(self._cancel_orders("cancelall", "halt", {}, orders))
        canceling.addErrback(lambda failure: _log.warn("While halted: {text}", text=failure.getErrorMessage()))


def _id_conflict(name: str) -> Conflict:
    return Conflict(f"ClientOrderID: {name} is the id of another order.")


def _halt_text(at: float, who: str) -> str:
    return f"since {format_iso(int(at), SECONDS)}, by {who}"
