"""Serve order commands, and the live state of orders, positions and balances."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.errors import BadParameter, NoSuchOrder
from dtc_twisted.journal import EntriesPage
from dtc_twisted.orders import CHANNELS, AccountState, Fields, OrderManager, Reconciler
from dtc_twisted.web import order_commands
from dtc_twisted.web.access import principal_of
from dtc_twisted.web.openapi.gateway_operations import CALLER
from dtc_twisted.web.openapi.order_operations import MAX_ENTRIES, ORDER_OPERATIONS
from dtc_twisted.web.query import (
    OutputOptions,
    parse_number,
    parse_output_options,
    parse_text,
    query_args,
    reject_unknown,
)
from dtc_twisted.web.rest.api import RestApi
from dtc_twisted.web.rest.journal_response import JournalReads, journal_response
from dtc_twisted.web.rest.json_body import json_object
from dtc_twisted.web.rest.resource import HandlerResult, json_response

_FILTERS = {
    "orders": ("TradeAccount", "Symbol"),
    "positions": ("TradeAccount", "Symbol"),
    "balances": ("TradeAccount",),
}
_JOURNAL = ("limit", "before", "TradeAccount", "Symbol", "ClientOrderID")


class OrderRoutes:
    """Add the paths to `rest`.

    get_converter: returns the converter of a symbol's prices.
    manager: runs order commands; None while order entry is off.
    """

    def __init__(
        self,
        rest: RestApi,
        account_state: AccountState,
        reconciler: Reconciler,
        get_converter: Callable[..., Deferred[DisplayConverter]],
        manager: OrderManager | None,
    ) -> None:
        self._rest = rest
        self._account_state = account_state
        self._reconciler = reconciler
        self._get_converter = get_converter
        self._manager_or_none = manager
        self._journal_reads = JournalReads(rest.clock)
        for channel in CHANNELS:
            self._route("GET", f"/{channel}", self._list_handler(channel))
        self._rest.route("GET", "/caller", self._caller, CALLER)
        self._route("GET", "/orders/<order_id>", self._order)
        self._route("GET", "/journal", self._journal)
        for action, path in (("submit", "/orders"), ("oco", "/orders/oco"), ("bracket", "/orders/bracket")):
            self._route("POST", path, self._submit_handler(action))
        self._route("PATCH", "/orders/<order_id>", self._replace)
        self._route("DELETE", "/orders/<order_id>", self._cancel)
        self._route("POST", "/orders/<order_id>/acknowledge", self._acknowledge)
        self._route("POST", "/flatten", self._flatten)
        self._route("POST", "/cancelall", self._cancel_all)
        self._route("POST", "/trading/halt", self._halt)
        self._route("POST", "/trading/resume", self._resume)
        self._route("POST", "/orders/list", self._place_list)
        self._route("POST", "/orders/cancel", self._cancel_list)
        self._route("POST", "/trading/deadman", self._dead_man_switch)

    def _route(self, method: str, path: str, handler: Callable[..., HandlerResult]) -> None:
        """Add a route. Everything but GET takes a token with the scope trade."""
        self._rest.route(method, path, handler, ORDER_OPERATIONS[method, path], trade=method != "GET")

    @property
    def _manager(self) -> OrderManager:
        return order_commands.require_manager(self._manager_or_none)

    def _caller(self, request: Request) -> bytes:
        reject_unknown(query_args(request), ())
        caller = principal_of(request)
        may_trade = caller.may_trade and self._manager_or_none is not None
        return json_response(request, {"name": caller.name, "may_trade": may_trade})

    # -- state

    def _list_handler(self, channel: str) -> Callable[[Request], Deferred[bytes]]:
        names = _FILTERS[channel]

        def respond(request: Request) -> Deferred[bytes]:
            options, args = _output_options(request)
            reject_unknown(args, names)
            filters = {name: parse_text(args, name) for name in names if name.encode() in args}

            def read(_: object) -> Deferred[list[Fields]]:
                rows = [row for row in self._account_state.snapshot(channel) if filters.items() <= row.items()]
                return self._convert(rows, options)

            return (
                self._reconciler.ensure_synced()
                .addCallback(read)
                .addCallback(lambda rows: json_response(request, rows))
            )

        return respond

    def _order(self, request: Request, order_id: str) -> Deferred[bytes]:
        options, args = _output_options(request)
        reject_unknown(args, ())

        def read(_: object) -> Deferred[list[Fields]]:
            order = self._account_state.order(order_id)
            if order is None:
                raise NoSuchOrder(f"No order {order_id} is known.")
            return self._convert([order.to_fields, *order.updates], options)

        def respond(rows: list[Fields]) -> bytes:
            return json_response(request, rows[0] | {"Updates": rows[1:]})

        return self._reconciler.ensure_synced().addCallback(read).addCallback(respond)

    def _convert(self, rows: Sequence[Fields], options: OutputOptions) -> Deferred[list[Fields]]:
        return order_commands.convert(rows, options, self._get_converter)

    # -- commands

    def _submit_handler(self, action: str) -> Callable[[Request], Deferred[bytes]]:
        def submit(request: Request) -> Deferred[bytes]:
            manager, fields = self._manager, _fields(request)
            rows = order_commands.submit(manager, action, fields, principal_of(request).trader)
            return self._answer(request, fields, rows, 200 if fields.get("check") else 201, is_one=action == "submit")

        return submit

    def _replace(self, request: Request, order_id: str) -> Deferred[bytes]:
        manager, fields = self._manager, _fields(request)
        rows = order_commands.replace(manager, order_id, fields, principal_of(request).trader)
        return self._answer(request, fields, rows, 200, is_one=True)

    def _cancel(self, request: Request, order_id: str) -> Deferred[bytes]:
        _answer_options(request)
        return self._answer(request, {}, self._manager.cancel(order_id, principal_of(request).trader), 200, is_one=True)

    def _acknowledge(self, request: Request, order_id: str) -> Deferred[bytes]:
        rows = self._manager.acknowledge(order_id, _optional_fields(request), principal_of(request).trader)
        return self._answer(request, {}, rows, 200, is_one=True)

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

    def _place_list(self, request: Request) -> Deferred[bytes]:
        _reject_query(request)
        trader = principal_of(request).trader
        rows = order_commands.place_list(self._manager, json_object(request), trader, self._get_converter)
        self._set_budget(request)
        return rows.addCallback(lambda rows: json_response(request, rows))

    def _cancel_list(self, request: Request) -> Deferred[bytes]:
        options = _answer_options(request)
        rows = order_commands.cancel_list(self._manager, json_object(request), principal_of(request).trader)

        async def convert(rows: list[Fields]) -> list[Fields]:
            return [
                row | {"updates": await self._convert(row["updates"], options)} if "updates" in row else row
                for row in rows
            ]

        rows.addCallback(lambda rows: Deferred.fromCoroutine(convert(rows)))
        return rows.addCallback(lambda rows: json_response(request, rows))

    def _dead_man_switch(self, request: Request) -> bytes:
        _reject_query(request)
        state = order_commands.set_dead_man_switch(self._manager, json_object(request), principal_of(request).trader)
        return json_response(request, state)

    def _answer(
        self, request: Request, fields: Fields, rows: Deferred[list[Fields]], status: int, *, is_one: bool = False
    ) -> Deferred[bytes]:
        """Answer with the updates of the server, after the requests that wait.

        Prices are display prices if the command had display prices, or if the query asks for them.
        """
        self._set_budget(request)
        options = _answer_options(request, fields)

        def respond(rows: list[Fields]) -> bytes:
            return json_response(request, rows[0] if is_one else rows, status if rows else 200)

        return rows.addCallback(self._rest.turns.after_waiting).addCallback(self._convert, options).addCallback(respond)

    def _set_budget(self, request: Request) -> None:
        """Set headers with the number of orders that the rate limits still permit."""
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

        def read(count: int, below: int | None) -> Deferred[EntriesPage]:
            return self._journal_reads.read(lambda: journal.find_page(count, below, **filters))

        return Deferred.fromCoroutine(journal_response(request, limit, before, read, self._rest.turns))


def _answer_options(request: Request, fields: Fields | None = None) -> OutputOptions:
    """Return the output options of a command.

    They are those of its query, and display prices if its body had display prices. Raises BadParameter.
    """
    display = fields is not None and fields.get("prices") == "display"
    if b"?" not in request.uri:
        return OutputOptions(display_prices=display)
    options, args = _output_options(request)
    reject_unknown(args, ())
    return replace(options, display_prices=display or options.display_prices)


def _reject_query(request: Request) -> None:
    reject_unknown(query_args(request), ())


def _fields(request: Request) -> Fields:
    _answer_options(request)
    return json_object(request)


def _optional_fields(request: Request) -> Fields:
    """Return the fields of a command whose body may be missing."""
    _answer_options(request)
    content = request.content
    if content is None or not content.read(1):
        return {}
    content.seek(0)
    return json_object(request)


def _output_options(request: Request) -> tuple[OutputOptions, dict[bytes, list[bytes]]]:
    options, args = parse_output_options(query_args(request))
    if options.format not in (None, "json"):
        raise BadParameter(f"format: {options.format!r} was given; expected json.")
    return options, args
