"""Run order commands for REST and for /stream.

Commands, rules, journal and idempotency are the same for both.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.python.failure import Failure

from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.errors import BadParameter, NotPermitted
from dtc_twisted.orders import DISCONNECTED, RENEWED, Fields, OrderManager, Trader
from dtc_twisted.web.error_json import error_json
from dtc_twisted.web.query import OutputOptions

ConverterGetter = Callable[..., Deferred[DisplayConverter]]
"""A function that returns the converter of a symbol, such as SecurityDefinitions.converter."""

MAX_LIST = 100
"""Largest number of commands in one list."""
MAX_SECONDS = 86400.0
"""Longest time of a dead man's switch, in seconds."""

SUBMIT_ACTIONS = ("submit", "oco", "bracket")


def _take_check(fields: Fields) -> tuple[bool, Fields]:
    """Split the option `check` from the other fields. Raises BadParameter.

    If `check` is true, the command is checked and not sent.
    """
    rest = dict(fields)
    check = rest.pop("check", False)
    if not isinstance(check, bool):
        raise BadParameter("check: expected true or false.")
    return check, rest


def submit(manager: OrderManager, action: str, fields: Fields, trader: Trader) -> Deferred[list[Fields]]:
    """Place new orders, or only check them if `check` is true."""
    check, body = _take_check(fields)
    return (manager.check if check else manager.submit)(action, body, trader)


def replace(manager: OrderManager, order_id: str, fields: Fields, trader: Trader) -> Deferred[list[Fields]]:
    """Change an order, or only check the change if `check` is true."""
    check, body = _take_check(fields)
    return (manager.check_replace if check else manager.replace)(order_id, body, trader)


def convert(rows: Sequence[Fields], options: OutputOptions, get_converter: ConverterGetter) -> Deferred[list[Fields]]:
    """Convert the prices and times of rows, each row by its Symbol."""

    async def convert_each() -> list[Fields]:
        if not options.display_prices and not options.iso_times:
            return [*rows]
        plain = DisplayConverter(prices=False, times=options.iso_times)
        converted = []
        for row in rows:
            symbol = row.get("Symbol") if options.display_prices else None
            converter = await get_converter(symbol, times=options.iso_times) if symbol else plain
            converted.append(converter(row))
        return converted

    return Deferred.fromCoroutine(convert_each())


def options_of(body: Fields) -> OutputOptions:
    """Return the output options of an answer: display prices if a body has them."""
    return OutputOptions(display_prices=body.get("prices") == "display")


def require_manager(manager: OrderManager | None) -> OrderManager:
    """Return the manager.

    Raises NotPermitted if order entry is off, and NotLoggedOn in a standby.
    """
    if manager is None:
        raise NotPermitted("Order entry is off: the gateway was started without --allow-trading.")
    manager.require_origin()
    return manager


def place_list(
    manager: OrderManager, fields: Fields, trader: Trader, get_converter: ConverterGetter
) -> Deferred[list[Fields]]:
    """Place several single orders: `{"orders": [...]}`.

    Each order has its own outcome.

    The result has one row for each order, in the order of the list: `success`, and `updates` or `error`.
    """
    bodies = _list_of(fields, "orders", lambda each: isinstance(each, dict), "orders as for POST /orders")

    def place(body: Fields) -> Deferred[list[Fields]]:
        return submit(manager, "submit", body, trader).addCallback(convert, options_of(body), get_converter)

    return each_outcome([partial(place, body) for body in bodies])


def cancel_list(manager: OrderManager, fields: Fields, trader: Trader) -> Deferred[list[Fields]]:
    """Cancel several orders: `{"ids": [...]}`. The result is as that of `place_list`."""
    ids = _list_of(fields, "ids", lambda each: isinstance(each, str) and bool(each), "ids of orders")
    return each_outcome([partial(manager.cancel, name, trader) for name in ids])


def each_outcome(commands: Sequence[Callable[[], Deferred[list[Fields]]]]) -> Deferred[list[Fields]]:
    """Start all commands, in order, and collect the outcome of each."""
    outcomes = [maybeDeferred(command).addCallbacks(_success, error_row) for command in commands]
    return DeferredList(outcomes).addCallback(lambda results: [row for _, row in results])


def set_dead_man_switch(manager: OrderManager, fields: Fields, trader: Trader) -> Fields:
    """Arm or renew the caller's dead man's switch, from `{"seconds": S}`.

    S = 0 disarms the switch. Raises BadParameter.
    """
    reject_others(fields, ("seconds",))
    seconds = seconds_of(fields, "seconds")
    if seconds:
        manager.switches.arm(trader, RENEWED, seconds)
    else:
        manager.switches.disarm(trader, RENEWED)
    return {"seconds": seconds}


def connection_lost(manager: OrderManager, trader: Trader, after: float) -> None:
    """Cancel the caller's orders `after` seconds from now.

    Nothing is canceled if `connection_back` is called before.
    """
    manager.switches.arm_earliest(trader, DISCONNECTED, after)


def connection_back(manager: OrderManager, trader: Trader) -> None:
    """Withdraw the cancel that `connection_lost` planned."""
    manager.switches.disarm(trader, DISCONNECTED)


def seconds_of(fields: Fields, name: str) -> float:
    """Return a number of seconds. Raises BadParameter."""
    value: Any = fields.get(name)
    if type(value) not in (int, float) or not 0 <= value <= MAX_SECONDS:
        raise BadParameter(f"{name}: expected a number of seconds from 0 to {MAX_SECONDS:g}.")
    return float(value)


def reject_others(fields: Fields, names: Sequence[str]) -> None:
    """Raise BadParameter for fields that a command does not have."""
    for name in fields:
        if name not in names:
            raise BadParameter(f"{name[:100]}: not a field of this; expected {', '.join(names) or 'none'}.")


def error_row(failure: Failure) -> Fields:
    """Return what a caller sees of a command that failed."""
    retry_after = getattr(failure.value, "retry_after", None)
    details = {} if retry_after is None else {"retry_after": retry_after}
    return error_json(failure, failure.value, "an order command", **details)


def _success(updates: list[Fields]) -> Fields:
    return {"success": True, "updates": updates}


def _list_of(fields: Fields, name: str, is_item: Callable[[Any], bool], expected: str) -> list[Any]:
    reject_others(fields, (name,))
    items = fields.get(name)
    if not isinstance(items, list) or not 0 < len(items) <= MAX_LIST or not all(map(is_item, items)):
        raise BadParameter(f"{name}: expected a list of 1 to {MAX_LIST} {expected}.")
    return items
