"""Test invariants of /stream with random clients and a random server."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from websockets.protocol import State

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import MarketDataFeedStatusEnum
from dtc_twisted.web.stream import MultiChannelFactory, writer
from dtc_twisted.web.stream import send_queue as send_queue
from tests.support import GatewayTestCase, WebSocketCaller, slow

SYMBOLS = ["ESM20_FUT_CME", "CLM20_FUT_NYMEX", "NOPE"]
CHANNELS = ["trades", "quotes", "marketdata", "marketdepth"]
OPTIONS = ("channel", "symbol", "max_rate", "num_levels", "prices")
URL = "ws://127.0.0.1:8080/api/v1/stream"


class Person:
    """Connect as a subscriber that checks its messages."""

    def __init__(self, case: GatewayTestCase) -> None:
        self.caller: WebSocketCaller = case.call(WebSocketCaller(URL))
        self._case = case
        self.transport: Any = case._pumps[-1].serverIO
        self.requests: list[dict[str, Any]] = []
        self.answers: Counter[int] = Counter()
        self.subscriptions: dict[tuple[str, str], dict[str, Any]] = {}
        """What it is subscribed to, and the options."""
        self.numbers: dict[tuple[str, str], int] = {}
        self.books: dict[tuple[str, str], list[dict[float, float]]] = {}
        self.stale: set[tuple[str, str]] = set()

    @property
    def is_here(self) -> bool:
        return not self.caller.lost and self.caller._ws.state is State.OPEN

    def ask(self, **request: Any) -> None:
        request["id"] = len(self.requests)
        self.requests.append(request)
        self.caller.send(request)

    def resume(self, key: tuple[str, str]) -> None:
        """Subscribe again, from the first message that is missing after all that is on its way."""
        self.transport.capacity = 1 << 30
        self._case.flush()
        self.listen()
        if key not in self.numbers or key not in self.subscriptions or not self.is_here:
            return
        options = {name: self.subscriptions[key][name] for name in OPTIONS if name in self.subscriptions[key]}
        epoch, number = self.subscriptions[key]["epoch"], self.numbers[key]
        self.ask(action="subscribe", **options, epoch=epoch, from_seq=number + 1)
        self._case.flush()

    def listen(self) -> None:
        for each in self.caller.take():
            key = each.get("channel"), each.get("symbol", each.get("Symbol"))
            if "action" in each:
                self.answered(key, each)
            elif each.get("event") != "skipped":
                assert key in self.subscriptions, ("not subscribed", each)
                if each.get("event") in ("stale", "live", "ended"):
                    self.heard(key, each["event"])
                else:
                    self.updated(key, each)

    def answered(self, key: Any, answer: dict[str, Any]) -> None:
        self.answers[answer["id"]] += 1
        if answer["action"] == "subscribe":  # it takes the place of what was there
            for kept in (self.subscriptions, self.numbers):
                kept.pop(key, None)
            self.stale.discard(key)
            if answer["success"]:
                self.subscriptions[key] = answer
        elif answer["success"]:
            self.subscriptions.pop(key, None)

    def heard(self, key: Any, event: str) -> None:
        (self.stale.add if event == "stale" else self.stale.discard)(key)
        if event == "ended":
            del self.subscriptions[key]

    def updated(self, key: Any, update: dict[str, Any]) -> None:
        before, number, limited = self.numbers.get(key, -1), update["seq"], "max_rate" in self.subscriptions[key]
        again = limited and (key[0] == "marketdata" or (update.get("event") == "book" and number == before))
        assert number > before or again, (key, before, update)
        self.numbers[key] = number
        if update.get("event") == "book":
            self.books[key] = [{row["Price"]: row["Quantity"] for row in update[side]} for side in ("bids", "asks")]
        for change in update.get("changes", ()):
            side = self.books[key][change["Side"] - 1]
            if change["UpdateType"] == 2:
                del side[change["Price"]]
            else:
                side[change["Price"]] = change["Quantity"]


class InvariantTests(GatewayTestCase):
    options = (*GatewayTestCase.options, "--replay-buffer", "2")

    @slow
    def test_all(self) -> None:
        for seed in range(60):
            rng = random.Random(seed)
            self.patch(writer, "HIGH_WATER", rng.choice([0, 300, 3000]))
            self.patch(send_queue, "_CHUNK", rng.choice([100, 2000]))
            subscribers = [Person(self) for _ in range(4)]
            for _ in range(rng.randint(20, 100)):
                here = [each for each in subscribers if each.is_here]
                if here:
                    rng.choice(self.steps(rng, rng.choice(here)))()
                if rng.random() < 0.7:
                    self.flush()
                for person in subscribers:
                    person.listen()
            self.settle(subscribers)
            for person in subscribers:
                if person.is_here:
                    self.check(person, seed)
                person.caller.transport.abortConnection()
            self.advance(4)
            self.assertEqual(self.kept(), [], seed)

    def steps(self, chance: random.Random, person: Person) -> list[Callable[[], Any]]:
        """Return possible next events, frequent ones several times."""
        symbol, market = chance.choice(SYMBOLS), chance.choice(SYMBOLS[:2])
        subscription = {"channel": chance.choice(CHANNELS), "symbol": symbol}
        options: dict[str, Any] = {"max_rate": chance.choice([0.3, 2])} if chance.random() < 0.3 else {}
        if subscription["channel"] == "marketdepth":
            options["num_levels"] = chance.choice([0, 1, 3])
        elif chance.random() < 0.2:
            options["prices"] = "display"
        status = chance.choice(list(MarketDataFeedStatusEnum))
        request = chance.choice([dtc.MarketDataRequest, dtc.MarketDepthRequest])
        usual: list[Callable[[], Any]] = [
            lambda: person.ask(action="subscribe", **subscription, **options),
            lambda: person.ask(action="unsubscribe", **subscription),
            *([lambda: person.resume(chance.choice([*person.numbers]))] if person.numbers else []),
            lambda: self.simulator.trade(market, 282800, chance.randint(1, 9), 1),
            lambda: self.simulator.quote(market, 282600 + 25 * chance.randint(0, 9), 5, 282900, 6),
            lambda: self.simulator.randomize_book(market, chance.randint(1, 40), chance.randint(0, 9999)),
            lambda: setattr(person.transport, "capacity", chance.choice([0, 0, 50])),
            lambda: setattr(person.transport, "capacity", 1 << 30),
        ]
        return [
            *usual * 6,
            lambda: self.advance(chance.choice([0.5, 1, 6])),
            lambda: self.advance(chance.choice([0.5, 1, 6])),
            lambda: self.simulator.drop(),
            lambda: self.simulator.send(dtc.MarketDataFeedStatus(Status=status)),
            lambda: self.simulator.send(dtc.Heartbeat(NumDroppedMessages=2)),
            lambda: self.simulator.reject_next(request, "No."),
            chance.choice([person.caller.leave, person.caller.transport.abortConnection]),
        ]

    def settle(self, people: list[Person]) -> None:
        """End all faults, and let all subscribers read."""
        for person in people:
            person.transport.capacity = 1 << 30
        available = MarketDataFeedStatusEnum.MARKET_DATA_FEED_AVAILABLE
        self.simulator.send(dtc.MarketDataFeedStatus(Status=available))
        self.flush()
        self.advance(40)
        for person in people:
            person.listen()

    def check(self, person: Person, seed: int) -> None:
        self.assertEqual(dict(person.answers), dict.fromkeys(range(len(person.requests)), 1), seed)
        for key, options in person.subscriptions.items():
            self.assertNotIn(key, person.stale, seed)
            if key[0] == "marketdepth":
                book, levels = self.simulator.book(key[1]), options["num_levels"] or None
                truth = [{row[0]: row[1] for row in book[side][:levels]} for side in ("bids", "asks")]
                self.assertEqual(person.books[key], truth, (seed, key))

    def kept(self) -> list[Any]:
        """Return the remains of subscribers in the gateway."""
        web = self.web_service
        (stream,) = (each for each in web._sockets if isinstance(each, MultiChannelFactory))
        hubs = stream.hubs.values()
        return [
            *stream.subscribers,
            *(each for hub in hubs for each in (*hub._feeds, *hub._symbols._symbols, *hub._requests.by_id)),
        ]
