"""Test the hub: order of updates, snapshots for late joiners, subscriptions."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import (
    MarketDataFeedStatusEnum,
    Message,
    RequestActionEnum,
    TradeConditionEnum,
    TradingStatusEnum,
)
from dtc_twisted.market_data import MARKET_DEPTH, BookChanges, BookSnapshot, Hub, ReadBatch, Update, last_values
from dtc_twisted.market_data.feed_repair import REPAIR_INTERVAL
from dtc_twisted.market_data.read_batch import IdentityEncoder
from dtc_twisted.web.stream.encoders import sequence_number
from dtc_twisted.web.stream.market_json import encode_payloads
from dtc_twisted.work_turns import TURN_STEPS
from tests.support import slow

ES = "ESM20_FUT_CME"
CL = "CLM20_FUT_NYMEX"
TIMEOUT = 5.0
AVAILABLE = MarketDataFeedStatusEnum.MARKET_DATA_FEED_AVAILABLE
UNAVAILABLE = MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE


class FakeSession:
    """Record sent messages. SymbolIDs begin with `first`, so that they differ between sessions."""

    def __init__(self, first: int = 1, resubscribe: int = 0) -> None:
        self.logon = dtc.LogonResponse(ResubscribeWhenMarketDataFeedAvailable=resubscribe)
        self.sent: list[tuple[str, int, str]] = []
        self.on_send: Callable[[Any], None] = lambda request: None
        self._first = first
        self._ids: dict[str, int] = {}

    def symbol_id(self, symbol: str, user: object = None) -> int:
        return self._ids.setdefault(symbol, self._first + len(self._ids))

    def release_symbol_id(self, symbol: str, user: object) -> None: ...

    def send(self, message: Any) -> None:
        assert isinstance(message, dtc.MarketDataRequest | dtc.MarketDepthRequest)
        assert isinstance(message.RequestAction, RequestActionEnum)
        assert isinstance(message.SymbolID, int) and isinstance(message.Symbol, str)
        self.sent.append((message.RequestAction.name, message.SymbolID, message.Symbol))
        self.on_send(message)

    def take(self) -> list[tuple[str, int, str]]:
        sent, self.sent = self.sent, []
        return sent


def is_snapshot(update: Update) -> bool:
    return [each.Type for each in update.messages] == [104]


class FakeConsumer:
    """Record calls of the hub. `on` has an action for each call, by its name."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.payloads: list[bytes] = []
        self.flushes = 0
        self.on: dict[str, Callable[[], object]] = {}

    def take(self) -> list[tuple[Any, ...]]:
        events, self.events = self.events, []
        return events

    def names(self) -> list[str]:
        """Return the calls since the last time. A market data message is shown as its type."""
        return [str(event[2]["Type"]) if event[0] == "market" else event[0] for event in self.take()]

    def _record(self, name: str, *details: Any) -> None:
        self.events.append((name, *details))
        self.on.get(name, lambda: None)()

    def on_subscribed(self, symbol: str) -> None:
        self._record("subscribed", symbol)

    def on_rejected(self, symbol: str, text: str) -> None:
        self._record("refused", symbol, text)

    @property
    def sink(self) -> "FakeConsumer":
        return self

    def add(self, update: Update, /) -> None:
        for sent, payload in zip(update.messages, encode_payloads(update), strict=True):
            message = json.loads(payload)
            assert message["Type"] == sent.Type and message["Symbol"] == update.symbol, message
            self.payloads.append(payload)
            self._record("market", update.symbol, message)

    def flush(self) -> None:
        self.flushes += 1

    def on_stale(self, symbol: str, reason: str) -> None:
        self._record("stale", symbol, reason)

    def on_live(self, symbol: str) -> None:
        self._record("live", symbol)

    def on_ended(self, symbol: str, text: str) -> None:
        self._record("ended", symbol, text)


class HubCase(SynchronousTestCase):
    """Provide a hub with a session, unless `attached` is False."""

    attached = True

    def setUp(self) -> None:
        self.clock = Clock()
        self.batch = ReadBatch(self.clock)
        self.hub = Hub(self.clock, TIMEOUT, self.batch)
        self.session = FakeSession()
        if self.attached:
            self.hub.attach(self.session)

    def tearDown(self) -> None:
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def consumer(self, *symbols: str) -> FakeConsumer:
        consumer = FakeConsumer()
        for symbol in symbols:
            self.hub.subscribe(symbol, consumer)
        return consumer

    def reattach(self, first: int = 101, resubscribe: int = 0) -> None:
        self.session = FakeSession(first, resubscribe)
        self.hub.attach(self.session)

    def receive(self, message: Message) -> None:
        """Deliver a message that arrives alone."""
        take = self.hub.handlers.get(type(message))
        if take is not None:
            take(message)
        self.batch.flush()

    def snapshot(self, symbol: str = ES, price: float = 282800) -> None:
        self.receive(dtc.MarketDataSnapshot(SymbolID=self.session.symbol_id(symbol), LastTradePrice=price))

    def trade(self, symbol: str = ES, price: float = 282825) -> None:
        self.receive(dtc.MarketDataUpdateTrade(SymbolID=self.session.symbol_id(symbol), Price=price, Volume=1))

    def reject(self, symbol: str = ES, text: str = "No.") -> None:
        self.receive(dtc.MarketDataReject(SymbolID=self.session.symbol_id(symbol), RejectText=text))


