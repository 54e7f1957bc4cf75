"""The time of day jumps while outcomes are unknown: timers and reads follow the monotonic clock."""

from tests.exchange import REJECTED
from tests.scripted_case import ES, LIMIT, MARKET, ScriptedCase
from tests.scripted_server import FLATTEN, OPEN_ORDERS, SUBMIT, Action, dropped_after, dropped_before, ignored, lost
from tests.support import slow

HOUR = 3600.0
FILLED_AT_ONCE = MARKET | {"OrderType": 1, "BuySell": 1}
OTHER = LIMIT | {"OrderType": 2, "BuySell": 1, "Quantity": 9}


class ClockJumpTests(ScriptedCase):
    jump = 0.0

    def setUp(self) -> None:
        super().setUp()
        self.clock.dtc_twisted_wall_time = lambda: self.clock.seconds() + self.jump  # type: ignore[attr-defined]

    def test_two_reads_at_once(self) -> None:
        """Two reads at once do not decide about an order, however far apart the time of day says they are."""
        self.server.next(SUBMIT, ignored)
        self.begin_submit()
        self.advance(5.5)
        reads = len(self.server.requests(OPEN_ORDERS))
        for jump in (HOUR, -HOUR):
            self.jump = jump
            self.push(*self.server.exchange.submit(OTHER))  # without a ClientOrderID: all is read
        self.assertEqual(len(self.server.requests(OPEN_ORDERS)), reads + 2)
        self.assertEqual(self.unknown(), ["a"])
        self.jump = 0.0
        self.advance(20)
        self.assertEqual((self.unknown(), self.order()["OrderStatus"]), ([], REJECTED))

    @slow
    def test_flatten_in_doubt(self) -> None:
        """A position is not closed again for a minute, whatever the time of day says."""
        self.server.exchange.positions[("Sim1", ES)] = 3.0
        self.server.drop()
        self.advance(10)
        self.server.next(FLATTEN, ignored)
        self.server.always(OPEN_ORDERS, ignored)
        self.begin_post("/flatten", TradeAccount="Sim1", Symbol=ES)
        self.advance(6)
        for jump in (0.0, HOUR, -HOUR):
            self.jump = jump
            answer = self.post("/flatten", TradeAccount="Sim1", Symbol=ES)
            self.check_error(answer, 409, "Conflict", "flattens ESM20_FUT_CME already")
        self.advance(60)
        self.assertEqual(self.post("/flatten", TradeAccount="Sim1", Symbol=ES).status, 201)


class BackAnHourTests(ScriptedCase):
    """The server's clock is set to another time, and orders are lost in a process that ends.

    jump: seconds by which the clock is set.
    """

    jump = -HOUR

    def lose(self, *names: str, action: Action = dropped_after) -> None:
        """Send orders whose answers are lost, the last one with the connection, and end the process."""
        self.server.next(SUBMIT, *[lost] * (len(names) - 1), action)
        for name in names:
            self.begin_market(name)
        self.restart()

    def set_clock(self) -> None:
        self.server.clock_offset += self.jump

    def others_fill(self, name: str) -> None:
        """Fill an order of another client, which is like those of the gateway, while the gateway is away."""
        self.server.drop()
        self.server.exchange.submit(FILLED_AT_ONCE | {"ClientOrderID": name})
        self.advance(3)

    def check_filled_or_unknown(self, *names: str) -> None:
        for _ in range(12):
            self.advance(20)
            for name in names:
                (filled,) = (each.filled for each in self.server.exchange.all_orders if each.client_id == name)
                is_shown = self.order(name).get("FilledQuantity") == 2
                self.assertTrue(filled == 2 and (is_shown or name in self.unknown()), self.order(name))

    def test_before_a_fill(self) -> None:
        """An order that is filled is not concluded to be rejected, whatever time its fill has."""
        self.market("a")
        self.set_clock()
        self.lose("b")
        self.check_filled_or_unknown("b")

    @slow
    def test_only_while_an_order_is_filled(self) -> None:
        self.market("a")
        self.set_clock()
        self.server.next(SUBMIT, dropped_after)
        self.begin_market("b")
        self.server.clock_offset = 0.0
        self.restart()
        self.check_filled_or_unknown("b")

    @slow
    def test_before_a_logon(self) -> None:
        self.market("a")
        self.server.drop()
        self.set_clock()
        self.advance(10)
        self.lose("b")
        self.check_filled_or_unknown("b")

    @slow
    def test_between_two_processes(self) -> None:
        self.market("a")
        self.set_clock()
        self.restart()
        self.advance(10)
        self.lose("b")
        self.check_filled_or_unknown("b")

    @slow
    def test_before_several_orders(self) -> None:
        self.market("a")
        self.set_clock()
        self.lose("b", "c", "d")
        self.check_filled_or_unknown("b", "c", "d")

    @slow
    def test_read_before_the_answer_is_lost(self) -> None:
        """A fill that is read while its order waits for the answer is not taken for another client's."""
        self.market("a")
        self.set_clock()
        self.server.next(SUBMIT, lost)
        self.begin_market("b")
        self.push(*self.server.exchange.submit(OTHER))  # without a ClientOrderID: all is read
        self.restart()
        self.check_filled_or_unknown("b")

    @slow
    def test_fill_without_a_number(self) -> None:
        """A fill without a ServerOrderID, of any time, may be that of the order."""
        self.market("a")
        self.set_clock()
        self.server.next(SUBMIT, dropped_after)
        self.begin_market("b")
        self.server.exchange.fills[-1]["ServerOrderID"] = ""
        self.restart()
        self.check_filled_or_unknown("b")

    @slow
    def test_number_in_use_again(self) -> None:
        """A fill is not given to an order that had its number before the server restarted."""
        self.submit("old", Quantity=4)
        self.server.exchange.close(self.server.exchange.order("old").server_id)
        self.server.exchange.next_number = 5001
        self.server.drop()
        self.advance(10)
        self.set_clock()
        self.lose("b")
        self.check_filled_or_unknown("b")
        self.assertEqual(self.order("old").get("FilledQuantity", 0), 0)

    @slow
    def test_never_arrived(self) -> None:
        """Fills that were read before an order was sent do not keep the order in doubt, whatever time they have."""
        self.others_fill("x")
        self.market("a")
        self.set_clock()
        self.others_fill("y")
        self.restart()
        self.advance(10)
        self.market("c")
        self.lose("b", action=dropped_before)
        self.advance(60)
        self.assertEqual((self.unknown(), self.order("b")["OrderStatus"]), ([], REJECTED))
        for name in ("a", "c"):
            self.assertEqual(self.order(name)["FilledQuantity"], 2)


@slow
class BackHalfAMinuteTests(BackAnHourTests):
    jump = -30.0


@slow
class BackAMinuteTests(BackAnHourTests):
    jump = -61.0


@slow
class BackADayTests(BackAnHourTests):
    jump = -86400.0


@slow
class ForwardAMinuteTests(BackAnHourTests):
    jump = 61.0


@slow
class ForwardAnHourTests(BackAnHourTests):
    jump = HOUR


@slow
class ForwardADayTests(BackAnHourTests):
    jump = 86400.0


@slow
class ForwardThreeDaysTests(BackAnHourTests):
    """Earlier fills are those of orders that are only in the journal."""

    jump = 3 * 86400.0
