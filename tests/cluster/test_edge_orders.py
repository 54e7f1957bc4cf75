"""Test order commands over /stream at an edge."""

from typing import Any

from twisted.test.iosim import ConnectionCompleter

from dtc_twisted.cluster.wire import Beat, encode
from dtc_twisted.dtc import messages as dtc
from tests.cluster.edge_case import ORIGIN, PROXY, STREAM, EdgeCase, EdgeMixin
from tests.orders import test_order_commands
from tests.orders.test_orders import LIMIT
from tests.support import WebSocketCaller, slow, write_private


class ForwardedStreamTests(EdgeMixin, test_order_commands.StreamOrderTests):
    """What a gateway answers, an edge answers."""

    options = (*test_order_commands.StreamOrderTests.options, *ORIGIN)


@slow
class ForwardedTokenTests(EdgeMixin, test_order_commands.StreamTokenTests):
    """The same with tokens."""

    options = (*test_order_commands.StreamTokenTests.options, *ORIGIN)


class StreamCutTests(EdgeCase):
    """The connection to the origin is cut. No order is placed twice, and no open order is reported as refused."""

    def connect(self, **headers: str) -> WebSocketCaller:
        caller: WebSocketCaller = self.call(WebSocketCaller(STREAM, headers))
        return caller

    def ask(self, caller: WebSocketCaller, **request: Any) -> Any:
        self.send_json(caller, request)
        (reply,) = caller.take()
        return reply

    def place(self, caller: WebSocketCaller, name: str) -> Any:
        return self.ask(caller, action="submit", id=name, order=LIMIT | {"ClientOrderID": name})

    def cancels(self) -> list[str]:
        return [each.ClientOrderID for each in self.sent(dtc.CancelOrder)]

    @slow
    def test_an_order_whose_connection_is_cut_anywhere_is_placed_once(self) -> None:
        nothing = {"request": 0, "answer": 0}
        self.place(self.connect(), "whole")
        lengths = dict(self.proxy.passed)
        self.assertGreater(min(lengths.values()), 200)
        cuts = [(direction, place) for direction in nothing for place in range(0, lengths[direction], 7)]
        self.assertGreater(len(cuts), 100)
        reported: set[tuple[str, bool]] = set()
        for number, cut in enumerate(cuts):
            name = f"order-{number}"
            self.simulator.received.clear()
            caller = self.connect()
            self.proxy.passed, self.proxy.cut = dict(nothing), cut
            first = self.place(caller, name)
            self.proxy.cut = None
            sent = bool(self.sent(dtc.SubmitNewSingleOrder))
            reported.add((first["error"]["type"], sent))
            again = self.place(caller, name)
            self.assertTrue(again["success"], cut)
            self.assertEqual(again["updates"][0].get("Repeated", False), sent, cut)
            self.assertEqual([each.ClientOrderID for each in self.sent(dtc.SubmitNewSingleOrder)], [name], cut)
            caller.leave()
            self.flush()
        self.assertEqual(reported, {("NotLoggedOn", False), ("OutcomeUnknown", False), ("OutcomeUnknown", True)})

    def cut(self) -> None:
        """Cut the connections through the proxy at the next byte."""
        self.proxy.passed, self.proxy.cut = {"request": 0, "answer": 0}, ("request", 0)

    @slow
    def test_cancel_on_disconnect_ends_both_connections(self) -> None:
        """When the connection to the origin is lost, the origin cancels, and the client learns of it."""
        caller, other = self.connect(), self.connect()
        self.place(caller, "a")
        self.assertTrue(self.ask(caller, action="cancel_on_disconnect", after=3)["success"])
        self.cut()
        self.send_json(caller, {"action": "cancel", "id": 1, "order_id": "nothing"})
        self.assertEqual(caller.take()[0]["error"]["type"], "OutcomeUnknown")
        self.assertEqual(caller.close_code, 4004)
        self.advance(2)
        self.assertEqual(self.cancels(), [])
        self.advance(2)
        self.assertEqual(self.cancels(), ["a"])
        self.assertIsNone(other.close_code)

    def test_without_cancel_on_disconnect_the_client_stays(self) -> None:
        caller = self.connect()
        self.place(caller, "a")
        self.ask(caller, action="cancel_on_disconnect", after=0)
        self.assertTrue(self.ask(caller, action="cancel_on_disconnect", after=None)["success"])
        self.cut()
        self.ask(caller, action="cancel", order_id="nothing")
        self.assertIsNone(caller.close_code)
        self.advance(5)
        self.assertEqual(self.cancels(), [])
        self.assertTrue(self.place(caller, "b")["success"])

    @slow
    def test_back_at_another_connection_in_time(self) -> None:
        caller = self.connect()
        self.place(caller, "a")
        self.ask(caller, action="cancel_on_disconnect", after=3)
        self.cut()
        self.send_json(caller, {"action": "cancel", "id": 1, "order_id": "nothing"})
        self.advance(1)
        self.ask(self.connect(), action="cancel_on_disconnect", after=3)
        self.advance(10)
        self.assertEqual(self.cancels(), [])

    @slow
    def test_a_client_that_leaves_at_once(self) -> None:
        """Its commands are sent, in order, though there was no connection to the origin yet."""
        caller = self.connect()
        caller.send({"action": "submit", "order": LIMIT | {"ClientOrderID": "a"}})
        caller.send({"action": "cancel_on_disconnect", "after": 2})
        caller.leave()
        self.flush()
        self.assertEqual(len(self.sent(dtc.SubmitNewSingleOrder)), 1)
        self.advance(3)
        self.assertEqual(self.cancels(), ["a"])

    @slow
    def test_the_edge_stops(self) -> None:
        caller = self.connect()
        self.place(caller, "a")
        self.ask(caller, action="cancel_on_disconnect", after=1)
        self.edge.stopService()
        self.advance(4)
        self.assertEqual(self.cancels(), ["a"])

    def test_there_is_no_origin(self) -> None:
        self.broker.lose = lambda subject: subject == "dtc.beat"
        self.advance(4)
        reply = self.place(self.connect(), "a")
        self.assertEqual((reply["error"]["type"], reply["error"]["status"]), ("NotLoggedOn", 503))
        self.assertIn("the origin does not answer", reply["error"]["message"])

    def wait_for_answer(self) -> WebSocketCaller:
        """Send an order that the origin does not answer."""
        caller = self.connect()
        self.place(caller, "a")
        self.ask(caller, action="cancel_on_disconnect", after=100)
        self.patch(self.proxy, "pass_on", lambda *data: None)
        self.send_json(caller, {"action": "submit", "id": 5, "order": LIMIT | {"ClientOrderID": "b"}})
        self.assertEqual(caller.take(), [])
        return caller

    def check_unknown(self, caller: WebSocketCaller) -> None:
        self.assertEqual([each["error"]["type"] for each in caller.take()], ["OutcomeUnknown"])
        self.assertEqual(caller.close_code, 4004)

    @slow
    def test_an_origin_that_is_suspended(self) -> None:
        caller = self.wait_for_answer()
        self.broker.lose = lambda subject: subject == "dtc.beat"
        self.advance(4)
        self.check_unknown(caller)

    def test_an_origin_that_is_suspended_and_replaced(self) -> None:
        caller = self.wait_for_answer()
        beat = Beat(1 << 50, 1, 0.0, "ready", url=f"http://127.0.0.1:{PROXY}")
        self.broker.queue.append(("dtc.beat", encode(beat), ""))
        self.flush()
        self.check_unknown(caller)

    @slow
    def test_a_request_that_is_too_long(self) -> None:
        caller = self.connect()
        caller.send_text(f'{{"action": "submit", "order": {{"A": [{", ".join(["1e15"] * 5000)}]}}}}')
        self.flush()
        (reply,) = caller.take()
        self.assertEqual(reply["error"]["type"], "BadParameter")
        self.assertEqual(self.proxy.passed["request"], 0)

    def test_the_origin_cannot_be_reached(self) -> None:
        self.clock.tcpServers = [each for each in self.clock.tcpServers if each[0] != PROXY]
        caller = self.connect()
        caller.send({"action": "cancel", "id": 3, "order_id": "a"})
        self.flush()
        ConnectionCompleter(self.clock).failOnce()
        self.advance(1)
        (reply,) = caller.take()
        self.assertEqual((reply["id"], reply["error"]["type"]), (3, "NotLoggedOn"))
        self.assertIn("The origin cannot be reached", reply["error"]["message"])


