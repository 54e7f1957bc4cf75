"""Test LOG_LEVEL and LOG_DATA."""

import json
from collections.abc import Iterator
from typing import Any

from msgspec import UNSET
from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc import wire_log as logs
from dtc_twisted.dtc.messages import MESSAGES, Message
from dtc_twisted.dtc.session import LogonSettings, Session
from dtc_twisted.dtc.wire_log import format_message, wire_log
from dtc_twisted.logs import logger

DEBUG = {"LOG_LEVEL": "DEBUG"}
TRADE = dtc.MarketDataUpdateTrade(SymbolID=1, Price=2.5)


class LogsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(wire_log.configure, {})
        wire_log.configure({})
        events: list[LogEvent] = []
        self.events = events
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    @property
    def logged(self) -> list[str]:
        return [formatEvent(event) for event in self.events if event["log_namespace"].startswith("dtc_twisted")]


class LevelTests(LogsTestCase):
    LEVELS = ("debug", "info", "warn", "error", "critical")

    def passing(self) -> list[str]:
        """Return the levels that are logged."""
        del self.events[:]
        log = logger("dtc_twisted.somewhere")
        for name in self.LEVELS:
            log.emit(LogLevel.levelWithName(name), "{name}", name=name)
        return self.logged

    def test_info_by_default(self) -> None:
        for environment in ({}, {"LOG_LEVEL": ""}, {"LOG_LEVEL": "INFO"}, {"LOG_LEVEL": "info"}):
            with self.subTest(environment):
                wire_log.configure(environment)
                self.assertEqual(self.passing(), ["info", "warn", "error", "critical"])
                self.assertFalse(wire_log.enabled)

    def test_each_level(self) -> None:
        for place, name in enumerate(self.LEVELS):
            for spelling in (name, name.upper(), name.title()):
                wire_log.configure({"LOG_LEVEL": spelling})
                self.assertEqual(self.passing(), [*self.LEVELS[place:]])
                self.assertEqual(wire_log.enabled, name == "debug")

    def test_warning_is_warn(self) -> None:
        wire_log.configure({"LOG_LEVEL": "WARNING"})
        self.assertEqual(self.passing(), ["warn", "error", "critical"])

    def test_bad_value(self) -> None:
        wire_log.configure(DEBUG)
        for value in ("LOUD", "10", "debug info"):
            error = self.assertRaises(ValueError, wire_log.configure, {"LOG_LEVEL": value})
            self.assertIn(repr(value.upper()), str(error))
            for name in self.LEVELS:
                self.assertIn(name.upper(), str(error))
        self.assertTrue(wire_log.enabled, "nothing was changed")

    def test_others_are_left_alone(self) -> None:
        """The threshold is for our own loggers."""
        wire_log.configure({"LOG_LEVEL": "CRITICAL"})
        Logger(namespace="twisted.somewhere").info("theirs")
        self.assertIn("theirs", [formatEvent(event) for event in self.events])

    def test_loggers_are_of_their_module(self) -> None:
        logger("dtc_twisted.somewhere").info("ours")
        (event,) = self.events
        self.assertEqual(event["log_namespace"], "dtc_twisted.somewhere")


