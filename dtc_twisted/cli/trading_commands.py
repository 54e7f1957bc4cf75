"""Define the subcommands of orders.

Those that trade ask first, unless --yes is given.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from dtc_twisted.cli.output import write_error, write_fields, write_json, write_orders, write_table
from dtc_twisted.cli.shared_options import SharedOptions, pass_options
from dtc_twisted.client import ApiError

_YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
_ACCOUNT = click.option("--account", help="The trade account.")
_SYMBOL = click.option("--symbol", help="The symbol.")


@click.command()
@_ACCOUNT
@_SYMBOL
@click.option("--all", "show_all", is_flag=True, help="Show the orders that are over as well.")
@pass_options
def orders(options: SharedOptions, account: str | None, symbol: str | None, show_all: bool) -> None:
    """Show the open orders."""
    with options.client() as client:
        found = client.orders(account, symbol)
    if not show_all:
        found = [order for order in found if order.outcome_unknown or order.is_open]
    write_orders(found, as_json=options.as_json)


def _order_command(side: str) -> Callable[..., None]:
    @click.command(side, help=f"{side.capitalize()}: a market order, or with --limit or --stop another.")
    @click.argument("quantity", type=float)
    @click.argument("symbol")
    @click.option("--account", required=True, help="The trade account.")
    @click.option("--limit", type=float, help="Limit price (display price).")
    @click.option("--stop", type=float, help="Stop price (display price).")
    @click.option("--tif", default="DAY", show_default=True, help="Time in force: DAY, GTC, IOC, FOK.")
    @click.option("--id", "client_order_id", help="ClientOrderID. By default a new one.")
    @click.option("--check", is_flag=True, help="Only check the order; nothing is sent.")
    @_YES
    @pass_options
    def place(
        options: SharedOptions,
        quantity: float,
        symbol: str,
        account: str,
        limit: float | None,
        stop: float | None,
        tif: str,
        client_order_id: str | None,
        check: bool,
        yes: bool,
    ) -> None:
        kind = {(False, False): "MARKET", (True, False): "LIMIT", (False, True): "STOP", (True, True): "STOP_LIMIT"}
        order_type = kind[limit is not None, stop is not None]
        at = "".join(f" {name} {price:g}" for name, price in (("stop", stop), ("limit", limit)) if price is not None)
        text = f"{side.capitalize()} {quantity:g} {symbol} in {account},{at or ' market'} {tif}"
        if not check:
            ask(text, options, yes=yes)
        price, stop_price = (limit, stop) if order_type == "STOP_LIMIT" else (limit if stop is None else stop, None)
        with options.client() as client:
            order = client.place_order(
                *(symbol, account, side.upper(), order_type, quantity, price),
                stop_price=stop_price,
                time_in_force=tif,
                client_order_id=client_order_id,
                check=check,
            )
        write_orders([order], as_json=options.as_json)

    return place


def ask(text: str, options: SharedOptions, *, yes: bool) -> None:
    """Ask on stderr whether to go on; end with status 1 if not. yes: do not ask."""
    if not yes:
        click.confirm(f"{text} at {options.url}?", abort=True, err=True)


@click.command()
@click.argument("order_ids", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All open orders, of --account and --symbol if given.")
@_ACCOUNT
@_SYMBOL
@_YES
@pass_options
def cancel(
    options: SharedOptions, order_ids: tuple[str, ...], every: bool, account: str | None, symbol: str | None, yes: bool
) -> None:
    """Cancel orders, by ClientOrderID or ServerOrderID."""
    if every == bool(order_ids):
        raise click.UsageError("Name orders, or say --all.")
    what = f"all open orders{_scope(account, symbol)}" if every else ", ".join(order_ids)
    ask(f"Cancel {what}", options, yes=yes)
    with options.client() as client:
        if every:
            write_orders(client.cancel_all(account, symbol), as_json=options.as_json)
            return
        outcomes = client.cancel_orders(order_ids)
    errors = [each.error for each in outcomes if each.error is not None]
    if len(errors) < len(outcomes):
        write_orders([order for each in outcomes for order in each.orders], as_json=options.as_json)
    _raise_all(errors)


def _scope(account: str | None, symbol: str | None) -> str:
    """Return the account and symbol of a command, for a question."""
    return "".join(f" {what} {name}" for what, name in (("in", account), ("of", symbol)) if name)


def _raise_all(errors: list[ApiError]) -> None:
    """Print all errors but one, and raise that one, which decides the exit status."""
    errors.sort(key=lambda error: error.type == "OutcomeUnknown")
    for error in errors[:-1]:
        write_error(str(error))
    if errors:
        raise errors[-1]


@click.command()
@click.argument("account")
@_SYMBOL
@_YES
@pass_options
def flatten(options: SharedOptions, account: str, symbol: str | None, yes: bool) -> None:
    """Close the positions of an account, or the one of --symbol."""
    ask(f"Close {symbol or 'all positions'} of {account}", options, yes=yes)
    with options.client() as client:
        write_orders(client.flatten(account, symbol), as_json=options.as_json)


@click.command()
@_ACCOUNT
@_SYMBOL
@click.option("--flatten", "close", is_flag=True, help="Close positions as well.")
@_YES
@pass_options
def halt(options: SharedOptions, account: str | None, symbol: str | None, close: bool, yes: bool) -> None:
    """Take no new orders, and cancel the open ones."""
    ask(f"Halt trading{_scope(account, symbol)}{', and close positions' if close else ''}", options, yes=yes)
    with options.client() as client:
        write_orders(client.halt(account, symbol, flatten=close or None), as_json=options.as_json)


@click.command()
@_ACCOUNT
@_SYMBOL
@_YES
@pass_options
def resume(options: SharedOptions, account: str | None, symbol: str | None, yes: bool) -> None:
    """Take orders again after a halt."""
    ask(f"Resume trading{_scope(account, symbol)}", options, yes=yes)
    with options.client() as client:
        write_fields(client.resume(account, symbol), as_json=options.as_json)


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Entries, newest first.")
@click.option("--id", "client_order_id", help="Only entries about this order.")
@pass_options
def journal(options: SharedOptions, limit: int, client_order_id: str | None) -> None:
    """Show the journal of orders."""
    with options.client() as client:
        entries = client.journal(limit=limit, client_order_id=client_order_id)
    if options.as_json:
        write_json(entries)
        return
    write_table(("id", "time", "what", "who", "order"), [_journal_row(each) for each in entries])


def _journal_row(entry: dict[str, Any]) -> list[object]:
    at = datetime.fromtimestamp(entry["at"], UTC) if "at" in entry else ""
    message = entry.get("message") or {}
    ids = entry.get("client_order_ids") or [message.get("ClientOrderID") or message.get("ServerOrderID", "")]
    what = entry.get("action") or f"update, status {message.get('OrderStatus', '')}"
    return [entry["id"], at, what, entry.get("who", ""), ", ".join(ids)]


buy, sell = _order_command("buy"), _order_command("sell")
TRADING_COMMANDS: tuple[Any, ...] = (orders, buy, sell, cancel, flatten, halt, resume, journal)
