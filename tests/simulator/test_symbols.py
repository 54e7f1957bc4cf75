"""Test the simulator: symbols, and markets on demand."""

from typing import Any

from dtc_twisted.simulator import RESTRICTED, Instrument
from dtc_twisted.simulator.market.catalogue import EXCHANGES, CatalogueEntry, all_instruments, find_instrument
from dtc_twisted.simulator.server import LIST_CHUNK
from tests.simulator.test_simulator import BTC, CL, ES, EURUSD, Case, Client
from tests.support import slow

ZN = "ZNU21_FUT_CBOT"


class SymbolTests(Case):
    def test_security_definition(self) -> None:
        (answer,) = self.ask(self.log_on(), Type=506, RequestID=4, Symbol=ES)
        expected = {
            "Type": 507,
            "RequestID": 4,
            "Symbol": ES,
            "SecurityType": 1,
            "Description": "E-MINI S&P 500 FUTURES ES Jun 2020",
            "MinPriceIncrement": 0.25,
            "PriceDisplayFormat": 2,
            "CurrencyValuePerIncrement": 12.5,
            "IsFinalMessage": 1,
            "UnderlyingSymbol": "ES",
            "SecurityExpirationDate": 1592524800,
            "DisplayPriceMultiplier": 0.009999999776482582,
            "ExchangeSymbol": "ESM20",
            "Currency": "USD",
            "OpenInterest": 3332460,
        }
        self.assertEqual(answer, answer | expected)

    def test_an_unknown_symbol_has_no_price_increment(self) -> None:
        (definition,) = self.ask(self.log_on(), Type=506, RequestID=4, Symbol="XX")
        found = [definition[name] for name in ("Type", "Symbol", "MinPriceIncrement", "Description", "IsFinalMessage")]
        self.assertEqual(found, [507, "XX", 0, "", 1])

    def test_refused(self) -> None:
        self.simulator.settings.reject_unknown_symbols = True
        client = self.log_on()
        for fields in ({"Type": 506}, {"Type": 506, "Symbol": "XX"}, {"Type": 508}, {"Type": 508, "SearchText": ""}):
            (refused,) = self.ask(client, RequestID=4, **fields)
            self.assertEqual((refused["Type"], refused["RequestID"]), (509, 4))
            self.assertTrue(refused["RejectText"])

    def all_of(self, client: Client, **fields: Any) -> list[dict[str, Any]]:
        """Return a complete answer, and assert its flags and ids."""
        self.ask(client, RequestID=4, **fields)
        while self.clock.getDelayedCalls():
            self.advance(0)
        answer = client.take()
        self.assertEqual([message["IsFinalMessage"] for message in answer], [0] * (len(answer) - 1) + [1], fields)
        self.assertEqual({(message["Type"], message["RequestID"]) for message in answer}, {(507, 4)})
        return answer

    @slow
    def test_lists(self) -> None:
        client = self.log_on()
        for fields, first, count in (
            ({"Type": 502, "Exchange": "CME"}, [ES, RESTRICTED, "ESH20_FUT_CME"], 1080),
            ({"Type": 502, "Exchange": "CME", "SecurityType": 1}, [ES, RESTRICTED], 1080),
            ({"Type": 502, "Exchange": "CME", "SecurityType": 3}, [""], 1),
            ({"Type": 502, "Exchange": "EUREX"}, [""], 1),
            ({"Type": 502, "SecurityType": 3}, [EURUSD, BTC, "EURGBP"], 330),
            ({"Type": 502, "Exchange": "CBOT", "Symbol": ZN}, [ZN], 1),
            ({"Type": 503, "Exchange": "CME"}, ["ES", "NQ", "RTY"], 28),
            ({"Type": 503, "Exchange": "CME", "SecurityType": 2}, [""], 1),
            ({"Type": 503, "Exchange": "EUREX"}, [""], 1),
            ({"Type": 504, "UnderlyingSymbol": "CL"}, [CL, "CLF20_FUT_NYMEX"], 72),
            ({"Type": 504, "UnderlyingSymbol": "CL", "Exchange": "CME"}, [""], 1),
            ({"Type": 504, "UnderlyingSymbol": "XX"}, [""], 1),
            ({"Type": 508, "SearchText": "esm20"}, [ES, "MESM20_FUT_CME"], 2),
            ({"Type": 508, "SearchText": "Btc", "Exchange": "CRYPTO"}, [BTC, "BTCUSDT"], 4),
            ({"Type": 508, "SearchText": "crude", "SearchType": 2, "Exchange": "NYMEX"}, [CL], 3 * 72),
            ({"Type": 508, "SearchText": "crude", "SearchType": 1}, [""], 1),
            ({"Type": 508, "SearchText": "boreal bancorp", "SearchType": 2, "SecurityType": 2}, ["BBCL"], 6),
        ):
            found = [message["Symbol"] for message in self.all_of(client, **fields)]
            self.assertEqual(found[: len(first)], first, fields)
            self.assertEqual((len(found), len(set(found))), (count, count), fields)

    @slow
    def test_what_is_found_matches(self) -> None:
        client = self.log_on()
        for answer in (
            self.all_of(client, Type=504, UnderlyingSymbol="ZN"),
            self.all_of(client, Type=508, SearchText="10-year t-note futures zn", SearchType=2),
        ):
            self.assertEqual(len(answer), 24)
            self.assertEqual({message["UnderlyingSymbol"] for message in answer}, {"ZN"})
        for underlying in self.all_of(client, Type=503, Exchange="COMEX"):
            self.assertTrue(self.all_of(client, Type=504, UnderlyingSymbol=underlying["Symbol"])[0]["Symbol"])

    def test_exchanges(self) -> None:
        answer = self.ask(self.log_on(), Type=500, RequestID=4)
        self.assertIn("EUREX", [message["Exchange"] for message in answer])
        self.assertEqual([message["IsFinalMessage"] for message in answer], [0] * (len(answer) - 1) + [1])

    @slow
    def test_a_long_list_comes_in_parts(self) -> None:
        self.simulator.set_nul_terminator(True)
        client = self.log_on()
        first = self.ask(client, Type=502, RequestID=4)
        self.assertEqual(len(first), LIST_CHUNK)
        # Between two parts there is time for others.
        self.assertEqual([message["Type"] for message in self.ask(client, Type=400, RequestID=5)], [401, 401])
        client.take()
        self.advance(0)
        self.assertEqual({frame.count(b"\0") for frame in client.frames}, {LIST_CHUNK, 1})
        rest = client.take()
        answer = first + rest
        self.assertEqual([message["Symbol"] for message in answer], [each.symbol for each in all_instruments()])
        self.assertGreater(len(answer), 5000)
        self.assertEqual([message["IsFinalMessage"] for message in answer], [0] * (len(answer) - 1) + [1])
        self.assertEqual({message["RequestID"] for message in answer}, {4})

    def test_a_client_that_leaves_in_the_middle_of_a_list(self) -> None:
        client = self.log_on()
        self.ask(client, Type=502, RequestID=4)
        self.ask(client, Type=5, Reason="bye")
        self.assertTrue(client.lost)
        client.take()
        self.advance(1)
        self.assertEqual(client.take(), [])  # tearDown: nothing is left to do

    def test_nothing_more_is_made_for_a_client_that_left(self) -> None:
        client, found = self.log_on(), find_instrument(ES)
        assert found is not None
        answer = iter([found.definition(1)] * (3 * LIST_CHUNK))
        self.simulator._send_list(self.simulator.connections[0], answer)
        self.ask(client, Type=5, Reason="bye")
        self.advance(1)
        self.assertEqual(len(list(answer)), 2 * LIST_CHUNK)

    def test_a_list_of_exactly_one_part(self) -> None:
        client = self.log_on()
        self.simulator._send_list(self.simulator.connections[0], iter([find_instrument(ES).definition(1)] * LIST_CHUNK))  # type: ignore[union-attr]
        self.advance(0)
        self.assertEqual(len(client.take()), LIST_CHUNK + 2)


