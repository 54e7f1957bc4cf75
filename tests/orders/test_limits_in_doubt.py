"""Test limits of orders with a server that states outcomes late, partly or not at all."""

from typing import Any

from tests.exchange import BUY, FILLED, PENDING_CHILD, POSITION_UPDATE, R_GENERAL, Json
from tests.scripted_case import ES, ScriptedCase
from tests.scripted_server import FLATTEN, OPEN_ORDERS, POSITIONS, REPLACE, SUBMIT, answer_with, dropped_after, ignored
from tests.support import slow

NQ = "NQM20_FUT_CME"
LEGS: dict[str, Any] = {
    "OrderType_1": "LIMIT",
    "BuySell_1": "SELL",
    "Price1_1": 284000,
    "OrderType_2": "STOP",
    "BuySell_2": "SELL",
    "Price1_2": 281000,
    "ClientOrderID_1": "target",
    "ClientOrderID_2": "stop",
}


def parent(quantity: float = 2) -> dict[str, Any]:
    return {
        "Symbol": ES,
        "TradeAccount": "Sim1",
        "OrderType": "LIMIT",
        "BuySell": "BUY",
        "Price1": 282000,
        "Quantity": quantity,
        "ClientOrderID": "parent",
    }


class LimitsCase(ScriptedCase):
    options = (*ScriptedCase.options, "--max-position", "5")

    def position_messages_are_lost(self) -> None:
        """Let the server state no positions, and fills only by FilledQuantity."""

        def outgoing(message: Json) -> list[tuple[float, Json]]:
            if message["Type"] == POSITION_UPDATE and not message.get("RequestID"):
                return []
            return [(0.0, {name: each for name, each in message.items() if not name.startswith("LastFill")})]

        self.server.outgoing = outgoing
        self.server.always(POSITIONS, answer_with({"Type": POSITION_UPDATE, "NoPositions": 1}))

    def check_refused(self, answer: Any) -> None:
        self.check_error(answer, 403, "NotPermitted", "more than --max-position, 5")


class ChildrenTests(LimitsCase):
    def setUp(self) -> None:
        super().setUp()
        answer = self.post("/orders/bracket", Parent=parent(), Children=LEGS)
        self.assertEqual([each["OrderStatus"] for each in answer.json[1:]], [PENDING_CHILD] * 2)

    @slow
    def test_replace_of_a_waiting_child(self) -> None:
        for name in ("target", "stop"):
            self.check_refused(self.post(f"/orders/{name}", "PATCH", Quantity=100))
            self.check_refused(self.post(f"/orders/{name}", "PATCH", Quantity=7.5))
        self.assertEqual(self.server.requests(REPLACE), [])
        self.assertEqual(self.post("/orders/target", "PATCH", Quantity=7).status, 200)  # 2 long to 5 short

    @slow
    def test_child_that_is_larger_than_its_parent(self) -> None:
        """What it can sell beyond the parent's quantity counts for other orders."""
        self.assertEqual(self.post("/orders/stop", "PATCH", Quantity=5).status, 200)
        sell = {"BuySell": "SELL", "Price1": 284000}
        self.check_refused(self.submit("b", Quantity=3, **sell))
        self.assertEqual(self.submit("b", Quantity=2, **sell).status, 201)

    def test_parent_that_becomes_smaller(self) -> None:
        self.assertEqual(self.post("/orders/stop", "PATCH", Quantity=7).status, 200)
        self.check_refused(self.post("/orders/parent", "PATCH", Quantity=1))

    def test_child_without_a_parent(self) -> None:
        """Another client's waiting child counts in full when its parent is not known."""
        child = self.server.exchange.order("stop")
        update = self.server.exchange.update(child, R_GENERAL)
        self.push(update | {"ServerOrderID": "77", "ClientOrderID": "", "OrderQuantity": 4, "RemainingQuantity": 4})
        self.check_refused(self.submit("b", Quantity=2, BuySell="SELL", Price1=284000))

    @slow
    def test_entries_on_both_sides(self) -> None:
        """Of two brackets of opposite sides each one's children close only what its parent opens."""
        self.post("/orders/parent", "PATCH", Quantity=5)
        legs = {"OrderType_1": "LIMIT", "BuySell_1": "BUY", "Price1_1": 281000}
        legs |= {"OrderType_2": "STOP", "BuySell_2": "BUY", "Price1_2": 284000}
        entry = parent(5) | {"BuySell": "SELL", "Price1": 283000, "ClientOrderID": "other"}
        self.assertEqual(self.post("/orders/bracket", Parent=entry, Children=legs).status, 201)


