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
from dtc_twisted.dtc.messages import Message, SecurityDefinitionResponse
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
from dtc_twisted.orders.one_shot import OneShotObserver
from dtc_twisted.orders.order import Fill, Order
from dtc_twisted.orders.outcomes import CANCEL, CHANGE, NEW, Fields, status_text
from dtc_twisted.orders.parsing import BadOrder, JsonObject
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.recovery import restore_from_journal
from dtc_twisted.orders.risk_limits import RiskLimits
from dtc_twisted.orders.sender import CommandSender, identifiers_of, raise_if_rejected

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
        self.halted = ""
        """Since when, and by whom, no new orders are taken; empty: they are."""
        self.journal = journal
        self._clock = clock
        self._definitions = definitions
        self._account_state = account_state
        self._reconciler = reconciler
        self._limits = limits
        self._sender = CommandSender(clock, logged_on, account_state, reconciler, journal, timeout)
        self._sender.on_accepted = self._on_accepted
        self._commands_in_progress: dict[str, tuple[tuple[str, JsonObject], OneShotObserver]] = {}  # by ClientOrderID
        reconciler.sync_listeners.append(self._on_synced)
        account_state.order_listeners.append(self._on_order_update)

    # -- from the service tree

    def startService(self) -> None:
        """Takes up what the journal says was open, or sent without an answer, when the last process ended."""
        super().startService()
        last = self.journal.last("halt", "resume")
        if last is not None and last.action == "halt":
            self.halted = _halt_text(last)
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
            "halted": self.halted or None,
            "ready": self._reconciler.is_synced,
            "reason": self._reconciler.reason,
            "journal": self.journal.failure_text or "ok",
            "unknown": [order.display_id for order in self._account_state if order.unknown_reason],
        }

    # -- the same command again

    def _run_once(self, action: str, body: JsonObject, begin: Callable[[], Any]) -> OrderUpdates:
        ids = ticket.client_order_ids(body)
        for name in ids:
            if name in self._commands_in_progress:
                first, shared = self._commands_in_progress[name]
                return shared.when_fired() if first == (action, body) else fail(_id_conflict(name))
            try:
                command, order = self.journal.command_of(name), self._account_state.order(name)
            except JournalFailed:
                command, order = (
                    None,
                    next((each for each in self._account_state if each.client_order_id == name), None),
                )
                if action != "flatten":  # positions are closed whatever the disk does
                    raise
            if command is not None:
                same = (command.action, command.request) == (action, body)
                return self._recorded_answer(command) if same else fail(_id_conflict(name))
            if order is not None:
                return fail(_id_conflict(name))
        running: OrderUpdates = Deferred()
        shared = OneShotObserver(running)
        self._commands_in_progress |= dict.fromkeys(ids, ((action, body), shared))
        shared.call_when_fired(lambda: [self._commands_in_progress.pop(name) for name in ids])
        waiting = shared.when_fired()
        Deferred.fromCoroutine(begin()).addBoth(running.callback)
        return waiting

    def _recorded_answer(self, command: Command) -> OrderUpdates:
        """What was answered to a command that is over."""
        orders = [order for order in map(self._account_state.order, command.client_order_ids) if order is not None]
        words = [next(filter(NEW.settles, order.updates), None) for order in orders]
        if None in words or not words:
            return fail(OutcomeUnknown("Nobody knows yet what became of it.", [order.to_fields for order in orders]))
        return succeed([word for word in words if word is not None]).addCallback(raise_if_rejected, NEW)

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
        command = self._sender.make_command(action, who, body, messages, orders)
        return await self._sender.send_new(command, messages, orders, self._check_halted)

    async def _flatten(self, body: JsonObject, who: str) -> list[Fields]:
        message = ticket.parse_flatten(body)
        account, symbol = message.TradeAccount or "", message.Symbol or ""
        self._limits.check_scope(account, symbol)
        self._sender.require_ready()
        symbols = self._account_state.symbols_held(account, symbol)
        for each in self._account_state:
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
        command = self._sender.make_command("flatten", who, body, messages, orders)
        return await self._sender.send_new(command, messages, orders, lambda: None)

    async def _replace(self, order_id: str, body: JsonObject, who: str) -> list[Fields]:
        display, fields = ticket.split_price_option(body)
        order = self._open_order(order_id)
        change = ticket.parse_replace(fields, order.order_type, self._clock.seconds())
        self._check_account_tradable("replace", order.trade_account)
        definition = await self._definition(order.symbol)
        change = ticket.with_server_prices(change, definition, display=display)

        def check() -> None:
            self._check_halted()
            self._open_order(order_id)

        check()
        self._check_account_tradable("replace", order.trade_account)
        if any(wait.rule is CHANGE for wait in order.pending_commands):
            raise Conflict(f"Another change of order {order.display_id} is under way.")
        changed = Order(order.fields | ({"OrderQuantity": change.Quantity} if change.Quantity else {}))
        changed.oco_id, changed.is_child = order.oco_id, order.is_child
        if changed.quantity <= order.filled:
            raise BadOrder([f"Quantity: expected more than what is filled already, {order.filled:g}."])
        self._limits.check([changed], self._account_state, self._clock.seconds(), instead=order)
        self._limits.count_orders(1, self._clock.seconds())
        change = replace(change, **identifiers_of(order))
        command = self._sender.make_command("replace", who, body, [change], [order])
        return await self._sender.send_change(command, change, order, check)

    async def _cancel(self, order_id: str, who: str) -> list[Fields]:
        order = self._open_order(order_id)
        return raise_if_rejected(await self._sender.send_cancels("cancel", who, {}, [order]), CANCEL)

    async def _cancel_all(self, body: JsonObject, who: str) -> list[Fields]:
        account, symbol = ticket.parse_cancel_all(body)
        if account:
            self._limits.check_scope(account, symbol)
        self._sender.require_ready()
        return await self._sender.send_cancels("cancelall", who, body, self._cancelable(account, symbol))

    async def _halt(self, who: str) -> list[Fields]:
        command = self._sender.make_command("halt", who, {}, [], [])
        self.halted = _halt_text(command)
        _log.warn("Trading is halted {halted}", halted=self.halted)
        await self._sender.record(command, insist=True)
        if not self._reconciler.is_synced:
            return []  # they are canceled once the server is there
        return await self._sender.send_cancels("cancelall", who, {}, self._cancelable())

    async def _resume(self, who: str) -> None:
        await self._sender.record(self._sender.make_command("resume", who, {}, [], []), insist=False)
        self.halted = ""
        _log.warn("Trading is resumed by {who}", who=who)

    # -- what may be done

    def _check_halted(self) -> None:
        if self.halted:
            raise Conflict(f"Trading is halted {self.halted}.")

    def _check_account_tradable(self, action: str, account: str) -> None:
        """Whether an account may have new orders now."""
        self._check_halted()
        session = self._sender.require_ready()
        for name in ("TradingIsSupported", _LOGON_FLAGS[action]):
            if getattr(session.logon, name) != 1:
                raise RequestRejected(f"The server does not support this: {name} is not 1.")
        doubtful = next(
            (each for each in self._account_state if each.unknown_reason and each.trade_account == account), None
        )
        if doubtful is not None:
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
        if not order.is_open:
            raise Conflict(f"Order {order.display_id} is not open: it is {status_text(order.status)}.")
        if not order.server_order_id:
            raise Conflict(f"The server has not acknowledged order {order.display_id} yet.")
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

    # -- while halted

    def _on_synced(self) -> None:
        if self.halted:
            self._cancel_in_background(self._cancelable())

    def _on_accepted(self, order: Order) -> None:
        if self.halted:
            self._cancel_in_background([order])

    def _cancel_in_background(self, orders: list[Order]) -> None:
        """Those that turn up while trading is halted."""
        canceling = Deferred.fromCoroutine(self._sender.send_cancels("cancelall", "halt", {}, orders))
        canceling.addErrback(lambda failure: _log.warn("While halted: {text}", text=failure.getErrorMessage()))


def _id_conflict(name: str) -> Conflict:
    return Conflict(f"ClientOrderID: {name} is the id of another order.")


def _halt_text(halt: Command) -> str:
    return f"since {format_iso(int(halt.at), SECONDS)}, by {halt.who}"