class DifferentTokensTests(StreamCutTests):
    """The edge accepts a token that the origin does not know."""

    def setUp(self) -> None:
        paths = [self.mktemp(), self.mktemp()]
        write_private(paths[0], f"one trade {'o' * 20}\n")
        write_private(paths[1], f"one trade {'o' * 20}\ntwo trade {'t' * 20}\n")
        self.options = (*self.options, "--token-file", paths[0])
        self.edge_options = (*self.edge_options, "--token-file", paths[1])
        super().setUp()

    def connect(self, **headers: str) -> WebSocketCaller:
        return super().connect(**{"Authorization": f"Bearer {'o' * 20}"} | headers)

    def test_a_token_that_the_origin_does_not_know(self) -> None:
        reply = self.place(self.connect(Authorization=f"Bearer {'t' * 20}"), "a")
        self.assertEqual(reply["error"]["type"], "NotLoggedOn")
        self.assertIn("401", reply["error"]["message"])
        self.assertEqual(self.sent(dtc.SubmitNewSingleOrder), [])

    @slow
    def test_a_token_of_a_browser(self) -> None:
        caller = super().connect(**{"Sec-WebSocket-Protocol": f"dtc, bearer.{'o' * 20}", "Authorization": ""})
        self.assertTrue(self.place(caller, "a")["success"])
