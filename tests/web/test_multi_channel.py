"""Test /stream, /marketdepth, and snapshots over REST."""

import json
from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import MarketDataFeedStatusEnum, RequestActionEnum
from dtc_twisted.web.stream import MultiChannelFactory, SingleChannelFactory
from tests.support import GatewayTestCase, WebSocketCaller, slow

ES = "ESM20_FUT_CME"
EPOCH = 1_700_000_000_000
CL = "CLM20_FUT_NYMEX"
URL = "ws://127.0.0.1:8080/api/v1"


class MultiChannelCase(GatewayTestCase):
    def connect(self, path: str = "/stream") -> WebSocketCaller:
        caller: WebSocketCaller = self.call(WebSocketCaller(URL + path))
        return caller

    def ask(self, caller: WebSocketCaller, **request: Any) -> list[Any]:
        """Send a request, and return the messages that follow at once."""
        self.send_json(caller, request)
        return caller.take()

    def subscribe(self, channel: str, symbol: Any = ES, **options: Any) -> WebSocketCaller:
        caller = self.connect()
        self.ask(caller, action="subscribe", channel=channel, symbol=symbol, **options)
        return caller

    def trade(self, price: float = 282800, volume: int = 1, symbol: str = ES) -> None:
        self.simulator.trade(symbol, price, volume, 1)
        self.flush()

    def quote(self, bid: int, symbol: str = ES) -> None:
        self.simulator.quote(symbol, bid, 5, bid + 50, 6)
        self.flush()

    def socket(self) -> Any:
        """Return the gateway's end of the only subscriber."""
        web = self.web_service
        factory = next(each for each in web._sockets if isinstance(each, MultiChannelFactory))
        (socket,) = factory.subscribers
        return socket


