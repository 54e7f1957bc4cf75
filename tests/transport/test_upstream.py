"""Test the connection to the server: logon, loss, reconnecting, and when not to reconnect."""

from typing import Any

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.codec import MAX_MESSAGE
from dtc_twisted.dtc.messages import LogonStatusEnum
from tests.support import GatewayTestCase, slow

ES = "ESM20_FUT_CME"
CL = "CLM20_FUT_NYMEX"


class LogonTests(GatewayTestCase):
    options = ("--host", "127.0.0.1", "-u", "somebody", "-x", "sesame")

    def test_request(self) -> None:
        (logon,) = self.sent(dtc.LogonRequest)
        self.assertEqual(
            (logon.ProtocolVersion, logon.Username, logon.Password, logon.TradeMode, logon.HeartbeatIntervalInSeconds),
            (8, "somebody", "sesame", dtc.TradeModeEnum.TRADE_MODE_SIMULATED, 20),
        )
        self.assertEqual(logon.Integer_1, 0)

    def test_status(self) -> None:
        self.advance(3)
        status = self.status()
        self.assertEqual(status["state"], "ready")
        self.assertEqual(status["url"], "ws://127.0.0.1:11099/")
        self.assertEqual(status["server_name"], "SC DTC Server")
        self.assertEqual(status["trade_mode"], "simulated (requested)")
        self.assertEqual(status["logged_on_since"], 1_700_000_000)
        self.assertEqual(status["last_message_age"], 3)
        self.assertEqual((status["reconnects"], status["subscribers"], status["symbols"]), (0, 0, []))

    def test_no_secret_in_the_log(self) -> None:
        self.assertNotIn("sesame", self.log_text())


class RefusedLogonTests(GatewayTestCase):
    @slow
    def test_error_backs_off_and_tries_again(self) -> None:
        """Result 2."""
        self.simulator.refuse_logon(LogonStatusEnum.LOGON_ERROR, "Server is starting.")
        self.simulator.drop()
        self.advance(2)
        self.assertEqual(self.status()["state"], "waiting")
        self.assertIn("Server is starting", self.status()["reason"])
        self.advance(60)
        tries = len(self.sent(dtc.LogonRequest))
        self.assertTrue(4 <= tries <= 12, tries)  # a steady pace would have made 100
        self.simulator.accept_logon()
        self.advance(35)
        self.assertEqual(self.status()["state"], "ready")
        self.assertEqual(self.status()["reason"], "")

    def test_do_not_reconnect(self) -> None:
        """Result 3."""
        self.simulator.refuse_logon(LogonStatusEnum.LOGON_ERROR_NO_RECONNECT, "Unknown user.")
        self.simulator.drop()
        self.advance(2)
        tries = len(self.sent(dtc.LogonRequest))
        self.assertEqual(self.status()["state"], "refused")
        self.assertIn("Unknown user", self.status()["reason"])
        self.assertIn("does not allow a reconnect", self.log_text())
        self.advance(300, step=5)
        self.assertEqual(len(self.sent(dtc.LogonRequest)), tries)
        self.assertEqual(self.fetch("/tradeaccounts").status, 503)

    def test_reconnect_address(self) -> None:
        """Result 4 is followed at once, and for one session: after it the first address is tried again."""
        elsewhere = type(self.simulator)(self.clock)
        self.clock.listenTCP(11200, elsewhere.factory)
        self.simulator.refuse_logon(
            LogonStatusEnum.LOGON_RECONNECT_NEW_ADDRESS, "Moved.", reconnect_address="127.0.0.1:11200"
        )
        self.simulator.drop()
        self.advance(2)
        self.assertEqual(self.status()["state"], "ready")
        self.assertEqual(self.status()["url"], "ws://127.0.0.1:11200/")
        self.simulator.accept_logon()
        elsewhere.drop()
        self.advance(3)
        self.assertEqual(self.status()["url"], "ws://127.0.0.1:11099/")
        self.assertEqual(self.status()["state"], "ready")

    def test_reconnect_address_in_circles(self) -> None:
        self.simulator.refuse_logon(
            LogonStatusEnum.LOGON_RECONNECT_NEW_ADDRESS, "Moved.", reconnect_address="127.0.0.1"
        )
        self.simulator.drop()
        self.advance(60)
        self.assertTrue(3 <= len(self.sent(dtc.LogonRequest)) <= 14)

    def test_senseless_reconnect_address(self) -> None:
        self.simulator.refuse_logon(
            LogonStatusEnum.LOGON_RECONNECT_NEW_ADDRESS, "Moved.", reconnect_address="ws://[nonsense:x/"
        )
        self.simulator.drop()
        self.advance(2)
        self.simulator.accept_logon()
        self.advance(5)
        self.assertEqual(self.status()["state"], "ready")

    def test_no_answer_to_the_logon(self) -> None:
        self.simulator.ignore_next(dtc.LogonRequest)
        self.simulator.drop()
        self.advance(2)
        self.assertEqual(self.status()["state"], "logging_on")
        self.advance(16)
        self.assertEqual(self.status()["state"], "ready")
        self.assertIn("did not answer the logon", self.log_text())


