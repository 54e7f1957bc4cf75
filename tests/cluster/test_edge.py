"""Test a whole edge in memory, with its origin, the simulator and a broker."""

import json
from typing import Any

from twisted.test.iosim import ConnectionCompleter

from dtc_twisted.dtc import messages as dtc
from tests.cluster.edge_case import PROXY, STREAM, EdgeCase, without_id
from tests.orders.test_orders import ES, LIMIT, MARKET
from tests.support import Answer, Caller, WebSocketCaller, slow


class ForwardingTests(EdgeCase):
    @slow
    def test_reads(self) -> None:
        for path in ("/orders", "/exchangelist", "/positions", "/trading/limits", "/nothing"):
            mine, theirs = self.fetch_raw(path), self.at_origin(path)
            self.assertEqual((mine.status, without_id(mine)), (theirs.status, without_id(theirs)), path)

    @slow
    def test_errors_of_the_origin(self) -> None:
        answer = self.fetch_raw("/securitydefinition?Symbol=")
        self.check_error(answer, 400, "BadParameter", "Symbol")

    @slow
    def test_a_long_answer(self) -> None:
        path = "/symbolsearch?SearchText=A&format=csv"
        self.assertEqual(len(self.fetch_raw(path).body), len(self.at_origin(path).body))

    @slow
    def test_an_order(self) -> None:
        body = json.dumps(LIMIT | {"ClientOrderID": "a"}).encode()
        answer = self.fetch_raw("/orders", "POST", body=body)
        self.assertEqual((answer.status, answer.json["ClientOrderID"]), (201, "a"))
        self.assertEqual(self.fetch_raw("/orders/a").json["Price1"], 282000)
        self.assertEqual(self.fetch_raw("/orders/a", "DELETE").status, 200)
        self.assertEqual(len(self.sent(dtc.CancelOrder)), 1)

    def test_the_origin_is_silent(self) -> None:
        self.broker.lose = lambda subject: subject == "dtc.beat"
        self.advance(4)
        self.check_error(self.fetch_raw("/orders"), 503, "NotLoggedOn", "the origin does not answer")

    def test_the_origin_cannot_be_reached(self) -> None:
        self.clock.tcpServers = [each for each in self.clock.tcpServers if each[0] != PROXY]
        caller = self.begin("/orders")
        ConnectionCompleter(self.clock).failOnce()
        self.advance(1)
        self.check_error(Answer(caller.received), 503, "NotLoggedOn", "The origin cannot be reached")

    @slow
    def test_an_order_whose_connection_is_cut_anywhere_is_placed_once(self) -> None:
        request = {"request": 0, "answer": 0}
        self.place("whole")
        lengths = dict(self.proxy.passed)
        self.assertGreater(min(lengths.values()), 200)
        cuts = [(direction, place) for direction in request for place in range(0, lengths[direction], 17)]
        self.assertGreater(len(cuts), 40)
        answers = set()
        for number, cut in enumerate(cuts):
            self.simulator.received.clear()
            self.proxy.passed, self.proxy.cut = dict(request), cut
            first = self.place(f"order-{number}")
            answers.add(first.status)
            self.assertEqual(self.place(f"order-{number}").status, 201, cut)
            sent = self.sent(dtc.SubmitNewSingleOrder)
            self.assertEqual([each.ClientOrderID for each in sent], [f"order-{number}"], cut)
        self.assertEqual(answers, {504})

    def place(self, name: str) -> Answer:
        body = json.dumps(LIMIT | {"ClientOrderID": name}).encode()
        return self.fetch_raw("/orders", "POST", body=body)


class EdgeStreamTests(EdgeCase):
    def test_prices_for_display(self) -> None:
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM))
        self.send_json(caller, {"action": "subscribe", "channel": "quotes", "symbol": ES, "prices": "display"})
        reply, snapshot = caller.take()
        self.assertTrue(reply["success"])
        self.assertLess(snapshot["BidPrice"], 10_000)

    @slow
    def test_a_snapshot(self) -> None:
        wanted = self.begin(f"/marketdata?Symbol={ES}")
        self.advance(1)
        self.assertEqual(Answer(wanted.received).json[0]["Symbol"], ES)