class CatalogueTests(Case):
    """Generated instruments are as plausible as hand-made ones."""

    def test_many_of_each_kind(self) -> None:
        counts: dict[str, int] = {}
        for each in all_instruments():
            counts[each.exchange] = counts.get(each.exchange, 0) + 1
        self.assertEqual(counts.keys() | {"EUREX"}, EXCHANGES.keys())
        self.assertGreater(sum(counts.values()), 5000)
        leasts = {"CME": 1000, "CBOT": 500, "NYMEX": 500, "FOREX": 200, "CRYPTO": 100, "NYSE": 1000}
        for exchange, least in leasts.items():
            self.assertGreaterEqual(counts[exchange], least)

    @slow
    def test_each_is_sound(self) -> None:
        symbols = [each.symbol for each in all_instruments()]
        self.assertEqual(len(symbols), len(set(symbols)))
        for each in all_instruments():
            instrument = each.instrument if isinstance(each, CatalogueEntry) else each
            self.assertLess(len(instrument.symbol), 64)
            self.assertLess(len(instrument.description), 64)
            self.assertLess(len(instrument.underlying), 32)
            self.assertTrue(instrument.low <= instrument.open <= instrument.high, instrument)
            self.assertTrue(instrument.low <= instrument.last <= instrument.high, instrument)
            self.assertGreaterEqual(instrument.ticks(instrument.low), 50, instrument)
            for price in (instrument.last, instrument.open, instrument.high, instrument.low):
                self.assertEqual(price, instrument.price(instrument.ticks(price)), instrument)

    def test_always_the_same(self) -> None:
        first = find_instrument(ZN)
        find_instrument.cache_clear()
        self.assertEqual(first, find_instrument(ZN))
        assert isinstance(first, Instrument)
        self.assertEqual(
            (first.description, first.underlying, first.exchange, first.tick, first.expires),
            ("10-YEAR T-NOTE FUTURES ZN Sep 2021", "ZN", "CBOT", 0.015625, 1631836800),
        )
        self.assertIsNone(find_instrument("NOPE"))

    def test_definition(self) -> None:
        (answer,) = self.ask(self.log_on(), Type=506, RequestID=4, Symbol=ZN)
        expected = {
            "Type": 507,
            "RequestID": 4,
            "Symbol": ZN,
            "SecurityType": 1,
            "MinPriceIncrement": 0.015625,
            "PriceDisplayFormat": 134,
            "CurrencyValuePerIncrement": 15.625,
            "IsFinalMessage": 1,
            "UnderlyingSymbol": "ZN",
            "ExchangeSymbol": "ZNU21",
        }
        self.assertEqual(answer, answer | expected)