class ChannelTests(MultiChannelCase):
    def test_marketdata(self) -> None:
        caller = self.connect()
        answer, snapshot = self.ask(caller, action="subscribe", channel="marketdata", symbol=ES, id=7)
        self.assertEqual(
            answer,
            {
                "action": "subscribe",
                "channel": "marketdata",
                "symbol": ES,
                "id": 7,
                "epoch": EPOCH,
                "seq": 0,
                "success": True,
            },
        )
        self.assertEqual(
            [snapshot[name] for name in ("channel", "seq", "epoch", "Type", "Symbol")],
            ["marketdata", 1, EPOCH, 104, ES],
        )
        self.trade()
        self.quote(282750)
        received = caller.take()
        self.assertEqual([each["seq"] for each in received], [*range(2, 2 + len(received))])
        self.assertTrue({107, 108} <= {each["Type"] for each in received})

    def test_trades(self) -> None:
        caller = self.subscribe("trades")
        for volume in (1, 2):
            self.trade(volume=volume)
            self.quote(282750 + 25 * volume)
        self.assertEqual(
            [(each["seq"], each["Type"], each["Volume"]) for each in caller.take()], [(1, 107, 1), (2, 107, 2)]
        )

    def test_quotes(self) -> None:
        caller = self.connect()
        _, snapshot = self.ask(caller, action="subscribe", channel="quotes", symbol=ES)
        self.assertEqual((snapshot["Type"], snapshot["seq"]), (104, 1))
        self.trade()
        caller.take()
        self.quote(282700)
        (quote,) = caller.take()
        self.assertEqual((quote["Type"], quote["BidPrice"]), (108, 282700))

    def test_late_joiner_has_the_number_of_the_last(self) -> None:
        first = self.subscribe("quotes")
        self.quote(282700)
        self.quote(282675)
        last = first.take()[-1]["seq"]
        late = self.connect()
        _, snapshot = self.ask(late, action="subscribe", channel="quotes", symbol=ES)
        self.assertEqual((snapshot["seq"], snapshot["BidPrice"]), (last, 282675))
        self.quote(282650)
        self.assertEqual([each["seq"] for each in late.take()], [last + 1])

    def test_replaced_while_its_definition_is_awaited(self) -> None:
        """The reply to the first request comes first."""
        self.subscribe("marketdata")
        caller = self.connect()
        for number, prices in enumerate(("display", "server")):
            request = {"action": "subscribe", "channel": "marketdata", "symbol": ES, "prices": prices, "id": number}
            caller.send(request)
        self.flush()
        replies = [(each["id"], each["success"]) for each in caller.take() if "action" in each]
        self.assertEqual(replies, [(0, False), (1, True)])

    def test_one_subscription_upstream(self) -> None:
        caller = self.connect()
        for channel in ("marketdata", "trades", "quotes"):
            self.ask(caller, action="subscribe", channel=channel, symbol=ES)
        self.assertEqual([each.Symbol for each in self.sent(dtc.MarketDataRequest)], [ES])
        for channel in ("marketdata", "trades"):
            self.assertTrue(self.ask(caller, action="unsubscribe", channel=channel, symbol=ES)[0]["success"])
        self.assertEqual(len(self.sent(dtc.MarketDataRequest)), 1)
        caller.transport.loseConnection()
        self.advance(59, 1.0)
        self.assertEqual(len(self.sent(dtc.MarketDataRequest)), 1)
        self.advance(3)
        self.assertEqual(self.sent(dtc.MarketDataRequest)[-1].RequestAction, RequestActionEnum.UNSUBSCRIBE)

    def test_other_options(self) -> None:
        """They cost no new subscription at the server, and numbers go on."""
        caller = self.subscribe("marketdepth")
        self.quote(282600)
        number = caller.take()[-1]["seq"]
        answer, book = self.ask(caller, action="subscribe", channel="marketdepth", symbol=ES, max_rate=2)
        self.assertEqual((answer["success"], book["event"], book["seq"]), (True, "book", number))
        self.quote(282650)
        self.advance(1)
        self.assertEqual([each["event"] for each in caller.take()], ["book"])
        self.assertEqual(len(self.sent(dtc.MarketDepthRequest)), 1)

    def test_list_of_symbols(self) -> None:
        caller = self.connect()
        answers = list(self.ask(caller, action="subscribe", channel="trades", symbol=[ES, CL, "NOPE"], id="x"))
        output = {each["symbol"]: (each["success"], each["id"]) for each in answers}
        self.assertEqual(output, {ES: (True, "x"), CL: (True, "x"), "NOPE": (False, "x")})
        (listed,) = self.ask(caller, action="list")
        self.assertEqual(
            listed["subscriptions"],
            [{"channel": "trades", "symbol": symbol, "last_update": None} for symbol in (ES, CL)],
        )
        self.advance(2)
        self.trade()
        caller.take()
        (listed,) = self.ask(caller, action="list", id=1)
        self.assertEqual((listed["id"], listed["subscriptions"][0]["last_update"]), (1, 1_700_000_002))

    def test_status(self) -> None:
        caller = self.connect()
        answer, status = self.ask(caller, action="subscribe", channel="status")
        self.assertTrue(answer["success"])
        self.assertEqual((status["channel"], status["state"]), ("status", "ready"))
        self.simulator.drop()
        self.advance(3)
        states = [each["state"] for each in caller.take()]
        self.assertEqual(states, ["waiting", "connecting", "logging_on", "ready"])
        self.assertTrue(self.ask(caller, action="unsubscribe", channel="status")[0]["success"])
        self.simulator.drop()
        self.advance(3)
        self.assertEqual(caller.take(), [])

    def test_reconnect(self) -> None:
        caller = self.subscribe("quotes")
        self.simulator.drop()
        self.advance(3)
        stale, live, snapshot = caller.take()
        self.assertEqual([stale["event"], stale["channel"], stale["symbol"]], ["stale", "quotes", ES])
        self.assertEqual(live["event"], "live")
        self.assertEqual(snapshot["Type"], 104)

    def test_display_prices(self) -> None:
        caller = self.connect()
        answer, snapshot = self.ask(caller, action="subscribe", channel="marketdata", symbol=ES, prices="display")
        self.assertTrue(answer["success"])
        self.assertEqual(snapshot["SessionHighPrice"], 2835.0)
        plain = self.subscribe("trades")
        self.trade(282825)
        self.assertEqual([each["Price"] for each in caller.take() if each["Type"] == 107], [2828.25])
        self.assertEqual([each["Price"] for each in plain.take()], [282825])
        (refused,) = self.ask(caller, action="subscribe", channel="trades", symbol="NOPE", prices="display")
        self.assertFalse(refused["success"])

    def test_max_rate(self) -> None:
        """Quotes: the latest, so often. Trades: all."""
        quotes = self.subscribe("quotes", max_rate=1)
        trades = self.subscribe("trades", max_rate=1)
        quotes.take()
        for number in range(10):
            self.quote(282700 - 25 * (number % 2))
            self.trade(volume=number + 1)
        self.assertEqual(quotes.take(), [])
        self.assertEqual([each["Volume"] for each in trades.take()], [*range(1, 11)])
        self.advance(1.1)
        (latest,) = quotes.take()
        self.assertEqual(latest["BidPrice"], 282675)
        self.advance(5)
        self.quote(282650)
        self.assertEqual([each["BidPrice"] for each in quotes.take()], [282650])

    @slow
    def test_max_rate_and_events(self) -> None:
        """What was held back comes before an event, not after it; after the end nothing comes."""
        caller = self.subscribe("quotes", max_rate=0.01)
        caller.take()
        self.quote(282600)
        self.assertEqual(caller.take(), [])
        self.simulator.reject_next(dtc.MarketDataRequest, "Expired.")
        self.simulator.drop()
        self.advance(3)
        self.assertEqual([each.get("event") or each["BidPrice"] for each in caller.take()], [282600, "stale", "ended"])
        self.advance(200)
        self.assertEqual(caller.take(), [])

    def test_max_rate_and_snapshots(self) -> None:
        """A snapshot is not held back: what came after it would be undone by it."""
        caller = self.subscribe("marketdata", max_rate=0.01)
        caller.take()
        self.quote(282600)
        self.simulator.send(dtc.MarketDataSnapshot(SymbolID=1, LastTradePrice=282700))
        self.trade(282800)
        self.assertEqual([each["Type"] for each in caller.take()], [104, 107])
        self.advance(100)
        self.assertEqual({each["Type"] for each in caller.take()} & {104, 107, 108}, set())

    def test_each_request_is_answered(self) -> None:
        """Also one whose end comes before its answer."""
        caller = self.connect()
        subscription = {"channel": "trades", "symbol": ES}
        for kind, requests, options in (
            (dtc.MarketDataRequest, 1, {}),
            (dtc.SecurityDefinitionForSymbolRequest, 2, {"prices": "display"}),
        ):
            held = [self.simulator.hold_next(kind) for _ in range(requests)]
            self.assertEqual(self.ask(caller, action="subscribe", id=0, **subscription, **options), [])
            answers = self.ask(caller, action="subscribe", id=1, **subscription, **options)
            answers += self.ask(caller, action="unsubscribe", id=2, **subscription)
            self.assertEqual([(each["id"], each["success"]) for each in answers], [(0, False), (1, False), (2, True)])
            self.assertEqual({each["error"] for each in answers[:2]}, {"Unsubscribed before the server answered."})
            for each in held:
                each.release()
            self.flush()
            self.assertEqual((caller.take(), self.status()["symbols"]), ([], []))

    def test_errors(self) -> None:
        caller = self.connect()
        for request, word in (
            ({"action": "sing"}, "action"),
            ({"action": "subscribe", "channel": "gossip", "symbol": ES}, "channel"),
            ({"action": "subscribe", "channel": "trades"}, "symbol"),
            ({"action": "subscribe", "channel": "trades", "symbol": []}, "symbol"),
            ({"action": "subscribe", "channel": "trades", "symbol": [ES, ""]}, "symbol"),
            ({"action": "subscribe", "channel": "status", "symbol": ES}, "symbol"),
            ({"action": "subscribe", "channel": "trades", "symbol": ES, "colour": 1}, "colour"),
            ({"action": "subscribe", "channel": "trades", "symbol": ES, "prices": "nice"}, "prices"),
            ({"action": "subscribe", "channel": "trades", "symbol": ES, "max_rate": 0}, "max_rate"),
            ({"action": "subscribe", "channel": "trades", "symbol": ES, "max_rate": "1"}, "max_rate"),
            ({"action": "subscribe", "channel": "trades", "symbol": ES, "num_levels": 5}, "num_levels"),
            ({"action": "subscribe", "channel": "marketdepth", "symbol": ES, "num_levels": -1}, "num_levels"),
            ({"action": "unsubscribe", "channel": "trades", "symbol": ES}, "Not subscribed"),
            ({"action": "unsubscribe", "channel": "status"}, "Not subscribed"),
            ({"action": "unsubscribe", "channel": "unknown"}, "Not subscribed"),
            ({"action": "subscribe", "channel": "unknown", "symbol": ES}, "symbol: unknown has none."),
            ({"action": "subscribe", "channel": "status", "max_rate": 1}, "max_rate: status has none."),
        ):
            (answer,) = self.ask(caller, **request)
            self.assertEqual({name: answer[name] for name in request}, request)
            self.assertFalse(answer["success"])
            self.assertIn(word, answer["error"])
        caller.send_text("nonsense")
        self.flush()
        self.assertEqual(caller.take()[0]["request"], "nonsense")


