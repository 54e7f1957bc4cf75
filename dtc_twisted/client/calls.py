"""Describe the calls of the REST API, for both clients.

A call states what is sent, and how the answer is decoded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from time import time
from typing import Any, Generic, TypeVar

import msgspec

from dtc_twisted.client.api_error import make_api_error
from dtc_twisted.client.rows import OrderResult, Outcome, Rows, message_from, order_result
from dtc_twisted.client.stream_events import Book, Level
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import BuySellEnum, DTCEnum, Message, OrderTypeEnum, TimeInForceEnum

R = TypeVar("R")
M = TypeVar("M", bound=Message)

PREFIX = "/api/v1"

When = datetime | str | int
"""A time: a datetime (without a zone: UTC), ISO 8601, or seconds since 1970."""

Fields = Mapping[str, Any]
"""Fields of an order by DTC name, as docs/trading.md lists them: Symbol, TradeAccount, OrderType, ..."""


@dataclass(frozen=True)
class Call(Generic[R]):
    """One call.

    decode: makes the result of the body of a successful answer.
    is_repeatable: whether the call can be sent again if its outcome is not known: its ClientOrderIDs are fixed.
    """

    method: str
    path: str
    decode: Callable[[bytes], R]
    params: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    is_repeatable: bool = False


@dataclass(frozen=True)
class Download(Generic[M]):
    """A call whose rows are decoded while they arrive.

    kind: the type of the rows.
    """

    path: str
    params: Mapping[str, Any]
    kind: type[M]

    def decode_lines(self, data: bytes) -> list[M]:
        """Decode whole lines.

        Raises ApiError if the last is the error that ended the answer.
        """
        last = data.rstrip().rpartition(b"\n")[2]
        if b'"error":' in last:  # in a text, the quotation marks would be escaped
            fields = msgspec.json.decode(last)
            raise make_api_error(fields["error"]["status"], fields)
        return list(msgspec.json.Decoder(self.kind).decode_lines(data))


# -- values


def present(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None, as the API takes them."""
    return {name: plain(value) for name, value in fields.items() if value is not None}


