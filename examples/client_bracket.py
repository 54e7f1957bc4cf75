"""Place a bracket below the market, and cancel it: python examples/client_bracket.py ESM20_FUT_CME Sim1

The gateway needs --allow-trading.
"""

import sys

from dtc_twisted.client import ApiError, Client


def main(symbol: str, trade_account: str) -> None:
    """Buy 10 ticks below the bid, with a target and a stop 20 ticks away."""
    about = {"Symbol": symbol, "TradeAccount": trade_account}
    with Client() as client:
        tick = client.security_definition(symbol).MinPriceIncrement or 0.01
        price = client.book(symbol, 1).bids[0].price - 10 * tick
        parent = {"BuySell": "BUY", "OrderType": "LIMIT", "Price1": price, "Quantity": 1}
        target = {"OrderType_1": "LIMIT", "BuySell_1": "SELL", "Price1_1": price + 20 * tick}
        stop = {"OrderType_2": "STOP", "BuySell_2": "SELL", "Price1_2": price - 20 * tick}
        try:
            orders = client.place_bracket(about | parent, about | target | stop)
        except ApiError as error:
            sys.exit(f"Not placed: {error}")
        for order in orders:
            print(order.client_order_id, order.status.name, order.update.Price1)
        print(client.cancel_order(orders[0].client_order_id).status.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