class StatusTests(EdgeCase):
    @slow
    def test_status(self) -> None:
        self.call(WebSocketCaller(STREAM)).send({"action": "subscribe", "channel": "trades", "symbol": ES})
        self.advance(1)
        edge, origin = self.status()["cluster"], json.loads(self.at_origin("/status").body)["cluster"]
        self.assertEqual((edge["role"], edge["nats"], edge["symbols"], edge["lost"]), ("edge", "connected", 1, 0))
        self.assertEqual((origin["role"], origin["symbols"], len(origin["edges"])), ("origin", 1, 1))
        self.assertEqual(edge["generation"], origin["generation"])
        self.assertEqual(edge["origin"], f"http://127.0.0.1:{PROXY}")

    @slow
    def test_order_entry(self) -> None:
        """An edge states mode and order entry of the origin, and each change at once."""
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM))
        self.send_json(caller, {"action": "subscribe", "channel": "status"})
        self.fetch("/orders")
        self.advance(1)
        edge, origin = self.status(), json.loads(self.at_origin("/status").body)
        self.assertEqual((edge["trade_mode"], edge["trading"]), (origin["trade_mode"], origin["trading"]))
        self.assertEqual((edge["trade_mode"], edge["trading"]["ready"]), ("simulated (requested)", True))
        caller.take()
        self.fetch_raw("/trading/halt", "POST")
        self.assertIsNotNone(caller.take()[-1]["trading"]["halted"])
        self.advance(5)
        self.assertEqual(caller.take(), [])
        self.broker.lose = lambda subject: subject == "dtc.beat"
        self.advance(4)
        self.assertEqual((self.status()["trade_mode"], self.status()["trading"]), ("simulated (requested)", None))

    @slow
    def test_metrics(self) -> None:
        text = self.metrics()
        for line in ("dtc_cluster_nats_up 1.0", "dtc_cluster_symbols 0.0", "dtc_cluster_lost_total 0.0"):
            self.assertIn(f"\n{line}\n", text)
        self.port = 8080
        self.assertIn("\ndtc_cluster_edges 1.0\n", self.metrics())

    def metrics(self) -> str:
        caller = self.call(Caller())
        caller.transport.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self.flush()
        return bytes(caller.received).decode()

    def test_nats_is_lost(self) -> None:
        for bus in self.broker.buses:
            bus.lose("cut")
        self.assertEqual(self.status()["cluster"]["nats"], "cut")


class AccountCase(EdgeCase):
    def watch(self, port: int) -> WebSocketCaller:
        """Subscribe to orders and positions, at the edge or the origin."""
        self.port = port
        caller: WebSocketCaller = self.call(WebSocketCaller(f"ws://127.0.0.1:{port}/api/v1/stream"))
        for channel in ("orders", "positions"):
            self.send_json(caller, {"action": "subscribe", "channel": channel})
        self.port = 8081
        self.advance(1)
        return caller

    def place(self, *names: str) -> None:
        for name in names:
            body = json.dumps(LIMIT | {"ClientOrderID": name}).encode()
            self.assertEqual(self.fetch_raw("/orders", "POST", body=body).status, 201)

    def messages(self, caller: WebSocketCaller) -> list[Any]:
        return [each for each in caller.take() if "action" not in each]