def plain(value: Any) -> Any:
    """Return a value as the API takes it: enumerations as numbers, times as ISO 8601."""
    if isinstance(value, DTCEnum):
        return int(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def new_order_id() -> str:
    """Return a ClientOrderID that no other order has.

    It is the time in hexadecimal, and random digits.
    """
    return f"{int(time() * 1000):x}-{token_hex(6)}"


# -- decoding


def rows_of(kind: type[M]) -> Callable[[bytes], Rows[M]]:
    """Return what decodes rows of one type."""

    def decode(data: bytes) -> Rows[M]:
        rows = msgspec.json.decode(data)
        if rows and "error" in rows[-1]:
            raise make_api_error(rows[-1]["error"]["status"], rows[-1])
        return Rows([message_from(each, kind) for each in rows], kind)

    return decode


def fields_of(data: bytes) -> dict[str, Any]:
    """Decode a JSON object."""
    fields: dict[str, Any] = msgspec.json.decode(data)
    return fields


def value_of(data: bytes) -> list[dict[str, Any]] | dict[str, Any]:
    """Decode a JSON value."""
    value: list[dict[str, Any]] | dict[str, Any] = msgspec.json.decode(data)
    return value


def list_of(data: bytes) -> list[dict[str, Any]]:
    """Decode a list of JSON objects."""
    rows: list[dict[str, Any]] = msgspec.json.decode(data)
    return rows


def order_of(data: bytes) -> OrderResult:
    """Decode an order."""
    return order_result(fields_of(data))


def orders_of(data: bytes) -> list[OrderResult]:
    """Decode a list of orders."""
    return [order_result(each) for each in list_of(data)]


def outcomes_of(data: bytes) -> list[Outcome]:
    """Decode the outcomes of a list of commands."""
    return [
        Outcome(tuple(map(order_result, each["updates"])))
        if each["success"]
        else Outcome((), make_api_error(each["error"]["status"], each))
        for each in list_of(data)
    ]


def book_of(data: bytes) -> Book:
    """Decode an order book."""
    fields = fields_of(data)
    return Book(
        "marketdepth", fields["symbol"], None, *(tuple(map(Level.of, fields[side])) for side in ("bids", "asks"))
    )


def first_of(decode: Callable[[bytes], Rows[M]]) -> Callable[[bytes], M]:
    """Return what decodes the only row of an answer."""
    return lambda data: decode(data)[0]


# -- the server's data


def get_rows(path: str, kind: type[M], **params: Any) -> Call[Rows[M]]:
    """Make a call that reads rows, with display prices."""
    return Call("GET", PREFIX + path, rows_of(kind), present(**params, prices="display"))


def definition(symbol: str, exchange: str | None) -> Call[dtc.SecurityDefinitionResponse]:
    """Make the call for a symbol's definition."""
    decode = first_of(rows_of(dtc.SecurityDefinitionResponse))
    return Call("GET", f"{PREFIX}/securitydefinition", decode, present(Symbol=symbol, Exchange=exchange))


def snapshot(symbol: str) -> Call[dtc.MarketDataSnapshot]:
    """Make the call for a snapshot."""
    decode = first_of(rows_of(dtc.MarketDataSnapshot))
    return Call("GET", f"{PREFIX}/marketdata", decode, {"Symbol": symbol, "prices": "display"})


def book(symbol: str, levels: int | None) -> Call[Book]:
    """Make the call for an order book."""
    return Call("GET", f"{PREFIX}/marketdepth", book_of, present(Symbol=symbol, NumLevels=levels, prices="display"))


def bars(
    symbol: str, interval: str | int, start: When | None, end: When | None, days: int | None, source: str | None = None
) -> Download[dtc.HistoricalPriceDataRecordResponse]:
    """Make the download of bars."""
    return _prices(dtc.HistoricalPriceDataRecordResponse, symbol, interval, start, end, days, source)


def ticks(
    symbol: str, start: When | None, end: When | None, days: int | None, source: str | None = None
) -> Download[dtc.HistoricalPriceDataTickRecordResponse]:
    """Make the download of ticks."""
    return _prices(dtc.HistoricalPriceDataTickRecordResponse, symbol, 0, start, end, days, source)


def _prices(
    kind: type[M],
    symbol: str,
    interval: str | int,
    start: When | None,
    end: When | None,
    days: int | None,
    source: str | None,
) -> Download[M]:
    fields = {"StartDateTime": start, "EndDateTime": end, "MaxDaysToReturn": days, "source": source}
    return _download("/historicalpricedata", kind, Symbol=symbol, RecordInterval=interval, **fields)


def _download(path: str, kind: type[M], **params: Any) -> Download[M]:
    """Make a download of rows with display prices, one a line."""
    return Download(PREFIX + path, present(**params, prices="display", format="ndjson"), kind)


def market_depth(
    symbol: str, start: When | None, end: When | None
) -> Download[dtc.HistoricalMarketDepthDataRecordResponse]:
    """Make the download of historical market depth."""
    kind = dtc.HistoricalMarketDepthDataRecordResponse
    return _download("/historicalmarketdepth", kind, Symbol=symbol, StartDateTime=start, EndDateTime=end)


# -- orders


def order_fields(
    symbol: str,
    trade_account: str,
    side: BuySellEnum | str,
    order_type: OrderTypeEnum | str,
    quantity: float,
    price: float | None,
    stop_price: float | None,
    time_in_force: TimeInForceEnum | str | None,
    client_order_id: str | None,
    more: Fields,
) -> dict[str, Any]:
    """Return the body of a single order. Prices are display prices.

    A stop-limit order has its stop price in Price1 and its limit price in Price2; the others have one price.
    """
    first, second = (price, None) if stop_price is None else (stop_price, price)
    return present(
        Symbol=symbol,
        TradeAccount=trade_account,
        BuySell=side,
        OrderType=order_type,
        Quantity=quantity,
        Price1=first,
        Price2=second,
        TimeInForce=time_in_force,
        ClientOrderID=client_order_id or new_order_id(),
        prices="display",
        **more,
    )


def place(body: Fields) -> Call[OrderResult]:
    """Make the call that places an order, or checks it."""
    return Call("POST", f"{PREFIX}/orders", order_of, body=plain(body), is_repeatable=True)


def place_oco(body: Fields) -> Call[list[OrderResult]]:
    """Make the call that places an OCO pair."""
    ids = {name: new_order_id() for name in ("ClientOrderID_1", "ClientOrderID_2")}
    return Call(
        *("POST", f"{PREFIX}/orders/oco", orders_of), body={"prices": "display"} | ids | plain(body), is_repeatable=True
    )


def place_bracket(parent: Fields, children: Fields) -> Call[list[OrderResult]]:
    """Make the call that places a bracket."""
    ids = {name: new_order_id() for name in ("ClientOrderID_1", "ClientOrderID_2")}
    body = {
        "Parent": {"ClientOrderID": new_order_id()} | plain(parent),
        "Children": ids | plain(children),
        "prices": "display",
    }
    return Call("POST", f"{PREFIX}/orders/bracket", orders_of, body=body, is_repeatable=True)


def place_list(orders: Sequence[Fields]) -> Call[list[Outcome]]:
    """Make the call that places several orders."""
    bodies = [{"prices": "display", "ClientOrderID": new_order_id()} | plain(each) for each in orders]
    return Call("POST", f"{PREFIX}/orders/list", outcomes_of, body={"orders": bodies}, is_repeatable=True)


def cancel_list(order_ids: Sequence[str]) -> Call[list[Outcome]]:
    """Make the call that cancels several orders."""
    return Call("POST", f"{PREFIX}/orders/cancel", outcomes_of, {"prices": "display"}, body={"ids": [*order_ids]})


def replace(order_id: str, **fields: Any) -> Call[OrderResult]:
    """Make the call that changes an order."""
    body = present(**fields) | {"prices": "display"}
    return Call("PATCH", f"{PREFIX}/orders/{_quoted(order_id)}", order_of, body=body)


def cancel(order_id: str) -> Call[OrderResult]:
    """Make the call that cancels an order."""
    return Call("DELETE", f"{PREFIX}/orders/{_quoted(order_id)}", order_of, {"prices": "display"})


def order(order_id: str) -> Call[OrderResult]:
    """Make the call for one order."""
    return Call("GET", f"{PREFIX}/orders/{_quoted(order_id)}", order_of, {"prices": "display"})


def orders(trade_account: str | None, symbol: str | None) -> Call[list[OrderResult]]:
    """Make the call for all orders."""
    params = present(TradeAccount=trade_account, Symbol=symbol, prices="display")
    return Call("GET", f"{PREFIX}/orders", orders_of, params)


def command(path: str, decode: Callable[[bytes], R], fields: Fields, *, is_repeatable: bool = False) -> Call[R]:
    """Make the call of a command with these fields, whose answer has display prices."""
    params = {"prices": "display"}
    return Call("POST", PREFIX + path, decode, params, body=present(**fields), is_repeatable=is_repeatable)


def dead_man_switch(seconds: float) -> Call[dict[str, Any]]:
    """Make the call that sets the dead man's switch."""
    return Call("POST", f"{PREFIX}/trading/deadman", fields_of, body={"seconds": seconds})


def get(path: str, decode: Callable[[bytes], R], **params: Any) -> Call[R]:
    """Make a call that reads."""
    return Call("GET", path, decode, present(**params))


def _quoted(order_id: str) -> str:
    from urllib.parse import quote

    return quote(order_id, safe="")
