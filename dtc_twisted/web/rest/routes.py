"""List the paths of GET requests, their DTC requests and their row types."""

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.responses import RESPONSES
from dtc_twisted.web.query import RequestSpec

PREFIX = "/api/v1"

GET_REQUESTS = {
    "/accountbalance": RequestSpec(
        dtc.AccountBalanceRequest, "Balances of trade accounts", "Accounts", optional=("TradeAccount",), queue="state"
    ),
    "/currentpositions": RequestSpec(
        dtc.CurrentPositionsRequest, "Open positions", "Accounts", optional=("TradeAccount",), queue="state"
    ),
    "/exchangelist": RequestSpec(dtc.ExchangeListRequest, "Exchanges", "Symbols"),
    "/historicalaccountbalances": RequestSpec(
        dtc.HistoricalAccountBalancesRequest,
        "Balances of a trade account over time",
        "Accounts",
        required=("TradeAccount",),
        optional=("StartDateTime",),
        queue="history",
    ),
    "/historicalmarketdepth": RequestSpec(
        dtc.HistoricalMarketDepthDataRequest,
        "Historical market depth",
        "History",
        required=("Symbol",),
        optional=("StartDateTime", "EndDateTime"),
    ),
    "/historicalorderfills": RequestSpec(
        dtc.HistoricalOrderFillsRequest,
        "Fills of a trade account",
        "Accounts",
        required=("TradeAccount",),
        optional=("ServerOrderID",),
        one_of=("NumberOfDays", "StartDateTime"),
        queue="history",
    ),
    "/historicalpricedata": RequestSpec(
        dtc.HistoricalPriceDataRequest,
        "Historical bars or ticks",
        "History",
        required=("Symbol", "RecordInterval"),
        optional=("StartDateTime", "EndDateTime", "MaxDaysToReturn"),
    ),
    "/historicaltrades": RequestSpec(
        dtc.HistoricalTradesRequest,
        "Closed trades",
        "Accounts",
        optional=("TradeAccount", "Symbol", "StartDateTime"),
        queue="history",
    ),
    "/journalentries": RequestSpec(
        dtc.JournalEntriesRequest,
        "Entries of the server's trading journal",
        "Accounts",
        optional=("StartDateTime",),
        queue="history",
    ),
    "/openorders": RequestSpec(
        dtc.OpenOrdersRequest,
        "Open orders, asked of the server",
        "Accounts",
        optional=("TradeAccount", "ServerOrderID"),
        queue="state",
    ),
    "/securitydefinition": RequestSpec(
        dtc.SecurityDefinitionForSymbolRequest,
        "Definition of a symbol",
        "Symbols",
        required=("Symbol",),
        optional=("Exchange",),
    ),
    "/symbolsearch": RequestSpec(
        dtc.SymbolSearchRequest,
        "Search for symbols",
        "Symbols",
        required=("SearchText",),
        optional=("SearchType", "Exchange", "SecurityType"),
        queue="symbols",
    ),
    "/symbolsforexchange": RequestSpec(
        dtc.SymbolsForExchangeRequest,
        "Symbols of an exchange",
        "Symbols",
        required=("Exchange",),
        optional=("SecurityType", "Symbol"),
        queue="symbols",
    ),
    "/symbolsforunderlying": RequestSpec(
        dtc.SymbolsForUnderlyingRequest,
        "Symbols of an underlying",
        "Symbols",
        required=("UnderlyingSymbol",),
        optional=("Exchange", "SecurityType"),
        queue="symbols",
    ),
    "/tradeaccounts": RequestSpec(dtc.TradeAccountsRequest, "Trade accounts", "Accounts"),
    "/underlyingsymbolsforexchange": RequestSpec(
        dtc.UnderlyingSymbolsForExchangeRequest,
        "Underlying symbols of an exchange",
        "Symbols",
        required=("Exchange",),
        optional=("SecurityType",),
        queue="symbols",
    ),
}

ROW_TYPES: dict[type[Message], type[Message]] = {request: spec.row_type for request, spec in RESPONSES.items()}
"""Row type of each request, for an answer without rows."""

STREAMED_REQUESTS: set[type[Message]] = {
    dtc.SymbolSearchRequest,
    dtc.SymbolsForExchangeRequest,
    dtc.SymbolsForUnderlyingRequest,
    dtc.UnderlyingSymbolsForExchangeRequest,
}
"""Requests whose answers can have thousands of rows. Rows are written as they arrive, as historical records are."""

SNAPSHOT_REQUESTS = {
    "/marketdata": RequestSpec(dtc.MarketDataRequest, "Snapshot of market data", "Market data", required=("Symbol",)),
    "/marketdepth": RequestSpec(
        dtc.MarketDepthRequest,
        "Snapshot of the order book",
        "Market data",
        required=("Symbol",),
        optional=("NumLevels",),
    ),
}
"""Paths of WebSockets that also answer a plain GET, with a snapshot of a symbol."""
