"""Parse and check new orders and changes before they are sent."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.clocks import wall_time
from dtc_twisted.definitions.security_definitions import SecurityDefinitions
from dtc_twisted.dtc.messages import BuySellEnum, Message, OrderUpdate, SecurityDefinitionResponse
from dtc_twisted.errors import BadOrder, Conflict, NoSuchOrder, NotPermitted, NotReady, RequestRejected, RequestTimedOut
from dtc_twisted.orders import parsing
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.daily_loss import DailyLoss
from dtc_twisted.orders.halts import Halts
from dtc_twisted.orders.market_prices import FetchPrices, MarketPrices, fetch_prices
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_messages import orders_from_messages, with_client_order_ids, with_server_prices
from dtc_twisted.orders.outcomes import CHANGE, Fields, status_text
from dtc_twisted.orders.parsing import JsonObject
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.risk_limits import RiskLimits, Trader
from dtc_twisted.orders.sender import CommandSender, identifiers_of, require_open
from dtc_twisted.orders.trading_scope import TradingScope
from dtc_twisted.orders.unsettled_fills import UnsettledFills

_PARSERS: dict[str, Callable[[JsonObject, float], Sequence[Message]]] = {
    "submit": lambda body, now: [parsing.parse_single(body, now)],
    "oco": lambda body, now: [parsing.parse_oco(body, now)],
    "bracket": parsing.parse_bracket,
}
_LOGON_FLAGS = {
    "submit": "TradingIsSupported",
    "oco": "OCOOrdersSupported",
    "bracket": "BracketOrdersSupported",
    "replace": "OrderCancelReplaceSupported",
}
"""Flag of LOGON_RESPONSE that states whether the server supports an action."""


class OrderChecks:
    """Apply all rules to new orders and changes. Nothing is sent.

    limits: those of the command line.
    fetch_prices: gets the present prices of a symbol.

    All methods raise BadOrder, NotPermitted, Conflict, NoSuchOrder, NotLoggedOn, NotReady, RequestRejected or
    TooManyOrders.
    """

    def __init__(
        self,
        clock: IReactorTime,
        state: AccountState,
        fills: UnsettledFills,
        reconciler: Reconciler,
        sender: CommandSender,
        definitions: SecurityDefinitions,
        halts: Halts,
        losses: DailyLoss,
        limits: RiskLimits,
        fetch_prices: FetchPrices,
    ) -> None:
        self._clock = clock
        self._state = state
        self._fills = fills
        self._reconciler = reconciler
        self._sender = sender
        self._definitions = definitions
        self._halts = halts
        self._losses = losses
        self._limits = limits
        self._fetch_prices = fetch_prices

    # -- called by OrderManager

    def parse_new(self, action: str, body: JsonObject) -> tuple[list[Any], bool]:
        """Return the messages of new orders, and whether they have display prices."""
        display, fields = parsing.split_price_option(body)
        now = wall_time(self._clock)
        return with_client_order_ids(_PARSERS[action](fields, now), now), display

    async def prepare_new(
        self, action: str, messages: list[Any], trader: Trader, *, display: bool
    ) -> tuple[list[Message], list[Order]]:
        """Check new orders. Return the messages to send, and the orders."""
        account, symbol = messages[0].TradeAccount, messages[0].Symbol
        self.check_scope(trader, account, symbol)
        self._check_tradable(action, account, symbol)
        self._check_account_known(account)
        waits = not self._definitions.is_known(symbol)
        definition = await self._definition(symbol)
        messages = [with_server_prices(each, definition, display=display) for each in messages]
        orders = orders_from_messages(messages)
        prices = await self._prices(orders, trader)
        if waits or prices is not None:  # meanwhile, trading may have been halted, or the session lost
            self._check_tradable(action, account, symbol)
        self._check_limits(orders, trader, definition, prices)
        return messages, orders

    async def prepare_change(self, order_id: str, body: JsonObject, trader: Trader) -> tuple[Message, Order, Order]:
        """Parse and check a change.

        Return the message to send, the order, and the order after the change.
        """
        display, fields = parsing.split_price_option(body)
        order = self._open_order(order_id, trader)
        require_open(order)
        if not order.trade_account:
            raise Conflict(f"Order {order.display_id} cannot be changed: the server does not state its TradeAccount.")
        change = parsing.parse_replace(fields, order.order_type, wall_time(self._clock))
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

    def would_be(self, order: Order, quantity: float) -> Fields:
        """Return an order as it would be sent, with the position after its fill."""
        position = self._state.position(order.trade_account, order.symbol)
        sign = 1 if order.buy_sell == BuySellEnum.BUY else -1
        positions = {"PositionQuantity": position, "PositionIfFilled": position + sign * quantity}
        return order.fields | {"Type": OrderUpdate.Type} | positions

    def scopes(self, trader: Trader) -> list[TradingScope]:
        """Return the scopes of the gateway and of a trader: both hold."""
        return [self._limits.scope, trader.scope]

    def check_scope(self, trader: Trader, account: str, symbol: str) -> None:
        """Raise NotPermitted for an account or symbol that a trader may not trade."""
        for scope in self.scopes(trader):
            scope.check(account, symbol)

    def count_orders(self, count: int, trader: Trader) -> None:
        """Count orders that are about to be sent in the rate limits."""
        for each in (self._limits, trader.limits):
            each.count_orders(count, self._clock.seconds())

    def rate_budget(self, trader: Trader) -> tuple[int, int] | None:
        """Return limit and remaining orders of the nearest rate limit; None: no limit."""
        now = self._clock.seconds()
        budgets = [each for each in (self._limits.rate_budget(now), trader.limits.rate_budget(now)) if each]
        return min(budgets, key=lambda each: each[1]) if budgets else None

    # -- inside

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
        self._halts.check(account, symbol)
        session = self._sender.require_ready()
        for name in ("TradingIsSupported", _LOGON_FLAGS[action]):
            if getattr(session.logon, name) != 1:
                raise RequestRejected(f"The server does not support this: {name} is not 1.")
        disabled_reason = self._losses.disabled_reason(account) or self._reconciler.disabled_reason(account)
        if disabled_reason:
            raise Conflict(f"New orders are not taken: {disabled_reason}.")
        unknown_reason = self._losses.unknown_reason(account)
        if unknown_reason:
            raise NotPermitted(unknown_reason)
        for doubtful in self._state.unknown(account):
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
            each.check(orders, self._state, self._fills, definition, prices, replaced)
            each.check_rate(len(orders), now)

    async def _prices(self, orders: list[Order], trader: Trader) -> MarketPrices | None:
        """Return the market's prices if a limit needs them."""
        option = self._limits.needs_prices(orders) or trader.limits.needs_prices(orders)
        return await fetch_prices(self._fetch_prices, orders[0].symbol, option) if option else None

    async def _definition(self, symbol: str) -> SecurityDefinitionResponse:
        try:
            definition = await self._definitions.definition(symbol)
        except RequestTimedOut as error:
            raise NotReady(f"What prices of {symbol} mean is not known, nothing was sent: {error}") from None
        if not (definition.MinPriceIncrement or 0) > 0:
            raise RequestRejected(f"The server has no MinPriceIncrement of {symbol}, so that prices cannot be checked.")
        return definition

    def _open_order(self, order_id: str, trader: Trader) -> Order:
        """Return an open order. Raises NoSuchOrder, NotPermitted or Conflict."""
        self._sender.require_ready()
        order = self._state.order(order_id)
        if order is None:
            raise NoSuchOrder(f"No order {order_id} is known.")
        self.check_scope(trader, order.trade_account, order.symbol)
        if not order.is_open:
            raise Conflict(f"Order {order.display_id} is not open: it is {status_text(order.status)}.")
        return order