class OnDemandTests(Case):
    """A market is created on the first request, and is static without subscribers."""

    def walking(self) -> set[str]:
        return {ticker.instrument.symbol for ticker in self.simulator.market._walking}

    def update_count(self, client: Any, symbol_id: int) -> int:
        """Return the number of updates of a SymbolID since the last call."""
        return sum(message["Type"] in (106, 107, 108) and message["F"][0] == symbol_id for message in client.take())

    def test_a_market_for_who_subscribes(self) -> None:
        client = self.log_on()
        self.assertNotIn(ZN, self.simulator.market.tickers)
        (snapshot,) = self.ask(client, Type=101, RequestAction=1, SymbolID=9, Symbol=ZN)
        self.assertEqual((snapshot["Type"], snapshot["F"][0]), (104, 9))
        found = find_instrument(ZN)
        assert found is not None
        self.assertEqual(snapshot["F"][2:5], [found.open, found.high, found.low])
        client.take()
        self.simulator.start_market()
        self.advance(10, step=0.05)
        self.assertGreater(self.update_count(client, 9), 10)
        self.simulator.trade(ZN, found.last, 3, 2)
        self.assertEqual(self.messages_to(client)[0]["F"][:4], [9, 2, found.last, 3])

    def test_it_walks_while_it_has_subscribers(self) -> None:
        by_hand = {ES, CL, EURUSD, BTC}
        self.assertEqual(self.walking(), by_hand)
        one, other = self.log_on(), self.log_on()
        self.subscribe(one, ZN, 1, 101)
        self.subscribe(one, ZN, 1, 102)
        self.subscribe(other, ZN, 5, 101)
        self.assertEqual(self.walking(), by_hand | {ZN})
        self.ask(one, Type=101, RequestAction=2, SymbolID=1)
        self.ask(other, Type=101, RequestAction=2, SymbolID=5)
        self.assertEqual(self.walking(), by_hand | {ZN})
        self.ask(one, Type=102, RequestAction=2, SymbolID=1)
        self.assertEqual(self.walking(), by_hand)
        self.subscribe(one, ZN, 1, 102)
        self.subscribe(one, ES, 2, 102)
        self.simulator.drop()
        self.flush()
        self.assertEqual(self.walking(), by_hand)

    def test_a_snapshot_does_not_make_it_walk(self) -> None:
        self.subscribe(self.log_on(), ZN, 1, 101, RequestAction=3)
        self.assertIn(ZN, self.simulator.market.tickers)
        self.assertNotIn(ZN, self.walking())

    def test_the_last_price_stays(self) -> None:
        client = self.log_on()
        self.subscribe(client, ZN)
        self.simulator.trade(ZN, 140.25, 3, 2)
        self.ask(client, Type=101, RequestAction=2, SymbolID=1)
        (snapshot,) = self.ask(client, Type=101, RequestAction=1, SymbolID=1, Symbol=ZN)
        self.assertEqual(snapshot["F"][12], 140.25)

    def test_the_chance_of_the_others_is_left_alone(self) -> None:
        state = self.simulator.market._random.getstate()
        self.subscribe(self.log_on(), ZN)
        self.assertEqual(self.simulator.market._random.getstate(), state)
