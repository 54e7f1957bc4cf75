#!/bin/sh
# Everything that REST has, once: examples/rest.sh [http://localhost:8080]
set -eu
api="${1:-http://localhost:8080}/api/v1"

for path in status tradeaccounts accountbalance currentpositions exchangelist \
    'securitydefinition?Symbol=ESM20_FUT_CME' \
    'historicalaccountbalances?TradeAccount=Sim1' \
    'historicalorderfills?TradeAccount=Sim1&NumberOfDays=30'
do
    printf '\n%s\n' "$path"
    curl --fail --silent --show-error "$api/$path"
done
