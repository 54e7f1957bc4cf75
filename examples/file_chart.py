"""A live chart in the terminal, of a symbol that the server refuses over DTC.

.venv/bin/twistd -n dtc --demo --data-folder /tmp/simulated
.venv/bin/python examples/file_chart.py NQM20_FUT_CME
"""

import json
import sys

from websockets.sync.client import connect

WIDTH = 60


def main() -> None:
    symbol = sys.argv[1] if len(sys.argv) > 1 else "NQM20_FUT_CME"
    first = None
    with connect("ws://127.0.0.1:8080/api/v1/stream") as socket:
        options = {"prices": "display", "source": "auto"}
        socket.send(json.dumps({"action": "subscribe", "channel": "trades", "symbol": symbol} | options))
        for text in socket:
            message = json.loads(text)
            if message.get("success") is False:
                sys.exit(message["error"])
            if message.get("event"):
                print(message["event"], message.get("reason", ""))
            elif "Price" in message:
                price = message["Price"]
                first = first or price
                place = max(0, min(WIDTH, WIDTH // 2 + round((price / first - 1) * 10_000)))
                print(
                    f"{price:>12} {message['Volume']:>5} {message.get('Source', 'dtc'):>5} {' ' * place}*", flush=True
                )


if __name__ == "__main__":
    main()