class UnknownTests(MultiChannelCase):
    """Messages of unknown types have a channel of their own."""

    def pass_on(self, *texts: str) -> None:
        for text in texts:
            self.simulator.send_raw(text.encode("latin-1") + b"\0")
        self.flush()

    def test_as_they_came(self) -> None:
        caller, other = self.connect(), self.subscribe("status")
        (answer,) = self.ask(caller, action="subscribe", channel="unknown", id="x")
        self.assertEqual(
            answer, {"action": "subscribe", "channel": "unknown", "id": "x", "epoch": EPOCH, "seq": 0, "success": True}
        )
        other.take()
        self.pass_on('{"Type":12345,"Price":282800,"B":2.50,"N":null}', '{ "Type": 9999, "F": [1, "\xfc"] }\n')
        self.assertEqual(
            caller.texts[1:],
            [
                '{"channel":"unknown","seq":1,"message":{"Type":12345,"Price":282800,"B":2.50,"N":null}}',
                '{"channel":"unknown","seq":2,"message":{ "Type": 9999, "F": [1, "\xfc"] }\n}',
            ],
        )
        self.assertEqual(other.take(), [])

    def test_only_what_is_not_known(self) -> None:
        caller = self.connect()
        self.ask(caller, action="subscribe", channel="unknown")
        self.pass_on('{"Type":107,"SymbolID":1}', '{"Type":"12345"}', '{"Type":12345', "nonsense")
        self.assertEqual(caller.take(), [])

    def test_one_session_after_the_other(self) -> None:
        caller = self.connect()
        self.ask(caller, action="subscribe", channel="unknown")
        self.pass_on('{"Type":12345}')
        self.simulator.drop()
        self.advance(3)
        self.pass_on('{"Type":12345}')
        self.assertEqual([each["seq"] for each in caller.take()], [1, 2])

    def test_end(self) -> None:
        caller = self.connect()
        self.ask(caller, action="subscribe", channel="unknown")
        (listed,) = self.ask(caller, action="list")
        self.assertEqual(listed["subscriptions"], [{"channel": "unknown", "symbol": None, "last_update": None}])
        self.pass_on('{"Type":12345}')
        caller.take()
        (listed,) = self.ask(caller, action="list")
        self.assertEqual(listed["subscriptions"][0]["last_update"], self.clock.seconds())
        self.assertTrue(self.ask(caller, action="unsubscribe", channel="unknown")[0]["success"])
        self.pass_on('{"Type":12345}')
        self.assertEqual(caller.take(), [])
        self.ask(caller, action="subscribe", channel="unknown")
        self.pass_on('{"Type":12345}')
        self.assertEqual([each["seq"] for each in caller.take()], [3])

    def test_slow_reader(self) -> None:
        """A slow subscriber gets the latest message of each type."""
        caller = self.connect()
        self.ask(caller, action="subscribe", channel="unknown")
        producer = self.socket().transport.producer
        producer.pauseProducing()
        self.pass_on(*(f'{{"Type":{number},"N":{n}}}' for n in range(5) for number in (12345, 12346)))
        producer.resumeProducing()
        self.flush()
        skipped, *latest = caller.take()
        self.assertEqual(skipped, {"event": "skipped", "messages": 8})
        self.assertEqual([each["message"] for each in latest], [{"Type": 12345, "N": 4}, {"Type": 12346, "N": 4}])
        producer.pauseProducing()
        self.pass_on('{"Type":12345}')
        self.send_json(caller, {"action": "unsubscribe", "channel": "unknown"})
        producer.resumeProducing()
        self.flush()
        self.assertEqual([each.get("action") for each in caller.take()], ["unsubscribe"])

    def test_nothing_is_encoded_without_subscribers(self) -> None:
        made: list[int] = []

        def make() -> bytes:
            made.append(1)
            return b"{}"

        caller = self.subscribe("status")
        factory = self.socket().factory
        factory._publish("unknown", make)
        self.assertEqual(made, [])
        self.ask(caller, action="subscribe", channel="unknown")
        factory._publish("unknown", make)
        self.assertEqual(made, [1])

    def test_a_failure_does_not_affect_others(self) -> None:
        upstream: Any = next(each for each in self.service if hasattr(each, "listeners"))
        upstream.unknown_message_listeners.insert(0, lambda number, text: 1 / 0)
        caller = self.connect()
        self.ask(caller, action="subscribe", channel="unknown")
        self.pass_on('{"Type":12345}')
        self.assertEqual([each["message"] for each in caller.take()], [{"Type": 12345}])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.status()["state"], "ready")