class PositionTests(LimitsCase):
    @slow
    def test_fill_without_a_position(self) -> None:
        self.position_messages_are_lost()
        self.assertEqual(self.market("a", Quantity=5).status, 201)
        self.check_refused(self.market("b", Quantity=1))
        self.advance(30)
        self.check_refused(self.market("b", Quantity=1))
        self.assertEqual(self.market("c", Quantity=5, BuySell="SELL").status, 201)
        self.assertEqual(len(self.server.requests(SUBMIT)), 2)

    def test_fill_by_status_only(self) -> None:
        """An order that is stated as filled, without any quantity, is filled in whole."""
        hidden = ("LastFill", "FilledQuantity", "RemainingQuantity", "AverageFillPrice")

        def outgoing(message: Json) -> list[tuple[float, Json]]:
            if message["Type"] == POSITION_UPDATE:
                return []
            return [(0.0, {name: each for name, each in message.items() if not name.startswith(hidden)})]

        self.server.outgoing = outgoing
        self.assertEqual(self.market("a", Quantity=5).status, 201)
        self.check_refused(self.market("b", Quantity=1))
        self.assertEqual(self.order("a")["FilledQuantity"], 5)
        self.advance(1)
        self.check_refused(self.market("b", Quantity=1))

    @slow
    def test_partial_fills_without_a_position(self) -> None:
        self.server.exchange.last_price = None
        self.submit("a", Quantity=5)
        self.position_messages_are_lost()
        for _ in range(3):
            self.push(*self.server.exchange.fill("a", 1, 282000))
            self.push(self.server.exchange.update(self.server.exchange.order("a"), R_GENERAL))  # restated: no fill
        self.advance(5)
        self.post("/orders/a", "DELETE")
        self.check_refused(self.submit("b", Quantity=3))
        answer = self.submit("b", Quantity=2)
        self.assertEqual(answer.status, 201, answer.json)

    def test_position_after_the_fill(self) -> None:
        self.position_messages_are_lost()
        self.market("a", Quantity=5)
        self.server.be_truthful()
        self.push(self.server.exchange.position("Sim1", ES))
        self.check_refused(self.market("b", Quantity=1))
        self.assertEqual(self.market("c", Quantity=5, BuySell="SELL").status, 201)
        self.assertEqual(self.market("d", Quantity=5).status, 201)

    @slow
    def test_position_before_the_fill(self) -> None:
        """A position that was stated before its fill is not counted twice."""
        self.server.outgoing = lambda message: [(0.0 if message["Type"] == POSITION_UPDATE else 0.2, message)]
        self.assertEqual(self.market("a", Quantity=3).status, 201)
        self.assertEqual(self.market("b", Quantity=2).status, 201)
        self.check_refused(self.market("c", Quantity=1))

    @slow
    def test_two_positions_of_one_symbol(self) -> None:
        """Both count, and one flatten closes the symbol, although the logon did not announce several positions."""
        rows = [
            {
                "Type": POSITION_UPDATE,
                "TradeAccount": "Sim1",
                "Symbol": ES,
                "PositionIdentifier": name,
                "Quantity": held,
            }
            for name, held in (("p1", 3), ("p2", 2))
        ]
        numbered = [each | {"TotalNumberMessages": 2, "MessageNumber": n} for n, each in enumerate(rows, 1)]
        self.server.always(POSITIONS, answer_with(*numbered))
        self.push(*rows)
        for _ in range(2):
            self.check_refused(self.market("a", Quantity=1))
            self.assertEqual(sorted(each["Quantity"] for each in self.fetch("/positions").json), [2, 3])
            self.advance(65)
        self.server.exchange.positions["Sim1", ES] = 5.0
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").status, 201)
        self.assertEqual([each["Symbol"] for each in self.server.requests(FLATTEN)], [ES])
        self.assertEqual(self.server.exchange.positions["Sim1", ES], 0)

    @slow
    def test_positions_one_by_one(self) -> None:
        """The position of the first of two fills does not stand for both."""
        self.server.exchange.last_price = None
        self.submit("a", Quantity=2)
        self.submit("b", Quantity=2)
        exchange = self.server.exchange
        first = exchange.fill("a", 2, 282000)
        second = exchange.fill("b", 2, 282000)
        late = [each for each in first + second if each["Type"] == POSITION_UPDATE]
        self.push(*[each for each in first + second if each["Type"] != POSITION_UPDATE])
        self.push(late[0] | {"Quantity": 2})
        self.check_refused(self.submit("c", Quantity=2))
        self.push(late[1])
        self.check_refused(self.submit("c", Quantity=2))
        self.assertEqual(self.submit("c", Quantity=1).status, 201)

    @slow
    def test_fills_of_others_count(self) -> None:
        self.server.exchange.last_price = None
        self.submit("a", Quantity=1)
        self.position_messages_are_lost()
        other = self.server.exchange.submit(
            {"TradeAccount": "Sim1", "Symbol": ES, "OrderType": 2, "BuySell": BUY, "Quantity": 4, "Price1": 282000}
        )
        self.push(*other)
        self.push(*self.server.exchange.fill(other[0]["ServerOrderID"], 4, 282000))
        self.advance(10)
        self.check_refused(self.submit("b", Quantity=1))