class AccountChannelTests(AccountCase):
    @slow
    def test_an_edge_sends_what_the_origin_sends(self) -> None:
        self.place("a")
        edge, origin = self.watch(8081), self.watch(8080)
        first = self.messages(edge)
        self.assertEqual(
            [(each["channel"], each["event"]) for each in first], [("orders", "snapshot"), ("positions", "snapshot")]
        )
        self.assertEqual(first, self.messages(origin))
        self.place("b", "c")
        found = self.messages(edge)
        self.assertEqual([each["ClientOrderID"] for each in found if each["channel"] == "orders"], ["b", "c"])
        self.assertEqual(found, self.messages(origin))

    @slow
    def test_what_was_missed_follows(self) -> None:
        edge, origin = self.watch(8081), self.watch(8080)
        self.messages(edge), self.messages(origin)
        bus = self.broker.buses[1]
        bus.lose("cut")
        self.place("a", "b")
        self.assertEqual([each["event"] for each in self.messages(edge)], ["stale", "stale"])
        bus.connect()
        self.advance(2)
        found = [each for each in self.messages(edge) if each["channel"] == "orders"]
        theirs = [each for each in self.messages(origin) if each["channel"] == "orders"]
        self.assertEqual(found[:-1], theirs)
        self.assertEqual((found[-1]["event"], found[-1]["seq"]), ("live", theirs[-1]["seq"]))

    @slow
    def test_a_lost_message(self) -> None:
        edge, origin = self.watch(8081), self.watch(8080)
        self.messages(edge), self.messages(origin)
        self.broker.lose = lambda subject: subject.startswith("dtc.account.")
        self.place("a")
        self.broker.lose = lambda subject: False
        self.place("b")
        self.assertEqual(self.messages(edge), self.messages(origin))

    def test_unsubscribe(self) -> None:
        edge = self.watch(8081)
        self.send_json(edge, {"action": "unsubscribe", "channel": "orders"})
        self.messages(edge)
        self.place("a")
        self.assertEqual(self.messages(edge), [])


class AccountMovingTests(AccountCase):
    """A subscriber of orders moves between origin and edge, and misses nothing."""

    def resume(self, port: int, channel: str, epoch: int, seq: int) -> WebSocketCaller:
        """Continue after an update, at the edge or the origin."""
        self.port = port
        caller: WebSocketCaller = self.call(WebSocketCaller(f"ws://127.0.0.1:{port}/api/v1/stream"))
        self.send_json(caller, {"action": "subscribe", "channel": channel, "epoch": epoch, "from_seq": seq + 1})
        self.port = 8081
        return caller

    def move(self, before: int, after: int) -> None:
        caller = self.watch(before)
        epoch = self.messages(caller)[0]["epoch"]
        self.place("a", "b")
        received = [each for each in self.messages(caller) if each["channel"] == "orders"]
        caller.leave()
        self.place("c", "d")
        moved = self.resume(after, "orders", epoch, received[-1]["seq"])
        reply, *missed = moved.take()
        self.assertEqual((reply["resumed"], reply["epoch"], reply["seq"]), (True, epoch, received[-1]["seq"] + 2))
        self.place("e")
        received += missed + moved.take()
        self.assertEqual([each["ClientOrderID"] for each in received], ["a", "b", "c", "d", "e"])
        numbers = [each["seq"] for each in received]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + 5)))

    @slow
    def test_from_the_origin_to_an_edge(self) -> None:
        self.move(8080, 8081)

    @slow
    def test_from_an_edge_to_the_origin(self) -> None:
        self.move(8081, 8080)

    @slow
    def test_back_to_the_edge(self) -> None:
        self.move(8081, 8081)

    def test_other_channels(self) -> None:
        for channel in ("positions", "balances"):
            self.port = 8080
            caller: WebSocketCaller = self.call(WebSocketCaller("ws://127.0.0.1:8080/api/v1/stream"))
            self.send_json(caller, {"action": "subscribe", "channel": channel})
            _, first = caller.take()
            self.port = 8081
            body = json.dumps(MARKET).encode()
            self.assertEqual(self.fetch_raw("/orders", "POST", body=body).status, 201)
            theirs = caller.take()
            self.assertGreater(len(theirs), 0, channel)
            reply, *missed = self.resume(8081, channel, first["epoch"], first["seq"]).take()
            self.assertEqual((reply["resumed"], missed), (True, theirs))

    @slow
    def test_events_among_what_was_missed(self) -> None:
        caller = self.watch(8080)
        first = self.messages(caller)[0]
        self.place("a")
        self.simulator.drop()
        self.flush()
        self.advance(5)
        self.place("b")
        theirs = [each for each in self.messages(caller) if each["channel"] == "orders"]
        self.assertEqual([each.get("event") for each in theirs], [None, "stale", "live", None])
        moved = self.resume(8081, "orders", first["epoch"], first["seq"])
        self.assertEqual(self.messages(moved), theirs)

    def test_the_server_is_away(self) -> None:
        """As at a gateway: what was missed, and that there may be more."""
        first = self.messages(self.watch(8080))[0]
        self.place("a")
        self.simulator.drop()
        self.flush()
        moved = [self.resume(port, "orders", first["epoch"], first["seq"]) for port in (8080, 8081)]
        theirs, mine = (self.messages(each) for each in moved)
        self.assertEqual([each.get("event") for each in mine], [None, "stale", "stale"])
        self.assertEqual(mine, theirs)
        self.advance(5)
        theirs, mine = (self.messages(each) for each in moved)
        self.assertEqual([each.get("event") for each in mine], ["live"])
        self.assertEqual(mine, theirs)

    @slow
    def test_the_origin_is_killed(self) -> None:
        """The numbers of orders go on, from the journal. Those of positions begin anew, with a snapshot."""
        caller = self.watch(8081)
        self.place("a")
        before = self.messages(caller)
        self.broker.buses[0].lose()
        self.kill()
        self.broker.buses[-1].connect()
        self.advance(3)
        self.place("b")
        after = self.messages(caller)
        orders, positions = ([each for each in after if each["channel"] == name] for name in ("orders", "positions"))
        self.assertEqual(
            [each.get("event") or each["ClientOrderID"] for each in orders if not each.get("Reconciled")],
            ["stale", "live", "b"],
        )
        seqs = [each["seq"] for each in before[2:] + orders if "event" not in each]
        self.assertEqual(seqs, list(range(seqs[0], seqs[-1] + 1)))
        self.assertGreater(orders[1]["epoch"], before[0]["epoch"])
        self.assertEqual([each["event"] for each in positions], ["stale", "snapshot", "live"])

    @slow
    def test_numbers_that_nobody_has(self) -> None:
        first = self.messages(self.watch(8080))[0]
        for epoch, seq in ((first["epoch"], 1000), (5, 1)):
            theirs, mine = (self.resume(port, "orders", epoch, seq).take() for port in (8080, 8081))
            self.assertEqual(mine, theirs)
            self.assertEqual((mine[0]["resumed"], mine[1]["event"]), (False, "snapshot"))

    def test_the_client_leaves_while_it_waits(self) -> None:
        self.broker.lose = lambda subject: subject.startswith("dtc.accounts")
        caller = self.resume(8081, "orders", 5, 1)
        caller.leave()
        self.flush()
        self.advance(10)


