"""Orders, positions and balances: commands to the desk, and the live view of what came of them."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from dtc_twisted.access import caller
from dtc_twisted.display import Display
from dtc_twisted.errors import NoSuchOrder, NotPermitted
from dtc_twisted.orders import CHANNELS, Desk, Fields, Ledger, Reconciler
from dtc_twisted.query import BadParameter, Shape, arguments, no_others, shape
from dtc_twisted.rest.bodies import body
from dtc_twisted.rest.resource import Rest
from dtc_twisted.rest.site import as_json

MAX_ENTRIES = 1000
"""Of the journal, in one answer."""

_FILTERS = {
    "orders": ("TradeAccount", "Symbol"),
    "positions": ("TradeAccount", "Symbol"),
    "balances": ("TradeAccount",),
}
_JOURNAL = ("limit", "before", "TradeAccount", "Symbol", "ClientOrderID")


class Trading:
    """Adds the addresses to `rest`.

    display: gives what converts prices of a symbol.
    desk: None while order entry is off.
    """

    def __init__(
        self,
        rest: Rest,
        ledger: Ledger,
        reconciler: Reconciler,
        display: Callable[..., Deferred[Display]],
        desk: Desk | None,
    ) -> None:
        self._ledger = ledger
        self._reconciler = reconciler
        self._display = display
        self._desk_if_on = desk
        for channel in CHANNELS:
            rest.route("GET", f"/{channel}", self._lister(channel))
        rest.route("GET", "/orders/<order_id>", self._order)
        rest.route("GET", "/journal", self._journal)
        for action, path in (("submit", "/orders"), ("oco", "/orders/oco"), ("bracket", "/orders/bracket")):
            rest.route("POST", path, self._submitter(action), trade=True)
        rest.route("PATCH", "/orders/<order_id>", self._replace, trade=True)
        rest.route("DELETE", "/orders/<order_id>", self._cancel, trade=True)
        rest.route("POST", "/flatten", self._flatten, trade=True)
        rest.route("POST", "/cancelall", self._cancel_all, trade=True)
        rest.route("POST", "/trading/halt", self._halt, trade=True)
        rest.route("POST", "/trading/resume", self._resume, trade=True)

    @property
    def _desk(self) -> Desk:
        if self._desk_if_on is None:
            raise NotPermitted("Order entry is off: the gateway was started without --allow-trading.")
        return self._desk_if_on

    # -- the view

    def _lister(self, channel: str) -> Callable[[Any], Deferred[bytes]]:
        names = _FILTERS[channel]

        def answer(request: Any) -> Deferred[bytes]:
            wanted, args = _shape(request)
            no_others(args, names)
            wishes = {name: _text(args, name) for name in names if name.encode() in args}

            def read(_: object) -> Deferred[list[Fields]]:
                rows = [row for row in self._ledger.whole(channel) if wishes.items() <= row.items()]
                return self._shown(rows, wanted)

            return self._reconciler.want().addCallback(read).addCallback(lambda rows: as_json(request, rows))

        return answer

    def _order(self, request: Any, order_id: str) -> Deferred[bytes]:
        wanted, args = _shape(request)
        no_others(args, ())

        def read(_: object) -> Deferred[list[Fields]]:
            order = self._ledger.order(order_id)
            if order is None:
                raise NoSuchOrder(f"No order {order_id} is known.")
            return self._shown([order.state, *order.updates], wanted)

        def answer(rows: list[Fields]) -> bytes:
            return as_json(request, rows[0] | {"Updates": rows[1:]})

        return self._reconciler.want().addCallback(read).addCallback(answer)

    def _shown(self, rows: Sequence[Fields], wanted: Shape) -> Deferred[list[Fields]]:
        return Deferred.fromCoroutine(self._present(rows, wanted))

    async def _present(self, rows: Sequence[Fields], wanted: Shape) -> list[Fields]:
        if not wanted.display_prices and not wanted.iso_times:
            return [*rows]
        plain = Display(prices=False, times=wanted.iso_times)
        shown = []
        for row in rows:
            symbol = row.get("Symbol") if wanted.display_prices else None
            display = await self._display(symbol, times=wanted.iso_times) if symbol else plain
            shown.append(display(row))
        return shown

    # -- commands

    def _submitter(self, action: str) -> Callable[[Any], Deferred[bytes]]:
        def submit(request: Any) -> Deferred[bytes]:
            desk, fields = self._desk, _fields(request)
            answer = desk.submit(action, fields, caller(request).name)
            return self._answer(request, fields, answer, 201, is_one=action == "submit")

        return submit

    def _replace(self, request: Any, order_id: str) -> Deferred[bytes]:
        desk, fields = self._desk, _fields(request)
        return self._answer(request, fields, desk.replace(order_id, fields, caller(request).name), 200, is_one=True)

    def _cancel(self, request: Any, order_id: str) -> Deferred[bytes]:
        no_others(arguments(request), ())
        return self._answer(request, {}, self._desk.cancel(order_id, caller(request).name), 200, is_one=True)

    def _flatten(self, request: Any) -> Deferred[bytes]:
        desk, fields = self._desk, _fields(request)
        return self._answer(request, fields, desk.flatten(fields, caller(request).name), 201)

    def _cancel_all(self, request: Any) -> Deferred[bytes]:
        desk, fields = self._desk, _fields(request)
        return self._answer(request, fields, desk.cancel_all(fields, caller(request).name), 200)

    def _halt(self, request: Any) -> Deferred[bytes]:
        no_others(arguments(request), ())
        return self._answer(request, {}, self._desk.halt(caller(request).name), 200)

    def _resume(self, request: Any) -> Deferred[bytes]:
        no_others(arguments(request), ())
        desk = self._desk
        return desk.resume(caller(request).name).addCallback(lambda _: as_json(request, desk.status()))

    def _answer(
        self, request: Any, fields: Fields, answer: Deferred[list[Fields]], status: int, *, is_one: bool = False
    ) -> Deferred[bytes]:
        """The server's words; in display prices, when the command had them."""
        wanted = Shape(display_prices=fields.get("prices") == "display")

        def done(rows: list[Fields]) -> bytes:
            return as_json(request, rows[0] if is_one else rows, status if rows else 200)

        return answer.addCallback(self._shown, wanted).addCallback(done)

    # -- the journal

    def _journal(self, request: Any) -> bytes:
        args = arguments(request)
        no_others(args, _JOURNAL)
        filters = {
            own: _text(args, name)
            for name, own in (
                ("TradeAccount", "trade_account"),
                ("Symbol", "symbol"),
                ("ClientOrderID", "client_order_id"),
            )
            if name.encode() in args
        }
        limit = _number(args, "limit", 100, MAX_ENTRIES)
        before = _number(args, "before", None, 2**53)
        return as_json(request, self._desk.journal.entries(limit, before, **filters))


def _fields(request: Any) -> Fields:
    no_others(arguments(request), ())
    return body(request)


def _shape(request: Any) -> tuple[Shape, dict[bytes, list[bytes]]]:
    wanted, args = shape(arguments(request))
    if wanted.format not in (None, "json"):
        raise BadParameter(f"format: {wanted.format!r} was given; expected json.")
    return wanted, args


def _text(args: dict[bytes, list[bytes]], name: str) -> str:
    values = args[name.encode()]
    if len(values) > 1:
        raise BadParameter(f"{name}: given {len(values)} times; expected once.")
    return values[0].decode("utf-8", "replace")


def _number(args: dict[bytes, list[bytes]], name: str, default: Any, most: int) -> Any:
    if name.encode() not in args:
        return default
    text = _text(args, name)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= most:
        raise BadParameter(f"{name}: {text[:100]!r} was given; expected a whole number from 1 to {most}.")
    return int(text)
