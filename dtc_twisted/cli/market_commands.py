"""Define the subcommands that read."""

import csv
import sys

import click
import msgspec
from rich.live import Live as LiveDisplay
from rich.table import Table

from dtc_twisted.cli.download_progress import DownloadProgress
from dtc_twisted.cli.output import STDERR, STDOUT, shown, text_of, write_fields, write_json, write_messages, write_table
from dtc_twisted.cli.shared_options import SharedOptions, pass_options
from dtc_twisted.client import Disconnected, LocalQuotes, MarketUpdate, Stale

_QUOTE_COLUMNS = {
    "LastTradePrice": "last",
    "LastTradeVolume": "size",
    "BidPrice": "bid",
    "BidQuantity": "bid size",
    "AskPrice": "ask",
    "AskQuantity": "ask size",
    "SessionVolume": "volume",
    "LastTradeDateTime": "time (UTC)",
}
_BAR_COLUMNS = {
    "StartDateTime": "time (UTC)",
    "OpenPrice": "open",
    "HighPrice": "high",
    "LowPrice": "low",
    "LastPrice": "last",
    "Volume": "volume",
    "NumTrades": "trades",
}
_DEFINITION_COLUMNS = {
    "Symbol": "symbol",
    "Description": "description",
    "MinPriceIncrement": "tick",
    "Currency": "currency",
}
_POSITION_COLUMNS = {
    "TradeAccount": "account",
    "Symbol": "symbol",
    "Quantity": "quantity",
    "AveragePrice": "average price",
    "OpenProfitLoss": "open profit",
}
_BALANCE_COLUMNS = {
    "TradeAccount": "account",
    "AccountCurrency": "currency",
    "CashBalance": "cash",
    "BalanceAvailableForNewPositions": "available",
    "OpenPositionsProfitLoss": "open profit",
    "MarginRequirement": "margin",
}


@click.command()
@pass_options
def status(options: SharedOptions) -> None:
    """Show the state of the gateway."""
    with options.client() as client:
        write_fields(client.status(), as_json=options.as_json)


@click.command()
@click.argument("symbols", nargs=-1, required=True)
@pass_options
def quote(options: SharedOptions, symbols: tuple[str, ...]) -> None:
    """Show the last prices of symbols."""
    with options.client() as client:
        snapshots = {symbol: client.snapshot(symbol) for symbol in symbols}
    if options.as_json:
        write_json(snapshots)
        return
    rows = [[symbol, *(shown(row, name) for name in _QUOTE_COLUMNS)] for symbol, row in snapshots.items()]
    write_table(("symbol", *_QUOTE_COLUMNS.values()), rows)


@click.command()
@click.argument("symbols", nargs=-1, required=True)
@click.option("--count", type=click.IntRange(min=1), help="End after so many updates.")
@pass_options
def watch(options: SharedOptions, symbols: tuple[str, ...], count: int | None) -> None:
    """Show prices as they change, until Ctrl-C. With --json, an update a line."""
    quotes = LocalQuotes()
    left = count
    with options.client() as client, client.stream() as stream:
        stream.subscribe("marketdata", *symbols)
        with LiveDisplay(console=STDOUT, auto_refresh=False, transient=False) as display:
            for event in stream:
                if options.as_json and isinstance(event, MarketUpdate):
                    write_json({"Symbol": event.symbol, **msgspec.to_builtins(event.message)})
                elif isinstance(event, Disconnected):
                    STDERR.print(f"Disconnected: {event.reason}", style="yellow", markup=False)
                if quotes.apply(event) or isinstance(event, Stale):
                    if not options.as_json:
                        display.update(quote_table(symbols, quotes), refresh=True)
                    if isinstance(event, MarketUpdate) and left is not None:
                        left -= 1
                if left == 0:
                    return


def quote_table(symbols: tuple[str, ...], quotes: LocalQuotes) -> Table:
    """Make a table without the last columns, if the terminal is too narrow for all."""
    columns = [("symbol", *symbols)]
    for name, title in _QUOTE_COLUMNS.items():
        cells = (text_of(shown(quotes[each], name)) if each in quotes else "" for each in symbols)
        columns.append((title, *cells))
    while sum(max(map(len, column)) + 2 for column in columns) > STDOUT.width + 2 and len(columns) > 2:
        columns.pop()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column[0], justify="right" if place else "left", no_wrap=True)
    for place, symbol in enumerate(symbols, 1):
        cells = (column[place] for column in columns)
        table.add_row(*cells, style="dim" if symbol in quotes.stale else None)
    return table


@click.command()
@click.argument("symbol")
@click.option("--levels", type=click.IntRange(min=1), default=10, show_default=True, help="Levels of each side.")
@pass_options
def book(options: SharedOptions, symbol: str, levels: int) -> None:
    """Show the order book of a symbol."""
    with options.client() as client:
        found = client.book(symbol, levels)
    if options.as_json:
        write_json(found)
        return
    asks = [("", "", level.price, level.quantity) for level in reversed(found.asks)]
    bids = [(level.quantity, level.price, "", "") for level in found.bids]
    write_table(("bid size", "bid", "ask", "ask size"), [*asks, *bids], symbol)


@click.command()
@click.argument("symbol")
@click.option("--interval", default="1m", show_default=True, help="1s, 5m, 1h, 1d, 1w and the like, or seconds.")
@click.option("--days", type=click.IntRange(min=1), help="Days before the end of the data. [default: 1]")
@click.option("--start", help="First time, ISO 8601, UTC.")
@click.option("--end", help="Last time, ISO 8601, UTC.")
@click.option("--source", type=click.Choice(["auto", "file", "dtc"]), help="The server, or Sierra Chart's data files.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@pass_options
def bars(
    options: SharedOptions,
    symbol: str,
    interval: str,
    days: int | None,
    start: str | None,
    end: str | None,
    source: str | None,
    as_csv: bool,
) -> None:
    """Download historical bars. Progress is on stderr."""
    if days is None and start is None:
        days = 1
    with options.client() as client, DownloadProgress(start, end, days) as progress:
        rows = client.bars(symbol, interval, start=start, end=end, days=days, source=source, on_rows=progress)
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(_BAR_COLUMNS)
        for row in rows:
            cells = [shown(row, name) for name in _BAR_COLUMNS]
            writer.writerow([cell.isoformat() if hasattr(cell, "isoformat") else cell for cell in cells])
        return
    write_messages(rows, _BAR_COLUMNS, as_json=options.as_json)


@click.command()
@click.argument("text")
@click.option("--description", "by_description", is_flag=True, help="Search descriptions instead of symbols.")
@click.option("--exchange", help="Only symbols of this exchange.")
@pass_options
def search(options: SharedOptions, text: str, by_description: bool, exchange: str | None) -> None:
    """Search for symbols."""
    with options.client() as client:
        rows = client.search_symbols(text, by_description=by_description, exchange=exchange)
    write_messages(rows, _DEFINITION_COLUMNS, as_json=options.as_json)


@click.command()
@pass_options
def accounts(options: SharedOptions) -> None:
    """Show the balances of the trade accounts."""
    with options.client() as client:
        rows = client.balances()
    write_messages(rows, _BALANCE_COLUMNS, as_json=options.as_json)


@click.command()
@click.option("--account", help="Only this trade account.")
@pass_options
def positions(options: SharedOptions, account: str | None) -> None:
    """Show the positions."""
    with options.client() as client:
        rows = client.positions(account)
    write_messages(rows, _POSITION_COLUMNS, as_json=options.as_json)


MARKET_COMMANDS = (status, quote, watch, book, bars, search, accounts, positions)
