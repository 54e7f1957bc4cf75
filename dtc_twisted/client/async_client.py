"""Call the gateway from programs on asyncio."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Self, TypeVar

import httpx

from dtc_twisted.client import calls
from dtc_twisted.client.api_error import GatewayUnreachable
from dtc_twisted.client.calls import Call, Download, Fields, When
from dtc_twisted.client.rows import OrderResult, Outcome, Rows
from dtc_twisted.client.stream_events import Book
from dtc_twisted.client.streams import AsyncStream
from dtc_twisted.client.transfer import (
    LineBuffer,
    OnRows,
    auth_headers,
    base_url,
    error_of,
    ignore_rows,
    pause_before_repeat,
    stream_url,
)
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import BuySellEnum, Message, OrderTypeEnum, SecurityTypeEnum, TimeInForceEnum

R = TypeVar("R")
M = TypeVar("M", bound=Message)


class AsyncClient:
    """Call a gateway.

    url: its address; by default DTC_URL in the environment, or http://127.0.0.1:8080.
    token: by default DTC_TOKEN in the environment.
    timeout: seconds to wait for an answer.
    order_timeout: seconds in which an order is sent again, with the same ClientOrderID, while its outcome is unknown or
        the gateway cannot be reached.

    Prices are display prices. Calls raise ApiError if the gateway answers with an error, GatewayUnreachable if it does
    not answer.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, timeout: float = 30.0, order_timeout: float = 30.0
    ) -> None:
        self.url = base_url(url)
        self._headers = auth_headers(token)
        self._timeout = timeout
        self._order_timeout = order_timeout
        self._http = httpx.AsyncClient(base_url=self.url, headers=self._headers, timeout=timeout)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    # -- sending

    async def send(self, call: Call[R]) -> R:
        """Send a call, and return its result."""
        end = time.monotonic() + self._order_timeout
        while True:
            try:
                return await self._send_once(call)
            except Exception as error:
                pause = pause_before_repeat(call, error, end - time.monotonic())
                if pause is None:
                    raise
                await asyncio.sleep(pause)

    async def _send_once(self, call: Call[R]) -> R:
        try:
            response = await self._http.request(call.method, call.path, params=call.params, json=call.body)
        except httpx.TransportError as error:
            raise GatewayUnreachable(f"{self.url}: {error}") from error
        if response.status_code >= 400:
            raise error_of(response.status_code, response.content, response.headers)
        return call.decode(response.content)

    async def _download(self, download: Download[M], on_rows: OnRows) -> Rows[M]:
        rows: list[M] = []
        lines = LineBuffer()
        try:
            async with self._http.stream("GET", download.path, params=download.params) as response:
                if response.status_code >= 400:
                    raise error_of(response.status_code, await response.aread(), response.headers)
                async for data in response.aiter_bytes():
                    rows += download.decode_lines(lines.feed(data))
                    if rows:
                        on_rows(len(rows), rows[-1])
        except httpx.TransportError as error:
            rows += download.decode_lines(lines.finish())  # raises the error that ended the answer, if it was stated
            raise GatewayUnreachable(f"{self.url}: {error}") from error
        rows += download.decode_lines(lines.finish())
        return Rows(rows, download.kind)

    # -- the gateway

    async def status(self) -> dict[str, Any]:
        """Return the state of the gateway. docs/rest.md describes the keys."""
        return await self.send(calls.get("/api/v1/status", calls.fields_of))

    async def ready(self) -> dict[str, str]:
        """Return why the gateway is not ready, by failed check; empty: it is ready."""
        try:
            response = await self._http.get("/readyz")
        except httpx.TransportError as error:
            raise GatewayUnreachable(f"{self.url}: {error}") from error
        problems: dict[str, str] = response.json()["problems"]
        return problems

    def stream(self) -> AsyncStream:
        """Return a stream without subscriptions."""
        return AsyncStream(stream_url(self.url), self._headers, self._timeout)

    async def send_raw(self, message_type: int | str, **fields: Any) -> list[dict[str, Any]] | dict[str, Any]:
        """Send any message to the server, and return its answers.

        The gateway needs --allow-raw.
        """
        return await self.send(calls.command("/raw", calls.value_of, {"Type": message_type} | fields))

    # -- market data

    async def snapshot(self, symbol: str) -> dtc.MarketDataSnapshot:
        """Return the last values of a symbol."""
        return await self.send(calls.snapshot(symbol))

    async def book(self, symbol: str, levels: int | None = None) -> Book:
        """Return the order book of a symbol. levels: of each side; None: all."""
        return await self.send(calls.book(symbol, levels))

    async def bars(
        self,
        symbol: str,
        interval: str | int,
        *,
        start: When | None = None,
        end: When | None = None,
        days: int | None = None,
        source: str | None = None,
        on_rows: OnRows = ignore_rows,
    ) -> Rows[dtc.HistoricalPriceDataRecordResponse]:
        """Return historical bars.

        interval: seconds, or "1s", "5m", "1h", "1d", "1w" and the like.
        days: number of days before the end of the data.
        on_rows: called with the number of rows so far, and the last one.
        source: "file", "dtc" or "auto"; None: as the gateway decides.
        """
        return await self._download(calls.bars(symbol, interval, start, end, days, source), on_rows)

    async def ticks(
        self,
        symbol: str,
        *,
        start: When | None = None,
        end: When | None = None,
        days: int | None = None,
        source: str | None = None,
        on_rows: OnRows = ignore_rows,
    ) -> Rows[dtc.HistoricalPriceDataTickRecordResponse]:
        """Return historical trades."""
        return await self._download(calls.ticks(symbol, start, end, days, source), on_rows)

    async def historical_market_depth(
        self,
        symbol: str,
        *,
        start: When | None = None,
        end: When | None = None,
        on_rows: OnRows = ignore_rows,
    ) -> Rows[dtc.HistoricalMarketDepthDataRecordResponse]:
        """Return historical market depth."""
        return await self._download(calls.market_depth(symbol, start, end), on_rows)

    # -- symbols

    async def exchanges(self) -> Rows[dtc.ExchangeListResponse]:
        """Return the exchanges."""
        return await self.send(calls.get_rows("/exchangelist", dtc.ExchangeListResponse))

    async def security_definition(self, symbol: str, exchange: str | None = None) -> dtc.SecurityDefinitionResponse:
        """Return the definition of a symbol."""
        return await self.send(calls.definition(symbol, exchange))

    async def search_symbols(
        self,
        text: str,
        *,
        by_description: bool = False,
        exchange: str | None = None,
        security_type: SecurityTypeEnum | str | None = None,
    ) -> Rows[dtc.SecurityDefinitionResponse]:
        """Return the symbols whose symbol, or description, contains a text."""
        kind = "BY_DESCRIPTION" if by_description else "BY_SYMBOL"
        fields = {"SearchText": text, "SearchType": kind, "Exchange": exchange, "SecurityType": security_type}
        return await self.send(calls.get_rows("/symbolsearch", dtc.SecurityDefinitionResponse, **fields))

    async def symbols_of_exchange(
        self, exchange: str, *, security_type: SecurityTypeEnum | str | None = None, symbol: str | None = None
    ) -> Rows[dtc.SecurityDefinitionResponse]:
        """Return the symbols of an exchange."""
        fields = {"Exchange": exchange, "SecurityType": security_type, "Symbol": symbol}
        return await self.send(calls.get_rows("/symbolsforexchange", dtc.SecurityDefinitionResponse, **fields))

    async def symbols_of_underlying(
        self,
        underlying: str,
        *,
        exchange: str | None = None,
        security_type: SecurityTypeEnum | str | None = None,
    ) -> Rows[dtc.SecurityDefinitionResponse]:
        """Return the symbols of an underlying."""
        fields = {"UnderlyingSymbol": underlying, "Exchange": exchange, "SecurityType": security_type}
        return await self.send(calls.get_rows("/symbolsforunderlying", dtc.SecurityDefinitionResponse, **fields))

    async def underlyings_of_exchange(
        self, exchange: str, *, security_type: SecurityTypeEnum | str | None = None
    ) -> Rows[dtc.SecurityDefinitionResponse]:
        """Return the underlying symbols of an exchange."""
        fields = {"Exchange": exchange, "SecurityType": security_type}
        return await self.send(
            calls.get_rows("/underlyingsymbolsforexchange", dtc.SecurityDefinitionResponse, **fields),
        )

    # -- accounts, asked of the server

    async def trade_accounts(self) -> Rows[dtc.TradeAccountResponse]:
        """Return the trade accounts."""
        return await self.send(calls.get_rows("/tradeaccounts", dtc.TradeAccountResponse))

    async def account_balances(self, trade_account: str | None = None) -> Rows[dtc.AccountBalanceUpdate]:
        """Return the balances of all accounts, or of one."""
        return await self.send(calls.get_rows("/accountbalance", dtc.AccountBalanceUpdate, TradeAccount=trade_account))

    async def current_positions(self, trade_account: str | None = None) -> Rows[dtc.PositionUpdate]:
        """Return the positions of all accounts, or of one."""
        return await self.send(calls.get_rows("/currentpositions", dtc.PositionUpdate, TradeAccount=trade_account))

    async def open_orders(
        self, trade_account: str | None = None, server_order_id: str | None = None
    ) -> Rows[dtc.OrderUpdate]:
        """Return the open orders of all accounts, or of one, or one order."""
        fields = {"TradeAccount": trade_account, "ServerOrderID": server_order_id}
        return await self.send(calls.get_rows("/openorders", dtc.OrderUpdate, **fields))

    async def order_fills(
        self,
        trade_account: str,
        *,
        days: int | None = None,
        start: When | None = None,
        server_order_id: str | None = None,
    ) -> Rows[dtc.HistoricalOrderFillResponse]:
        """Return the fills of an account, of so many days or from a time on.

        One of the two has to be given.
        """
        fields = {"TradeAccount": trade_account, "NumberOfDays": days, "StartDateTime": start}
        fields |= {"ServerOrderID": server_order_id}
        return await self.send(calls.get_rows("/historicalorderfills", dtc.HistoricalOrderFillResponse, **fields))

    async def historical_balances(
        self, trade_account: str, *, start: When | None = None
    ) -> Rows[dtc.HistoricalAccountBalanceResponse]:
        """Return the balances of an account over time."""
        fields = {"TradeAccount": trade_account, "StartDateTime": start}
        return await self.send(
            calls.get_rows("/historicalaccountbalances", dtc.HistoricalAccountBalanceResponse, **fields),
        )

    async def historical_trades(
        self, *, trade_account: str | None = None, symbol: str | None = None, start: When | None = None
    ) -> Rows[dtc.HistoricalTradesResponse]:
        """Return closed trades."""
        fields = {"TradeAccount": trade_account, "Symbol": symbol, "StartDateTime": start}
        return await self.send(calls.get_rows("/historicaltrades", dtc.HistoricalTradesResponse, **fields))

    async def journal_entries(self, *, start: When | None = None) -> Rows[dtc.JournalEntryResponse]:
        """Return the entries of the server's trading journal."""
        return await self.send(calls.get_rows("/journalentries", dtc.JournalEntryResponse, StartDateTime=start))

    # -- accounts, live: the gateway's view

    async def orders(self, trade_account: str | None = None, symbol: str | None = None) -> list[OrderResult]:
        """Return all orders that may be open, and the last ones that are over."""
        return await self.send(calls.orders(trade_account, symbol))

    async def order(self, order_id: str) -> OrderResult:
        """Return an order with its updates, by ClientOrderID or ServerOrderID."""
        return await self.send(calls.order(order_id))

    async def positions(self, trade_account: str | None = None, symbol: str | None = None) -> Rows[dtc.PositionUpdate]:
        """Return the positions."""
        fields = {"TradeAccount": trade_account, "Symbol": symbol}
        return await self.send(calls.get_rows("/positions", dtc.PositionUpdate, **fields))

    async def balances(self, trade_account: str | None = None) -> Rows[dtc.AccountBalanceUpdate]:
        """Return the balances."""
        return await self.send(calls.get_rows("/balances", dtc.AccountBalanceUpdate, TradeAccount=trade_account))

    async def journal(
        self,
        *,
        limit: int | None = None,
        before: int | None = None,
        trade_account: str | None = None,
        symbol: str | None = None,
        client_order_id: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return entries of the journal of orders, newest first.

        docs/trading.md describes them.
        """
        fields = {"limit": limit, "before": before, "TradeAccount": trade_account, "Symbol": symbol}
        fields |= {"ClientOrderID": client_order_id}
        return await self.send(calls.get("/api/v1/journal", calls.list_of, **fields))

    # -- orders

    async def place_order(
        self,
        symbol: str,
        trade_account: str,
        side: BuySellEnum | str,
        order_type: OrderTypeEnum | str,
        quantity: float,
        price: float | None = None,
        *,
        stop_price: float | None = None,
        time_in_force: TimeInForceEnum | str | None = None,
        client_order_id: str | None = None,
        check: bool = False,
        **more: Any,
    ) -> OrderResult:
        """Place an order, or only check it.

        price: display price of a limit or stop order; with stop_price, the limit of a stop-limit order.
        client_order_id: by default a new one. It is made before the first attempt, and the order is sent again with it
            while its outcome is unknown, so that there is one order.
        check: only check whether the gateway would accept the order. Nothing is sent.
        more: other fields by DTC name, such as GoodTillDateTime.

        Raises ApiError: errors.OrderRejected if the server refused, errors.OutcomeUnknown if that is not known.
        """
        body = calls.order_fields(
            *(symbol, trade_account, side, order_type, quantity, price, stop_price, time_in_force, client_order_id),
            more | ({"check": True} if check else {}),
        )
        return await self.send(calls.place(body))

    async def place_oco(self, fields: Fields) -> list[OrderResult]:
        """Place two orders of which one cancels the other.

        fields: by DTC name, as docs/trading.md lists them.
        """
        return await self.send(calls.place_oco(fields))

    async def place_bracket(self, parent: Fields, children: Fields) -> list[OrderResult]:
        """Place an order with a target and a stop.

        Fields by DTC name, as docs/trading.md lists them.
        """
        return await self.send(calls.place_bracket(parent, children))

    async def place_orders(self, orders: Sequence[Fields]) -> list[Outcome]:
        """Place several orders; each has an outcome of its own."""
        return await self.send(calls.place_list(orders))

    async def replace_order(
        self,
        order_id: str,
        *,
        price: float | None = None,
        price2: float | None = None,
        quantity: float | None = None,
        check: bool | None = None,
    ) -> OrderResult:
        """Change an order. Prices are display prices."""
        return await self.send(calls.replace(order_id, Price1=price, Price2=price2, Quantity=quantity, check=check))

    async def cancel_order(self, order_id: str) -> OrderResult:
        """Cancel an order, by ClientOrderID or ServerOrderID."""
        return await self.send(calls.cancel(order_id))

    async def cancel_orders(self, order_ids: Sequence[str]) -> list[Outcome]:
        """Cancel several orders; each has an outcome of its own."""
        return await self.send(calls.cancel_list(order_ids))

    async def cancel_all(self, trade_account: str | None = None, symbol: str | None = None) -> list[OrderResult]:
        """Cancel all open orders, or those of an account or symbol."""
        fields = {"TradeAccount": trade_account, "Symbol": symbol}
        return await self.send(calls.command("/cancelall", calls.orders_of, fields))

    async def flatten(
        self, trade_account: str, symbol: str | None = None, *, client_order_id: str | None = None
    ) -> list[OrderResult]:
        """Close the position of a symbol, or all of an account.

        An empty list: there is none.
        """
        fields = {"TradeAccount": trade_account, "Symbol": symbol}
        fields |= {"ClientOrderID": client_order_id or calls.new_order_id()}
        return await self.send(calls.command("/flatten", calls.orders_of, fields, is_repeatable=True))

    async def halt(
        self, trade_account: str | None = None, symbol: str | None = None, *, flatten: bool | None = None
    ) -> list[OrderResult]:
        """Take no new orders, and cancel the open ones. flatten: close positions too."""
        fields = {"TradeAccount": trade_account, "Symbol": symbol, "flatten": flatten}
        return await self.send(calls.command("/trading/halt", calls.orders_of, fields))

    async def resume(self, trade_account: str | None = None, symbol: str | None = None) -> dict[str, Any]:
        """Take orders again. Return the state of trading."""
        fields = {"TradeAccount": trade_account, "Symbol": symbol}
        return await self.send(calls.command("/trading/resume", calls.fields_of, fields))

    async def set_dead_man_switch(self, seconds: float) -> None:
        """Cancel the orders of this token after a time, unless it is called again before.

        seconds: until then; 0 ends the switch.
        """
        await self.send(calls.dead_man_switch(seconds))
