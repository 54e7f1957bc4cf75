"""python -m benchmarks.replayed_hour [SECONDS]: record a session of the simulator, replay it, and compare.

50 symbols with depth, orders, on a clock that is advanced, in memory. What a subscriber received on each channel must
be the same, message for message.
"""

import json
import sys
import time
from itertools import islice

from dtc_twisted.recording import list_segments, summarize
from dtc_twisted.simulator.market.catalogue import all_instruments
from tests.replay.session import ReplayCase, comparable_events
from tests.support import WebSocketCaller

RATE = 100.0
"""Updates a second over all symbols."""
ORDER_EVERY = 20
"""Seconds between two orders."""


class DigestingCaller(WebSocketCaller):
    """Keep a number for each event by channel, because an hour of events is gigabytes."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.digests: dict[str, list[int]] = {}

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        for text in self.texts:
            for channel, event in comparable_events(text):
                number = hash(json.dumps(event, sort_keys=True))
                self.digests.setdefault(channel, []).append(number)
        self.texts.clear()
        self.messages.clear()


class ReplayedHour(ReplayCase):
    """Hold the gateways and the simulator."""

    start_market = True

    def setUp(self) -> None:
        super().setUp()
        market = self.simulator.market
        market.stop()
        market._rate = RATE
        market.start()

    def runTest(self) -> None:
        """Do nothing: `compare` is called instead."""


def compare(case: ReplayedHour, seconds: int) -> bool:
    """Record, replay at full speed, and print both."""
    symbols = [each.symbol for each in islice(all_instruments(), 60) if each.symbol != "NQM20_FUT_CME"][:50]
    began = time.perf_counter()
    case.stream(symbols, DigestingCaller)
    case.advance(3)
    start = case.clock.seconds() + 1e-6
    recorded = case.stream(symbols, DigestingCaller)
    for number in range(seconds // ORDER_EVERY):
        case.advance(ORDER_EVERY, 0.1)
        body = {"TradeAccount": "Sim1", "ClientOrderID": f"h{number}", "Symbol": symbols[number % 4], "Quantity": 1}
        body |= {"OrderType": "MARKET", "BuySell": "BUY" if number % 2 else "SELL"}
        case.begin("/orders", "POST", body=json.dumps(body).encode())
    expected = {channel: [*events] for channel, events in recorded.digests.items()}
    print(f"recorded {seconds} s in {time.perf_counter() - began:.0f} s:", *_counts(expected), flush=True)
    began = time.perf_counter()
    replay = case.begin_replay(start, 0.0)
    replay.control.pause()
    case.advance(1)
    replayed = case.stream(symbols, DigestingCaller)
    replay.control.resume()
    while replay.control.state != "ended":
        case.advance(1)
    found = replayed.digests
    print(f"replayed in {time.perf_counter() - began:.0f} s:", *_counts(found))
    size = [(each.size, each.messages) for each in map(summarize, list_segments(case.folder))]
    total = sum(messages for _, messages in size)
    print(
        f"{total} messages in {sum(each for each, _ in size)} bytes: {sum(each for each, _ in size) / total:.2f} each"
    )
    return _differences(expected, found)


def _counts(found: dict[str, list[int]]) -> list[str]:
    return [f"{channel} {len(events)}" for channel, events in sorted(found.items())]


def _differences(expected: dict[str, list[int]], found: dict[str, list[int]]) -> bool:
    different = [channel for channel in {*expected, *found} if expected.get(channel) != found.get(channel)]
    for channel in different:
        pairs = zip(expected.get(channel, []), found.get(channel, []), strict=False)
        place = next((index for index, (one, other) in enumerate(pairs) if one != other), "at the end")
        print(f"{channel}: the first difference is {place}")
    print("not the same" if different else "all the same")
    return not different


def main(seconds: int) -> int:
    """Run the comparison. Return the exit status."""
    case = ReplayedHour("runTest")
    same: list[bool] = []
    case.runTest = lambda: same.append(compare(case, seconds))  # type: ignore[method-assign]
    result = case.defaultTestResult()
    case.run(result)
    for _, text in [*result.errors, *result.failures]:
        print(text)
    return 0 if same == [True] and result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3600))
