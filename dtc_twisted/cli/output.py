"""Write results: as tables for users, or as JSON for programs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import msgspec
from msgspec import UNSET
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from dtc_twisted.client import OrderResult, time_of
from dtc_twisted.dtc.fields import field_types
from dtc_twisted.dtc.messages import DTCEnum, Message

STDOUT = Console(highlight=False)
STDERR = Console(stderr=True, highlight=False)
_MAX_WIDTH = 10_000
"""Widest table, in characters."""


def write_json(value: object) -> None:
    """Write a value as one line of JSON."""
    click.echo(msgspec.json.encode(value).decode())


def write_error(text: str) -> None:
    """Write one line about an error to stderr."""
    STDERR.print(text, style="red", markup=False, soft_wrap=True)


def write_fields(fields: Mapping[str, object], *, as_json: bool) -> None:
    """Write an object: as JSON, or with one field in each line."""
    if as_json:
        write_json(fields)
    else:
        write_table(("", ""), [(name, _plain(value)) for name, value in fields.items()])


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {each}" for name, each in value.items())
    return "" if value is None else str(value)


def write_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Write a table as wide as its content, so that no number is cut off.

    Numbers are aligned to the right.
    """
    rows = [[*row] for row in rows]
    table = Table(title=title or None, box=None, header_style="bold", pad_edge=False)
    for place, name in enumerate(columns):
        is_number = any(isinstance(row[place], int | float) and not isinstance(row[place], DTCEnum) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(text_of, row))
    if rows:
        table.width = Measurement.get(STDOUT, STDOUT.options.update(max_width=_MAX_WIDTH), table).maximum
        STDOUT.print(table, crop=False)
    else:
        STDERR.print("(none)")


def write_messages(messages: Sequence[Message], columns: Mapping[str, str], *, as_json: bool, title: str = "") -> None:
    """Write messages as JSON or as a table.

    columns: title of each field that is shown.
    """
    if as_json:
        write_json(messages)
        return
    write_table([*columns.values()], [[shown(row, name) for name in columns] for row in messages], title)


def write_orders(orders: Sequence[OrderResult], *, as_json: bool) -> None:
    """Write orders: as JSON, or as a table."""
    if as_json:
        write_json([fields_of_order(order) for order in orders])
        return
    columns = ("id", "account", "symbol", "side", "type", "quantity", "filled", "price", "status", "")
    names = (
        "TradeAccount",
        "Symbol",
        "BuySell",
        "OrderType",
        "OrderQuantity",
        "FilledQuantity",
        "Price1",
        "OrderStatus",
    )
    rows = []
    for order in orders:
        note = f"outcome unknown: {order.outcome_unknown}" if order.outcome_unknown else ""
        note = note or ("given before" if order.repeated else "")
        if order.position_if_filled is not None:
            note = f"checked, not sent; position if filled: {order.position_if_filled:.10g}"
        identifier = order.client_order_id or order.server_order_id
        rows.append([identifier, *(shown(order.update, name) for name in names), note])
    write_table(columns, rows)


def fields_of_order(order: OrderResult) -> dict[str, Any]:
    """Return an order as the API has it."""
    fields: dict[str, Any] = msgspec.to_builtins(order.update)
    marks = {"OutcomeUnknown": order.outcome_unknown, "Reconciled": order.reconciled, "Inferred": order.inferred}
    marks |= {"Repeated": order.repeated, "PositionQuantity": order.position}
    marks["PositionIfFilled"] = order.position_if_filled
    return fields | {name: value for name, value in marks.items() if value not in ("", False, None)}


def shown(message: Message, name: str) -> object:
    """Return the text of a field.

    Enumerations come by name, date-times as datetime, unset fields as an empty text.
    """
    value = getattr(message, name, UNSET)
    if value is UNSET:
        return ""
    if isinstance(value, DTCEnum):
        prefix = {"BuySellEnum": "", "OrderTypeEnum": "ORDER_TYPE_", "OrderStatusEnum": "ORDER_STATUS_"}
        return value.name.removeprefix(prefix.get(type(value).__name__, ""))
    field = field_types(type(message))[name]
    if field.unit is not None:
        return time_of(message, name) or ""
    return float(f"{value:.7g}") if field.width == 4 and isinstance(value, float) else value


def text_of(value: object) -> str:
    """Return a cell's text."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value).replace("[", "\\[")  # a bracket would begin a style
