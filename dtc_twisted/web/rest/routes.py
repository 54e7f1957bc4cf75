"""List the paths of GET requests, their DTC requests and their row types."""

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.dtc.responses import RESPONSES
from dtc_twisted.web.query import RequestSpec

PREFIX = "/api/v1"

GET_REQUESTS = {
    "/accountbalance": RequestSpec(dtc.AccountBalanceRequest, optional=("TradeAccount",)),
    "/currentpositions": RequestSpec(dtc.CurrentPositionsRequest, optional=("TradeAccount",)),
    "/exchangelist": RequestSpec(dtc.ExchangeListRequest),
    "/historicalaccountbalances": RequestSpec(
        dtc.HistoricalAccountBalancesRequest, required=("TradeAccount",), optional=("StartDateTime",)
    ),
    "/historicalmarketdepth": RequestSpec(
        dtc.HistoricalMarketDepthDataRequest, required=("Symbol",), optional=("StartDateTime", "EndDateTime")
    ),
    "/historicalorderfills": RequestSpec(
        dtc.HistoricalOrderFillsRequest,
        required=("TradeAccount",),
        optional=("ServerOrderID",),
        one_of=("NumberOfDays", "StartDateTime"),
    ),
    "/historicalpricedata": RequestSpec(
        dtc.HistoricalPriceDataRequest,
        required=("Symbol", "RecordInterval"),
        optional=("StartDateTime", "EndDateTime", "MaxDaysToReturn"),
    ),
    "/historicaltrades": RequestSpec(dtc.HistoricalTradesRequest, optional=("TradeAccount", "Symbol", "StartDateTime")),
    "/journalentries": RequestSpec(dtc.JournalEntriesRequest, optional=("StartDateTime",)),
    "/openorders": RequestSpec(dtc.OpenOrdersRequest, optional=("TradeAccount", "ServerOrderID")),
    "/securitydefinition": RequestSpec(
        dtc.SecurityDefinitionForSymbolRequest, required=("Symbol",), optional=("Exchange",)
    ),
    "/symbolsearch": RequestSpec(
        dtc.SymbolSearchRequest, required=("SearchText",), optional=("SearchType", "Exchange", "SecurityType")
    ),
    "/symbolsforexchange": RequestSpec(
        dtc.SymbolsForExchangeRequest, required=("Exchange",), optional=("SecurityType", "Symbol")
    ),
    "/symbolsforunderlying": RequestSpec(
        dtc.SymbolsForUnderlyingRequest, required=("UnderlyingSymbol",), optional=("Exchange", "SecurityType")
    ),
    "/tradeaccounts": RequestSpec(dtc.TradeAccountsRequest),
    "/underlyingsymbolsforexchange": RequestSpec(
        dtc.UnderlyingSymbolsForExchangeRequest, required=("Exchange",), optional=("SecurityType",)
    ),
}

ROW_TYPES: dict[type[Message], type[Message]] = {request: spec.row_type for request, spec in RESPONSES.items()}
"""Row type of each request, for an answer without rows."""

STREAMED_REQUESTS = {
    dtc.SymbolSearchRequest,
    dtc.SymbolsForExchangeRequest,
    dtc.SymbolsForUnderlyingRequest,
    dtc.UnderlyingSymbolsForExchangeRequest,
}
"""Requests whose answers can have thousands of rows. Rows are written as they arrive, as historical records are."""

SNAPSHOT_REQUESTS = {
    "/marketdata": RequestSpec(dtc.MarketDataRequest, required=("Symbol",)),
    "/marketdepth": RequestSpec(dtc.MarketDepthRequest, required=("Symbol",), optional=("NumLevels",)),
}
"""Paths of WebSockets that also answer a plain GET, with a snapshot of a symbol."""
