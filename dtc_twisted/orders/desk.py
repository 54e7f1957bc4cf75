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

from dtc_twisted.definitions import Definitions
from dtc_twisted.display import SECONDS, iso
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
from dtc_twisted.messages import Message, SecurityDefinitionResponse
from dtc_twisted.orders import ticket
from dtc_twisted.orders.dispatch import Dispatch, naming, unless_refused
from dtc_twisted.orders.inherited import take_up
from dtc_twisted.orders.ledger import Ledger
from dtc_twisted.orders.limits import Limits
from dtc_twisted.orders.order import Fill, Order
from dtc_twisted.orders.reconcile import Reconciler
from dtc_twisted.orders.shared import Shared
from dtc_twisted.orders.ticket import BadOrder, Body
from dtc_twisted.orders.words import CANCEL, CHANGE, NEW, Fields, shown
from dtc_twisted.session import Handlers, Session

_log = logger(__name__)

_READ: dict[str, Callable[[Body, float], Sequence[Message]]] = {
    "submit": lambda body, now: [ticket.single(body, now)],
    "oco": lambda body, now: [ticket.oco(body, now)],
    "bracket": ticket.bracket,
}
_FLAGS = {
    "submit": "TradingIsSupported",
    "oco": "OCOOrdersSupported",
    "bracket": "BracketOrdersSupported",
    "replace": "OrderCancelReplaceSupported",
}
"""The flag of LOGON_RESPONSE that says whether the server takes it."""

Answer = Deferred[list[Fields]]
"""The ORDER_UPDATEs, by field names, that were the server's word on a command, one for each order."""


