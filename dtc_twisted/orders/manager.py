"""Check and run order commands.

Priorities, in this order: no order is sent twice; every order stays known; only permitted callers send orders. A
command that was begun is completed even if its caller leaves. If the server does not state the outcome in time, the
outcome is unknown. The order is marked, and its account accepts no new orders until reads of the server's state decide.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from dtc_twisted.clocks import wall_time
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.dtc.session import Handlers, Session
from dtc_twisted.errors import DTCError, JournalFailed, public_error
from dtc_twisted.journal import GATEWAY, Journal
from dtc_twisted.logs import logger
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.acknowledgement import acknowledge_order, restore_acknowledgements
from dtc_twisted.orders.cancel_commands import CancelCommands
from dtc_twisted.orders.cancels import OrderCanceler
from dtc_twisted.orders.daily_loss import DailyLoss
from dtc_twisted.orders.dead_man_switch import DeadManSwitches
from dtc_twisted.orders.flattening import PositionCloser
from dtc_twisted.orders.halt_control import HaltControl
from dtc_twisted.orders.halts import Halts
from dtc_twisted.orders.market_prices import FetchPrices
from dtc_twisted.orders.order_checks import OrderChecks
from dtc_twisted.orders.order_messages import client_order_ids_of
from dtc_twisted.orders.outcomes import CHANGE, NEW, Fields
from dtc_twisted.orders.parsing import JsonObject, parse_flatten
from dtc_twisted.orders.preparation import OrderPreparation, PreparedOrders
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.recovery import is_to_be_canceled, restore_from_journal
from dtc_twisted.orders.repeated_commands import OneShotObserver, RepeatedCommands
from dtc_twisted.orders.risk_limits import RiskLimits, Trader
from dtc_twisted.orders.sender import AcceptedCommand, CommandSender, raise_if_rejected
from dtc_twisted.orders.unsettled_fills import UnsettledFills

_log = logger(__name__)

OrderUpdates = Deferred[list[Fields]]
"""Fires with the ORDER_UPDATEs that state the outcome of a command, as objects of fields, one for each order."""


_Result = TypeVar("_Result")


class OrderManager(Service):
    """Check order commands, and pass them on.

    require_session: returns the session; raises NotLoggedOn.
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
        require_session: Callable[[], Session],
        definitions: SecurityDefinitions,
        state: AccountState,
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
        self.require_origin: Callable[[], None] = lambda: None
        """Raises NotLoggedOn while this gateway is a standby."""
        self._state = state
        self._reconciler = reconciler
        self._repeated = RepeatedCommands(state, journal, self._report_outcome)
        now = partial(wall_time, clock)
        self._sender = CommandSender(clock, require_session, state, reconciler, journal, timeout)
        self._fills = UnsettledFills(clock, state, reconciler.resync)
        self._canceler = OrderCanceler(clock, state, reconciler, self._sender, timeout)
        self._preparation = OrderPreparation()
        self._cancels = CancelCommands(
            *(clock, require_session, state, reconciler),
            *(self._canceler, self._preparation, limits.scope, timeout),
        )
        self._closer = PositionCloser(clock, state, self._fills, self._sender, journal, reconciler)
        self._losses = DailyLoss(*(now, state, definitions.definition, max_daily_loss), self._on_loss, self._record_day)
        self._halts = HaltControl(
            *(now, state, self._fills, reconciler, journal, self._sender),
            *(self._canceler, self._closer, limits.scope, self._losses.exceeded_reason, self._preparation),
        )
        self._checks = OrderChecks(
            *(clock, state, self._fills, reconciler, self._sender, definitions),
            *(self._halts.halts, self._losses, limits, fetch_prices),
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
        self._reconciler.restore()
        restore_from_journal(self.journal, self._state)
        restore_acknowledgements(self.journal, self._state)
        for order in self._state.unsettled():
            if order.is_in_flight and is_to_be_canceled(self.journal, order):
                self._canceler.cancel_when_acknowledged(order)
        self._reconciler.ensure_synced().addErrback(lambda failure: failure.trap(DTCError))

    def stopService(self) -> None:
        super().stopService()
        self._fills.stop()
        self._sender.stop()
        self.switches.stop()

    # -- from Upstream (SessionListener)

    def attach(self, session: Session) -> None:
        """Do nothing, because the Reconciler reads the state of the new session."""

    def detach(self, reason: str) -> None:
        self._sender.connection_lost(reason)

    # -- from REST

    def submit(self, action: str, body: JsonObject, trader: Trader) -> OrderUpdates:
        """Place new orders. action: "submit", "oco" or "bracket". trader: the caller.

        Of the same ClientOrderID and body there is one order, and one answer.
        """
        return self._repeated.run_once(action, body, lambda: self._submit(action, body, trader))

    def check(self, action: str, body: JsonObject, trader: Trader) -> OrderUpdates:
        """Check new orders as `submit` does, and send nothing.

        The result has one row for each order: its fields as they would be sent, `PositionQuantity`, and
        `PositionIfFilled`, the position if only this order were filled. Fails as `submit` does.
        """
        return self._run("check", self._check_new(action, body, trader))

    def check_replace(self, order_id: str, body: JsonObject, trader: Trader) -> OrderUpdates:
        """Check the change of an order as `replace` does, and send nothing.

        The result is like that of `check`.
        """
        return self._run("check", self._check_replace(order_id, body, trader))

    def rate_budget(self, trader: Trader) -> tuple[int, int] | None:
        """Return limit and remaining orders of the nearest rate limit; None: no limit."""
        return self._checks.rate_budget(trader)

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
        return self._repeated.run_once("flatten", body, lambda: self._flatten(body, trader))

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
                *(self._state, self._sender, order_id, body, trader.name),
                lambda account, symbol: self._checks.check_scope(trader, account, symbol),
            ),
        )

    @property
    def halts(self) -> Halts:
        """The halts in force."""
        return self._halts.halts

    def status(self) -> dict[str, Any]:
        """Return the state of order entry, for `/status`."""
        halts = [*self._halts.halts]
        return {
            "halted": next((each.since for each in halts if not each.trade_account and not each.symbol), None),
            "halts": [each.to_json() for each in halts],
            "ready": self._reconciler.is_synced,
            "reason": self._reconciler.reason,
            "journal": self.journal.failure_text or "ok",
            "unknown": [order.display_id for order in self._state.unknown()],
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

    # -- commands

    async def _submit(self, action: str, body: JsonObject, trader: Trader) -> list[Fields]:
        messages, display = self._checks.parse_new(action, body)
        prepared = PreparedOrders(
            client_order_ids_of(messages), messages[0].TradeAccount, messages[0].Symbol, trader.name
        )
        with self._preparation.watch(prepared):
            messages, orders = await self._checks.prepare_new(action, messages, trader, display=display)
        self._checks.count_orders(len(orders), trader)

        def check() -> None:
            self._halts.halts.check(orders[0].trade_account, orders[0].symbol)
            self._canceler.check_not_canceled(orders)

        try:
            command = AcceptedCommand(action, trader.name, body, messages, orders, check=check)
            return raise_if_rejected(await self._sender.send(command), NEW)
        finally:
            self._canceler.on_not_sent([order for order in orders if not order.sent_at])

    async def _check_new(self, action: str, body: JsonObject, trader: Trader) -> list[Fields]:
        self._repeated.check_unused(body)
        messages, display = self._checks.parse_new(action, body)
        _, orders = await self._checks.prepare_new(action, messages, trader, display=display)
        return [self._checks.would_be(order, order.quantity) for order in orders]

    async def _flatten(self, body: JsonObject, trader: Trader) -> list[Fields]:
        message = parse_flatten(body)
        self._checks.check_scope(trader, message.TradeAccount or "", message.Symbol or "")
        return await self._closer.flatten(
            body,
            trader.name,
            lambda account, symbol: all(each.permits(account, symbol) for each in self._checks.scopes(trader)),
        )

    async def _replace(self, order_id: str, body: JsonObject, trader: Trader) -> list[Fields]:
        change, order, _ = await self._checks.prepare_change(order_id, body, trader)
        self._checks.count_orders(1, trader)
        command = AcceptedCommand(
            *("replace", trader.name, body, [change], [order], CHANGE),
            check=lambda: self._halts.halts.check(order.trade_account, order.symbol),
        )
        return raise_if_rejected(await self._sender.send(command), CHANGE)

    async def _check_replace(self, order_id: str, body: JsonObject, trader: Trader) -> list[Fields]:
        _, order, changed = await self._checks.prepare_change(order_id, body, trader)
        return [self._checks.would_be(changed, changed.quantity - order.filled)]

    def _on_loss(self, account: str, reason: str) -> None:
        halting = Deferred.fromCoroutine(self._halts.halt_account(account, reason))
        halting.addErrback(lambda failure: _log.failure("Failed to halt an account", failure))

    def _record_day(self, day: dict[str, Any]) -> None:
        recording = Deferred.fromCoroutine(self._sender.record(AcceptedCommand("day", GATEWAY, day, insists=True)))
        recording.addErrback(lambda failure: failure.trap(JournalFailed))
