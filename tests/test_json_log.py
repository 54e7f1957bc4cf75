"""Test the log in JSON (--log-format json)."""

import io
import json

from twisted.application.service import Application, Service
from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.logs import JsonLog
from dtc_twisted.services import LogFormat


class JsonLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = io.StringIO()
        self.log = Logger(namespace="here", observer=JsonLog(self.file))

    def lines(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.file.getvalue().splitlines()]

    def test_line(self) -> None:
        self.log.warn('{what}: "ü"\nand more', what="odd")
        self.log.info("second")
        first, second = self.lines()
        self.assertEqual(
            {key: first[key] for key in ("level", "namespace", "text")},
            {"level": "warn", "namespace": "here", "text": 'odd: "ü"\nand more'},
        )
        self.assertRegex(first["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$")
        self.assertEqual(second["text"], "second")

    def test_failure(self) -> None:
        self.log.failure("It failed", Failure(ValueError("why")), level=LogLevel.error)
        [line] = self.lines()
        self.assertEqual((line["level"], line["text"]), ("error", "It failed"))
        self.assertIn("ValueError: why", line["traceback"])

    def test_observer_of_the_application(self) -> None:
        """twistd logs to the observer of its application."""
        path = self.mktemp()
        application = Application("dtc")
        LogFormat(Service(), path).setServiceParent(application)
        observer = application.getComponent(ILogObserver)
        Logger(namespace="here", observer=observer).info("text")
        observer.close()
        with open(path, encoding="utf-8") as file:
            self.assertEqual(json.loads(file.read())["text"], "text")