class InDoubtTests(LimitsCase):
    @slow
    def test_change_in_doubt(self) -> None:
        """A change without an answer counts with the larger quantity."""
        self.submit("a", Quantity=2)
        self.server.next(REPLACE, ignored)
        self.server.always(OPEN_ORDERS, ignored)
        caller = self.begin_post("/orders/a", "PATCH", Quantity=5)
        self.check_refused(self.submit("b", Quantity=1, seconds=1))
        self.advance(6)
        self.assertTrue(caller.lost)
        self.check_error(self.submit("b", Quantity=1), 409, "Conflict")

    def test_order_of_unknown_quantity(self) -> None:
        """Another client's open order whose quantity is not readable has no limit."""
        order = {"Type": 301, "ServerOrderID": "9", "TradeAccount": "Sim1", "Symbol": ES, "OrderStatus": 4}
        self.submit("a", Quantity=1)
        self.push(order | {"BuySell": BUY, "OrderQuantity": "many", "OrderUpdateReason": 2})
        answer = self.submit("b", Quantity=1)
        self.check_error(answer, 403, "NotPermitted", "the quantity of order 9 is not known")
        self.assertEqual(self.submit("c", Quantity=1, BuySell="SELL", Price1=284000).status, 201)
        self.assertEqual(self.submit("d", Quantity=1, TradeAccount="Sim2").status, 201)