class MovingTests(EdgeCase):
    """A subscriber moves between servers of the same symbol, and misses nothing."""

    def connect(self, port: int, **fields: Any) -> WebSocketCaller:
        self.port = port
        caller: WebSocketCaller = self.call(WebSocketCaller(f"ws://127.0.0.1:{port}/api/v1/stream"))
        self.send_json(caller, {"action": "subscribe", "channel": "trades", "symbol": ES} | fields)
        self.port = 8081
        self.advance(1)
        return caller

    def trade(self, count: int) -> None:
        for _ in range(count):
            self.simulator.trade_at(ES, 282800.0, 1)
            self.flush()

    def move(self, before: int, after: int) -> None:
        self.connect(before), self.connect(after)
        caller = self.connect(before)
        epoch = caller.take()[0]["epoch"]
        self.trade(5)
        received = [each for each in caller.take() if "seq" in each]
        caller.leave()
        self.flush()
        self.trade(7)
        moved = self.connect(after, epoch=epoch, from_seq=received[-1]["seq"] + 1)
        reply, *missed = moved.take()
        self.assertEqual((reply["resumed"], reply["epoch"]), (True, epoch))
        self.trade(3)
        received += missed + moved.take()
        numbers = [each["seq"] for each in received]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + 15)))

    def test_from_the_origin_to_an_edge(self) -> None:
        self.move(8080, 8081)

    @slow
    def test_from_an_edge_to_the_origin(self) -> None:
        self.move(8081, 8080)