class DepthTests(MultiChannelCase):
    def book(self, caller: WebSocketCaller, book: dict[int, dict[float, float]], channel: str | None = None) -> None:
        """Build a book from the messages of a caller."""
        for each in caller.take():
            if channel is not None and each.get("channel") != channel:
                continue
            if each.get("event") == "book":
                book[1] = {level["Price"]: level["Quantity"] for level in each["bids"]}
                book[2] = {level["Price"]: level["Quantity"] for level in each["asks"]}
            elif each.get("event") == "changes":
                for change in each["changes"]:
                    if change["UpdateType"] == 2:
                        del book[change["Side"]][change["Price"]]
                    else:
                        book[change["Side"]][change["Price"]] = change["Quantity"]

    def truth(self, levels: int = 0) -> dict[int, dict[float, float]]:
        book = self.simulator.book(ES)
        sides = {1: book["bids"], 2: book["asks"]}
        return {
            side: {each[0]: each[1] for each in (rows[:levels] if levels else rows)} for side, rows in sides.items()
        }

    def test_book_then_changes(self) -> None:
        caller = self.connect("/marketdepth")
        answer, book = self.ask(caller, action="subscribe", symbol=ES)
        self.assertEqual(answer, {"action": "subscribe", "symbol": ES, "success": True})
        self.assertEqual([book["event"], book["symbol"], len(book["bids"])], ["book", ES, len(self.truth()[1])])
        self.assertGreater(book["bids"][0]["Price"], book["bids"][1]["Price"])
        self.quote(282600)
        self.assertEqual({each["event"] for each in caller.take()}, {"changes"})

    @slow
    def test_views_without_subscribers_are_dropped(self) -> None:
        """Or each number of levels that was ever asked for would be kept, with its books."""
        caller = self.connect("/marketdepth")
        kept: dict[int, dict[float, float]] = {}
        for levels in (2, 3, 5):
            self.send_json(caller, {"action": "subscribe", "symbol": ES, "num_levels": levels})
        self.assertEqual(self.fetch(f"/marketdepth?Symbol={ES}&NumLevels=4").status, 200)
        self.assertEqual(self.fetch(f"/marketdepth?Symbol={ES}&NumLevels=5").status, 200)
        web = self.web_service
        hub = next(each.hub for each in web._sockets if isinstance(each, SingleChannelFactory) and each.hub.symbols)
        self.assertEqual(list(hub._feeds[ES].state._views), [5])  # type: ignore[attr-defined]
        self.simulator.randomize_book(ES, 500, 1)
        self.flush()
        self.book(caller, kept)
        self.assertEqual(kept, self.truth(5))

    def test_errors(self) -> None:
        caller = self.connect("/marketdepth")
        for levels in (-1, "5", 1.5, True):
            (answer,) = self.ask(caller, action="subscribe", symbol=ES, num_levels=levels)
            self.assertIn("num_levels", answer["error"])
        (answer,) = self.ask(caller, action="subscribe", symbol="NOPE")
        self.assertFalse(answer["success"])

    def test_channels_do_not_leak(self) -> None:
        data, depth = self.connect("/marketdata"), self.connect("/marketdepth")
        for caller in (data, depth):
            self.ask(caller, action="subscribe", symbol=ES)
        self.quote(282600)
        self.trade(282600)
        self.assertTrue(all("event" not in each for each in data.take()))
        self.assertTrue(all("Type" not in each for each in depth.take()))

    @slow
    def test_100000_changes_with_reconnects(self) -> None:
        """Whole books and parts of books, kept by subscribers of both addresses, are the server's own at the end."""
        readers: list[tuple[WebSocketCaller, dict[int, dict[float, float]], int]] = []
        for levels in (0, 1, 5):
            single, stream = self.connect("/marketdepth"), self.connect()
            self.send_json(single, {"action": "subscribe", "symbol": ES, "num_levels": levels})
            self.send_json(
                stream, {"action": "subscribe", "channel": "marketdepth", "symbol": ES, "num_levels": levels}
            )
            readers += [(single, {}, levels), (stream, {}, levels)]
        for round_number in range(20):
            self.simulator.randomize_book(ES, 5_000, round_number)
            self.flush()
            if round_number % 4 == 3:
                self.simulator.drop()
                self.advance(3)
            if round_number % 5 == 2:
                self.simulator.send(dtc.Heartbeat(NumDroppedMessages=3))
                self.flush()
            for caller, book, levels in readers:
                self.book(caller, book)
                self.assertEqual(book, self.truth(levels), (round_number, levels))

    @slow
    def test_slow_reader_gets_a_whole_book(self) -> None:
        caller = self.subscribe("marketdepth", num_levels=3)
        kept: dict[int, dict[float, float]] = {}
        self.socket().transport.producer.pauseProducing()
        self.simulator.randomize_book(ES, 500, 1)
        self.flush()
        caller.take()
        self.socket().transport.producer.resumeProducing()
        self.flush()
        self.assertEqual([each.get("event") for each in caller.messages], ["skipped", "book"])
        self.book(caller, kept)
        self.simulator.randomize_book(ES, 500, 2)
        self.flush()
        self.book(caller, kept)
        self.assertEqual(kept, self.truth(3))

    @slow
    def test_a_queued_book_is_sent_while_it_is_stale(self) -> None:
        """The server's feed may come back without another book."""
        status = dtc.MarketDataFeedStatus
        for path, options in (("/marketdepth", {}), ("/stream", {"channel": "marketdepth"})):
            caller = self.connect(path)
            kept: dict[int, dict[float, float]] = {}
            self.ask(caller, action="subscribe", symbol=ES, num_levels=3, **options)
            producer = self._pumps[-1].serverIO.producer
            producer.pauseProducing()
            self.simulator.randomize_book(ES, 500, 1)
            self.simulator.send(status(Status=MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE))
            self.flush()
            producer.resumeProducing()
            self.flush()
            self.assertEqual([each.get("event") for each in caller.messages], ["skipped", "book", "stale"])
            self.simulator.send(status(Status=MarketDataFeedStatusEnum.MARKET_DATA_FEED_AVAILABLE))
            self.simulator.randomize_book(ES, 50, 2)
            self.flush()
            self.book(caller, kept)
            self.assertEqual(kept, self.truth(3))

    @slow
    def test_max_rate(self) -> None:
        caller = self.subscribe("marketdepth", max_rate=1)
        kept: dict[int, dict[float, float]] = {}
        self.simulator.randomize_book(ES, 500, 1)
        self.flush()
        self.advance(1.1)
        self.book(caller, kept)
        self.assertEqual(kept, self.truth())

    def test_display_prices(self) -> None:
        caller = self.connect()
        _, book = self.ask(caller, action="subscribe", channel="marketdepth", symbol=ES, prices="display")
        self.assertEqual(book["bids"][0]["Price"], max(self.truth()[1]) / 100)