class WireTests(LogsTestCase):
    LOGON = dtc.LogonRequest(Username="me", Password="secret", HeartbeatIntervalInSeconds=20)

    def test_sending(self) -> None:
        wire_log.configure(DEBUG)
        wire_log.sending(self.LOGON)
        self.assertEqual(
            self.logged,
            [
                "Sending LogonRequest:\n"
                "{\n"
                '    "HeartbeatIntervalInSeconds": 20,\n'
                '    "Password": "********",\n'
                '    "ProtocolVersion": 8,\n'
                '    "Type": 1,\n'
                '    "Username": "********"\n'
                "}"
            ],
        )

    def test_received(self) -> None:
        wire_log.configure(DEBUG)
        wire_log.received(dtc.Logoff(Reason="{Bye}"))
        self.assertEqual(self.logged, ['Received Logoff:\n{\n    "Reason": "{Bye}",\n    "Type": 5\n}'])

    def test_secrets_of_every_message(self) -> None:
        """Whatever holds a user's name or password, and nothing else, is masked."""
        found = set()
        for kind in MESSAGES.values():
            secrets = {"Username", "Password"} & {*kind.__struct_fields__}
            found |= {kind} if secrets else set()
            shown = json.loads(format_message(kind(**dict.fromkeys(secrets, "secret"))))
            self.assertEqual({shown[name] for name in secrets}, {"********"} if secrets else set())
        self.assertLessEqual({dtc.LogonRequest, dtc.OrderUpdate, dtc.HistoricalOrderFillResponse} - found, set())

    def test_nothing_to_mask(self) -> None:
        self.assertEqual(json.loads(format_message(dtc.LogonRequest(Username="", Password=UNSET)))["Username"], "")

    def test_the_message_is_not_changed(self) -> None:
        update = dtc.OrderUpdate(Username="me", Symbol="ES")
        self.assertNotIn("me", json.loads(format_message(update)).values())
        self.assertEqual(update.Username, "me")

    def test_market_data_only_on_demand(self) -> None:
        data: list[Message] = [TRADE, dtc.MarketDataSnapshot(), dtc.HistoricalPriceDataRecordResponse()]
        for value, count in (({}, 0), ({"LOG_DATA": ""}, 0), ({"LOG_DATA": "0"}, 0), ({"LOG_DATA": "1"}, len(data))):
            with self.subTest(value):
                wire_log.configure(DEBUG | value)
                del self.events[:]
                for message in data:
                    wire_log.received(message)
                self.assertEqual(len(self.logged), count)

    def test_refusals_and_requests_are_no_market_data(self) -> None:
        wire_log.configure(DEBUG)
        names = [kind.__name__ for kind in MESSAGES.values() if kind.__name__.endswith(("Reject", "Request"))]
        for kind in MESSAGES.values():
            wire_log.received(kind())
        shown = [text.split()[1].rstrip(":") for text in self.logged]
        self.assertEqual([name for name in names if name not in shown], [])


class SessionTests(LogsTestCase):
    """Messages on the wire are logged at LOG_DATA."""

    def talk(self) -> None:
        session = Session(
            lambda message: None, lambda reason: None, Clock(), lambda message: None, LogonSettings("me", "secret")
        )
        result = session.log_on()
        logon = dtc.LogonResponse(Result=dtc.LogonStatusEnum.LOGON_SUCCESS)
        session.receive([TRADE, dtc.OrderUpdate(Username="me"), logon])
        self.successResultOf(result)
        session.connection_lost("over")

    def heads(self) -> Iterator[str]:
        return (text.partition("\n")[0] for text in self.logged)

    def test_debug(self) -> None:
        wire_log.configure(DEBUG)
        self.talk()
        self.assertEqual([*self.heads()], ["Sending LogonRequest:", "Received OrderUpdate:", "Received LogonResponse:"])
        for text in self.logged:
            self.assertNotIn("secret", text)
            self.assertNotIn('"me"', text)

    def test_with_data(self) -> None:
        wire_log.configure(DEBUG | {"LOG_DATA": "1"})
        self.talk()
        self.assertIn("Received MarketDataUpdateTrade:", self.heads())

    def test_nothing_is_formatted_when_off(self) -> None:
        formatted: list[Message] = []
        self.patch(logs, "format_message", formatted.append)
        wire_log.configure({"LOG_LEVEL": "INFO", "LOG_DATA": "1"})
        self.talk()
        self.assertEqual(formatted, [])
        wire_log.configure(DEBUG)
        wire_log.received(TRADE)
        self.assertEqual(formatted, [])
        wire_log.received(dtc.Logoff())
        self.assertEqual(formatted, [dtc.Logoff()])
        self.assertEqual([*self.heads()], ["Received Logoff:"])
