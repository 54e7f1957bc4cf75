"""Check and run order commands.

Priorities, in this order: no order is sent twice; every order stays known; only permitted callers send orders. A
command that was begun is completed even if its caller leaves. If the server does not state the outcome in time, the
outcome is unknown. The order is marked, and its account accepts no new orders until reads of the server's state decide.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.clocks import wall_time
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.dtc.messages import BuySellEnum, Message, SecurityDefinitionResponse
from dtc_twisted.dtc.session import Handlers, Session
from dtc_twisted.errors import (
    BadOrder,
    Conflict,
    DTCError,
    JournalFailed,
    NoSuchOrder,
    NotPermitted,
    NotReady,
    OutcomeUnknown,
    RequestRejected,
    RequestTimedOut,
    public_error,
)
from dtc_twisted.journal import Command, Journal
from dtc_twisted.logs import logger
from dtc_twisted.orders import parsing as ticket
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.acknowledgement import acknowledge_order, restore_acknowledgements
from dtc_twisted.orders.cancel_commands import CancelCommands
from dtc_twisted.orders.cancels import OrderCanceler
from dtc_twisted.orders.daily_loss import DailyLoss
from dtc_twisted.orders.dead_man_switch import DeadManSwitches
from dtc_twisted.orders.flattening import PositionCloser
from dtc_twisted.orders.halt_control import GATEWAY, HaltControl
from dtc_twisted.orders.market_prices import FetchPrices, MarketPrices, fetch_prices
from dtc_twisted.orders.one_shot import OneShotObserver
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_messages import orders_from_messages, with_client_order_ids, with_server_prices
from dtc_twisted.orders.order_state import new_order_outcome
from dtc_twisted.orders.outcomes import CHANGE, NEW, Fields, status_text
from dtc_twisted.orders.parsing import JsonObject
from dtc_twisted.orders.preparation import OrderPreparation, PreparedOrders
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.recovery import is_to_be_canceled, restore_from_journal
from dtc_twisted.orders.risk_limits import RiskLimits
from dtc_twisted.orders.sender import AcceptedCommand, CommandSender, identifiers_of, raise_if_rejected, require_open
from dtc_twisted.orders.trader import Trader
from dtc_twisted.orders.trading_scope import TradingScope
from dtc_twisted.orders.unsettled_fills import UnsettledFills

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
"""Flag of LOGON_RESPONSE that states whether the server supports an action."""

OrderUpdates = Deferred[list[Fields]]
"""Fires with the ORDER_UPDATEs that state the outcome of a command, as objects of fields, one for each order."""


_Result = TypeVar("_Result")


class OrderManager(Service):
    """Check order commands, and pass them on.

    logged_on: returns the session; raises NotLoggedOn.
    fetch_prices: gets the present prices of a symbol.
    timeout: seconds to wait for an outcome.
    max_daily_loss: largest loss of an account in one day, in its currency; None: only the server's limit.

    Commands fail with BadOrder, NotPermitted, Conflict, NoSuchOrder, JournalFailed, NotLoggedOn or RequestRejected if
    nothing was sent. They fail with OrderRejected if the server refused, and with OutcomeUnknown if the outcome is
    unknown.
    """

    handlers: Handlers = {}  # the Reconciler handles updates

    def __init__(
        self,
        clock: IReactorTime,
        logged_on: Callable[[], Session],
        definitions: SecurityDefinitions,
        account_state: AccountState,
        reconciler: Reconciler,
        journal: Journal,
        limits: RiskLimits,
        fetch_prices: FetchPrices,
        timeout: float,
        max_daily_loss: float | None = None,
    ) -> None:
        self.journal = journal
        self.on_outcome: Callable[[str, str], None] = lambda action, outcome: None
        """Called with the action and the outcome of each command: "ok", or the public name of its error."""
        self._clock = clock
        self._definitions = definitions
        self._account_state = account_state
        self._reconciler = reconciler
        self._limits = limits
        self._fetch_prices = fetch_prices
        self._commands_in_progress: dict[str, tuple[tuple[str, JsonObject], OneShotObserver]] = {}  # by ClientOrderID
        now = self._now = lambda: wall_time(clock)
        self._sender = CommandSender(clock, logged_on, account_state, reconciler, journal, timeout)
        self._fills = UnsettledFills(clock, account_state, reconciler.resync)
        self._canceler = OrderCanceler(clock, account_state, reconciler, self._sender, timeout)
        self._preparation = OrderPreparation()
        self._cancels = CancelCommands(
            *(clock, logged_on, account_state, reconciler, self._canceler, self._preparation, limits.scope, timeout)
        )
        self._closer = PositionCloser(now, account_state, self._fills, self._sender, journal, reconciler)
        self._losses = DailyLoss(
            *(now, account_state, definitions.definition, max_daily_loss), self._on_loss, self._record_day
        )
        self._halts = HaltControl(
            *(now, account_state, self._fills, reconciler, journal, self._sender),
            *(self._canceler, self._closer, limits.scope, self._losses.exceeded, self._preparation),
        )
        self.switches = DeadManSwitches(clock, self.cancel_own)
        reconciler.sync_listeners.append(self.switches.on_synced)

    # -- from the service tree

    def startService(self) -> None:
        """Restore the orders of the last process from the journal."""
        super().startService()
        self._halts.restore()
        day = self.journal.last("day")
        if day is not None:
            self._losses.restore(day.request)
        restore_from_journal(self.journal, self._account_state)
        restore_acknowledgements(self.journal, self._account_state)
        for order in self._account_state.unsettled():
            if order.is_in_flight and is_to_be_canceled(self.journal, order):
                self._canceler.request(order)
        self._reconciler.ensure_synced().addErrback(lambda failure: failure.trap(DTCError))

    def stopService(self) -> None:
        super().stopService()
        self._fills.stop()
        self.switches.stop()

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        """Use a Reconciler to keep the state in sync."""

    def detach(self, reason: str) -> None:
        self._sender.connection_lost(reason)

    # -- from REST

    def submit(self, action: str, body: JsonObject, trader: Trader) -> OrderUpdates:
        """Place new orders. action: "submit", "oco" or "bracket". trader: the caller.

        Of the same ClientOrderID and body there is one order, and one answer.
        """
        return self._run_once(action, body, lambda: self._submit(action, body, trader))

    def check(self, action: str, body: JsonObject, trader: Trader) -> OrderUpdates:
        """Check new orders as `submit` does, and send nothing.

        The result has one row for each order: its fields as they would be sent (server prices), `PositionQuantity`, and
        `PositionIfFilled`, the position if only this order were filled. Fails as `submit` does.
        """
        for name in ticket.client_order_ids(body):
            if name in self._commands_in_progress or self.journal.has_order(name):
                return fail(_id_conflict(name))
        return self._run("check", self._check_new(action, body, trader))

    def check_replace(self, order_id: str, body: JsonObject, trader: Trader) -> OrderUpdates:
        """Check the change of an order as `replace` does, and send nothing.

        The result is like that of `check`.
        """
        return self._run("check", self._check_replace(order_id, body, trader))

    def rate_budget(self, trader: Trader) -> tuple[int, int] | None:
        """Return limit and remaining orders of the nearest rate limit; None: no limit."""
        now = self._clock.seconds()
        budgets = [each for each in (self._limits.rate_budget(now), trader.limits.rate_budget(now)) if each]
        return min(budgets, key=lambda each: each[1]) if budgets else None

    def cancel_sent(self) -> OrderUpdates:
        """Cancel all open orders that the gateway sent, because it is about to stop."""
        return self._run("cancel", self._cancels.cancel_own(None, "stop"))

    def cancel_own(self, trader: Trader, reason: str) -> OrderUpdates:
        """Cancel the open orders that a trader sent.

        Orders that the server has not acknowledged are included.
        """
        return self._run("cancel", self._cancels.cancel_own(trader, reason))

    def flatten(self, body: JsonObject, trader: Trader) -> OrderUpdates:
        """Close the position of a Symbol, or all of a TradeAccount.

        Without a position there are no orders.
        """
        return self._run_once("flatten", body, lambda: self._flatten(body, trader))

    def replace(self, order_id: str, body: JsonObject, trader: Trader) -> OrderUpdates:
        return self._run("replace", self._replace(order_id, body, trader))

    def cancel(self, order_id: str, trader: Trader) -> OrderUpdates:
        return self._run("cancel", self._cancels.cancel(order_id, trader))

    def cancel_all(self, body: JsonObject, trader: Trader) -> OrderUpdates:
        """Cancel all open orders, or those of a TradeAccount or Symbol.

        Rejected cancels are among the answers.
        """
        return self._run("cancelall", self._cancels.cancel_all(body, trader))

    def halt(self, body: JsonObject, trader: Trader) -> OrderUpdates:
        """Halt trading: refuse new orders, and cancel open ones, now and later."""
        return self._run("halt", self._halts.halt(body, trader.name, trader.scope))

    def resume(self, body: JsonObject, trader: Trader) -> Deferred[None]:
        """End halts: accept new orders again."""
        return self._run("resume", self._halts.resume(body, trader.name, trader.scope))

    def acknowledge(self, order_id: str, body: JsonObject, trader: Trader) -> OrderUpdates:
        """Unblock the account of an order whose outcome is unknown. Return the order."""
        return self._run(
            "acknowledge",
            acknowledge_order(
                *(self._account_state, self._sender, order_id, body, trader.name),
                lambda account, symbol: self._check_scope(trader, account, symbol),
            ),
        )

    def status(self) -> dict[str, Any]:
        """Return the state of order entry, for `/status`."""
        halts = [*self._halts.halts]
        return {
            "halted": next((each.since for each in halts if not each.trade_account and not each.symbol), None),
            "halts": [each.to_json() for each in halts],
            "ready": self._reconciler.is_synced,
            "reason": self._reconciler.reason,
            "journal": self.journal.failure_text or "ok",
            "unknown": [order.display_id for order in self._account_state.unknown()],
            "switches": self.switches.status(),
        }

    def _run(self, action: str, command: Coroutine[Any, Any, _Result]) -> Deferred[_Result]:
        """Run a command to its end, whether its caller waits or not."""
        running = Deferred.fromCoroutine(command).addBoth(self._report_outcome, action)
        return OneShotObserver(running).when_fired()

    def _report_outcome(self, result: _Result, action: str) -> _Result:
        outcome = public_error(result.value)[1] if isinstance(result, Failure) else "ok"
        self.on_outcome(action, outcome)
        return result

    # -- the same command again

    def _run_once(self, action: str, body: JsonObject, begin: Callable[[], Any]) -> OrderUpdates:
        ids = [*dict.fromkeys(ticket.client_order_ids(body))]
        for name in ids:
            if name in self._commands_in_progress:
                first, shared = self._commands_in_progress[name]
                if first != (action, body):
                    return fail(_id_conflict(name))
                return shared.when_fired().addCallback(_as_repeated)
            if not self.journal.has_order(name):
                if any(self._account_state.index.by_client(name)):  # of somebody else
                    return fail(_id_conflict(name))
                continue
            return Deferred.fromCoroutine(self._repeat(name, action, body))
        running: OrderUpdates = Deferred()
        shared = OneShotObserver(running)
        self._commands_in_progress |= dict.fromkeys(ids, ((action, body), shared))
        shared.call_when_fired(lambda: [self._commands_in_progress.pop(name) for name in ids])
        waiting = shared.when_fired()
        Deferred.fromCoroutine(begin()).addBoth(self._report_outcome, action).addBoth(running.callback)
        return waiting

    async def _repeat(self, name: str, action: str, body: JsonObject) -> list[Fields]:
        """Answer a command whose ClientOrderID the journal has."""
        try:
            command = await self.journal.find_command(name)
        except JournalFailed:
            if action != "flatten":  # positions are closed whatever the disk does
                raise
            command = None
        if command is None or (command.action, command.request) != (action, body):
            raise _id_conflict(name)
        return await self._recorded_answer(command)

    def _recorded_answer(self, command: Command) -> OrderUpdates:
        """Answer a command again, with the latest outcome that the server stated."""
        orders = [order for order in map(self._account_state.sent_order, command.client_order_ids) if order is not None]
        outcomes = [new_order_outcome(order) for order in orders]
        if None in outcomes or not outcomes:
            return fail(OutcomeUnknown("Nobody knows yet what became of it.", [order.to_fields for order in orders]))
        answer = succeed([each for each in outcomes if each is not None]).addCallback(raise_if_rejected, NEW)
        return answer.addCallback(_as_repeated)

    # -- commands

    async def _submit(self, action: str, body: JsonObject, trader: Trader) -> list[Fields]:
        messages, display = self._parse_new(action, body)
        names = [order.client_order_id for order in orders_from_messages(messages)]
        prepared = PreparedOrders(names, messages[0].TradeAccount, messages[0].Symbol, trader.name)
        with self._preparation.watch(prepared):
            messages, orders = await self._prepare_new(action, messages, trader, display=display)
        self._count_orders(len(orders), trader)

        def check() -> None:
            self._halts.halts.check(orders[0].trade_account, orders[0].symbol)
            self._canceler.check_not_requested(orders)

        try:
            command = AcceptedCommand(action, trader.name, body, messages, orders, check=check)
            return raise_if_rejected(await self._sender.send(command), NEW)
        finally:
            self._canceler.on_not_sent([order for order in orders if not order.sent_at])

    async def _check_new(self, action: str, body: JsonObject, trader: Trader) -> list[Fields]:
        messages, display = self._parse_new(action, body)
        _, orders = await self._prepare_new(action, messages, trader, display=display)
        return [self._would_be(order, order.quantity) for order in orders]

    def _parse_new(self, action: str, body: JsonObject) -> tuple[list[Any], bool]:
        """Return the messages of new orders, and whether they have display prices."""
        display, fields = ticket.split_price_option(body)
        now = self._now()
        return with_client_order_ids(_PARSERS[action](fields, now), now), display

    async def _prepare_new(
        self, action: str, messages: list[Any], trader: Trader, *, display: bool
    ) -> tuple[list[Message], list[Order]]:
        """Check new orders. Return the messages to send, and the orders."""
        account, symbol = messages[0].TradeAccount, messages[0].Symbol
        self._check_scope(trader, account, symbol)
        self._check_tradable(action, account, symbol)
        self._check_account_known(account)
        definition = await self._definition(symbol)
        messages = [with_server_prices(each, definition, display=display) for each in messages]
        orders = orders_from_messages(messages)
        prices = await self._prices(orders, trader)
        self._check_tradable(action, account, symbol)
        self._check_limits(orders, trader, definition, prices)
        return messages, orders

    def _would_be(self, order: Order, quantity: float) -> Fields:
        position = self._account_state.position(order.trade_account, order.symbol)
        sign = 1 if order.buy_sell == BuySellEnum.BUY else -1
        return order.fields | {"PositionQuantity": position, "PositionIfFilled": position + sign * quantity}

    async def _flatten(self, body: JsonObject, trader: Trader) -> list[Fields]:
        message = ticket.parse_flatten(body)
        self._check_scope(trader, message.TradeAccount or "", message.Symbol or "")
        return await self._closer.flatten(
            body,
            trader.name,
            lambda account, symbol: all(each.permits(account, symbol) for each in self._scopes(trader)),
        )

    async def _replace(self, order_id: str, body: JsonObject, trader: Trader) -> list[Fields]:
        change, order, _ = await self._prepare_change(order_id, body, trader)
        self._count_orders(1, trader)
        command = AcceptedCommand(
            *("replace", trader.name, body, [change], [order], CHANGE),
            check=lambda: self._halts.halts.check(order.trade_account, order.symbol),
        )
        return raise_if_rejected(await self._sender.send(command), CHANGE)

    async def _check_replace(self, order_id: str, body: JsonObject, trader: Trader) -> list[Fields]:
        _, order, changed = await self._prepare_change(order_id, body, trader)
        return [self._would_be(changed, changed.quantity - order.filled)]

    async def _prepare_change(self, order_id: str, body: JsonObject, trader: Trader) -> tuple[Message, Order, Order]:
        """Parse and check a change.

        Return the message to send, the order, and the order after the change.
        """
        display, fields = ticket.split_price_option(body)
        order = self._open_order(order_id, trader)
        require_open(order)
        if not order.trade_account:
            raise Conflict(f"Order {order.display_id} cannot be changed: the server does not state its TradeAccount.")
        change = ticket.parse_replace(fields, order.order_type, self._now())
        self._check_tradable("replace", order.trade_account, order.symbol)
        definition = await self._definition(order.symbol)
        change = with_server_prices(change, definition, display=display)
        changed = order.changed_by(change)
        prices = await self._prices([changed], trader)
        require_open(order)
        self._check_tradable("replace", order.trade_account, order.symbol)
        if order.has_pending(CHANGE):
            raise Conflict(f"Another change of order {order.display_id} is under way.")
        if changed.quantity <= order.filled:
            raise BadOrder([f"Quantity: expected more than what is filled already, {order.filled:g}."])
        self._check_limits([changed], trader, definition, prices, replaced=order)
        return replace(change, **identifiers_of(order)), order, changed

    def _on_loss(self, account: str, reason: str) -> None:
        halting = Deferred.fromCoroutine(self._halts.halt_account(account, reason))
        halting.addErrback(lambda failure: _log.failure("Failed to halt an account", failure))

    def _record_day(self, day: dict[str, Any]) -> None:
        recording = Deferred.fromCoroutine(self._sender.record(AcceptedCommand("day", GATEWAY, day, insists=True)))
        recording.addErrback(lambda failure: failure.trap(JournalFailed))

    # -- what may be done

    def _scopes(self, trader: Trader) -> list[TradingScope]:
        return [self._limits.scope, trader.scope]

    def _check_scope(self, trader: Trader, account: str, symbol: str) -> None:
        for scope in self._scopes(trader):
            scope.check(account, symbol)

    def _check_account_known(self, account: str) -> None:
        """Raise NotPermitted for an account that the server has not listed.

        Another spelling of an account would have limits of its own.
        """
        accounts = self._reconciler.accounts
        if account not in accounts:
            raise NotPermitted(
                f"TradeAccount: {account} is not one of the server's: {', '.join(accounts[:20]) or 'it lists none'}."
            )

    def _check_tradable(self, action: str, account: str, symbol: str) -> None:
        """Raise if an account cannot have new orders of a symbol now."""
        self._halts.halts.check(account, symbol)
        session = self._sender.require_ready()
        for name in ("TradingIsSupported", _LOGON_FLAGS[action]):
            if getattr(session.logon, name) != 1:
                raise RequestRejected(f"The server does not support this: {name} is not 1.")
        disabled = self._losses.disabled(account)
        if disabled:
            raise Conflict(f"New orders are not taken: {disabled}.")
        not_known = self._losses.not_known(account)
        if not_known:
            raise NotPermitted(not_known)
        for doubtful in self._account_state.unknown(account):
            if not doubtful.acknowledged_by:
                raise Conflict(
                    f"The outcome of order {doubtful.display_id} is unknown ({doubtful.unknown_reason}); "
                    f"account {account} takes no new orders until it is settled."
                )

    def _check_limits(
        self,
        orders: list[Order],
        trader: Trader,
        definition: SecurityDefinitionResponse,
        prices: MarketPrices | None,
        replaced: Order | None = None,
    ) -> None:
        """Check whether orders are within the limits."""
        now = self._clock.seconds()
        limits = [self._limits, trader.limits]
        for each in limits:
            each.check(orders, self._account_state, self._fills, definition, prices, replaced)
            each.check_rate(len(orders), now)

    def _count_orders(self, count: int, trader: Trader) -> None:
        for each in (self._limits, trader.limits):
            each.count_orders(count, self._clock.seconds())

    async def _prices(self, orders: list[Order], trader: Trader) -> MarketPrices | None:
        """Return the market's prices if a limit needs them."""
        option = self._limits.needs_prices(orders) or trader.limits.needs_prices(orders)
        return await fetch_prices(self._fetch_prices, orders[0].symbol, option) if option else None

    async def _definition(self, symbol: str) -> SecurityDefinitionResponse:
        try:
            definition = await self._definitions.definition(symbol)
        except RequestTimedOut as error:
            raise NotReady(f"What prices of {symbol} mean is not known, nothing was sent: {error}") from None
        if not isinstance(definition.MinPriceIncrement, float) or not definition.MinPriceIncrement > 0:
            raise RequestRejected(f"The server has no MinPriceIncrement of {symbol}, so that prices cannot be checked.")
        return definition

    def _open_order(self, order_id: str, trader: Trader) -> Order:
        """Return an open order. Raises NoSuchOrder, NotPermitted or Conflict."""
        self._sender.require_ready()
        order = self._account_state.order(order_id)
        if order is None:
            raise NoSuchOrder(f"No order {order_id} is known.")
        self._check_scope(trader, order.trade_account, order.symbol)
        if not order.is_open:
            raise Conflict(f"Order {order.display_id} is not open: it is {status_text(order.status)}.")
        return order


def _as_repeated(answer: list[Fields]) -> list[Fields]:
    """Return the answer to a repeated command, which was not sent again."""
    return [each | {"Repeated": True} for each in answer]


def _id_conflict(name: str) -> Conflict:
    return Conflict(f"ClientOrderID: {name} is the id of another order.")