class SnapshotTests(MultiChannelCase):
    def test_marketdata(self) -> None:
        """From the server, once, when nobody is subscribed."""
        (snapshot,) = self.fetch(f"/marketdata?Symbol={ES}").json
        self.assertEqual((snapshot["Type"], snapshot["Symbol"]), (104, ES))
        actions = [each.RequestAction for each in self.sent(dtc.MarketDataRequest)]
        self.assertEqual(actions, [RequestActionEnum.SNAPSHOT])
        self.assertEqual(self.status()["symbols"], [])

    def test_from_the_hub(self) -> None:
        self.subscriber(ES)
        self.trade(282825, volume=77)
        (snapshot,) = self.fetch(f"/marketdata?Symbol={ES}&prices=display&times=iso").json
        self.assertEqual((snapshot["LastTradePrice"], snapshot["LastTradeVolume"]), (2828.25, 77))
        self.assertTrue(snapshot["LastTradeDateTime"].endswith("Z"), snapshot)
        self.assertEqual(len(self.sent(dtc.MarketDataRequest)), 1)

    def test_a_subscriber_who_comes_meanwhile(self) -> None:
        held = self.simulator.hold_next(dtc.MarketDataRequest)
        caller = self.begin(f"/marketdata?Symbol={ES}")
        subscriber = self.subscriber(ES)
        held.release()
        self.flush()
        self.assertIn(b"HTTP/1.1 200", caller.received)
        self.trade(volume=9)
        self.assertEqual([each.get("Type") for each in subscriber.take()][-1], 107)

    def test_what_comes_with_it_is_not_taken_for_it(self) -> None:
        """The server says that it has a feed, and then in one read the snapshot and a trade."""
        held = self.simulator.hold_next(dtc.MarketDataRequest)
        self.subscriber(ES)
        self.simulator.send(
            dtc.MarketDataFeedSymbolStatus(SymbolID=1, Status=MarketDataFeedStatusEnum.MARKET_DATA_FEED_AVAILABLE)
        )
        self.flush()
        caller = self.begin(f"/marketdata?Symbol={ES}")
        (connection,) = self.simulator.clients.logged_on()
        trade = dtc.MarketDataUpdateTrade(SymbolID=1, Price=2, Volume=3)
        connection.send_together([dtc.MarketDataSnapshot(SymbolID=1, LastTradePrice=1), trade])
        self.flush()
        (snapshot,) = json.loads(caller.received.partition(b"\r\n\r\n")[2])
        self.assertEqual((snapshot["Type"], snapshot["LastTradePrice"]), (104, 1))
        held.release()

    def test_marketdepth(self) -> None:
        book = self.fetch(f"/marketdepth?Symbol={ES}&NumLevels=2").json
        truth = self.simulator.book(ES)
        self.assertEqual([each["Price"] for each in book["bids"]], [each[0] for each in truth["bids"][:2]])
        self.assertEqual([each["Price"] for each in book["asks"]], [each[0] for each in truth["asks"][:2]])
        actions = [each.RequestAction for each in self.sent(dtc.MarketDepthRequest)]
        self.assertEqual(actions, [RequestActionEnum.SUBSCRIBE, RequestActionEnum.UNSUBSCRIBE])

    def test_errors(self) -> None:
        for path in ("/marketdata", "/marketdepth"):
            self.assertEqual(self.fetch(f"{path}?Symbol=NOPE").status, 422)
            self.assertEqual(self.fetch(f"{path}?symbol={ES}").status, 400)
            self.assertEqual(self.fetch(path).status, 426)
        self.simulator.ignore_next(dtc.MarketDataRequest)
        caller = self.begin(f"/marketdata?Symbol={ES}")
        self.advance(5.5)
        self.assertIn(b"HTTP/1.1 504", caller.received)
        self.assertEqual(self.status()["symbols"], [])
        held = self.begin(f"/marketdepth?Symbol={ES}")
        self.assertIn(b"HTTP/1.1 200", held.received)
        self.simulator.refuse_logon(2, "No.")
        self.simulator.drop()
        self.advance(1)
        self.assertEqual(self.fetch(f"/marketdata?Symbol={ES}").status, 503)

    def test_leaving(self) -> None:
        self.simulator.ignore_next(dtc.MarketDataRequest)
        caller = self.begin(f"/marketdata?Symbol={ES}")
        caller.transport.loseConnection()
        self.flush()
        self.assertEqual(self.status()["symbols"], [])


