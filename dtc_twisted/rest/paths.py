"""What may be asked with a GET, and what the rows of each answer are."""

from dtc_twisted import messages as dtc
from dtc_twisted.messages import Message
from dtc_twisted.query import Get

PREFIX = "/api/v1"

GETS = {
    "/accountbalance": Get(dtc.AccountBalanceRequest, optional=("TradeAccount",)),
    "/currentpositions": Get(dtc.CurrentPositionsRequest, optional=("TradeAccount",)),
    "/exchangelist": Get(dtc.ExchangeListRequest),
    "/historicalaccountbalances": Get(
        dtc.HistoricalAccountBalancesRequest, required=("TradeAccount",), optional=("StartDateTime",)
    ),
    "/historicalmarketdepth": Get(
        dtc.HistoricalMarketDepthDataRequest, required=("Symbol",), optional=("StartDateTime", "EndDateTime")
    ),
    "/historicalorderfills": Get(
        dtc.HistoricalOrderFillsRequest,
        required=("TradeAccount",),
        optional=("ServerOrderID",),
        one_of=("NumberOfDays", "StartDateTime"),
    ),
    "/historicalpricedata": Get(
        dtc.HistoricalPriceDataRequest,
        required=("Symbol", "RecordInterval"),
        optional=("StartDateTime", "EndDateTime", "MaxDaysToReturn"),
    ),
    "/historicaltrades": Get(dtc.HistoricalTradesRequest, optional=("TradeAccount", "Symbol", "StartDateTime")),
    "/journalentries": Get(dtc.JournalEntriesRequest, optional=("StartDateTime",)),
    "/openorders": Get(dtc.OpenOrdersRequest, optional=("TradeAccount", "ServerOrderID")),
    "/securitydefinition": Get(dtc.SecurityDefinitionForSymbolRequest, required=("Symbol",), optional=("Exchange",)),
    "/symbolsearch": Get(
        dtc.SymbolSearchRequest, required=("SearchText",), optional=("SearchType", "Exchange", "SecurityType")
    ),
    "/symbolsforexchange": Get(
        dtc.SymbolsForExchangeRequest, required=("Exchange",), optional=("SecurityType", "Symbol")
    ),
    "/symbolsforunderlying": Get(
        dtc.SymbolsForUnderlyingRequest, required=("UnderlyingSymbol",), optional=("Exchange", "SecurityType")
    ),
    "/tradeaccounts": Get(dtc.TradeAccountsRequest),
    "/underlyingsymbolsforexchange": Get(
        dtc.UnderlyingSymbolsForExchangeRequest, required=("Exchange",), optional=("SecurityType",)
    ),
}

ROWS: dict[type[Message], type[Message]] = {
    dtc.AccountBalanceRequest: dtc.AccountBalanceUpdate,
    dtc.CurrentPositionsRequest: dtc.PositionUpdate,
    dtc.ExchangeListRequest: dtc.ExchangeListResponse,
    dtc.HistoricalAccountBalancesRequest: dtc.HistoricalAccountBalanceResponse,
    dtc.HistoricalMarketDepthDataRequest: dtc.HistoricalMarketDepthDataRecordResponse,
    dtc.HistoricalOrderFillsRequest: dtc.HistoricalOrderFillResponse,
    dtc.HistoricalPriceDataRequest: dtc.HistoricalPriceDataRecordResponse,
    dtc.HistoricalTradesRequest: dtc.HistoricalTradesResponse,
    dtc.JournalEntriesRequest: dtc.JournalEntryResponse,
    dtc.OpenOrdersRequest: dtc.OrderUpdate,
    dtc.SecurityDefinitionForSymbolRequest: dtc.SecurityDefinitionResponse,
    dtc.SymbolSearchRequest: dtc.SecurityDefinitionResponse,
    dtc.SymbolsForExchangeRequest: dtc.SecurityDefinitionResponse,
    dtc.SymbolsForUnderlyingRequest: dtc.SecurityDefinitionResponse,
    dtc.TradeAccountsRequest: dtc.TradeAccountResponse,
    dtc.UnderlyingSymbolsForExchangeRequest: dtc.SecurityDefinitionResponse,
}
"""What each request's rows are, also when there are none."""

LONG = {
    dtc.SymbolSearchRequest,
    dtc.SymbolsForExchangeRequest,
    dtc.SymbolsForUnderlyingRequest,
    dtc.UnderlyingSymbolsForExchangeRequest,
}
"""Their replies have thousands of rows, which are passed on as they come; as historical records are."""

SNAPSHOTS = {
    "/marketdata": Get(dtc.MarketDataRequest, required=("Symbol",)),
    "/marketdepth": Get(dtc.MarketDepthRequest, required=("Symbol",), optional=("NumLevels",)),
}
"""Paths of WebSockets that answer a plain GET too: with what is known of a symbol."""
