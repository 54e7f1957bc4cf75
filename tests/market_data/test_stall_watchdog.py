"""The watchdog finds feeds that are mute, and leaves quiet symbols and session breaks alone."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import TradingStatusEnum
from dtc_twisted.market_data import Hub, ReadBatch, StallWatchdog
from tests.market_data.test_hub import FakeConsumer, FakeSession
from tests.support import GatewayTestCase, slow

ES, NQ, CL, ZC = "ESM20_FUT_CME", "NQM20_FUT_CME", "CLM20_FUT_NYMEX", "ZCN20_FUT_CBOT"
TIMEOUT = 30.0
MIDDLE = 1_700_000_000 + 400.0
"""A time that is 600 s before a full quarter of an hour."""


class Market:
    """A hub with a watchdog, and a server that sends what the test wants."""

    def __init__(self, symbols: Sequence[str], timeout: float = TIMEOUT, start: float = MIDDLE) -> None:
        self.clock = Clock()
        self.clock.advance(start)
        batch = ReadBatch(self.clock)
        self.batch = batch
        self.hub = Hub(self.clock, 5.0, batch)
        self.reconnects: list[str] = []
        self.watchdog = StallWatchdog(self.clock, [self.hub], timeout, self.reconnects.append)
        self.consumer = FakeConsumer()
        self.connect()
        for symbol in symbols:
            self.subscribe(symbol)
        self.watchdog.startService()

    def connect(self) -> None:
        self.session = FakeSession()
        self.hub.attach(self.session)
        self.watchdog.attach(self.session)  # type: ignore[arg-type]
        for symbol in self.hub.symbols:
            self.snapshot(symbol)

    def disconnect(self) -> None:
        self.hub.detach("lost")
        self.watchdog.detach("lost")

    def subscribe(self, symbol: str) -> None:
        self.hub.subscribe(symbol, self.consumer)
        self.snapshot(symbol)

    def snapshot(self, symbol: str) -> None:
        self._receive(dtc.MarketDataSnapshot(SymbolID=self.session.symbol_id(symbol), LastTradePrice=1.0))

    def trade(self, *symbols: str) -> None:
        for symbol in symbols:
            self._receive(dtc.MarketDataUpdateTrade(SymbolID=self.session.symbol_id(symbol), Price=1.0, Volume=1))

    def status(self, symbol: str, status: TradingStatusEnum) -> None:
        self._receive(dtc.TradingSymbolStatus(SymbolID=self.session.symbol_id(symbol), Status=status))

    def _receive(self, message: dtc.Message) -> None:
        self.hub.handlers[type(message)](message)
        self.batch.flush()

    def run(self, seconds: float, each: Callable[[float], object] = lambda second: None, step: float = 1.0) -> None:
        """Let time pass. each: called before every step, with the seconds so far."""
        passed = 0.0
        while passed < seconds:
            each(passed)
            self.clock.advance(step)
            passed += step

    def trade_for(self, seconds: float, *symbols: str) -> None:
        self.run(seconds, lambda second: self.trade(*symbols))

    def events(self, name: str) -> list[tuple[str, str]]:
        """Return symbol and reason of the events of this name since the last call."""
        taken, self.consumer.events = self.consumer.events, []
        return [(event[1], event[2] if len(event) > 2 else "") for event in taken if event[0] == name]


class WatchdogCase(SynchronousTestCase):
    def market(self, *symbols: str, timeout: float = TIMEOUT, start: float = MIDDLE) -> Market:
        market = Market(symbols, timeout, start)
        self.addCleanup(lambda: self.assertEqual(market.clock.getDelayedCalls(), []))
        self.addCleanup(market.watchdog.stopService)
        return market


class MuteTests(WatchdogCase):
    def test_whole_feed(self) -> None:
        market = self.market(ES, NQ)
        market.trade_for(60, ES, NQ)
        market.run(28)
        self.assertEqual(market.events("stale"), [])
        market.run(3)
        reason = "no market data for 30 s, though the server is connected"
        self.assertEqual(market.events("stale"), [(ES, reason), (NQ, reason)])
        self.assertEqual((market.watchdog.stalled_symbols, market.watchdog.stall_count), ([ES, NQ], 1))
        self.assertEqual(market.reconnects, [reason])

    def test_live_with_the_next_update(self) -> None:
        market = self.market(ES, NQ)
        changes: list[list[str]] = []
        market.watchdog.on_change = lambda: changes.append(market.watchdog.stalled_symbols)
        market.trade_for(60, ES, NQ)
        market.run(60)
        market.events("stale")
        market.trade(ES)
        market.run(2)
        self.assertEqual(market.events("live"), [(ES, "")])
        self.assertEqual(market.watchdog.stalled_symbols, [NQ])
        self.assertEqual(changes, [[ES, NQ], [NQ]])

    def test_one_symbol_of_two(self) -> None:
        market = self.market(ES, NQ)
        market.trade_for(60, ES, NQ)
        market.trade_for(60, ES)
        (stale,) = market.events("stale")
        self.assertEqual(stale, (NQ, "no update for 30 s; the longest pause before was 1.0 s"))
        self.assertEqual((market.watchdog.stalled_symbols, market.reconnects), ([NQ], []))

    def test_again(self) -> None:
        market = self.market(ES)
        for _ in range(2):
            market.trade_for(60, ES)
            market.run(45)
            self.assertEqual(len(market.events("stale")), 1)

    def test_short_timeout(self) -> None:
        market = self.market(ES, timeout=3)
        market.run(10, lambda second: market.trade(ES), step=0.05)
        market.run(2.8, step=0.1)
        self.assertEqual(market.events("stale"), [])
        market.run(0.5, step=0.1)
        self.assertEqual(len(market.events("stale")), 1)

    def test_quiet_symbols_are_active_together(self) -> None:
        """Each has an update a minute only, all together one a second: their silence is that of the feed."""
        symbols = [f"S{number}" for number in range(60)]
        market = self.market(*symbols)
        market.run(400, lambda second: market.trade(symbols[int(second) % 60]))
        self.assertEqual(market.events("stale"), [])
        market.run(31)
        self.assertEqual(len(market.events("stale")), 60)

    def test_longer_pauses_need_more_patience(self) -> None:
        market = self.market(ES)
        market.run(500, lambda second: market.trade(ES) if second % 10 == 0 else None)
        market.run(25)
        self.assertEqual(market.events("stale"), [])
        market.run(15)
        self.assertEqual(len(market.events("stale")), 1)

    def test_off(self) -> None:
        market = self.market(ES, timeout=0)
        market.trade_for(60, ES)
        market.run(1000)
        self.assertEqual(market.events("stale"), [])


class ReconnectTests(WatchdogCase):
    def test_no_updates_after_it(self) -> None:
        """The symbols do not stay live because of the snapshot; the gateway tries again, ever more rarely."""
        market = self.market(ES)
        market.trade_for(60, ES)
        stalls = []
        for second in range(500):
            market.run(1)
            if market.reconnects:
                market.reconnects.clear()
                stalls.append(second)
                market.disconnect()
                market.connect()
        self.assertEqual(len(stalls), 4)
        self.assertTrue(all(later - sooner > 59 for sooner, later in pairwise(stalls)), stalls)
        self.assertTrue(stalls[3] - stalls[2] > 239, stalls)

    def test_updates_after_it(self) -> None:
        market = self.market(ES)
        market.trade_for(60, ES)
        market.run(31)
        market.disconnect()
        market.connect()
        market.trade_for(100, ES)
        self.assertEqual(market.watchdog.stalled_symbols, [])
        market.run(31)
        self.assertEqual(len(market.reconnects), 2)

    def test_that_raises(self) -> None:
        """The watchdog goes on."""
        market = self.market(ES)
        market.watchdog._reconnect = lambda reason: 1 / 0  # type: ignore[assignment]
        for _ in range(2):
            market.trade_for(60, ES)
            market.run(45)
            self.assertEqual(len(market.events("stale")), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_quiet_after_another_loss(self) -> None:
        market = self.market(ES)
        market.trade_for(60, ES)
        market.disconnect()
        market.run(60)
        market.connect()
        market.run(600)
        self.assertEqual(market.watchdog.stall_count, 0)


class UnansweredTests(WatchdogCase):
    """A request for a symbol is not answered."""

    def reconnect(self, *symbols: str) -> Market:
        """Return a market whose symbols have no answer in the present session."""
        market = self.market(*symbols)
        market.disconnect()
        market.session = FakeSession(11)
        market.hub.attach(market.session)
        market.watchdog.attach(market.session)  # type: ignore[arg-type]
        market.session.take()
        return market

    def test_is_repeated(self) -> None:
        market = self.reconnect(ES, NQ)
        market.snapshot(NQ)
        market.run(29)
        self.assertEqual(market.session.take(), [])
        repeated = [("UNSUBSCRIBE", 11, ES), ("SUBSCRIBE", 11, ES)]
        for seconds in (2, 30, 60, 120):
            market.run(seconds)
            self.assertEqual(market.session.take(), repeated)
        market.events("live")
        market.snapshot(ES)
        self.assertEqual(market.events("live"), [(ES, "")])
        market.run(600)
        self.assertEqual(market.session.take(), [])

    def test_not_while_there_is_no_session(self) -> None:
        market = self.reconnect(ES)
        market.run(20)
        market.disconnect()
        market.run(600)
        self.assertEqual(market.session.take(), [])
        market.hub.attach(market.session)
        market.watchdog.attach(market.session)  # type: ignore[arg-type]
        market.session.take()
        market.run(29)
        self.assertEqual(market.session.take(), [])
        market.snapshot(ES)

    def test_subscriber_leaves_before(self) -> None:
        market = self.reconnect(ES)
        market.run(29)
        market.hub.unsubscribe_all(market.consumer)
        market.session.take()
        market.run(60)
        self.assertEqual(market.session.take(), [])


class NoAlarmTests(WatchdogCase):
    def test_snapshot_only(self) -> None:
        market = self.market(ES)
        market.run(1000)
        self.assertEqual(market.events("stale"), [])

    @slow
    def test_break_at_the_hour(self) -> None:
        market = self.market(ES, NQ)
        market.trade_for(595, ES, NQ)  # until 5 s before the quarter
        market.trade(ES)
        market.run(3600)
        self.assertEqual(market.events("stale"), [])
        market.run(3, lambda second: market.trade(ES))  # settlements
        market.run(1000)
        self.assertEqual(market.events("stale"), [])
        market.trade_for(300, ES, NQ)  # the next session, which is watched
        market.run(40)
        self.assertEqual(len(market.events("stale")), 2)

    @slow
    def test_same_time_as_the_day_before(self) -> None:
        market = self.market(ES)
        market.trade_for(60, ES)
        market.run(3600)
        self.assertEqual(len(market.events("stale")), 1)
        market.trade_for(86_400 - 3600 - 60, ES)
        market.trade_for(60, ES)
        market.run(3600)
        self.assertEqual(market.events("stale"), [])

    def test_closed(self) -> None:
        for status in ("CLOSE", "TRADING_HALT", "PRE_OPEN"):
            market = self.market(ES, NQ)
            market.trade_for(60, ES, NQ)
            market.status(ES, TradingStatusEnum[f"TRADING_STATUS_{status}"])
            market.trade_for(60, NQ)
            self.assertEqual(market.events("stale"), [])
            market.run(40)
            self.assertEqual([symbol for symbol, _ in market.events("stale")], [NQ])

    def test_active_symbol_is_unsubscribed(self) -> None:
        """The silence of the others, which are quiet, says nothing."""
        market = self.market(ES, CL)
        market.run(300, lambda second: market.trade(ES, *([CL] if second % 100 == 0 else [])))
        market.hub.unsubscribe(ES, market.consumer)
        market.run(1000, lambda second: market.trade(CL) if second % 100 == 99 else None)
        self.assertEqual(market.events("stale"), [])

    def test_snapshots_of_others_come_and_go(self) -> None:
        market = self.market(ES)
        other = FakeConsumer()

        def second(_: float) -> None:
            market.trade(ES)
            market.hub.subscribe(CL, other)
            market.snapshot(CL)
            market.hub.unsubscribe_all(other)

        market.run(60, second)
        market.run(31)
        self.assertEqual(len(market.events("stale")), 1)

    def test_process_that_was_suspended(self) -> None:
        market = self.market(ES)
        market.trade_for(60, ES)
        market.clock.advance(3600)
        market.run(20)
        self.assertEqual(market.events("stale"), [])

    def test_feed_that_the_server_calls_unavailable(self) -> None:
        market = self.market(ES)
        market.trade_for(60, ES)
        market.hub.handlers[dtc.MarketDataFeedStatus](
            dtc.MarketDataFeedStatus(Status=dtc.MarketDataFeedStatusEnum.MARKET_DATA_FEED_UNAVAILABLE)
        )
        market.run(600)
        self.assertEqual(len(market.events("stale")), 1)
        self.assertEqual(market.watchdog.stall_count, 0)


@slow
class PropertyTests(WatchdogCase):
    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32), rate=st.floats(0.005, 0.2))
    def test_quiet_symbols_beside_an_active_one(self, seed: int, rate: float) -> None:
        """Updates at random, from one in 5 s to one in 200 s on average."""
        rng = random.Random(seed)
        market = Market([ES, ZC])
        market.run(3000, lambda second: market.trade(ES, *([ZC] if rng.random() < rate else [])))
        self.assertEqual(market.events("stale"), [])
        market.watchdog.stopService()

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32), longest=st.integers(2, 28))
    def test_bursts(self, seed: int, longest: int) -> None:
        rng = random.Random(seed)
        market = Market([ES])
        for _ in range(60):
            market.trade_for(rng.randint(1, 60), ES)
            market.run(rng.randint(1, longest))
        self.assertEqual(market.events("stale"), [])
        market.watchdog.stopService()

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32), probability=st.floats(0.3, 1.0), others=st.integers(0, 5))
    def test_mute_is_always_found(self, seed: int, probability: float, others: int) -> None:
        """Within four times the longest pause, or the timeout, whichever is longer."""
        rng = random.Random(seed)
        symbols = [ES, *(f"S{number}" for number in range(others))]
        market = Market(symbols)
        market.run(260, lambda second: market.trade(*(each for each in symbols if rng.random() < probability)))
        self.assertEqual(market.events("stale"), [])
        market.run(250)
        self.assertEqual({symbol for symbol, _ in market.events("stale")}, set(symbols))
        market.watchdog.stopService()


class GatewayTests(GatewayTestCase):
    options = ("--host", "127.0.0.1", "--stall-timeout", "15", "--stall-reconnect")

    def test_heartbeats_without_market_data(self) -> None:
        caller = self.subscriber(ES)
        for _ in range(40):
            self.simulator.trade(ES, 282800, 1, 1)
            self.advance(0.5)
        caller.take()
        self.advance(19)
        events = [each for each in caller.take() if "event" in each]
        self.assertEqual([each["event"] for each in events], ["stale", "live"])
        self.assertIn("no market data for 15 s", events[0]["reason"])
        status = self.status()
        self.assertEqual((status["stalls"], status["reconnects"], status["stalled"]), (1, 1, []))
        self.assertIn("The market data feed has stalled", self.log_text())
