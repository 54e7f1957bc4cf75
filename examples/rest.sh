#!/bin/sh
# Call every path that returns data, once: examples/rest.sh [http://localhost:8080]
set -eu
api="${1:-http://localhost:8080}/api/v1"

for path in status tradeaccounts accountbalance currentpositions openorders exchangelist \
    orders positions balances 'journalentries?StartDateTime=2026-01-01' \
    'securitydefinition?Symbol=ESM20_FUT_CME' \
    'symbolsearch?SearchText=ESM20' \
    'symbolsforexchange?Exchange=CME&SecurityType=FUTURES&format=csv' \
    'symbolsforunderlying?UnderlyingSymbol=ES&format=csv' \
    'underlyingsymbolsforexchange?Exchange=CME&format=csv' \
    'marketdata?Symbol=ESM20_FUT_CME' \
    'marketdepth?Symbol=ESM20_FUT_CME&NumLevels=2' \
    'historicalaccountbalances?TradeAccount=Sim1' \
    'historicalorderfills?TradeAccount=Sim1&NumberOfDays=30' \
    'historicaltrades?TradeAccount=Sim1&format=csv' \
    'historicalpricedata?Symbol=ESM20_FUT_CME&RecordInterval=1h&MaxDaysToReturn=1&format=csv' \
    'historicalmarketdepth?Symbol=ESM20_FUT_CME&StartDateTime=2026-01-01T12:00:00Z&EndDateTime=2026-01-01T12:01:00Z&format=csv'
do
    printf '\n%s\n' "$path"
    curl --fail --silent --show-error "$api/$path"
done