class SubscriptionTests(HubCase):
    def test_one_upstream_subscription(self) -> None:
        consumers = [self.consumer(ES) for _ in range(5)]
        self.snapshot()
        consumers += [self.consumer(ES) for _ in range(5)]
        self.assertEqual(self.session.take(), [("SUBSCRIBE", 1, ES)])
        for consumer in consumers[:-1]:
            self.assertTrue(self.hub.unsubscribe(ES, consumer))
        self.assertEqual(self.session.take(), [])
        self.assertEqual(self.hub.symbols, [ES])
        self.assertTrue(self.hub.unsubscribe(ES, consumers[-1]))
        self.assertEqual(self.session.take(), [("UNSUBSCRIBE", 1, ES)])
        self.assertEqual(self.hub.symbols, [])

    def test_a_later_numbering_has_a_larger_epoch(self) -> None:
        self.hub.subscribe(ES, FakeConsumer(), encoder=None)  # does not count
        consumer = self.consumer(ES)
        self.snapshot()
        first = self.hub.numbering(ES)
        self.assertEqual(first.counts[dtc.MarketDataSnapshot], 1)
        self.hub.unsubscribe(ES, consumer)
        self.trade()
        self.consumer(ES)
        self.assertGreater(self.hub.numbering(ES).epoch, first.epoch)
        self.assertEqual(sum(self.hub.numbering(ES).counts.values()), 0)

    def test_another_encoder_does_not_begin_a_numbering(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        first = self.hub.numbering(ES)
        self.hub.subscribe(ES, consumer, encoder=IdentityEncoder())
        self.assertIs(self.hub.numbering(ES), first)

    def test_answer_then_snapshot_then_updates(self) -> None:
        consumer = self.consumer(ES)
        self.assertEqual(consumer.take(), [])
        self.snapshot()
        self.trade()
        self.assertEqual(consumer.names(), ["subscribed", "104", "107"])

    def test_all_get_the_same_bytes(self) -> None:
        first, second = self.consumer(ES), self.consumer(ES)
        self.snapshot()
        self.trade()
        for one, other in zip(first.payloads, second.payloads, strict=True):
            self.assertIs(one, other)
        self.assertEqual(
            first.payloads[1], b'{"Symbol":"ESM20_FUT_CME","Type":107,"SymbolID":1,"Price":282825,"Volume":1}'
        )

    def test_several_symbols(self) -> None:
        both, one = self.consumer(ES, CL), self.consumer(CL)
        self.snapshot(CL, 1718)
        self.snapshot(ES)
        self.trade(CL, 1719)
        self.assertEqual(
            [event[:2] for event in both.take()],
            [("subscribed", CL), ("market", CL), ("subscribed", ES), ("market", ES), ("market", CL)],
        )
        self.assertEqual([event[1] for event in one.take()], [CL] * 3)

    def test_late_joiner(self) -> None:
        first = self.consumer(ES)
        self.snapshot()
        self.trade(price=282850)
        first.take()
        late = self.consumer(ES)
        answer, (_, _, snapshot) = late.take()
        self.assertEqual(answer, ("subscribed", ES))
        self.assertEqual(
            snapshot, {"Symbol": ES, "Type": 104, "SymbolID": 1, "LastTradePrice": 282850, "LastTradeVolume": 1}
        )
        self.assertEqual(first.take(), [])
        self.trade()
        self.assertEqual((first.names(), late.names()), (["107"], ["107"]))

    def test_subscribe_twice_before_the_answer(self) -> None:
        """Each request is answered; updates come once."""
        consumer = self.consumer(ES, ES)
        self.snapshot()
        self.trade()
        self.assertEqual(consumer.names(), ["subscribed", "subscribed", "104", "107"])
        self.assertTrue(self.hub.unsubscribe(ES, consumer))
        self.assertFalse(self.hub.unsubscribe(ES, consumer))

    def test_subscribe_twice_after_the_answer(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        consumer.take()
        self.hub.subscribe(ES, consumer)
        self.assertEqual(consumer.names(), ["subscribed", "104"])
        self.trade()
        self.assertEqual(consumer.names(), ["107"])
        self.assertEqual(len(self.session.take()), 1)

    def test_twice_and_refused(self) -> None:
        consumer = self.consumer(ES, ES)
        self.reject(text="No such symbol.")
        self.assertEqual(consumer.take(), [("refused", ES, "No such symbol.")] * 2)

    def test_twice_and_too_late(self) -> None:
        consumer = self.consumer(ES, ES)
        self.clock.advance(TIMEOUT)
        self.assertEqual(consumer.names(), ["subscribed", "subscribed", "stale"])

    def test_unsubscribe_what_is_not_subscribed(self) -> None:
        self.assertFalse(self.hub.unsubscribe(ES, FakeConsumer()))
        member = self.consumer(ES)
        self.snapshot()
        self.assertFalse(self.hub.unsubscribe(ES, FakeConsumer()))
        self.trade()
        self.assertEqual(member.names()[-1], "107")

    def test_unsubscribe_before_the_answer(self) -> None:
        """The request to subscribe is answered before the one to unsubscribe."""
        consumer, other = self.consumer(ES), self.consumer(ES)
        self.assertTrue(self.hub.unsubscribe(ES, consumer))
        self.assertEqual(consumer.take(), [("refused", ES, "Unsubscribed before the server answered.")])
        self.snapshot()
        self.assertEqual(consumer.take(), [])
        self.assertEqual(other.names(), ["subscribed", "104"])

    def test_late_messages_of_an_unsubscribed_symbol(self) -> None:
        consumer = self.consumer(ES, CL)
        self.snapshot()
        self.hub.unsubscribe(ES, consumer)
        consumer.take()
        self.trade()
        self.reject()
        self.snapshot(CL)
        self.assertEqual({event[1] for event in consumer.take()}, {CL})

    def test_unknown_ids_and_no_id(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        consumer.take()
        self.receive(dtc.MarketDataUpdateTrade(SymbolID=77, Price=1))
        self.receive(dtc.MarketDataUpdateTrade(Price=1))
        self.receive(dtc.Heartbeat())
        self.assertEqual(consumer.take(), [])

    def test_depth_does_not_leak_in(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        consumer.take()
        depth = [kind for kind in dtc.MESSAGES.values() if "Depth" in kind.__name__ and kind.__name__[:6] == "Market"]
        self.assertGreater(len(depth), 7)
        for kind in depth:
            self.receive(kind(SymbolID=1))
        self.assertEqual(consumer.take(), [])

    def test_leave(self) -> None:
        leaver, other = self.consumer(ES, CL), self.consumer(ES)
        self.snapshot(ES)
        leaver.take()
        self.hub.unsubscribe_all(leaver)
        self.assertEqual(self.session.take()[2:], [("UNSUBSCRIBE", 2, CL)])
        self.snapshot(CL)
        self.trade(ES)
        self.assertEqual(leaver.take(), [])  # nor a refusal of what it waited for: it has left
        self.assertEqual(other.names(), ["subscribed", "104", "107"])
        self.hub.unsubscribe_all(leaver)

    def test_an_answer_faster_than_the_next_line(self) -> None:
        self.session.on_send = lambda request: self.snapshot()
        self.assertEqual(self.consumer(ES).names(), ["subscribed", "104"])
        self.session.on_send = lambda request: self.reject(CL)
        self.assertEqual(self.consumer(CL).names(), ["refused"])
        self.assertEqual(self.hub.symbols, [ES])


class RefusalTests(HubCase):
    def test_first(self) -> None:
        consumers = [self.consumer(ES), self.consumer(ES)]
        self.reject(text="Not permitted by the exchange.")
        for consumer in consumers:
            self.assertEqual(consumer.take(), [("refused", ES, "Not permitted by the exchange.")])
            self.assertFalse(self.hub.unsubscribe(ES, consumer))
        self.assertEqual(self.session.take(), [("SUBSCRIBE", 1, ES)])
        self.assertEqual(self.hub.symbols, [])

    def test_without_a_reason(self) -> None:
        consumer = self.consumer(ES)
        self.receive(dtc.MarketDataReject(SymbolID=1))
        self.assertEqual(consumer.take(), [("refused", ES, "The server gave no reason.")])

    def test_while_live(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        consumer.take()
        self.reject(text="Expired.")
        self.trade()
        self.assertEqual(consumer.take(), [("ended", ES, "Expired.")])

    def test_ask_again(self) -> None:
        """A refusal is not remembered."""
        consumer = self.consumer(ES)
        self.reject()
        self.hub.subscribe(ES, consumer)
        self.snapshot()
        self.assertEqual(consumer.names(), ["refused", "subscribed", "104"])

    def test_others_are_untouched(self) -> None:
        consumer = self.consumer(ES, CL)
        self.snapshot(CL)
        self.reject(ES)
        self.trade(CL)
        self.assertEqual(consumer.names(), ["subscribed", "104", "refused", "107"])


class TimeoutTests(HubCase):
    def test_server_does_not_answer(self) -> None:
        consumer = self.consumer(ES)
        self.clock.advance(TIMEOUT - 0.1)
        self.assertEqual(consumer.take(), [])
        self.clock.advance(0.1)
        self.assertEqual(consumer.take(), [("subscribed", ES), ("stale", ES, "the server did not answer within 5 s")])
        self.snapshot()
        self.assertEqual(consumer.names(), ["live", "104"])

    def test_refused_after_all(self) -> None:
        consumer = self.consumer(ES)
        self.clock.advance(TIMEOUT)
        self.reject()
        self.assertEqual(consumer.names(), ["subscribed", "stale", "ended"])

    def test_second_consumer_of_a_silent_symbol(self) -> None:
        first = self.consumer(ES)
        self.clock.advance(TIMEOUT - 1)
        second = self.consumer(ES)
        self.clock.advance(1)
        self.assertEqual((first.names(), second.names()), (["subscribed", "stale"], []))
        self.clock.advance(TIMEOUT - 1)
        self.assertEqual((first.names(), second.names()), ([], ["subscribed", "stale"]))
        self.assertEqual(len(self.session.take()), 1)

    def test_pending_subscribers_get_the_rejection(self) -> None:
        """No snapshot so far, only a status; then the server is asked again, and says nothing."""
        self.reattach(resubscribe=1)
        first = self.consumer(ES)
        self.receive(dtc.MarketDataFeedSymbolStatus(SymbolID=101, Status=AVAILABLE))
        self.assertEqual(first.names(), ["subscribed", "116"])
        self.receive(dtc.MarketDataFeedStatus(Status=AVAILABLE))
        second = self.consumer(ES)
        self.clock.advance(TIMEOUT)
        self.assertEqual((first.names(), second.names()), (["stale"], ["subscribed", "stale"]))
        self.clock.advance(REPAIR_INTERVAL)


class NoSessionTests(HubCase):
    attached = False

    def test_the_subscription_survives(self) -> None:
        consumer = self.consumer(ES)
        self.clock.advance(TIMEOUT)
        self.assertEqual(consumer.take(), [("subscribed", ES), ("stale", ES, "not logged on to the DTC server yet")])
        self.hub.attach(self.session)
        self.assertEqual(self.session.take(), [("SUBSCRIBE", 1, ES)])
        self.snapshot()
        self.assertEqual(consumer.names(), ["live", "104"])

    def test_session_in_time(self) -> None:
        consumer = self.consumer(ES)
        self.clock.advance(TIMEOUT - 1)
        self.hub.attach(self.session)
        self.snapshot()
        self.assertEqual(consumer.names(), ["subscribed", "104"])

    def test_unsubscribe_again(self) -> None:
        consumer = self.consumer(ES)
        self.hub.unsubscribe(ES, consumer)
        self.hub.attach(self.session)
        self.assertEqual(self.session.take(), [])


class ReconnectTests(HubCase):
    def test_stale_then_live_with_new_ids(self) -> None:
        self.consumer(CL)
        consumers = [self.consumer(ES), self.consumer(ES, CL)]
        self.snapshot(ES)
        self.snapshot(CL)
        for consumer in consumers:
            consumer.take()
        self.hub.detach("the connection was closed")
        self.assertEqual(consumers[0].take(), [("stale", ES, "the connection was closed")])
        self.assertEqual(len(consumers[1].take()), 2)
        self.receive(dtc.MarketDataUpdateTrade(SymbolID=1, Price=1))  # a late one
        self.assertEqual(consumers[0].take(), [])
        self.reattach(first=101)
        self.assertEqual(self.session.take(), [("SUBSCRIBE", 101, CL), ("SUBSCRIBE", 102, ES)])
        self.assertEqual(consumers[0].take(), [])  # attached is not yet served
        self.receive(dtc.MarketDataUpdateTrade(SymbolID=2, Price=1))  # an id of the old session
        self.assertEqual(consumers[0].take(), [])
        self.snapshot(ES, 280000)
        live, (_, _, snapshot) = consumers[0].take()
        self.assertEqual(live, ("live", ES))
        self.assertEqual((snapshot["SymbolID"], snapshot["LastTradePrice"]), (102, 280000))
        self.assertEqual(consumers[1].names(), ["live", "104"])

    def test_stale_is_sent_once(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        for first in (101, 201, 301):
            self.hub.detach("lost")
            self.reattach(first)
        self.assertEqual(consumer.names(), ["subscribed", "104", "stale"])
        self.snapshot()
        self.assertEqual(consumer.names(), ["live", "104"])

    def test_many_in_turns(self) -> None:
        symbols = [f"S{number}" for number in range(TURN_STEPS + 50)]
        consumer = self.consumer(*symbols)
        for symbol in symbols:
            self.snapshot(symbol)
        consumer.take()
        last = symbols[-1]
        self.hub.detach("lost")
        self.assertEqual(consumer.take(), [("stale", symbol, "lost") for symbol in symbols[:TURN_STEPS]])
        self.assertIsNone(self.hub.current_snapshot(last))
        late = self.consumer(last)
        self.hub.unsubscribe(symbols[-2], consumer)
        self.clock.advance(0)
        rest = [*symbols[TURN_STEPS:-2], last]
        self.assertEqual(consumer.take(), [("stale", symbol, "lost") for symbol in rest])
        self.assertEqual(late.names(), ["subscribed", "104", "stale"])

    def test_attached_before_all_are_stale(self) -> None:
        symbols = [f"S{number}" for number in range(TURN_STEPS + 50)]
        consumer = self.consumer(*symbols)
        for symbol in symbols:
            self.snapshot(symbol)
        consumer.take()
        self.hub.detach("lost")
        self.reattach()
        self.assertEqual(consumer.take(), [("stale", symbol, "lost") for symbol in symbols])
        self.clock.advance(0)
        self.assertEqual(consumer.take(), [])
        self.hub.detach("over")

    def test_joining_meanwhile(self) -> None:
        self.consumer(ES)
        self.snapshot()
        self.hub.detach("lost")
        late = self.consumer(ES)
        self.assertEqual(late.names(), ["subscribed", "104", "stale"])
        new = self.consumer(CL)
        self.reattach()
        self.snapshot(CL)
        self.assertEqual(new.names(), ["subscribed", "104"])
        self.assertEqual(late.names(), [])

    def test_leaving_meanwhile(self) -> None:
        consumer = self.consumer(ES, CL)
        self.snapshot(ES)
        self.snapshot(CL)
        self.hub.detach("lost")
        self.hub.unsubscribe(ES, consumer)
        self.reattach()
        self.assertEqual(self.session.take(), [("SUBSCRIBE", 101, CL)])

    def test_refused_after_a_reconnect(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        self.hub.detach("lost")
        self.reattach()
        self.reject()
        self.assertEqual(consumer.names(), ["subscribed", "104", "stale", "ended"])
        self.assertEqual(self.hub.symbols, [])

    def test_lost_while_waiting(self) -> None:
        consumer = self.consumer(ES)
        self.hub.detach("the server logged off")
        self.clock.advance(TIMEOUT)
        self.assertEqual(consumer.take(), [("subscribed", ES), ("stale", ES, "the server logged off")])


class WaitingTests(HubCase):
    """Provide symbols whose first updates wait, because callers have other work."""

    def setUp(self) -> None:
        super().setUp()
        self.both = self.consumer(ES, CL)
        self.session.take()
        self.hub._turns.call(lambda: None)
        self.snapshot(ES)
        self.trade(ES)
        self.snapshot(CL)
        self.assertEqual(self.both.take(), [])

    def test_in_order(self) -> None:
        self.clock.advance(0)
        events = self.both.take()
        self.assertEqual([event[0] for event in events], ["subscribed", "market", "market", "subscribed", "market"])
        self.assertEqual([event[1] for event in events], [ES] * 3 + [CL] * 2)
        self.trade(ES)
        self.assertEqual(self.both.names(), ["107"])

    def test_a_step_for_each_symbol(self) -> None:
        steps = self.hub._receiver._backlog._steps()
        next(steps)
        self.assertEqual(self.both.names(), ["subscribed", "104", "107"])
        self.trade(ES)  # live now, while another symbol waits
        self.assertEqual(self.both.names(), ["107"])
        self.trade(CL)
        self.assertEqual(self.both.names(), [])
        next(steps)
        self.assertEqual(self.both.names(), ["subscribed", "104", "107"])

    def test_live_data_do_not_wait(self) -> None:
        self.clock.advance(0)
        self.both.take()
        self.hub._turns.call(lambda: None)
        self.trade(ES)
        self.assertEqual(self.both.names(), ["107"])

    def test_other_messages_do_not_overtake(self) -> None:
        self.reject(ES)
        self.assertEqual(self.both.names(), ["subscribed", "104", "107", "ended"])
        self.receive(dtc.MarketDataFeedStatus(Status=UNAVAILABLE))
        self.assertEqual(self.both.names(), ["subscribed", "104", "stale"])

    def test_status_of_a_symbol(self) -> None:
        self.receive(dtc.MarketDataFeedSymbolStatus(SymbolID=1, Status=UNAVAILABLE))
        self.assertEqual(self.both.names(), ["subscribed", "104", "107", "116", "stale"])

    def test_marked(self) -> None:
        self.hub.mark_symbol_stale(1, "lost")
        self.assertEqual(self.both.names(), ["subscribed", "104", "107", "stale"])
        self.hub._turns.call(lambda: None)
        self.trade(ES)
        self.assertEqual(self.both.names(), [])
        self.hub.mark_symbol_live(1)
        self.assertEqual(self.both.names(), ["live", "107"])

    def test_unsubscribed(self) -> None:
        self.hub.unsubscribe_all(self.both)
        self.clock.advance(0)
        self.assertEqual(self.both.take(), [])

    def test_end_of_the_session(self) -> None:
        self.hub.detach("lost")
        self.clock.advance(0)
        self.assertEqual(self.both.take(), [])
        self.clock.advance(TIMEOUT)
        self.assertEqual(self.both.names(), ["subscribed", "stale"] * 2)

    def test_failure(self) -> None:
        """The other symbols go on."""
        self.both.on["subscribed"] = lambda: 1 / 0
        self.clock.advance(0)
        self.assertEqual(self.both.names(), ["subscribed", "104", "107", "subscribed", "104"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class FeedStatusTests(HubCase):
    def setUp(self) -> None:
        super().setUp()
        self.both = self.consumer(ES, CL)
        self.snapshot(ES)
        self.snapshot(CL)
        self.both.take()
        self.session.take()

    def test_all_symbols(self) -> None:
        self.receive(dtc.MarketDataFeedStatus(Status=UNAVAILABLE))
        self.receive(dtc.MarketDataFeedStatus(Status=UNAVAILABLE))
        reason = "the server's market data feed is unavailable"
        self.assertEqual(self.both.take(), [("stale", ES, reason), ("stale", CL, reason)])
        self.receive(dtc.MarketDataFeedStatus(Status=AVAILABLE))
        self.assertEqual(self.both.take(), [("live", ES), ("live", CL)])
        self.assertEqual(self.session.take(), [])  # the server does not want it

    def test_resubscribe_when_the_server_wants_it(self) -> None:
        self.hub.detach("lost")
        self.reattach(resubscribe=1)
        self.snapshot(ES)
        self.snapshot(CL)
        self.receive(dtc.MarketDataFeedStatus(Status=UNAVAILABLE))
        self.both.take()
        self.session.take()
        self.receive(dtc.MarketDataFeedStatus(Status=AVAILABLE))
        self.clock.advance(0)
        self.assertEqual(self.session.take(), [("SUBSCRIBE", 101, ES), ("SUBSCRIBE", 102, CL)])
        self.assertEqual(self.both.take(), [])
        self.snapshot(ES)
        self.assertEqual(self.both.names(), ["live", "104"])
        self.clock.advance(REPAIR_INTERVAL)

    def test_resubscribe_again_and_again(self) -> None:
        self.reattach(resubscribe=1)
        self.session.take()
        for _ in range(100):
            self.receive(dtc.MarketDataFeedStatus(Status=UNAVAILABLE))
            self.receive(dtc.MarketDataFeedStatus(Status=AVAILABLE))
            self.clock.advance(0.01)
        self.assertEqual(len(self.session.take()), 2)
        self.clock.advance(REPAIR_INTERVAL)
        self.assertEqual(len(self.session.take()), 2)
        self.clock.advance(REPAIR_INTERVAL)

    def test_available_again_is_no_answer(self) -> None:
        """A symbol that the server never answered for is not live because another one is."""
        silent = self.consumer("SILENT")
        self.clock.advance(TIMEOUT)
        self.assertEqual(silent.names(), ["subscribed", "stale"])
        self.receive(dtc.MarketDataFeedStatus(Status=AVAILABLE))
        self.assertEqual(silent.names(), [])

    def test_an_update_is_proof(self) -> None:
        self.receive(dtc.MarketDataFeedStatus(Status=UNAVAILABLE))
        self.both.take()
        self.trade(ES)
        self.assertEqual(self.both.names(), ["live", "107"])

    def test_one_symbol(self) -> None:
        for status, expected in ((UNAVAILABLE, ["116", "stale"]), (UNAVAILABLE, ["116"]), (AVAILABLE, ["live", "116"])):
            self.receive(dtc.MarketDataFeedSymbolStatus(SymbolID=1, Status=status))
            self.assertEqual(self.both.names(), expected)

    def test_one_symbol_from_the_start(self) -> None:
        consumer = self.consumer("NEW")
        self.receive(dtc.MarketDataFeedSymbolStatus(SymbolID=3, Status=UNAVAILABLE))
        self.assertEqual(consumer.names(), ["subscribed", "116", "stale"])
        self.assertEqual(self.consumer("NEW").names(), ["subscribed", "stale"])

    def test_unknown_status(self) -> None:
        self.receive(dtc.MarketDataFeedStatus(Status=MarketDataFeedStatusEnum(77)))
        self.receive(dtc.MarketDataFeedStatus())
        self.assertEqual(self.both.take(), [])


CALLS = ("subscribed", "market", "stale", "live", "ended", "refused")


class BadConsumerTests(HubCase):
    """A subscriber that raises, subscribes or unsubscribes during a call does not affect the others."""

    def play(self, first: FakeConsumer, second: FakeConsumer) -> list[str]:
        """Run random events. Return the calls of the second subscriber."""
        for consumer in (first, second):
            self.hub.subscribe(ES, consumer)
        self.snapshot()
        self.receive(dtc.MarketDataFeedStatus(Status=UNAVAILABLE))
        self.trade()
        self.hub.detach("lost")
        self.reattach()
        self.snapshot()
        self.reject()
        for consumer in (first, second):
            self.hub.subscribe(ES, consumer)
        self.reject()
        return second.names()

    expected = ["subscribed", "104", "stale", "live", "107", "stale", "live", "104", "ended", "refused"]

    def test_who_raises(self) -> None:
        for call in CALLS:
            bad = FakeConsumer()
            bad.on[call] = lambda: 1 / 0
            self.assertEqual(self.play(bad, FakeConsumer()), self.expected, call)
            self.assertEqual(bad.names(), self.expected, call)
            self.assertTrue(self.flushLoggedErrors(ZeroDivisionError), call)

    def test_who_leaves(self) -> None:
        for call in CALLS:
            bad = FakeConsumer()
            bad.on[call] = lambda bad=bad: self.hub.unsubscribe_all(bad)  # type: ignore[misc]
            self.assertEqual(self.play(bad, FakeConsumer()), self.expected, call)
            last = self.expected.index("104" if call == "market" else call)
            again = [] if call == "refused" else ["refused"]
            self.assertEqual(bad.names(), self.expected[: last + 1] + again, call)
            self.assertEqual(self.hub.symbols, [])

    def test_who_unsubscribes_and_comes_back(self) -> None:
        for call in ("market", "stale", "live"):
            bad = FakeConsumer()

            def come_back(bad: FakeConsumer = bad, call: str = call) -> None:
                del bad.on[call]
                self.hub.unsubscribe(ES, bad)
                self.hub.subscribe(ES, bad)

            bad.on[call] = come_back
            self.assertEqual(self.play(bad, FakeConsumer()), self.expected, call)

    def test_alone_and_gone_at_once(self) -> None:
        """Nothing more is sent, in particular no snapshot, and the server's subscription ends."""
        consumer = FakeConsumer()
        consumer.on["subscribed"] = lambda: self.hub.unsubscribe_all(consumer)
        self.hub.subscribe(ES, consumer)
        self.snapshot()
        self.assertEqual(consumer.names(), ["subscribed"])
        self.assertEqual(self.session.take(), [("SUBSCRIBE", 1, ES), ("UNSUBSCRIBE", 1, ES)])
        other = self.consumer(ES)
        self.snapshot()
        self.hub.subscribe(ES, consumer)
        self.assertEqual(consumer.names(), ["subscribed"])
        self.assertEqual(other.names(), ["subscribed", "104"])

    def test_alone_and_gone_when_it_is_stale(self) -> None:
        consumer = self.consumer(ES, CL)
        self.snapshot(ES)
        self.snapshot(CL)
        consumer.take()
        consumer.on["stale"] = lambda: self.hub.unsubscribe_all(consumer)
        self.hub.detach("lost")
        self.assertEqual((len(consumer.take()), self.hub.symbols), (1, []))

    def test_unsubscribed_before_the_remaining_calls(self) -> None:
        self.consumer(ES)
        self.snapshot()
        self.hub.detach("lost")
        for call, expected in (("subscribed", ["subscribed"]), ("market", ["subscribed", "104"])):
            consumer = FakeConsumer()
            consumer.on[call] = lambda consumer=consumer: self.hub.unsubscribe_all(consumer)  # type: ignore[misc]
            self.hub.subscribe(ES, consumer)
            self.assertEqual(consumer.names(), expected)

    def test_refused_and_asks_again(self) -> None:
        consumer = FakeConsumer()
        consumer.on["refused"] = lambda: self.hub.subscribe(ES, consumer)
        self.hub.subscribe(ES, consumer)
        self.reject()
        self.snapshot()
        self.assertEqual(consumer.names(), ["refused", "subscribed", "104"])


_T, _US = 1587761999.25, 1587761999250000
_DAY = 1587772800
_TRADE: dict[str, object] = {"LastTradePrice": 282850, "LastTradeVolume": 3}
_SIDES = {"BidPrice": 1, "BidQuantity": 2, "AskPrice": 3, "AskQuantity": 4}
_QUOTE: dict[str, object] = {**_SIDES}

UPDATES: list[tuple[Message, dict[str, object]]] = [
    (dtc.MarketDataUpdateTrade(1, Price=282850, Volume=3, DateTime=_T), {**_TRADE, "LastTradeDateTime": _T}),
    (dtc.MarketDataUpdateTradeCompact(282850, 3, 1587761999, 1), {**_TRADE, "LastTradeDateTime": 1587761999}),
    (dtc.MarketDataUpdateTrade_Int(1, Price=282850, Volume=3, DateTime=_T), {**_TRADE, "LastTradeDateTime": _T}),
    (
        dtc.MarketDataUpdateTradeWithUnbundledIndicator(1, Price=282850, Volume=3, DateTime=_T),
        {**_TRADE, "LastTradeDateTime": _T},
    ),
    (
        dtc.MarketDataUpdateTradeWithUnbundledIndicator2(1, Price=282850, Volume=3, DateTime=_US),
        {**_TRADE, "LastTradeDateTime": _T},
    ),
    (dtc.MarketDataUpdateTradeNoTimestamp(1, Price=282850, Volume=3), _TRADE),
    (
        dtc.MarketDataUpdateLastTradeSnapshot(1, LastTradePrice=282850, LastTradeVolume=3, LastTradeDateTime=_T),
        {**_TRADE, "LastTradeDateTime": _T},
    ),
    (dtc.MarketDataUpdateBidAsk(1, **_SIDES, DateTime=1587761999), {**_QUOTE, "BidAskDateTime": 1587761999}),
    (
        dtc.MarketDataUpdateBidAskCompact(**_SIDES, DateTime=1587761999, SymbolID=1),
        {**_QUOTE, "BidAskDateTime": 1587761999},
    ),
    (dtc.MarketDataUpdateBidAsk_Int(1, **_SIDES, DateTime=1587761999), {**_QUOTE, "BidAskDateTime": 1587761999}),
    (
        dtc.MarketDataUpdateBidAskFloatWithMicroseconds(1, **_SIDES, DateTime=_US),
        {**_QUOTE, "BidAskDateTime": _T},
    ),
    (dtc.MarketDataUpdateBidAskNoTimeStamp(1, **_SIDES), _QUOTE),
    (dtc.MarketDataUpdateSessionOpen(1, 7, _DAY), {"SessionOpenPrice": 7, "TradingSessionDate": _DAY}),
    (dtc.MarketDataUpdateSessionOpen_Int(1, 7, _DAY), {"SessionOpenPrice": 7, "TradingSessionDate": _DAY}),
    (dtc.MarketDataUpdateSessionHigh(1, 7, _DAY), {"SessionHighPrice": 7, "TradingSessionDate": _DAY}),
    (dtc.MarketDataUpdateSessionHigh_Int(1, 7, _DAY), {"SessionHighPrice": 7, "TradingSessionDate": _DAY}),
    (dtc.MarketDataUpdateSessionLow(1, 7, _DAY), {"SessionLowPrice": 7, "TradingSessionDate": _DAY}),
    (dtc.MarketDataUpdateSessionLow_Int(1, 7, _DAY), {"SessionLowPrice": 7, "TradingSessionDate": _DAY}),
    (dtc.MarketDataUpdateSessionVolume(1, 9, _DAY, 1), {"SessionVolume": 9, "TradingSessionDate": _DAY}),
    (dtc.MarketDataUpdateSessionNumTrades(1, 9, _DAY), {"SessionNumTrades": 9, "TradingSessionDate": _DAY}),
    (dtc.MarketDataUpdateOpenInterest(1, 9, _DAY), {"OpenInterest": 9, "TradingSessionDate": _DAY}),
    (
        dtc.MarketDataUpdateSessionSettlement(1, 7, _DAY),
        {"SessionSettlementPrice": 7, "SessionSettlementDateTime": _DAY},
    ),
    (
        dtc.MarketDataUpdateSessionSettlement_Int(1, 7, _DAY),
        {"SessionSettlementPrice": 7, "SessionSettlementDateTime": _DAY},
    ),
    (dtc.MarketDataUpdateTradingSessionDate(1, _DAY), {"TradingSessionDate": _DAY}),
    (dtc.TradingSymbolStatus(1, TradingStatusEnum.TRADING_STATUS_OPEN), {"TradingStatus": 2}),
]
"""An update, and the fields of the snapshot that it sets."""

BEFORE: dict[str, Any] = {name: 5 for name in dtc.MarketDataSnapshot.__struct_fields__ if name != "SymbolID"}


class MergeTests(HubCase):
    def setUp(self) -> None:
        super().setUp()
        self.member = self.consumer(ES)

    def tearDown(self) -> None:
        self.hub.unsubscribe_all(self.member)
        super().tearDown()

    def known(self) -> dict[str, Any]:
        """Return the snapshot that a late joiner gets."""
        late = self.consumer(ES)
        (_, (_, _, snapshot)) = late.take()
        self.hub.unsubscribe_all(late)
        self.assertEqual([snapshot.pop(name) for name in ("Type", "Symbol", "SymbolID")], [104, ES, 1])
        return dict(snapshot)

    def test_table_is_complete(self) -> None:
        """Each update of market data that the protocol has is here, and in the hub."""
        in_protocol = {
            kind
            for kind in dtc.MESSAGES.values()
            if kind.__name__.startswith("MarketDataUpdate") or kind is dtc.TradingSymbolStatus
        }
        self.assertEqual({type(update) for update, _ in UPDATES}, in_protocol)
        self.assertEqual(set(last_values._FIELDS), in_protocol)

    def test_each_update(self) -> None:
        for update, expected in UPDATES:
            self.receive(dtc.MarketDataSnapshot(SymbolID=1, **BEFORE))
            self.receive(update)
            self.assertEqual(self.known(), BEFORE | expected, update)

    def test_each_update_without_a_snapshot(self) -> None:
        for update, expected in UPDATES:
            self.receive(dtc.MarketDataSnapshot(SymbolID=1, TradingStatus=TradingStatusEnum(5)))
            self.receive(update)
            self.assertEqual(self.known(), {"TradingStatus": 5} | expected, update)

    def test_unset_fields_change_nothing(self) -> None:
        self.receive(dtc.MarketDataSnapshot(SymbolID=1, **BEFORE))
        for update, _ in UPDATES:
            self.receive(type(update)(SymbolID=1))
        self.assertEqual(self.known(), BEFORE)

    def test_a_zero_is_kept(self) -> None:
        self.receive(dtc.MarketDataSnapshot(SymbolID=1, **BEFORE))
        self.receive(dtc.MarketDataUpdateTrade(SymbolID=1, Price=0, Volume=0, DateTime=0))
        zeros = {"LastTradePrice": 0, "LastTradeVolume": 0, "LastTradeDateTime": 0}
        self.assertEqual(self.known(), BEFORE | zeros)

    def test_one_side_of_the_book_is_empty(self) -> None:
        for kind in (update for update in last_values._FIELDS if "BidAsk" in update.__name__):
            self.receive(dtc.MarketDataSnapshot(SymbolID=1, **BEFORE))
            self.receive(kind(SymbolID=1, BidQuantity=0, AskPrice=3, AskQuantity=4))
            expected = BEFORE | {"BidQuantity": 0, "AskPrice": 3, "AskQuantity": 4}
            del expected["BidPrice"]
            self.assertEqual(self.known(), expected, kind)
            self.receive(kind(SymbolID=1, BidPrice=1, BidQuantity=2, AskQuantity=0))
            expected = BEFORE | {"BidPrice": 1, "BidQuantity": 2, "AskQuantity": 0}
            del expected["AskPrice"]
            self.assertEqual(self.known(), expected, kind)

    def test_one_side_was_not_sent(self) -> None:
        self.receive(dtc.MarketDataSnapshot(SymbolID=1, **BEFORE))
        self.receive(dtc.MarketDataUpdateBidAsk(SymbolID=1, AskPrice=3, AskQuantity=4))
        self.assertEqual(self.known(), BEFORE | {"AskPrice": 3, "AskQuantity": 4})

    def test_a_trade_that_is_not_the_last_price(self) -> None:
        """By the rules of its market (TradeCondition 1), as against an odd lot (2)."""
        for kind in (dtc.MarketDataUpdateTradeNoTimestamp, dtc.MarketDataUpdateTradeWithUnbundledIndicator2):
            for condition, changes in ((1, {}), (2, {"LastTradePrice": 7, "LastTradeVolume": 8})):
                self.receive(dtc.MarketDataSnapshot(SymbolID=1, **BEFORE))
                self.receive(kind(SymbolID=1, Price=7, Volume=8, TradeCondition=dtc.TradeConditionEnum(condition)))
                self.assertEqual(self.known(), BEFORE | changes)

    def test_a_new_snapshot_replaces(self) -> None:
        self.receive(dtc.MarketDataSnapshot(SymbolID=1, **BEFORE))
        self.receive(dtc.MarketDataSnapshot(SymbolID=1, SessionOpenPrice=8))
        self.assertEqual(self.known(), {"SessionOpenPrice": 8})

    def test_a_snapshot_with_whole_numbers(self) -> None:
        self.receive(dtc.MarketDataSnapshot_Int(SymbolID=1, LastTradePrice=8, TradingStatus=TradingStatusEnum(2)))
        self.assertEqual(self.known(), {"LastTradePrice": 8, "TradingStatus": 2})

    def test_statuses_are_no_values(self) -> None:
        self.receive(dtc.MarketDataSnapshot(SymbolID=1, **BEFORE))
        self.receive(dtc.MarketDataFeedSymbolStatus(SymbolID=1, Status=AVAILABLE))
        self.assertEqual(self.known(), BEFORE)


def _field_values(update: Message) -> st.SearchStrategy[Message]:
    """Return a strategy for an update with small numbers in all fields or in some."""
    names = [name for name in update.__struct_fields__ if name not in ("SymbolID", "TradeCondition")]
    value = st.integers(0, 9)
    fields = st.one_of(
        st.fixed_dictionaries(dict.fromkeys(names, value)),
        st.fixed_dictionaries(dict.fromkeys(names, st.one_of(st.just(UNSET), value))),
    )
    if "TradeCondition" in update.__struct_fields__:
        condition = st.sampled_from([TradeConditionEnum(number) for number in (0, 1, 2)])
        fields = st.builds(lambda fields, condition: fields | {"TradeCondition": condition}, fields, condition)
    return fields.map(lambda fields: type(update)(SymbolID=1, **fields))


def _reads(updates: list[Message]) -> st.SearchStrategy[list[list[Message]]]:
    """Return a strategy for reads of the socket, each with one or several updates of these types."""
    return st.lists(st.lists(st.one_of([_field_values(update) for update in updates]), min_size=1, max_size=20))


_NAMES = {  # field of an update -> field of the snapshot, said once more and by another rule than the hub's
    "Price": {"Trade": "LastTradePrice", "SessionSettlement": "SessionSettlementPrice"},
    "Volume": {"Trade": "LastTradeVolume", "SessionVolume": "SessionVolume"},
    "DateTime": {
        "Trade": "LastTradeDateTime",
        "BidAsk": "BidAskDateTime",
        "SessionSettlement": "SessionSettlementDateTime",
    },
    "NumTrades": {"SessionNumTrades": "SessionNumTrades"},
    "Date": {"TradingSessionDate": "TradingSessionDate"},
    "Status": {"": "TradingStatus"},
}


def model(messages: list[Message]) -> dict[str, object]:
    """Return the expected snapshot: for each field, the value in the last message that states the field."""
    result: dict[str, object] = {}
    for target in BEFORE:
        for message in reversed(messages):
            value = _said(message, target)
            if value is not None:
                if value is not UNSET:
                    result[target] = value
                break
    return result


def _said(message: Message, target: str) -> object:
    """Return the value of a field in a message; UNSET: there is none; None: the message does not state the field."""
    name = type(message).__name__
    if getattr(message, "TradeCondition", 0) == 1:
        return None
    if name.startswith("MarketDataSnapshot"):
        return getattr(message, target, UNSET)
    kind = name.removeprefix("MarketDataUpdate").removesuffix("_Int")
    about = next((each for each in ("Trade", "BidAsk") if kind.startswith(each)), kind)
    if kind == "TradingSessionDate":
        about = kind
    for field in message.__struct_fields__:
        rule = _NAMES.get(field, {}).get("" if name == "TradingSymbolStatus" else about)
        if field == "Price" and kind in ("SessionOpen", "SessionHigh", "SessionLow"):
            rule = kind + "Price"
        if (rule or field) != target:
            continue
        value = getattr(message, field)
        if value is UNSET:
            side_sent = target in ("BidPrice", "AskPrice") and getattr(message, target[:3] + "Quantity") is not UNSET
            return UNSET if side_sent else None
        in_microseconds = message.Type in (144, 146)
        return value / 1e6 if field == "DateTime" and in_microseconds else value
    return None


ALL_UPDATES: list[Message] = [
    *(update for update, _ in UPDATES),
    dtc.MarketDataSnapshot(),
    dtc.MarketDataSnapshot_Int(),
]


class ModelTests(SynchronousTestCase):
    @slow
    @settings(max_examples=200, deadline=None)
    @given(_reads(ALL_UPDATES))
    def test_late_joiner_against_a_model(self, reads: list[list[Message]]) -> None:
        self.check(reads)

    @slow
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from(ALL_UPDATES), min_size=1, max_size=3, unique_by=type).flatmap(_reads))
    def test_few_types_against_a_model(self, reads: list[list[Message]]) -> None:
        self.check(reads)

    def check(self, reads: list[list[Message]]) -> None:
        messages = [message for read in reads for message in read]
        clock = Clock()
        batch = ReadBatch(clock)
        hub = Hub(clock, TIMEOUT, batch)
        hub.attach(FakeSession())
        early, late = FakeConsumer(), FakeConsumer()
        hub.subscribe(ES, early)
        for read in reads:
            for message in read:
                hub.handlers[type(message)](message)
            batch.flush()
        received = [(kind["Type"], kind) for event, *_, kind in early.take() if event == "market"]
        self.assertEqual(received, [(each.Type, {"Symbol": ES} | msgspec.to_builtins(each)) for each in messages])
        hub.subscribe(ES, late)
        known = [event[2] for event in late.take() if event[0] == "market"]
        expected = model(messages)
        if expected:
            self.assertEqual(known, [{"Symbol": ES, "Type": 104, "SymbolID": 1} | expected])
        else:
            self.assertEqual(known, [])
        for consumer in (early, late):
            hub.unsubscribe_all(consumer)
        self.assertEqual(clock.getDelayedCalls(), [])


class TradesOnly(IdentityEncoder):
    """Encode updates differently, and snapshots not at all."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, update: Update, /) -> Any:
        self.made += 1
        return None if is_snapshot(update) else ("made", update.symbol, len(update.messages))


class NoSnapshots(IdentityEncoder):
    def __call__(self, update: Update, /) -> Any:
        return None if is_snapshot(update) else update


class Sink:
    """Record updates, and each flush."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def add(self, item: Any, /) -> None:
        self.got.append(item)

    def flush(self) -> None:
        self.got.append("flush")


class ReadBatchTests(HubCase):
    """Some work is done for each subscriber, and some once for all of them."""

    def subscriber(self, encoder: Any, *symbols: str) -> Sink:
        consumer, sink = FakeConsumer(), Sink()
        self.patch(FakeConsumer, "sink", property(lambda consumer: self.sinks.get(consumer, consumer)))
        self.sinks = {**getattr(self, "sinks", {}), consumer: sink}
        for symbol in symbols:
            self.hub.subscribe(symbol, consumer, encoder=encoder)
        return sink

    def put(self, *symbols: str) -> None:
        """Deliver one trade of each symbol, all in one read."""
        for number, symbol in enumerate(symbols):
            trade = dtc.MarketDataUpdateTrade(SymbolID=self.session.symbol_id(symbol), Price=number, Volume=1)
            self.hub.handlers[type(trade)](trade)

    def test_made_once_for_all(self) -> None:
        encoder = TradesOnly()
        sinks = [self.subscriber(encoder, ES) for _ in range(3)]
        self.snapshot()
        self.assertEqual((encoder.made, [sink.got for sink in sinks]), (1, [[], [], []]))
        self.put(ES, ES)
        self.assertEqual([sink.got for sink in sinks], [[], [], []])
        self.batch.flush()
        self.assertEqual(encoder.made, 2)
        first = sinks[0].got
        self.assertEqual(first, [("made", ES, 2), "flush"])
        for sink in sinks:
            self.assertTrue(all(one is other for one, other in zip(sink.got, first, strict=True)))
        self.batch.flush()
        self.assertEqual(len(first), 2)

    def test_each_gets_its_own_in_order(self) -> None:
        encoder = TradesOnly()
        es, cl, both = self.subscriber(encoder, ES), self.subscriber(encoder, CL), self.subscriber(encoder, ES, CL)
        self.snapshot(ES)
        self.snapshot(CL)
        self.put(ES, CL, CL, ES)
        self.batch.flush()
        self.assertEqual(es.got, [("made", ES, 1), ("made", ES, 1), "flush"])
        self.assertEqual(cl.got, [("made", CL, 2), "flush"])
        self.assertEqual(both.got, [("made", ES, 1), ("made", CL, 2), ("made", ES, 1), "flush"])

    def test_no_form_no_work(self) -> None:
        consumer = FakeConsumer()
        self.hub.subscribe(ES, consumer, encoder=None)
        made: list[int] = []
        self.patch(last_values.MarketDataState, "updates", lambda data, levels: made.append(levels))
        self.snapshot()
        self.trade()
        self.assertEqual((made, consumer.names(), consumer.flushes), ([], ["subscribed"], 0))
        self.trade(price=5)
        late = self.consumer(ES)
        self.assertEqual(late.take()[1][2]["LastTradePrice"], 5)

    def test_late_joiner_does_not_wait(self) -> None:
        self.consumer(ES)
        self.snapshot()
        late = self.consumer(ES)
        self.assertEqual((late.names(), late.flushes), (["subscribed", "104"], 1))

    def test_late_joiner_in_the_middle(self) -> None:
        """What came before it is in its snapshot, and does not come again."""
        early = self.consumer(ES)
        self.snapshot()
        early.take()
        self.put(ES)
        late = self.consumer(ES)
        self.put(ES)
        self.batch.flush()
        self.assertEqual((early.names(), late.names()), (["107", "107"], ["subscribed", "104", "107"]))

    def test_asked_in_the_middle(self) -> None:
        """What came before the question is in the answer, though it has not been handed out."""
        early = self.consumer(ES)
        self.snapshot()
        early.take()
        for count, ask in ((2, self.hub.current_snapshot), (3, self.hub.last_snapshot)):
            self.put(*(ES,) * count)
            update = ask(ES)
            assert update is not None
            self.assertEqual(update.messages[0].LastTradePrice, count - 1)
            self.assertEqual((early.names(), sequence_number(update.counts, "quotes")), ([], 1))
            self.batch.flush()
            self.assertEqual(early.names(), ["107"] * count)

    def test_a_status_does_not_overtake(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        consumer.take()
        self.put(ES)
        status = dtc.MarketDataFeedSymbolStatus(SymbolID=1, Status=AVAILABLE)
        self.hub.handlers[type(status)](status)
        self.put(ES)
        self.batch.flush()
        self.assertEqual(consumer.names(), ["107", "116", "107"])

    def test_what_came_before_the_server_is_asked_anew_counts(self) -> None:
        """Changes of the old book arrive in the same read as the start of a new book."""
        hub = Hub(self.clock, TIMEOUT, self.batch, MARKET_DEPTH)
        hub.attach(FakeSession(resubscribe=1))
        sink = self.subscriber(IdentityEncoder())
        consumer = next(iter(self.sinks))
        hub.subscribe(ES, consumer)
        bid: dict[str, Any] = {"SymbolID": 1, "Side": dtc.AtBidOrAskEnum.AT_BID, "Price": 1}
        for message in (
            dtc.MarketDepthSnapshotLevel(**bid, Quantity=2, IsFirstMessageInBatch=1, IsLastMessageInBatch=1),
            dtc.MarketDepthUpdateLevel(**bid, Quantity=3, UpdateType=dtc.MarketDepthUpdateTypeEnum(1)),
            dtc.MarketDataFeedStatus(Status=AVAILABLE),
        ):
            hub.handlers[type(message)](message)
        self.batch.flush()
        self.assertEqual(
            [[type(each) for each in update.messages] for update in sink.got if update != "flush"],
            [[BookSnapshot], [BookChanges]],
        )
        hub.unsubscribe_all(consumer)
        self.clock.advance(0)
        self.clock.advance(REPAIR_INTERVAL)

    def test_one_that_cannot_be_read_costs_no_other_symbol_anything(self) -> None:
        es, cl = self.subscriber(IdentityEncoder(), ES), self.subscriber(IdentityEncoder(), CL)
        self.snapshot(ES)
        self.snapshot(CL)
        del es.got[:], cl.got[:]
        self.patch(self.hub._feeds[ES].state, "receive", lambda messages: 1 / 0)
        self.put(ES, CL)
        self.batch.flush()
        self.assertEqual((es.got, len(cl.got)), ([], 2))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.hub.stale_symbols, [ES])  # it is requested again
        self.clock.advance(0)
        self.clock.advance(REPAIR_INTERVAL)

    def test_events_do_not_overtake(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        consumer.take()
        status = dtc.MarketDataFeedStatus(Status=UNAVAILABLE)
        self.put(ES)
        self.hub.handlers[type(status)](status)
        self.put(ES)
        self.put(ES)
        reject = dtc.MarketDataReject(SymbolID=1, RejectText="No.")
        self.hub.handlers[type(reject)](reject)
        self.assertEqual(consumer.names(), ["107", "stale", "live", "107", "107", "ended"])

    def test_one_that_raises_does_not_affect_others(self) -> None:
        for symbols in ((ES,), (ES, CL)):  # the way for one lane, and the way for several
            first, second = self.subscriber(IdentityEncoder(), *symbols), self.subscriber(IdentityEncoder(), *symbols)
            self.patch(first, "add", lambda item: 1 / 0)
            self.patch(first, "flush", lambda: 1 / 0)
            for symbol in symbols:
                self.snapshot(symbol)
            second.got.clear()
            self.put(*symbols)
            self.batch.flush()
            self.assertEqual(len(second.got), len(symbols) + 1)
            self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_another_form_takes_the_place_of_the_first(self) -> None:
        consumer = self.consumer(ES)
        self.snapshot()
        consumer.take()
        self.hub.subscribe(ES, consumer, encoder=None)
        self.trade()
        self.assertEqual(consumer.names(), ["subscribed"])
        self.hub.subscribe(ES, consumer)
        self.trade()
        self.assertEqual(consumer.names(), ["subscribed", "104", "107"])
        self.assertTrue(self.hub.unsubscribe(ES, consumer))
        self.assertEqual(self.hub.symbols, [])

    def test_last_update(self) -> None:
        early = self.consumer(ES)
        self.assertIsNone(self.hub.last_update(ES, early))
        self.clock.advance(10)
        self.snapshot()
        self.clock.advance(10)
        late = self.consumer(ES)
        without = FakeConsumer()
        self.hub.subscribe(ES, without, encoder=NoSnapshots())
        times = [self.hub.last_update(ES, each) for each in (early, late, without)]
        self.assertEqual(times, [10, 20, None])
        self.clock.advance(10)
        self.receive(dtc.MarketDataUpdateSessionVolume(SymbolID=1, Volume=1))
        times = [self.hub.last_update(ES, each) for each in (early, late, without)]
        self.assertEqual(times, [30, 30, 30])
        self.hub.unsubscribe_all(early)
        self.assertIsNone(self.hub.last_update(ES, early))
        self.assertIsNone(self.hub.last_update(CL, late))

    def test_nothing_is_left_of_those_who_went(self) -> None:
        one, two = self.consumer(ES, CL), self.consumer(ES)
        self.snapshot(ES)
        self.reject(CL)
        self.hub.unsubscribe(ES, one)
        self.hub.unsubscribe_all(two)
        self.assertEqual((self.hub._symbols._symbols, self.hub._feeds, self.hub._requests.by_id), ({}, {}, {}))


class PacedTests(HubCase):
    """After a reconnect a thousand symbols are requested in parts."""

    def setUp(self) -> None:
        super().setUp()
        self.symbols = [f"S{number}" for number in range(1000)]
        self.first = self.consumer(*self.symbols)
        for symbol in self.symbols:
            self.snapshot(symbol)
        self.session.take()
        self.hub.detach("lost")
        self.clock.advance(0)
        self.reattach(5001)

    def tearDown(self) -> None:
        self.hub.detach("over")
        super().tearDown()

    @slow
    def test_in_parts(self) -> None:
        counts = [len(self.session.take())]
        for _ in range(11):
            self.clock.advance(0.1)
            counts.append(len(self.session.take()))
        self.assertEqual(counts, [100] * 10 + [0, 0])

    @slow
    def test_requested_again_in_the_session(self) -> None:
        """Within a session symbols are requested again in parts too."""
        self.hub.detach("lost")
        self.reattach(9001, resubscribe=1)
        for _ in range(11):
            self.clock.advance(0.1)
        self.session.take()
        self.receive(dtc.MarketDataFeedStatus(Status=AVAILABLE))
        counts = []
        for _ in range(11):
            self.clock.advance(0.1)
            counts.append(len(self.session.take()))
        self.assertEqual(counts, [100] * 10 + [0])

    def test_all_are_live_in_the_end(self) -> None:
        self.first.take()
        self.session.on_send = lambda request: self.snapshot(request.Symbol)
        for symbol in self.symbols[:100]:
            self.snapshot(symbol)
        for _ in range(9):
            self.clock.advance(0.1)
        self.assertEqual([event[1] for event in self.first.take() if event[0] == "live"], self.symbols)
        self.assertEqual(self.hub.stale_symbols, [])

    @slow
    def test_lost_again_meanwhile(self) -> None:
        self.session.take()
        old = self.session
        self.hub.detach("lost")
        self.reattach(9001)
        self.clock.advance(0.1)
        self.assertEqual((len(old.take()), len(self.session.take())), (0, 200))

    @slow
    def test_unsubscribed_before_its_turn(self) -> None:
        self.session.take()
        self.hub.unsubscribe("S500", self.first)
        for _ in range(10):
            self.clock.advance(0.1)
        sent = self.session.take()
        self.assertEqual({action for action, *_ in sent}, {"SUBSCRIBE"})
        self.assertNotIn("S500", [symbol for *_, symbol in sent])
        self.assertEqual(len(sent), 899)

    @slow
    def test_subscribed_anew_before_its_turn(self) -> None:
        """The symbol is requested at once, and not again."""
        self.session.take()
        self.hub.unsubscribe("S500", self.first)
        self.hub.subscribe("S500", self.first)
        self.assertEqual([symbol for *_, symbol in self.session.take()], ["S500"])
        for _ in range(10):
            self.clock.advance(0.1)
        self.assertNotIn("S500", [symbol for *_, symbol in self.session.take()])
        self.snapshot("S500")

    @slow
    def test_id_that_another_symbol_has_now(self) -> None:
        self.hub.detach("lost")
        for symbol in self.symbols[:100]:
            self.hub.unsubscribe(symbol, self.first)
        self.reattach(1)
        second = self.consumer(*(f"N{number}" for number in range(101)))
        self.assertEqual(self.session.symbol_id("N100"), 201)  # which was that of S200
        self.hub.unsubscribe("S200", self.first)
        self.snapshot("N100")
        self.clock.advance(0)
        self.assertIn(("subscribed", "N100"), second.take())
        self.hub.unsubscribe_all(second)