class FlattenTests(ScriptedCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.exchange.positions |= {("Sim1", ES): 3.0, ("Sim1", NQ): -1.0}
        self.server.drop()
        self.advance(10)

    @slow
    def test_second_flatten_while_the_first_is_open(self) -> None:
        self.server.exchange.last_price = None
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol=ES).status, 201)
        answer = self.post("/flatten", TradeAccount="Sim1", Symbol=ES)
        self.check_error(answer, 409, "Conflict", "flattens ESM20_FUT_CME already")
        self.assertEqual(len(self.server.requests(FLATTEN)), 1)
        self.restart()
        answer = self.post("/flatten", TradeAccount="Sim1", Symbol=ES)
        self.check_error(answer, 409, "Conflict", "flattens ESM20_FUT_CME already")
        name = self.server.requests(FLATTEN)[0]["ClientOrderID"]
        self.assertEqual(self.post(f"/orders/{name}", "DELETE").status, 200)
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol=ES).status, 201)

    @slow
    def test_position_is_smaller_than_assumed_and_the_answer_is_lost(self) -> None:
        exchange = self.server.exchange
        exchange.submit({"Symbol": ES, "TradeAccount": "Sim1", "OrderType": 1, "BuySell": 2, "Quantity": 1})
        self.server.next(FLATTEN, dropped_after)
        self.begin_post("/flatten", TradeAccount="Sim1", Symbol=ES, ClientOrderID="f")
        self.advance(60)
        row = self.order("f")
        self.assertEqual((row["OrderStatus"], row["FilledQuantity"], row["OrderQuantity"]), (FILLED, 2, 2))
        self.assertEqual(self.unknown(), [])

    def test_the_other_positions_are_closed(self) -> None:
        self.server.exchange.last_price = None
        self.post("/flatten", TradeAccount="Sim1", Symbol=ES)
        self.server.exchange.last_price = 282800.0
        answer = self.post("/flatten", TradeAccount="Sim1")
        self.assertEqual([each["Symbol"] for each in self.server.requests(FLATTEN)], [ES, NQ])
        self.assertEqual((answer.status, [each["Symbol"] for each in answer.json]), (201, [NQ]))

    @slow
    def test_position_of_the_first_is_not_stated(self) -> None:
        self.server.outgoing = lambda message: [] if message["Type"] == POSITION_UPDATE else [(0.0, message)]
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol=ES).status, 201)
        answer = self.post("/flatten", TradeAccount="Sim1", Symbol=ES)
        self.check_error(answer, 409, "Conflict", ES)
        self.assertEqual(len(self.server.requests(FLATTEN)), 1)

    def test_position_is_stated_wrongly_when_read(self) -> None:
        """A position that does not have the fills yet is not closed again."""
        stale = self.server.exchange.position("Sim1", ES)
        self.server.outgoing = lambda message: (
            [] if message["Type"] == POSITION_UPDATE and not message.get("RequestID") else [(0.0, message)]
        )
        self.server.always(POSITIONS, answer_with(stale | {"Unsolicited": 0}))
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol=ES).status, 201)
        self.advance(5)
        self.check_error(self.post("/flatten", TradeAccount="Sim1", Symbol=ES), 409, "Conflict", ES)
        self.assertEqual(len(self.server.requests(FLATTEN)), 1)

    @slow
    def test_position_that_is_known_from_a_fill_only(self) -> None:
        self.server.outgoing = lambda message: [] if message["Type"] == POSITION_UPDATE else [(0.0, message)]
        self.assertEqual(self.market("a", TradeAccount="Sim2", Quantity=2).status, 201)
        self.assertEqual(self.post("/flatten", TradeAccount="Sim2").status, 201)
        self.assertEqual(len(self.server.requests(FLATTEN)), 1)

    @slow
    def test_repeated(self) -> None:
        body: dict[str, Any] = {"TradeAccount": "Sim1", "Symbol": ES, "ClientOrderID": "flat"}
        first = self.post("/flatten", **body)
        self.assertNotIn("Repeated", first.json[0])
        again = self.post("/flatten", **body)
        self.assertEqual((again.status, again.json[0]["Repeated"]), (201, True))
        self.restart()
        again = self.post("/flatten", **body)
        self.assertEqual((again.status, again.json[0]["Repeated"]), (201, True))
        self.assertEqual(len(self.server.requests(FLATTEN)), 1)

    @slow
    def test_ids_that_are_taken(self) -> None:
        """The second position's id is chosen so that it is free."""
        self.submit("flat-2", TradeAccount="Sim2")
        answer = self.post("/flatten", TradeAccount="Sim1", ClientOrderID="flat")
        self.assertEqual((answer.status, len(answer.json)), (201, 2), answer.json)


class ScopeTests(ScriptedCase):
    options = (*ScriptedCase.options, "--allow-symbol", NQ)

    def test_flatten_without_a_symbol(self) -> None:
        self.server.exchange.positions |= {("Sim1", ES): 3.0, ("Sim1", NQ): -1.0}
        self.server.drop()
        self.advance(10)
        answer = self.post("/flatten", TradeAccount="Sim1")
        self.assertEqual([each["Symbol"] for each in answer.json], [NQ])
        self.assertEqual([each["Symbol"] for each in self.server.requests(FLATTEN)], [NQ])
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1").json, [])
        self.check_error(self.post("/flatten", TradeAccount="Sim1", Symbol=ES), 403, "NotPermitted", "--allow-symbol")


class NameTests(LimitsCase):
    @slow
    def test_symbols(self) -> None:
        """All names that a server takes for the same symbol have one limit together."""
        self.assertEqual(self.submit("a", Quantity=5).status, 201)
        for number, name in enumerate(
            (f" {ES}", f"{ES} ", ES.lower(), ES.title(), f"\uff25{ES[1:]}", f"{ES}\u200b", f"{ES}\t", "")
        ):
            self.assertIn(self.submit(f"b{number}", Symbol=name).status, (400, 403), name)
        self.assertEqual(len(self.server.requests(SUBMIT)), 1)

    def test_position_under_another_name(self) -> None:
        self.push({"Type": POSITION_UPDATE, "TradeAccount": "Sim1", "Symbol": ES.lower(), "Quantity": 5})
        self.check_refused(self.submit("a", Quantity=1))

    @slow
    def test_accounts(self) -> None:
        for name in (" Sim1", "Sim1 ", "sim1", "SIM1", "\uff33im1", "Sim3", "Sim1\u200b", ""):
            answer = self.submit(TradeAccount=name)
            self.assertIn(answer.status, (400, 403), name)
        self.check_error(self.submit(TradeAccount="Sim3"), 403, "NotPermitted", "TradeAccount: Sim3")
        self.assertEqual(self.server.requests(SUBMIT), [])


