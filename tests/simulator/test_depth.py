"""Test the simulator: order books."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.simulator.connection import MainConnection
from dtc_twisted.simulator.market.random_book import BID
from dtc_twisted.simulator.market.sierra_json import as_float32
from dtc_twisted.testing import ScriptedSimulator
from tests.simulator.test_simulator import BTC, CL, ES, EURUSD, Case, Client
from tests.support import slow


class Follower:
    """Build a book from the server's messages, strictly and independent of the server's code."""

    def __init__(self) -> None:
        self.sides: dict[int, dict[float, tuple[float, int]]] = {1: {}, 2: {}}
        self.is_whole = True
        self.updates = self.deletes = self.batches = 0
        self.emptied = False

    def follow(self, message: dict[str, Any]) -> None:
        f: Any = message.get("F")
        match message["Type"]:
            case 122:
                if f[5]:
                    self.sides = {1: {}, 2: {}}
                if f[1]:
                    self.sides[f[1]][f[2]] = f[3], f[8]
                self.is_whole = f[6] == 1
            case 145:
                if self.is_whole:
                    self.sides = {1: {}, 2: {}}
                if "Side" in message:
                    self.sides[message["Side"]][message["Price"]] = message["Quantity"], message["NumOrders"]
                self.is_whole = message["FinalUpdateInBatch"] == 1
            case 106:
                self.update(f[1], f[2], f[3], f[6], f[4], f[7])
            case 140:
                names = ("Side", "Price", "Quantity", "NumOrders", "UpdateType", "FinalUpdateInBatch")
                self.update(*(message[name] for name in names))

    def update(self, side: int, price: float, quantity: float, num_orders: int, kind: int, final: int) -> None:
        assert kind in (1, 2) and final in (1, 2)
        if kind == 2:
            del self.sides[side][price]
            self.deletes += 1
        else:
            assert quantity > 0
            self.sides[side][price] = quantity, num_orders
        self.updates += 1
        self.is_whole = final == 1
        if self.is_whole:
            self.batches += 1
            bids, asks = self.sides[1], self.sides[2]
            self.emptied |= not bids or not asks
            assert not bids or not asks or max(bids) < min(asks), "crossed"

    @property
    def book(self) -> dict[str, list[tuple[float, float, int]]]:
        assert self.is_whole
        bids, asks = sorted(self.sides[1], reverse=True), sorted(self.sides[2])
        return {
            "bids": [(price, *self.sides[1][price]) for price in bids],
            "asks": [(price, *self.sides[2][price]) for price in asks],
        }


class DepthTests(Case):
    def test_snapshot_batch(self) -> None:
        client = self.log_on()
        batch = self.ask(client, Type=102, RequestAction=1, SymbolID=3, Symbol=ES)
        self.assertEqual({message["Type"] for message in batch}, {122})
        self.assertEqual(len(client.frames), 20)
        self.assertEqual([message["F"][5:7] for message in batch], [[1, 0], *[[0, 0]] * 18, [0, 1]])
        self.assertEqual([message["F"][1] for message in batch], [1] * 10 + [2] * 10)
        self.assertEqual(batch[9]["F"][2], 282800 - 9 * 25)

    def test_float_snapshot_batch(self) -> None:
        client = self.log_on(Integer_1=0x800)
        batch = self.ask(client, Type=102, RequestAction=3, SymbolID=3, Symbol=EURUSD, NumLevels=2)
        self.assertEqual({message["Type"] for message in batch}, {145})
        self.assertEqual([message["FinalUpdateInBatch"] for message in batch], [3, 2, 2, 1])
        self.assertEqual(batch[0]["Price"], as_float32(1.08255))

    @slow
    def test_updates_make_the_book(self) -> None:
        """The snapshot and the updates after it, put together by a client, are the server's book."""
        for flag, kind in ((0, 106), (0x80, 140)):
            client = self.log_on(Integer_1=flag)
            batch = self.ask(client, Type=102, RequestAction=1, SymbolID=3, Symbol=ES)
            book = {(message["F"][1], message["F"][2]): message["F"][3] for message in batch}
            client.take()
            self.simulator.start_market()
            self.advance(30, step=0.05)
            self.simulator.stop_market()
            self.simulator.quote(ES, 290000, 5, 290050, 6)
            final = 0
            for message in self.messages_to(client):
                if message["Type"] not in (106, 140):
                    continue
                self.assertEqual(message["Type"], kind)
                if kind == 106:
                    _, side, price, quantity, action, _, _, final, _ = message["F"]
                else:
                    names = ("Side", "Price", "Quantity", "UpdateType", "FinalUpdateInBatch")
                    side, price, quantity, action, final = (message[name] for name in names)
                if action == 2:
                    del book[side, price]
                else:
                    book[side, price] = quantity
                if final == 1:
                    bids, asks = ([p for s, p in book if s == each] for each in (1, 2))
                    self.assertLess(max(bids), min(asks))
            self.assertEqual(final, 1)
            ticker = self.simulator.market.tickers[ES]
            self.assertEqual(book, {(level.side, level.price): level.quantity for level in ticker.levels()})

    def test_the_last_update_of_a_batch_is_marked(self) -> None:
        for flag in (0, 0x80):
            client = self.log_on(Integer_1=flag)
            self.subscribe(client, kind=102)
            self.simulator.quote(ES, 290000 + flag * 25, 5, 290050 + flag * 25, 6)
            received = self.messages_to(client)
            finals = [message["FinalUpdateInBatch"] if flag else message["F"][7] for message in received]
            self.assertEqual(finals, [2] * 39 + [1])

    def test_an_empty_book(self) -> None:
        ticker = self.simulator.market.tickers[ES]
        ticker.bids, ticker.asks = [], []
        (only,) = self.ask(self.log_on(), Type=102, RequestAction=3, SymbolID=3, Symbol=ES)
        self.assertEqual(only["F"][5:7], [1, 1])
        (only,) = self.ask(self.log_on(Integer_1=0x800), Type=102, RequestAction=3, SymbolID=3, Symbol=ES)
        self.assertEqual(only, {"Type": 145, "SymbolID": 3, "FinalUpdateInBatch": 1})