class DisplayTests(MultiChannelCase):
    def test_positions(self) -> None:
        plain = {each["Symbol"]: each for each in self.fetch("/currentpositions").json}
        shown = {each["Symbol"]: each for each in self.fetch("/currentpositions?prices=display&times=iso").json}
        self.assertEqual(shown[ES]["AveragePrice"], plain[ES]["AveragePrice"] / 100)
        self.assertEqual(shown[ES]["OpenProfitLoss"], plain[ES]["OpenProfitLoss"])
        self.assertTrue(shown[ES]["EntryDateTime"].endswith("Z"))

    def test_definitions_are_asked_for_once_a_session(self) -> None:
        for _ in range(3):
            self.fetch("/currentpositions?prices=display")
        requests = [each.Symbol for each in self.sent(dtc.SecurityDefinitionForSymbolRequest)]
        self.assertEqual(sorted(requests), [CL, ES])
        self.simulator.drop()
        self.advance(3)
        self.fetch("/currentpositions?prices=display")
        self.assertEqual(len(self.sent(dtc.SecurityDefinitionForSymbolRequest)), 4)

    def test_history(self) -> None:
        query = f"/historicalpricedata?Symbol={ES}&RecordInterval=1d&MaxDaysToReturn=5"
        self.clock.listenTCP(11098, self.simulator.history_factory)
        plain, shown = (self.fetch(query + more) for more in ("", "&prices=display&times=iso"))
        self.assertEqual((plain.status, shown.status), (200, 200))
        for one, other in zip(plain.json, shown.json, strict=True):
            self.assertEqual(other["LastPrice"], one["LastPrice"] / 100)
            self.assertTrue(other["StartDateTime"].endswith("Z"))
        lines = self.fetch(query + "&prices=display&format=csv").body.decode().splitlines()
        self.assertEqual(len(lines), len(plain.json) + 1)

    def test_no_definition(self) -> None:
        self.simulator.reject_next(dtc.SecurityDefinitionForSymbolRequest, "Not today.")
        answer = self.fetch("/currentpositions?prices=display")
        self.assertEqual((answer.status, json.loads(answer.body)["error"]["message"]), (422, "Not today."))