class LossTests(GatewayTestCase):
    def test_log_off_by_the_server(self) -> None:
        self.simulator.log_off("Going down.")
        self.flush()
        self.assertEqual(self.status()["state"], "waiting")
        self.assertEqual(self.status()["reason"], "the server logged off: Going down")
        self.advance(3)
        self.assertEqual((self.status()["state"], self.status()["reconnects"]), ("ready", 1))

    def test_log_off_for_good(self) -> None:
        self.simulator.log_off("Licence expired.", do_not_reconnect=True)
        self.advance(100, step=2)
        self.assertEqual(self.status()["state"], "refused")
        self.assertIn("Licence expired", self.status()["reason"])
        self.assertEqual(len(self.sent(dtc.LogonRequest)), 1)

    def test_two_silent_intervals(self) -> None:
        self.simulator.go_silent()
        self.advance(39)
        self.assertEqual(self.status()["state"], "ready")
        self.assertEqual(len(self.sent(dtc.Heartbeat)), 1)
        self.advance(6)
        self.assertIn("nothing was received for 40 s", self.log_text())
        self.assertNotEqual(self.status()["state"], "ready")
        self.simulator.end_silence()
        self.advance(20)
        self.assertEqual(self.status()["state"], "ready")

    def test_heartbeats_keep_a_quiet_session(self) -> None:
        self.advance(600, step=5)
        self.assertEqual((self.status()["state"], self.status()["reconnects"]), ("ready", 0))
        self.assertEqual(len(self.sent(dtc.Heartbeat)), 30)

    def test_waiting_requests_fail(self) -> None:
        self.simulator.ignore_next(dtc.TradeAccountsRequest)
        caller = self.begin("/tradeaccounts")
        self.assertEqual(caller.received, b"")
        self.simulator.drop()
        self.flush()
        self.assertIn(b"HTTP/1.1 503", caller.received)
        self.assertIn(b"SessionLost", caller.received)
        self.assertIn(b"Retry-After: 1\r\n", caller.received)

    def test_three_subscribers_two_symbols_nothing_lost(self) -> None:
        """Subscriptions survive a reconnect: subscribers get stale, live, and all later updates."""
        wants = {self.subscriber(ES): (ES,), self.subscriber(CL): (CL,), self.subscriber(ES, CL): (ES, CL)}
        for caller in wants:
            caller.take()
        for round_number in range(3):
            self.simulator.drop()
            self.advance(3)
            for caller, symbols in wants.items():
                events = caller.take()
                for symbol in symbols:
                    mine = [each for each in events if symbol in (each.get("symbol"), each.get("Symbol"))]
                    kinds = [each.get("event") or each["Type"] for each in mine]
                    self.assertEqual(kinds, ["stale", "live", 104])
            self.simulator.trade(ES, 282800 + 25 * round_number, 1, 1)
            self.simulator.trade(CL, 1718 + round_number, 2, 2)
            self.flush()
            for caller, symbols in wants.items():
                trades = [(each["Symbol"], each["Price"]) for each in caller.take() if each["Type"] == 107]
                expected = [(ES, 282800 + 25 * round_number), (CL, 1718 + round_number)]
                self.assertEqual(trades, [each for each in expected if each[0] in symbols])
        self.assertEqual(self.status()["reconnects"], 3)
        requests = [each.Symbol for each in self.sent(dtc.MarketDataRequest)]
        self.assertEqual(sorted(requests), sorted([ES, CL] * 4))

    @slow
    def test_server_away_for_long(self) -> None:
        """Tries go on for ever, ever more slowly, and hit at last."""
        servers = self.clock.tcpServers[:]
        self.clock.tcpServers[:] = [each for each in servers if each[0] != 11099]
        self.simulator.drop()
        tries = 0
        for _ in range(1200):
            self.clock.advance(0.5)
            while self.clock.tcpClients:
                tries += 1
                self.refuse_connection()
            self.flush()
        self.assertTrue(18 <= tries <= 40, tries)
        self.assertIn("cannot connect", self.status()["reason"])
        self.assertEqual(self.fetch("/tradeaccounts").status, 503)
        self.clock.tcpServers[:] = servers
        self.advance(35)
        self.assertEqual(self.status()["state"], "ready")

    def refuse_connection(self) -> None:
        from twisted.internet.error import ConnectionRefusedError
        from twisted.python.failure import Failure
        from twisted.test.iosim import ConnectionCompleter

        ConnectionCompleter(self.clock).failOnce(Failure(ConnectionRefusedError()))