class Recorder(MainConnection):
    """Record sent messages, without a WebSocket."""

    def __init__(self, simulator: ScriptedSimulator) -> None:
        super().__init__(simulator.clock, simulator.settings, simulator)
        self.logged_on = True
        self._sent: list[bytes] = []

    @property
    def open(self) -> bool:
        return True

    def send_texts(self, texts: Sequence[bytes]) -> None:
        self._sent += texts

    def take(self) -> list[dict[str, Any]]:
        sent, self._sent = self._sent, []
        return [json.loads(each) for each in sent]


class ShakenTests(Case):
    def follow(self, client: Client, follower: Follower) -> Follower:
        for message in self.messages_to(client):
            follower.follow(message)
        return follower

    @slow
    def test_who_follows_has_the_servers_book(self) -> None:
        for symbol, flags in ((ES, 0), (EURUSD, 0), (EURUSD, 0x880), (BTC, 0x800), (CL, 0x80)):
            client = self.log_on(Integer_1=flags)
            client.take()
            client.text(b'{"Type":102,"RequestAction":1,"SymbolID":3,"Symbol":"%s"}\0' % symbol.encode())
            follower = self.follow(client, Follower())
            self.assertEqual(follower.book, self.simulator.book(symbol, as_floats=bool(flags & 0x800)))
            if flags in (0, 0x880):
                self.simulator.randomize_book(symbol, 3000, seed=5)
                self.follow(client, follower)
                self.assertEqual(follower.updates, 3000)
                self.assertTrue(3000 / 6 <= follower.batches <= 3000 / 2)
                self.assertGreater(follower.deletes, 300)
                self.assertTrue(follower.emptied)
                self.assertEqual(follower.book, self.simulator.book(symbol, as_floats=bool(flags)))

    def test_the_book_as_it_is_sent(self) -> None:
        book = self.simulator.book(EURUSD)
        self.assertEqual((len(book["bids"]), len(book["asks"])), (10, 10))
        self.assertEqual((book["bids"][0][0], book["asks"][1][0]), (1.08255, 1.08265))
        self.assertEqual(self.simulator.book(EURUSD, 2)["bids"], book["bids"][:2])
        self.assertEqual(self.simulator.book(EURUSD, as_floats=True)["bids"][0][0], as_float32(1.08255))
        self.assertRaises(KeyError, self.simulator.book, "XX")
        self.assertRaises(KeyError, self.simulator.randomize_book, "XX", 1, 1)

    def test_a_catalogue_symbol(self) -> None:
        client, symbol = self.log_on(), "GCM21_FUT_COMEX"
        client.take()
        client.text(b'{"Type":102,"RequestAction":1,"SymbolID":3,"Symbol":"%s"}\0' % symbol.encode())
        follower = self.follow(client, Follower())
        self.simulator.randomize_book(symbol, 200, seed=5)
        self.assertEqual(self.follow(client, follower).book, self.simulator.book(symbol))

    def test_same_seed_same_shaking(self) -> None:
        def books(seed: int) -> list[Any]:
            simulator = ScriptedSimulator(Clock())
            simulator.randomize_book(ES, 50, seed)
            return [simulator.book(ES)]

        self.assertEqual(books(1), books(1))
        self.assertNotEqual(books(1), books(2))

    def test_a_later_subscriber_begins_with_the_shaken_book(self) -> None:
        self.simulator.randomize_book(ES, 500, seed=2)
        for flags in (0, 0x800):
            client = self.log_on(Integer_1=flags)
            client.take()
            client.text(b'{"Type":102,"RequestAction":3,"SymbolID":3,"Symbol":"%s"}\0' % ES.encode())
            self.assertEqual(self.follow(client, Follower()).book, self.simulator.book(ES))

    def test_nothing_is_dropped_for_a_slow_reader(self) -> None:
        client = self.log_on()
        self.subscribe(client, kind=102)
        self.simulator.connections[0].pauseProducing()  # type: ignore[attr-defined]
        self.simulator.randomize_book(ES, 100, seed=1)
        self.assertEqual(len(self.messages_to(client)), 100)

    @slow
    def test_it_stands_still_until_the_next_quote(self) -> None:
        client = self.log_on()
        client.take()
        client.text(b'{"Type":102,"RequestAction":1,"SymbolID":3,"Symbol":"%s"}\0' % ES.encode())
        follower = self.follow(client, Follower())
        self.simulator.randomize_book(ES, 300, seed=1)
        shaken = self.simulator.book(ES)
        self.simulator.start_market()
        self.advance(10, step=0.05)
        self.assertEqual(self.follow(client, follower).book, shaken)
        self.assertEqual(self.simulator.book(ES), shaken)
        self.simulator.quote(ES, 290000, 5, 290050, 6)
        self.assertEqual(self.simulator.book(ES)["bids"][0][:2], (290000, 5))
        before = follower.updates
        self.advance(30, step=0.05)
        self.assertEqual(self.follow(client, follower).book, self.simulator.book(ES))
        self.assertGreater(follower.updates, before + 40)

    @slow
    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(0, 2**32),
        st.lists(st.sampled_from(["walk", "shake", "quote", "trade"]), min_size=1, max_size=8),
        st.sampled_from([0, 1, 2, 5, 10, 30]),
    )
    def test_any_window_at_any_time(self, seed: int, doings: list[str], num_levels: int) -> None:
        """Whoever sees some levels has those at each end of a batch, whatever the market does."""
        clock = Clock()
        simulator = ScriptedSimulator(clock, seed=seed, rate=100)
        connection = Recorder(simulator)
        simulator.connections.append(connection)
        simulator.message_received(connection, dtc.MarketDepthRequest(SymbolID=3, Symbol=ES, NumLevels=num_levels))
        follower = Follower()
        for doing in doings:
            if doing == "walk":
                simulator.market.start()
                for _ in range(20):
                    clock.advance(0.05)
                simulator.market.stop()
            elif doing == "shake":
                simulator.randomize_book(ES, 100, seed)
            elif doing == "quote":
                simulator.quote(ES, 280000 + seed % 97 * 25, 7, 280000 + seed % 97 * 25 + 50, 9)
            else:
                simulator.trade(ES, 282800, 1, 1)
            for message in connection.take():
                follower.follow(message)
            self.assertEqual(follower.book, simulator.book(ES, num_levels))