class NumberTests(ScriptedCase):
    @slow
    def test_price_beside_the_tick(self) -> None:
        self.assertEqual(self.submit("a", Price1=281999.99999999999).status, 201)
        self.assertEqual(self.submit("b", Price1=281999.9999999999).status, 201)
        self.server.definition = {"MinPriceIncrement": 0.01, "DisplayPriceMultiplier": 1, "PriceDisplayFormat": 2}
        self.server.drop()
        self.advance(10)
        self.assertEqual(self.submit("c", Price1=999.99999999999).status, 201)
        self.assertEqual(self.submit("d", Price1=0.1 + 0.2).status, 201)
        self.post("/orders/d", "PATCH", Price1=0.7 + 0.1)
        sent = [repr(float(each["Price1"])) for each in (*self.server.requests(SUBMIT), *self.server.requests(REPLACE))]
        self.assertEqual(sent, ["282000.0", "282000.0", "1000.0", "0.3", "0.8"])

    def test_price_that_is_no_price(self) -> None:
        for price in (1e300, -1e300, 1e16):
            self.check_error(self.submit(Price1=price), 400, "BadOrder", "Price1")

    @slow
    def test_quantities(self) -> None:
        for quantity in (5e-324, 1e-300, 1e-9, 1e300, 1e13, 1.000000001):
            self.check_error(self.submit(Quantity=quantity), 400, "BadOrder", "Quantity")
            self.check_error(self.submit(MaxShowQuantity=quantity), 400, "BadOrder", "MaxShowQuantity")
        self.assertEqual(self.submit("a", Quantity=0.1 + 0.2).status, 201)
        self.assertEqual(self.server.requests(SUBMIT)[0]["Quantity"], 0.3)
        for quantity in (5e-324, 1e300):
            self.check_error(self.post("/orders/a", "PATCH", Quantity=quantity), 400, "BadOrder", "Quantity")


class AccountNameTests(ScriptedCase):
    """Without --live and --token-file, orders are accepted only for accounts that Sierra Chart names Sim."""

    def setUp(self) -> None:
        super().setUp()
        self.server.exchange.accounts = ["Sim1", "12345", "Simon"]
        self.server.exchange.positions["12345", ES] = 1.0
        self.server.drop()
        self.advance(10)

    @slow
    def test_account_that_may_be_live(self) -> None:
        answer = self.submit(TradeAccount="12345")
        self.check_error(answer, 403, "NotPermitted", "--live and --token-file")
        self.check_error(self.post("/flatten", TradeAccount="12345"), 403, "NotPermitted", "--live and --token-file")
        self.assertEqual(self.submit().status, 201)
        self.assertEqual(self.server.requests(FLATTEN), [])

    def test_status_does_not_promise(self) -> None:
        self.assertIn("requested", self.status()["trade_mode"])


class NoAccountTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-position", "5")

    def test_open_order_without_account(self) -> None:
        """An open order whose account is not stated counts in each account."""
        self.submit("a")
        row = {"Type": 301, "ServerOrderID": "9001", "Symbol": ES, "BuySell": 1, "OrderQuantity": 5, "OrderStatus": 4}
        self.push(row)
        self.check_error(self.submit("b", Quantity=1), 403, "NotPermitted", "--max-position")


class NoAccountOpenOrdersTests(ScriptedCase):
    options = (*ScriptedCase.options, "--max-open-orders", "2")

    def test_open_order_without_account(self) -> None:
        self.submit("a")
        self.push({"Type": 301, "ServerOrderID": "9001", "Symbol": ES, "BuySell": 1, "OrderStatus": 4})
        self.check_error(self.submit("b", Quantity=1), 403, "NotPermitted", "--max-open-orders")
