"""Orders, positions and balances: commands to the manager, and the live view of what came of them."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.errors import BadParameter, NoSuchOrder, NotPermitted
from dtc_twisted.orders import CHANNELS, AccountState, Fields, OrderManager, Reconciler, Trader
from dtc_twisted.web import order_commands
from dtc_twisted.web.access import principal_of
from dtc_twisted.web.query import (
    OutputOptions,
    parse_number,
    parse_output_options,
    parse_text,
    query_args,
    reject_unknown,
)
from dtc_twisted.web.rest.api import RestApi
from dtc_twisted.web.rest.journal_response import journal_response
from dtc_twisted.web.rest.json_body import json_object
from dtc_twisted.web.rest.resource import json_response

MAX_ENTRIES = 1000
"""Of the journal, in one answer."""

_FILTERS = {
    "orders": ("TradeAccount", "Symbol"),
    "positions": ("TradeAccount", "Symbol"),
    "balances": ("TradeAccount",),
}
_JOURNAL = ("limit", "before", "TradeAccount", "Symbol", "ClientOrderID")


class OrderRoutes:
    """Adds the addresses to `rest`.

    display: gives what converts prices of a symbol.
    manager: None while order entry is off.
    """

    def __init__(
        self,
        rest: RestApi,
        account_state: AccountState,
        reconciler: Reconciler,
        display: Callable[..., Deferred[DisplayConverter]],
        manager: OrderManager | None,
    ) -> None:
        self._account_state = account_state
        self._reconciler = reconciler
        self._display = display
        self._manager_or_none = manager
        for channel in CHANNELS:
            rest.route("GET", f"/{channel}", self._list_handler(channel))
        rest.route("GET", "/orders/<order_id>", self._order)
        rest.route("GET", "/journal", self._journal)
        for action, path in (("submit", "/orders"), ("oco", "/orders/oco"), ("bracket", "/orders/bracket")):
            rest.route("POST", path, self._submit_handler(action), trade=True)
        rest.route("PATCH", "/orders/<order_id>", self._replace, trade=True)
        rest.route("DELETE", "/orders/<order_id>", self._cancel, trade=True)
        rest.route("POST", "/flatten", self._flatten, trade=True)
        rest.route("POST", "/cancelall", self._cancel_all, trade=True)
        rest.route("POST", "/trading/halt", self._halt, trade=True)
        rest.route("POST", "/trading/resume", self._resume, trade=True)
        rest.route("POST", "/orders/list", self._list(order_commands.place_list), trade=True)
        rest.route("POST", "/orders/cancel", self._list(order_commands.cancel_list), trade=True)
        rest.route("POST", "/trading/deadman", self._dead_man_switch, trade=True)

    @property
    def _manager(self) -> OrderManager:
        if self._manager_or_none is None:
            raise NotPermitted("Order entry is off: the gateway was started without --allow-trading.")
        return self._manager_or_none

    # -- the view

    def _list_handler(self, channel: str) -> Callable[[Any], Deferred[bytes]]:
        names = _FILTERS[channel]

        def answer(request: Request) -> Deferred[bytes]:
            wanted, args = _output_options(request)
            reject_unknown(args, names)
            wishes = {name: parse_text(args, name) for name in names if name.encode() in args}

            def read(_: object) -> Deferred[list[Fields]]:
                rows = [row for row in self._account_state.snapshot(channel) if wishes.items() <= row.items()]
                return self._convert(rows, wanted)

            return (
                self._reconciler.ensure_synced()
                .addCallback(read)
                .addCallback(lambda rows: json_response(request, rows))
            )

        return answer

    def _order(self, request: Request, order_id: str) -> Deferred[bytes]:
        wanted, args = _output_options(request)
        reject_unknown(args, ())

        def read(_: object) -> Deferred[list[Fields]]:
            order = self._account_state.order(order_id)
            if order is None:
                raise NoSuchOrder(f"No order {order_id} is known.")
            return self._convert([order.to_fields, *order.updates], wanted)

        def answer(rows: list[Fields]) -> bytes:
            return json_response(request, rows[0] | {"Updates": rows[1:]})

        return self._reconciler.ensure_synced().addCallback(read).addCallback(answer)

    def _convert(self, rows: Sequence[Fields], wanted: OutputOptions) -> Deferred[list[Fields]]:
        return Deferred.fromCoroutine(self._convert_rows(rows, wanted))

    async def _convert_rows(self, rows: Sequence[Fields], wanted: OutputOptions) -> list[Fields]:
        if not wanted.display_prices and not wanted.iso_times:
            return [*rows]
        plain = DisplayConverter(prices=False, times=wanted.iso_times)
        shown = []
        for row in rows:
            symbol = row.get("Symbol") if wanted.display_prices else None
            display = await self._display(symbol, times=wanted.iso_times) if symbol else plain
            shown.append(display(row))
        return shown

    # -- commands

    def _submit_handler(self, action: str) -> Callable[[Any], Deferred[bytes]]:
        def submit(request: Request) -> Deferred[bytes]:
            manager, fields = self._manager, _fields(request)
            check, _ = order_commands.take_check(fields)
            answer = order_commands.submit(manager, action, fields, principal_of(request).trader)
            return self._answer(request, fields, answer, 200 if check else 201, is_one=action == "submit")

        return submit

    def _replace(self, request: Request, order_id: str) -> Deferred[bytes]:
        manager, fields = self._manager, _fields(request)
        answer = order_commands.replace(manager, order_id, fields, principal_of(request).trader)
        return self._answer(request, fields, answer, 200, is_one=True)

    def _cancel(self, request: Request, order_id: str) -> Deferred[bytes]:
        reject_unknown(query_args(request), ())
        return self._answer(request, {}, self._manager.cancel(order_id, principal_of(request).trader), 200, is_one=True)

    def _flatten(self, request: Request) -> Deferred[bytes]:
        manager, fields = self._manager, _fields(request)
        return self._answer(request, fields, manager.flatten(fields, principal_of(request).trader), 201)

    def _cancel_all(self, request: Request) -> Deferred[bytes]:
        manager, fields = self._manager, _fields(request)
        return self._answer(request, fields, manager.cancel_all(fields, principal_of(request).trader), 200)

    def _halt(self, request: Request) -> Deferred[bytes]:
        manager, fields = self._manager, _optional_fields(request)
        return self._answer(request, {}, manager.halt(fields, principal_of(request).trader), 200)

    def _resume(self, request: Request) -> Deferred[bytes]:
        manager, fields = self._manager, _optional_fields(request)
        resumed = manager.resume(fields, principal_of(request).trader)
        return resumed.addCallback(lambda _: json_response(request, manager.status()))

    def _list(
        self, run: Callable[[OrderManager, Fields, Trader, order_commands.ConverterOf], Deferred[list[Fields]]]
    ) -> Callable[[Any], Any]:
        def answer(request: Request) -> Deferred[bytes]:
            rows = run(self._manager, _fields(request), principal_of(request).trader, self._display)
            self._set_budget(request)
            return rows.addCallback(lambda rows: json_response(request, rows))

        return answer

    def _dead_man_switch(self, request: Request) -> bytes:
        state = order_commands.set_dead_man_switch(self._manager, _fields(request), principal_of(request).trader)
        return json_response(request, state)

    def _answer(
        self, request: Request, fields: Fields, answer: Deferred[list[Fields]], status: int, *, is_one: bool = False
    ) -> Deferred[bytes]:
        """Answer with the updates of the server; in display prices if the command had them."""
        self._set_budget(request)
        wanted = OutputOptions(display_prices=fields.get("prices") == "display")

        def done(rows: list[Fields]) -> bytes:
            return json_response(request, rows[0] if is_one else rows, status if rows else 200)

        return answer.addCallback(self._convert, wanted).addCallback(done)

    def _set_budget(self, request: Request) -> None:
        """Tell how many more orders the nearest rate limit lets pass."""
        budget = self._manager.rate_budget(principal_of(request).trader)
        if budget is not None:
            for name, value in zip(("RateLimit-Limit", "RateLimit-Remaining"), budget, strict=True):
                request.setHeader(name, str(value))

    # -- the journal

    def _journal(self, request: Request) -> Deferred[bytes | None]:
        args = query_args(request)
        reject_unknown(args, _JOURNAL)
        filters = {
            own: parse_text(args, name)
            for name, own in (
                ("TradeAccount", "trade_account"),
                ("Symbol", "symbol"),
                ("ClientOrderID", "client_order_id"),
            )
            if name.encode() in args
        }
        limit = parse_number(args, "limit", 100, MAX_ENTRIES)
        before = parse_number(args, "before", None, 2**53)
        journal = self._manager.journal

        def read(count: int, below: int | None) -> Deferred[list[Fields]]:
            return journal.find_entries(count, below, **filters)

        return Deferred.fromCoroutine(journal_response(request, limit, before, read))


def _fields(request: Request) -> Fields:
    reject_unknown(query_args(request), ())
    return json_object(request)


def _optional_fields(request: Request) -> Fields:
    """Of a command that may come without a body."""
    reject_unknown(query_args(request), ())
    content = request.content
    if content is None or not content.read(1):
        return {}
    content.seek(0)
    return json_object(request)


def _output_options(request: Request) -> tuple[OutputOptions, dict[bytes, list[bytes]]]:
    wanted, args = parse_output_options(query_args(request))
    if wanted.format not in (None, "json"):
        raise BadParameter(f"format: {wanted.format!r} was given; expected json.")
    return wanted, args
