"""Test the dashboard on a replay in a browser."""

import json
import urllib.request
from typing import Any

from websockets.sync.client import connect

from tests.browser.support import ES, BrowserCase
from tests.process.test_twistd import PATIENCE, Gateway
from tests.support import slow

CLOCK = "document.querySelector('#replay-clock').textContent"


def status_of(gateway: Gateway) -> Any:
    with urllib.request.urlopen(f"{gateway.url}/api/v1/status", timeout=10) as answer:
        return json.load(answer)


@slow
class ReplayBarTests(BrowserCase):
    def setUp(self) -> None:
        folder = self.mktemp()
        recording = Gateway("--demo", "--symbol", ES, "--record", folder)
        try:
            recording.wait_until_ready()
            with connect(recording.marketdata) as client:
                client.send(json.dumps({"action": "subscribe", "symbol": ES}))
                while status_of(recording)["recording"]["reads"] < 40:
                    client.recv(PATIENCE)
        finally:
            recording.stop()
        self.options = ("--replay", folder, "--loop", "--allow-trading", "--journal", self.mktemp())
        super().setUp()

    def replay(self) -> Any:
        return status_of(self.gateway)["replay"]

    def test_clock_and_commands(self) -> None:
        page = self.open()
        page.locator("#replay").wait_for()
        before = page.evaluate(CLOCK)
        page.wait_for_function(f"(before) => {CLOCK} !== before", arg=before)
        page.click("#replay-pause")
        page.locator("#replay-pause", has_text="Play").wait_for()
        self.assertEqual(self.replay()["state"], "paused")

        page.select_option("#replay-speed", "10")
        page.wait_for_function("() => document.querySelector('#replay-speed').value === '10'")
        page.focus("#replay-time")
        page.keyboard.press("Home")
        first = page.evaluate("new Date(Number(document.querySelector('#replay-time').min)).toISOString().slice(0, 19)")
        page.wait_for_function(f"(first) => {CLOCK}.slice(0, 19) === first.replace('T', ' ')", arg=first)

        page.click("#replay-pause")
        page.locator("#replay-pause", has_text="Pause").wait_for()
        self.assertEqual((self.replay()["state"] != "paused", self.replay()["speed"]), (True, 10.0))
        self.assertEqual(self.errors, [])


@slow
class WithoutReplayTests(BrowserCase):
    is_shared = True

    def test_hidden(self) -> None:
        page = self.open()
        page.locator("[data-fact=Latency]", has_text="ms").wait_for()
        self.assertTrue(page.locator("#replay").is_hidden())