class LyingServerTests(GatewayTestCase):
    def test_garbage_does_not_end_the_session(self) -> None:
        subscriber = self.subscriber(ES)
        subscriber.take()
        wrong_fields = b'{"Type":107,"F":["a"]}\0'
        for garbage in (b"}\0", b"[1,2]\0", b'{"Type":"x"}\0', wrong_fields, b"\xff\xfe\0", b"[" * 9999 + b"\0"):
            self.simulator.send_raw(garbage)
        self.simulator.send_raw(b'{"Type":60001,"Whatever":1}\0')
        self.simulator.trade(ES, 282800, 1, 1)
        self.flush()
        self.assertEqual([each["Type"] for each in subscriber.take()], [107])
        self.assertEqual(self.status()["garbage"], 6)
        self.assertEqual(self.status()["state"], "ready")

    def test_huge_message(self) -> None:
        subscriber = self.subscriber(ES)
        subscriber.take()
        self.simulator.send_raw(b'{"Type":701,"MessageText":"' + b"x" * (2 * MAX_MESSAGE) + b'"}\0')
        self.simulator.trade(ES, 282800, 1, 1)
        self.flush()
        self.assertEqual([each["Type"] for each in subscriber.take()], [107])
        self.assertEqual(self.status()["garbage"], 1)

    def test_split_frames_and_no_nul(self) -> None:
        self.simulator.set_frame_size(7)
        subscriber = self.subscriber(ES)
        self.simulator.trade(ES, 282800, 1, 1)
        self.flush()
        self.assertEqual([each.get("Type") for each in subscriber.take()], [None, 104, 107])

    def test_messages_that_end_with_nul(self) -> None:
        self.simulator.set_nul_terminator(True)
        subscriber = self.subscriber(ES)
        self.simulator.trade(ES, 282800, 1, 1)
        self.flush()
        self.assertEqual([each.get("Type") for each in subscriber.take()], [None, 104, 107])

    def test_text_that_is_not_utf8_reaches_the_log(self) -> None:
        self.simulator.send_raw(b'{"Type":701,"MessageText":"M\xfcnchen"}\0{"Type":700,"UserMessage":"Hi"}\0')
        self.simulator.send_raw(b'{"Type":702,"MessageText":"Margin!"}\0')
        self.flush()
        for text in ("München", "Hi", "Margin!"):
            self.assertIn(text, self.log_text())

    def test_compact_updates_in_either_order(self) -> None:
        for first in (False, True):
            self.simulator.settings.compact_updates = True
            self.simulator.settings.symbol_id_first = first
            self.simulator.drop()
            self.advance(3)
            subscriber = self.subscriber(ES)
            subscriber.take()
            self.simulator.trade(ES, 282825, 4, 2)
            self.flush()
            (trade,) = subscriber.take()
            self.assertEqual((trade["Type"], trade["Price"], trade["Volume"], trade["Symbol"]), (112, 282825, 4, ES))
            subscriber.leave()
            self.flush()

    def test_dropped_messages_are_logged(self) -> None:
        self.simulator.send(dtc.Heartbeat(NumDroppedMessages=17))
        self.flush()
        self.assertIn("dropped 17", self.log_text())

    def test_an_error_of_ours_costs_one_message(self) -> None:
        """Whatever a message does to us, the feed goes on."""
        subscriber = self.subscriber(ES)
        subscriber.take()

        class Faulty:
            def attach(self, session: Any) -> None: ...

            def detach(self, reason: str) -> None: ...

            handlers = {dtc.MarketDataUpdateTrade: lambda message: 1 / 0}

        upstream = next(each for each in self.service if hasattr(each, "listeners"))
        upstream.listeners.insert(1, Faulty())
        self.simulator.drop()
        self.advance(3)
        subscriber.take()
        self.simulator.trade(ES, 282800, 1, 1)
        self.simulator.trade(ES, 282825, 1, 1)
        self.flush()
        self.assertEqual([each["Price"] for each in subscriber.take()], [282800, 282825])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class StopTests(GatewayTestCase):
    def test_log_off_and_close(self) -> None:
        connection = self.simulator.connections[0]
        stopped = self.service.stopService()
        self.flush()
        self.assertTrue(stopped.called)
        self.assertEqual(len(self.sent(dtc.Logoff)), 1)
        self.assertNotIn(connection, self.simulator.connections)

    def test_stop_while_waiting(self) -> None:
        self.simulator.refuse_logon(LogonStatusEnum.LOGON_ERROR, "No.")
        self.simulator.drop()
        self.advance(3)
        self.service.stopService()
        self.advance(60)

    def test_stop_while_the_server_is_mute(self) -> None:
        self.simulator.go_silent()
        stopped = self.service.stopService()
        self.advance(5)
        self.assertTrue(stopped.called)
