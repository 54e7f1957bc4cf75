"""Test origin and edges over a broker in memory."""

from typing import Any

from msgspec import UNSET, MsgspecError
from twisted.internet.defer import CancelledError

from dtc_twisted.cluster import bus
from dtc_twisted.cluster.origin import LEASE_BEATS, LINGER_BEATS
from dtc_twisted.cluster.wire import symbol_token
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.errors import NotLoggedOn, RequestRejected, RequestTimedOut, SessionLost
from dtc_twisted.market_data import BookChanges, BookSnapshot, Update
from tests.cluster.support import ES, TIMEOUT, ClusterCase, FakeEdge, FakeOrigin
from tests.market_data.test_hub import FakeConsumer

SNAPSHOT = dtc.MarketDataSnapshot(SymbolID=1, BidPrice=100.0, AskPrice=101.0)
TRADE, BID_ASK = dtc.MarketDataUpdateTrade, dtc.MarketDataUpdateBidAsk


def trade(price: float) -> dtc.MarketDataUpdateTrade:
    return TRADE(SymbolID=1, Price=price, Volume=1.0, DateTime=1.5)


class NumberedConsumer(FakeConsumer):
    """Record the last number of each update, with the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[tuple[int, list[Any]]] = []

    def add(self, update: Update, /) -> None:
        self.updates.append((sum(update.counts.values()), update.messages))

    def take_updates(self) -> list[tuple[int, list[Any]]]:
        updates, self.updates = self.updates, []
        return updates


class TokenTests(ClusterCase):
    def test_symbols_are_one_part_of_a_subject(self) -> None:
        self.assertEqual(symbol_token("ESM20_FUT-CME"), "ESM20_FUT-CME")
        self.assertEqual(symbol_token("a.b >*="), "a=2Eb=20=3E=2A=3D")
        self.assertEqual(symbol_token("é"), "=C3=A9")


class MarketDataTests(ClusterCase):
    def watch(self, hub: Any) -> NumberedConsumer:
        consumer = NumberedConsumer()
        hub.subscribe(ES, consumer)
        self.flush()
        return consumer

    def begin(self) -> NumberedConsumer:
        """Subscribe at an edge, and let the server answer."""
        consumer = self.watch(self.edges[0].hubs["marketdata"])
        self.receive(SNAPSHOT)
        return consumer

    def numbers(self, consumer: NumberedConsumer) -> list[tuple[int, list[Any]]]:
        return [
            (number, [each.BidPrice if isinstance(each, dtc.MarketDataSnapshot) else each.Price for each in messages])
            for number, messages in consumer.take_updates()
        ]

    def test_updates_with_the_numbers_of_the_origin(self) -> None:
        consumer = self.begin()
        self.assertEqual(self.origin.sessions["marketdata"].take(), [("SUBSCRIBE", 1, ES)])
        self.assertEqual(self.numbers(consumer), [(1, [100.0])])
        self.receive(trade(1.0), trade(2.0))
        self.receive(trade(3.0))
        self.assertEqual(self.numbers(consumer), [(3, [1.0, 2.0]), (4, [3.0])])
        other = self.watch(self.edges[1].hubs["marketdata"])
        mine = self.watch(self.origin.hubs["marketdata"])
        self.assertEqual([number for number, _ in other.take_updates()], [4])
        mine.take_updates()
        self.receive(trade(5.0))
        for each in (consumer, other, mine):
            self.assertEqual(self.numbers(each), [(5, [5.0])])
        epochs = {
            hubs["marketdata"].numbering(ES).epoch for hubs in (self.origin.hubs, *(each.hubs for each in self.edges))
        }
        self.assertEqual(len(epochs), 1)
        self.assertEqual(self.origin.sessions["marketdata"].take(), [])

    def test_a_rejection(self) -> None:
        consumer = self.watch(self.edges[0].hubs["marketdata"])
        self.receive(dtc.MarketDataReject(SymbolID=1, RejectText="not permitted"))
        self.assertEqual(consumer.take(), [("refused", ES, "not permitted")])
        self.assertEqual(self.origin.service.publishers, {})

    def test_the_end_of_a_subscription(self) -> None:
        consumer = self.begin()
        consumer.take()
        self.receive(dtc.MarketDataReject(SymbolID=1, RejectText="no more"))
        self.assertEqual(consumer.take(), [("ended", ES, "no more")])
        self.assertEqual(self.edges[0].hubs["marketdata"].symbols, [])

    def test_a_lost_message_is_announced_and_a_snapshot_follows(self) -> None:
        consumer = self.begin()
        consumer.take()
        consumer.take_updates()
        self.broker.lose = lambda subject: subject.startswith("dtc.md.")
        self.receive(trade(1.0))
        self.broker.lose = lambda subject: False
        self.receive(trade(2.0))
        self.assertEqual(consumer.names(), ["stale", "live"])
        [(number, [snapshot])] = consumer.take_updates()
        self.assertEqual((number, snapshot.LastTradePrice), (3, 2.0))
        self.receive(trade(3.0))
        self.assertEqual(self.numbers(consumer), [(4, [3.0])])

    def test_a_snapshot_that_cannot_be_read(self) -> None:
        """It is asked for again."""
        broken: list[str] = []

        def replace(subject: str) -> bool:
            if broken or not subject.startswith("dtc.answer."):
                return False
            broken.append(subject)
            self.broker.queue.append((subject, b".of another version", ""))
            return True

        self.broker.lose = replace
        consumer = self.begin()
        self.assertEqual((len(broken), self.numbers(consumer)), (1, []))
        self.receive(trade(1.0))
        self.advance(1)
        self.assertEqual(self.numbers(consumer), [(2, [100.0])])
        self.receive(trade(2.0))
        self.assertEqual(self.numbers(consumer), [(3, [2.0])])
        self.assertEqual(len(self.flushLoggedErrors(MsgspecError)), 1)

    def test_what_arrives_before_the_snapshot_is_not_delivered_twice(self) -> None:
        self.begin()
        other = NumberedConsumer()
        self.edges[1].hubs["marketdata"].subscribe(ES, other)
        self.origin.receive(trade(1.0))  # published before the request arrives
        self.flush()
        self.receive(trade(2.0))
        self.assertEqual([number for number, _ in other.take_updates()], [2, 3])

    def test_the_server_is_lost_and_found(self) -> None:
        consumer = self.begin()
        epoch = self.edges[0].hubs["marketdata"].numbering(ES).epoch
        consumer.take()
        consumer.take_updates()
        self.origin.lose_server("gone away")
        self.flush()
        self.assertEqual(consumer.take(), [("stale", ES, "gone away")])
        self.assertEqual(self.edges[0].link.status.reason, "gone away")
        self.origin.find_server()
        self.flush()
        self.assertEqual(consumer.take(), [])
        self.receive(SNAPSHOT)
        self.assertEqual(consumer.take(), [("live", ES)])
        self.assertEqual(self.numbers(consumer), [(2, [100.0])])
        self.assertEqual(self.edges[0].hubs["marketdata"].numbering(ES).epoch, epoch)

    def test_the_origin_is_silent(self) -> None:
        consumer = self.begin()
        consumer.take()
        self.origin.bus.is_connected = False
        self.advance(2.5)
        self.assertEqual(consumer.take(), [])
        self.advance(1)
        self.assertEqual(consumer.take(), [("stale", ES, "the origin does not answer")])
        self.assertIsNone(self.edges[0].link.session)
        self.origin.bus.connect()
        self.flush()
        self.assertEqual(consumer.take(), [("live", ES)])

    def test_updates_that_were_not_published_for_lack_of_a_connection(self) -> None:
        """The next beat says that the connection is another, so that a quiet symbol is not out of date."""
        consumer = self.begin()
        consumer.take_updates()
        self.origin.bus.is_connected = False
        self.receive(trade(7.0))
        self.origin.bus.connect()
        self.flush()
        [(number, [snapshot])] = consumer.take_updates()
        self.assertEqual((number, snapshot.LastTradePrice), (2, 7.0))

    def test_the_edge_loses_its_connection(self) -> None:
        consumer = self.begin()
        consumer.take()
        consumer.take_updates()
        edge = self.edges[0]
        edge.bus.lose("cut")
        self.assertEqual(consumer.take(), [("stale", ES, "cut")])
        self.receive(trade(1.0))
        edge.bus.connect()
        self.advance(1)
        self.assertEqual(consumer.take(), [("live", ES)])
        self.assertEqual([number for number, _ in consumer.take_updates()], [2])

    def test_a_subscription_without_an_origin_has_no_epoch_of_its_own(self) -> None:
        """A later one of the origin would be smaller, as if its data were old."""
        edge = self.edges[0]
        edge.bus.lose("cut")
        consumer = self.watch(edge.hubs["marketdata"])
        self.advance(8)
        self.assertEqual(consumer.names(), ["subscribed", "stale"])
        self.assertEqual(edge.hubs["marketdata"].numbering(ES).epoch, 0)
        edge.bus.connect()
        self.advance(1)
        self.receive(SNAPSHOT)
        self.assertGreater(edge.hubs["marketdata"].numbering(ES).epoch, 0)

    def test_another_origin_has_larger_epochs_and_the_old_one_is_ignored(self) -> None:
        consumer = self.begin()
        epoch = self.edges[0].hubs["marketdata"].numbering(ES).epoch
        self.origin.bus.is_connected = False  # suspended
        self.advance(5)
        consumer.take()
        consumer.take_updates()
        old, self.origin = self.origin, FakeOrigin(self.clock, self.broker)
        self.flush()
        self.receive(SNAPSHOT)
        self.assertEqual(consumer.names(), ["live"])
        self.assertEqual(self.numbers(consumer), [(1, [100.0])])
        self.assertGreater(self.edges[0].hubs["marketdata"].numbering(ES).epoch, epoch)
        old.bus.is_connected = True
        old.receive(trade(66.0))
        old.service.publish_beat()
        self.advance(2)
        self.assertEqual(self.numbers(consumer), [])
        self.assertEqual(consumer.take(), [])
        old.service.stopService()

    def test_live_has_no_smaller_number_than_the_subscriber(self) -> None:
        consumer, edge = self.begin(), self.edges[0]
        numbers: list[int] = []

        def note(symbol: str) -> None:
            numbers.append(sum(edge.hubs["marketdata"].numbering(symbol).counts.values()))

        self.patch(consumer, "on_live", note)
        self.receive(trade(1.0), trade(2.0))
        edge.bus.lose()
        edge.bus.connect()
        self.advance(2)
        self.assertEqual(numbers, [3])  # nothing was missed
        self.assertEqual([number for number, _ in consumer.take_updates()], [1, 3, 3])
        edge.bus.lose()
        self.receive(trade(3.0), trade(4.0))
        edge.bus.connect()
        self.advance(2)
        self.assertEqual(numbers, [3, 4])  # the snapshot that follows has number 5
        self.assertEqual([number for number, _ in consumer.take_updates()], [5])

    def test_symbols_that_no_edge_needs_are_given_up(self) -> None:
        self.begin()
        self.edges[0].bus.lose()
        self.advance(LEASE_BEATS + LINGER_BEATS - 1)
        self.assertEqual(len(self.origin.service.publishers), 1)
        self.advance(4)
        self.assertEqual(self.origin.service.publishers, {})
        self.assertEqual(self.origin.sessions["marketdata"].take(), [("SUBSCRIBE", 1, ES), ("UNSUBSCRIBE", 1, ES)])

    def test_leases_do_not_run_while_the_origin_has_no_connection(self) -> None:
        self.begin()
        self.origin.bus.is_connected = False
        self.advance(100)
        self.assertEqual(len(self.origin.service.publishers), 1)

    def test_a_broker_that_does_not_deliver(self) -> None:
        self.broker.lose = lambda subject: True
        self.advance(5)
        self.assertEqual(self.origin.bus.drops, ["NATS does not deliver"])

    def test_an_error_does_not_end_the_beats(self) -> None:
        def fail() -> Any:
            raise ZeroDivisionError

        edge = self.edges[0]
        patches = [
            self.patch(self.origin.service, "get_trading", fail),
            self.patch(edge.link, "_send_demand", fail),
        ]
        self.advance(2)
        for each in patches:
            each.restore()
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        self.broker.published.clear()
        self.advance(2)
        subjects = {subject for subject, _ in self.broker.published}
        self.assertLessEqual({"dtc.beat", "dtc.demand"}, subjects)
        self.assertTrue(any(b'"one"' in data for _, data in self.broker.published))

    def test_one_snapshot(self) -> None:
        wanted = self.edges[0].hubs["marketdata"].fetch_snapshot(ES)
        self.flush()
        self.assertEqual(self.origin.sessions["marketdata"].take(), [("SNAPSHOT", 1, ES)])
        self.receive(SNAPSHOT)
        update = self.successResultOf(wanted)
        self.assertEqual(update.messages[0].BidPrice, 100.0)
        self.assertEqual(self.origin.service.publishers, {})

    def test_one_snapshot_of_a_symbol_that_is_stale_at_the_origin(self) -> None:
        """It has the reason, as at the origin, also if another caller subscribes meanwhile."""
        hub = self.origin.hubs["marketdata"]
        self.watch(hub)
        self.receive(SNAPSHOT)
        hub.mark_symbol_stale(1, "no data feed")
        for subscribes in (False, True):
            wanted = [each.fetch_snapshot(ES) for each in (hub, self.edges[0].hubs["marketdata"])]
            consumer = self.watch(self.edges[0].hubs["marketdata"]) if subscribes else None
            self.advance(TIMEOUT)
            for each in wanted:
                update = self.successResultOf(each)
                self.assertEqual((update.messages[0].BidPrice, update.stale_reason), (100.0, "no data feed"))
        assert consumer is not None
        self.assertEqual(consumer.names(), ["subscribed", "stale"])
        hub.mark_symbol_live(1)
        self.flush()
        current = self.edges[1].hubs["marketdata"].fetch_snapshot(ES)
        self.flush()
        self.assertEqual(self.successResultOf(current).stale_reason, "")

    def test_a_server_that_does_not_answer(self) -> None:
        wanted = self.edges[0].hubs["marketdata"].fetch_snapshot(ES)
        self.advance(8)
        self.failureResultOf(wanted, RequestRejected, RequestTimedOut)


class DepthTests(ClusterCase):
    def test_books_and_changes(self) -> None:
        consumer, mine = NumberedConsumer(), NumberedConsumer()
        self.edges[0].hubs["marketdepth"].subscribe(ES, consumer)
        self.flush()
        self.origin.hubs["marketdepth"].subscribe(ES, mine)
        level = dtc.MarketDepthSnapshotLevel
        bid, ask = dtc.AtBidOrAskEnum.AT_BID, dtc.AtBidOrAskEnum.AT_ASK
        self.receive(
            level(SymbolID=1, Side=bid, Price=10.0, Quantity=5.0, NumOrders=2, IsFirstMessageInBatch=1),
            level(SymbolID=1, Side=ask, Price=11.0, Quantity=6.0, IsLastMessageInBatch=1),
        )
        self.check(consumer, mine, [1], BookSnapshot)
        change = dtc.MarketDepthUpdateLevel
        more, final = dtc.FinalUpdateInBatchEnum.FINAL_UPDATE_FALSE, dtc.FinalUpdateInBatchEnum.FINAL_UPDATE_TRUE
        update, delete = (
            dtc.MarketDepthUpdateTypeEnum.MARKET_DEPTH_INSERT_UPDATE_LEVEL,
            dtc.MarketDepthUpdateTypeEnum.MARKET_DEPTH_DELETE_LEVEL,
        )
        self.receive(
            *(change(SymbolID=1, Side=bid, Price=9.0, Quantity=1.0, UpdateType=update, FinalUpdateInBatch=more),),
            *(change(SymbolID=1, Side=ask, Price=11.0, UpdateType=delete, FinalUpdateInBatch=final),),
            *(change(SymbolID=1, Side=ask, Price=12.0, Quantity=4.0, UpdateType=update, FinalUpdateInBatch=final),),
        )
        self.check(consumer, mine, [3, 3], BookChanges)  # the numbers after the read
        late = NumberedConsumer()
        self.edges[1].hubs["marketdepth"].subscribe(ES, late)
        self.flush()
        [(number, [book])] = late.take_updates()
        self.assertEqual(number, 3)
        self.assertEqual([each.Price for each in book.bids], [10.0, 9.0])
        self.assertEqual([(each.Price, each.NumOrders) for each in book.asks], [(12.0, UNSET)])
        self.receive(level(SymbolID=1, IsFirstMessageInBatch=1, IsLastMessageInBatch=1))
        self.check(consumer, mine, [4], BookSnapshot)

    def check(self, one: NumberedConsumer, other: NumberedConsumer, numbers: list[int], kind: type) -> None:
        """Check that both consumers received the same."""
        received = one.take_updates()
        self.assertEqual(received, other.take_updates())
        self.assertEqual([number for number, _ in received], numbers)
        self.assertEqual({type(each) for _, messages in received for each in messages}, {kind})


class RequestTests(ClusterCase):
    def ask(self, edge: FakeEdge, message: Any) -> Any:
        answer = edge.link.request(message)
        self.flush()
        return answer

    def test_an_answer(self) -> None:
        found = self.successResultOf(self.ask(self.edges[0], dtc.ExchangeListRequest()))
        self.assertEqual([each.Exchange for each in found], ["CME", "EUREX"])

    def test_an_answer_in_pieces(self) -> None:
        self.patch(bus, "PIECE", 10)
        self.test_an_answer()

    def test_an_error(self) -> None:
        failure = self.failureResultOf(self.ask(self.edges[0], dtc.TradeAccountsRequest()), RequestRejected)
        self.assertEqual(failure.getErrorMessage(), "no accounts")

    def test_no_origin_any_more(self) -> None:
        self.origin.bus.is_connected = False
        self.failureResultOf(self.ask(self.edges[0], dtc.ExchangeListRequest()), NotLoggedOn)

    def test_no_answer(self) -> None:
        self.broker.lose = lambda subject: subject == "dtc.request"
        answer = self.ask(self.edges[0], dtc.ExchangeListRequest())
        self.advance(7)
        self.failureResultOf(answer, RequestTimedOut)

    def test_a_request_that_cancels_another_as_it_fails(self) -> None:
        """All fail with the connection."""
        edge = self.edges[0]
        first, second, third = (edge.link.request(dtc.ExchangeListRequest()) for _ in range(3))
        first.addErrback(lambda _: second.cancel())
        edge.bus.lose("cut")
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.failureResultOf(third, SessionLost)

    def test_without_an_origin(self) -> None:
        edge = self.edges[0]
        edge.bus.lose("cut")
        self.assertRaises(NotLoggedOn, edge.link.request, dtc.ExchangeListRequest())
