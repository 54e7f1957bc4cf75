"""Close positions.

A position is not closed twice: not while an order that closes it may be open, nor while the server's position does not
include the fills of one. An order that the server has not acknowledged for a minute, and does not have among the open
ones, is no obstacle. The server decides on the quantity by what it takes for the position: a second order would
open one on the other side.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from dtc_twisted.clocks import wall_time
from dtc_twisted.dtc.messages import SubmitFlattenPositionOrder
from dtc_twisted.errors import Conflict
from dtc_twisted.journal import Journal
from dtc_twisted.orders import parsing
from dtc_twisted.orders.account_state import AccountState
from dtc_twisted.orders.names import symbol_key
from dtc_twisted.orders.order import Order
from dtc_twisted.orders.order_messages import orders_from_messages, suffixed_id, with_client_order_ids
from dtc_twisted.orders.outcomes import NEW, Fields
from dtc_twisted.orders.parsing import JsonObject
from dtc_twisted.orders.reconciler import Reconciler
from dtc_twisted.orders.sender import AcceptedCommand, CommandSender, raise_if_rejected
from dtc_twisted.orders.unsettled_fills import SETTLED_AFTER, UnsettledFills


class PositionCloser:
    """Send orders that close positions."""

    def __init__(
        self,
        clock: IReactorTime,
        state: AccountState,
        fills: UnsettledFills,
        sender: CommandSender,
        journal: Journal,
        reconciler: Reconciler,
    ) -> None:
        self._clock = clock
        self._state = state
        self._fills = fills
        self._sender = sender
        self._journal = journal
        self._reconciler = reconciler

    async def flatten(self, body: JsonObject, principal: str, permits: Callable[[str, str], bool]) -> list[Fields]:
        """Close the position of a Symbol, or all permitted ones of a TradeAccount.

        Without a position there are no answers.

        permits: whether a symbol in an account may be traded.
        Raises Conflict when all of them are being closed.
        """
        message = parsing.parse_flatten(body)
        account, symbol = message.TradeAccount or "", message.Symbol or ""
        held = [
            name
            for name in self._fills.symbols_held(account)
            if permits(account, name) and (not symbol or symbol_key(name) == symbol_key(symbol))
        ]
        if not self._reconciler.is_synced and not held:
            if not symbol:
                self._sender.require_ready()
            held = [symbol]  # the server knows whether there is a position
        obstacles = {name: self._obstacle(account, name) for name in held}
        symbols = [name for name in held if not obstacles[name]]
        if not symbols:
            if held:
                raise Conflict(obstacles[held[0]])
            return []
        messages = self._messages(message, symbols)
        orders = orders_from_messages(messages)
        for order in orders:
            position = self._fills.held(account, order.symbol)
            if position:
                order.assume_closing(position)
        command = AcceptedCommand("flatten", principal, body, messages, orders, insists=True)
        return raise_if_rejected(await self._sender.send(command), NEW)

    def _obstacle(self, account: str, symbol: str) -> str:
        """Return why a position is not closed now; empty: it can be."""
        key = symbol_key(symbol)
        for order in self._state.open_orders(account):
            is_old = order.is_in_flight and self._age(order) > SETTLED_AFTER
            if order.closes_position and symbol_key(order.symbol) == key and not (is_old and order.unknown_reason):
                return f"Order {order.display_id} flattens {symbol} already; cancel it before another one is sent."
        stated, held = self._fills.stated(account, symbol), self._fills.held(account, symbol)
        if not self._fills.is_settled(account, symbol) and (abs(held) < abs(stated) or held * stated < 0):
            self._reconciler.resync()
            return (
                f"The server's position of {symbol} in {account}, {stated:g}, does not include fills yet that make it "
                f"{held:g}. It is read again: repeat this in a moment."
            )
        return ""

    def _age(self, order: Order) -> float:
        """Return the seconds since an order was sent."""
        if order.sent_clock is None:  # by an earlier process
            return abs(wall_time(self._clock) - order.sent_at)
        return self._clock.seconds() - order.sent_clock

    def _messages(
        self, message: SubmitFlattenPositionOrder, symbols: Sequence[str]
    ) -> list[SubmitFlattenPositionOrder]:
        """Return one message for each position.

        One message for the whole account is not used, because only orders with a ClientOrderID have an outcome.
        """
        (first,) = with_client_order_ids([message], wall_time(self._clock))
        messages, number = [], 0
        for symbol in symbols:
            number += 1
            while number > 1 and self._is_taken(suffixed_id(first.ClientOrderID, number)):
                number += 1
            name = suffixed_id(first.ClientOrderID, number)
            messages.append(replace(first, Symbol=symbol, ClientOrderID=name))
        return messages

    def _is_taken(self, client_order_id: str) -> bool:
        return self._journal.has_order(client_order_id) or any(self._state.index.by_client(client_order_id))