class WindowTests(Case):
    """Subscriptions with NumLevels get views of the book."""

    def test_a_level_moves_in_and_out(self) -> None:
        client = self.log_on()
        batch = self.ask(client, Type=102, RequestAction=1, SymbolID=3, Symbol=ES, NumLevels=2)
        self.assertEqual([(m["F"][1], m["F"][2]) for m in batch], [(1, 282800), (1, 282775), (2, 282825), (2, 282850)])
        client.take()
        self.simulator.quote(ES, 282775, 5, 282825, 6)
        received = [(m["F"][1], m["F"][2], m["F"][4], m["F"][7]) for m in self.messages_to(client)]
        # the best bid is gone, the one below has another quantity, a third one is now second; the best ask has another
        self.assertEqual(received[0], (1, 282800, 2, 2))
        self.assertEqual(sorted(received[1:]), sorted([(1, 282775, 1, 2), (1, 282750, 1, 2), (2, 282825, 1, 1)]))
        self.simulator.quote(ES, 282800, 5, 282825, 6)
        received = [(m["F"][1], m["F"][2], m["F"][4], m["F"][7]) for m in self.messages_to(client)]
        self.assertEqual((received[0], received[1]), ((1, 282750, 2, 2), (1, 282800, 1, 2 if len(received) > 2 else 1)))

    def test_changes_outside_the_view_are_not_sent(self) -> None:
        client = self.log_on()
        self.subscribe(client, kind=102, NumLevels=1)
        ticker = self.simulator.market.tickers[ES]
        level = ticker.level(BID, 4)
        self.assertEqual(list(ticker.view_updates([level])), [])
        self.assertEqual(len(list(ticker.view_updates([ticker.level(BID, 0)]))), 1)

    @slow
    def test_each_subscriber_has_a_window_of_its_own(self) -> None:
        clients = {num_levels: self.log_on() for num_levels in (0, 1, 3)}
        followers = {}
        for num_levels, client in clients.items():
            client.take()
            self.ask(client, Type=102, RequestAction=1, SymbolID=3, Symbol=ES, NumLevels=num_levels)
            followers[num_levels] = Follower()
        self.simulator.randomize_book(ES, 2000, seed=3)
        for num_levels, client in clients.items():
            for message in self.messages_to(client):
                followers[num_levels].follow(message)
            self.assertEqual(followers[num_levels].book, self.simulator.book(ES, num_levels))
        self.assertEqual(self.simulator.market.tickers[ES].views.keys(), {1, 3})

    def test_windows_go_with_who_wanted_them(self) -> None:
        client, other = self.log_on(), self.log_on()
        self.subscribe(client, kind=102, NumLevels=2)
        self.subscribe(other, kind=102, NumLevels=2)
        self.subscribe(client, kind=102, NumLevels=4)
        self.assertEqual(self.simulator.market.tickers[ES].views.keys(), {2, 4})
        self.ask(other, Type=102, RequestAction=2, SymbolID=1)
        self.assertEqual(self.simulator.market.tickers[ES].views.keys(), {4})
        self.simulator.drop()
        self.flush()
        self.assertEqual(self.simulator.market.tickers[ES].views.keys(), set())

    def test_one_symbol_id_for_data_and_depth(self) -> None:
        client = self.log_on()
        self.subscribe(client, symbol_id=8, kind=101)
        self.subscribe(client, symbol_id=8, kind=102, NumLevels=1)
        self.simulator.quote(ES, 282775, 5, 282825, 6)
        self.assertEqual({(m["Type"], m["F"][0]) for m in self.messages_to(client)}, {(108, 8), (106, 8)})