class Desk(Service):
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
        definitions: Definitions,
        ledger: Ledger,
        reconciler: Reconciler,
        journal: Journal,
        limits: Limits,
        timeout: float,
    ) -> None:
        self.halted = ""
        """Since when, and by whom, no new orders are taken; empty: they are."""
        self.journal = journal
        self._clock = clock
        self._definitions = definitions
        self._ledger = ledger
        self._reconciler = reconciler
        self._limits = limits
        self._dispatch = Dispatch(clock, logged_on, ledger, reconciler, journal, timeout)
        self._dispatch.on_accepted = self._accepted
        self._running: dict[str, tuple[tuple[str, Body], Shared]] = {}  # by ClientOrderID
        reconciler.on_read.append(self._was_read)
        ledger.on_order.append(self._note_fill)

    # -- from the service tree

    def startService(self) -> None:
        """Takes up what the journal says was open, or sent without an answer, when the last process ended."""
        super().startService()
        last = self.journal.last("halt", "resume")
        if last is not None and last.action == "halt":
            self.halted = _since(last)
        take_up(self.journal, self._ledger)
        self._reconciler.want().addErrback(lambda failure: failure.trap(DTCError))

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        """The Reconciler's business."""

    def detach(self, reason: str) -> None:
        self._dispatch.lose(reason)

    # -- from REST

    def submit(self, action: str, body: Body, who: str) -> Answer:
        """New orders. action: "submit", "oco" or "bracket". who: the caller's name.

        Of the same ClientOrderID and body there is one order, and one answer.
        """
        return self._once(action, body, lambda: self._submit(action, body, who))

    def flatten(self, body: Body, who: str) -> Answer:
        """Closes the position of a Symbol, or all of a TradeAccount; no orders when there is none."""
        return self._once("flatten", body, lambda: self._flatten(body, who))

    def replace(self, order_id: str, body: Body, who: str) -> Answer:
        return Shared(Deferred.fromCoroutine(self._replace(order_id, body, who))).wait()

    def cancel(self, order_id: str, who: str) -> Answer:
        return Shared(Deferred.fromCoroutine(self._cancel(order_id, who))).wait()

    def cancel_all(self, body: Body, who: str) -> Answer:
        """All open orders, or those of a TradeAccount or Symbol; refusals are among the answers."""
        return Shared(Deferred.fromCoroutine(self._cancel_all(body, who))).wait()

    def halt(self, who: str) -> Answer:
        """From now on no new orders; all open ones are canceled, now and whenever some are found later."""
        return Shared(Deferred.fromCoroutine(self._halt(who))).wait()

    def resume(self, who: str) -> Deferred[None]:
        return Shared(Deferred.fromCoroutine(self._resume(who))).wait()

    def status(self) -> dict[str, Any]:
        """For people."""
        return {
            "halted": self.halted or None,
            "ready": self._reconciler.ready,
            "reason": self._reconciler.reason,
            "journal": self.journal.failing or "ok",
            "unknown": [order.name for order in self._ledger if order.unknown],
        }

    # -- the same command again

    def _once(self, action: str, body: Body, begin: Callable[[], Any]) -> Answer:
        ids = ticket.ids_in(body)
        for name in ids:
            if name in self._running:
                first, shared = self._running[name]
                return shared.wait() if first == (action, body) else fail(_taken(name))
            try:
                command, order = self.journal.command_of(name), self._ledger.order(name)
            except JournalFailed:
                command, order = None, next((each for each in self._ledger if each.client_order_id == name), None)
                if action != "flatten":  # positions are closed whatever the disk does
                    raise
            if command is not None:
                same = (command.action, command.request) == (action, body)
                return self._answer_of(command) if same else fail(_taken(name))
            if order is not None:
                return fail(_taken(name))
        running: Answer = Deferred()
        shared = Shared(running)
        self._running |= dict.fromkeys(ids, ((action, body), shared))
        shared.then(lambda: [self._running.pop(name) for name in ids])
        waiting = shared.wait()
        Deferred.fromCoroutine(begin()).addBoth(running.callback)
        return waiting

    def _answer_of(self, command: Command) -> Answer:
        """What was answered to a command that is over."""
        orders = [order for order in map(self._ledger.order, command.client_order_ids) if order is not None]
        words = [next(filter(NEW.is_word, order.updates), None) for order in orders]
        if None in words or not words:
            return fail(OutcomeUnknown("Nobody knows yet what became of it.", [order.state for order in orders]))
        return succeed([word for word in words if word is not None]).addCallback(unless_refused, NEW)

    # -- commands

    async def _submit(self, action: str, body: Body, who: str) -> list[Fields]:
        display, fields = ticket.prices_of(body)
        now = self._clock.seconds()
        messages = ticket.named(_READ[action](fields, now), now)
        account, symbol = messages[0].TradeAccount, messages[0].Symbol
        self._limits.check_scope(account, symbol)
        self._check_free(action, account)
        definition = await self._definition(symbol)
        messages = [ticket.priced(each, definition, display=display) for each in messages]
        self._check_free(action, account)
        orders = ticket.orders_in(messages)
        self._limits.check(orders, self._ledger, self._clock.seconds())
        self._limits.count(len(orders), self._clock.seconds())
        command = self._dispatch.command(action, who, body, messages, orders)
        return await self._dispatch.send_new(command, messages, orders, self._check_halted)

    async def _flatten(self, body: Body, who: str) -> list[Fields]:
        message = ticket.flatten(body)
        account, symbol = message.TradeAccount or "", message.Symbol or ""
        self._limits.check_scope(account, symbol)
        self._dispatch.ready()
        symbols = self._ledger.held(account, symbol)
        for each in self._ledger:
            if each.is_flatten and each.is_undecided and each.trade_account == account and each.symbol in symbols:
                raise Conflict(f"Order {each.name} flattens {each.symbol} already, and its outcome is not known yet.")
        if not symbols:
            return []
        # One message for each position, not one for the account: only an order that we named has an outcome.
        (first,) = ticket.named([message], self._clock.seconds())
        messages = [
            replace(first, Symbol=each, ClientOrderID=ticket.numbered(first.ClientOrderID, number))
            for number, each in enumerate(symbols, 1)
        ]
        orders = ticket.orders_in(messages)
        for order in orders:
            order.expect_to_close(self._ledger.position(account, order.symbol))
        command = self._dispatch.command("flatten", who, body, messages, orders)
        return await self._dispatch.send_new(command, messages, orders, lambda: None)

    async def _replace(self, order_id: str, body: Body, who: str) -> list[Fields]:
        display, fields = ticket.prices_of(body)
        order = self._open_order(order_id)
        change = ticket.change(fields, order.order_type, self._clock.seconds())
        self._check_free("replace", order.trade_account)
        definition = await self._definition(order.symbol)
        change = ticket.priced(change, definition, display=display)

        def check() -> None:
            self._check_halted()
            self._open_order(order_id)

        check()
        self._check_free("replace", order.trade_account)
        if any(wait.wish is CHANGE for wait in order.waits):
            raise Conflict(f"Another change of order {order.name} is under way.")
        changed = Order(order.fields | ({"OrderQuantity": change.Quantity} if change.Quantity else {}))
        changed.pair, changed.is_child = order.pair, order.is_child
        if changed.quantity <= order.filled:
            raise BadOrder([f"Quantity: expected more than what is filled already, {order.filled:g}."])
        self._limits.check([changed], self._ledger, self._clock.seconds(), instead=order)
        self._limits.count(1, self._clock.seconds())
        change = replace(change, **naming(order))
        command = self._dispatch.command("replace", who, body, [change], [order])
        return await self._dispatch.send_change(command, change, order, check)

    async def _cancel(self, order_id: str, who: str) -> list[Fields]:
        order = self._open_order(order_id)
        return unless_refused(await self._dispatch.send_cancels("cancel", who, {}, [order]), CANCEL)

    async def _cancel_all(self, body: Body, who: str) -> list[Fields]:
        account, symbol = ticket.cancel_all(body)
        if account:
            self._limits.check_scope(account, symbol)
        self._dispatch.ready()
        return await self._dispatch.send_cancels("cancelall", who, body, self._cancelable(account, symbol))

    async def _halt(self, who: str) -> list[Fields]:
        command = self._dispatch.command("halt", who, {}, [], [])
        self.halted = _since(command)
        _log.warn("Trading is halted {halted}", halted=self.halted)
        await self._dispatch.record(command, insist=True)
        if not self._reconciler.ready:
            return []  # they are canceled once the server is there
        return await self._dispatch.send_cancels("cancelall", who, {}, self._cancelable())

    async def _resume(self, who: str) -> None:
        await self._dispatch.record(self._dispatch.command("resume", who, {}, [], []), insist=False)
        self.halted = ""
        _log.warn("Trading is resumed by {who}", who=who)

    # -- what may be done

    def _check_halted(self) -> None:
        if self.halted:
            raise Conflict(f"Trading is halted {self.halted}.")

    def _check_free(self, action: str, account: str) -> None:
        """Whether an account may have new orders now."""
        self._check_halted()
        session = self._dispatch.ready()
        for name in ("TradingIsSupported", _FLAGS[action]):
            if getattr(session.logon, name) != 1:
                raise RequestRejected(f"The server does not support this: {name} is not 1.")
        doubtful = next((each for each in self._ledger if each.unknown and each.trade_account == account), None)
        if doubtful is not None:
            raise Conflict(
                f"The outcome of order {doubtful.name} is unknown ({doubtful.unknown}); "
                f"account {account} takes no new orders until it is settled."
            )

    async def _definition(self, symbol: str) -> SecurityDefinitionResponse:
        try:
            return await self._definitions.definition(symbol)
        except RequestTimedOut as error:
            raise NotReady(f"What prices of {symbol} mean is not known, nothing was sent: {error}") from None

    def _open_order(self, order_id: str) -> Order:
        self._dispatch.ready()
        order = self._ledger.order(order_id)
        if order is None:
            raise NoSuchOrder(f"No order {order_id} is known.")
        self._limits.check_scope(order.trade_account, order.symbol)
        if not order.is_open:
            raise Conflict(f"Order {order.name} is not open: it is {shown(order.status)}.")
        if not order.server_order_id:
            raise Conflict(f"The server has not acknowledged order {order.name} yet.")
        return order

    def _cancelable(self, account: str = "", symbol: str = "") -> list[Order]:
        """Open orders of the accounts and symbols that may be traded."""
        limits = self._limits
        return [
            order
            for order in self._ledger.open_orders(account, symbol)
            if order.server_order_id
            and (not limits.accounts or order.trade_account in limits.accounts)
            and (not limits.symbols or order.symbol in limits.symbols)
        ]

    def _note_fill(self, order: Order, update: Fields, fill: Fill | None) -> None:
        if fill is not None:
            self._limits.filled(fill, self._ledger, self._clock.seconds())

    # -- while halted

    def _was_read(self) -> None:
        if self.halted:
            self._cancel_quietly(self._cancelable())

    def _accepted(self, order: Order) -> None:
        if self.halted:
            self._cancel_quietly([order])

    def _cancel_quietly(self, orders: list[Order]) -> None:
        """Those that turn up while trading is halted."""
        canceling = Deferred.fromCoroutine(self._dispatch.send_cancels("cancelall", "halt", {}, orders))
        canceling.addErrback(lambda failure: _log.warn("While halted: {text}", text=failure.getErrorMessage()))


def _taken(name: str) -> Conflict:
    return Conflict(f"ClientOrderID: {name} is the id of another order.")


def _since(halt: Command) -> str:
    return f"since {iso(int(halt.at), SECONDS)}, by {halt.who}"
