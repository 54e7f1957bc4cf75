"""A bracket order, and what becomes of it: python examples/bracket.py http://localhost:8080 ESM20_FUT_CME Sim1"""

import json
import sys
import urllib.request
from typing import Any

url, symbol, account = sys.argv[1:]


def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/api/v1{path}", data, headers, method=method)) as answer:
        return json.load(answer)


last = call("GET", f"/marketdata?Symbol={symbol}&prices=display")[0]["LastTradePrice"]
parent = {"Symbol": symbol, "TradeAccount": account, "OrderType": "LIMIT", "BuySell": "BUY", "Quantity": 1}
target = {"OrderType_1": "LIMIT", "BuySell_1": "SELL", "Price1_1": last + 20}
stop = {"OrderType_2": "STOP", "BuySell_2": "SELL", "Price1_2": last - 20}
bracket = {"Parent": parent | {"Price1": last - 10}, "Children": target | stop, "prices": "display"}
for order in call("POST", "/orders/bracket", bracket):
    print("placed", order["ClientOrderID"], "status", order["OrderStatus"], "at", order["Price1"])
    parent.setdefault("ClientOrderID", order["ClientOrderID"])
call("DELETE", f"/orders/{parent['ClientOrderID']}")
for order in call("GET", f"/orders?TradeAccount={account}&Symbol={symbol}")[-3:]:
    print("now", order["ClientOrderID"], "status", order["OrderStatus"])
