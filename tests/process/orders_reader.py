"""Read the channel of orders over any number of connections and processes of the gateway."""

import json
import sqlite3
import threading
import time
from contextlib import closing, suppress
from typing import Any

from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.sync.client import connect


class OrdersReader:
    """Subscribe again after the end of each connection, and continue with the next number.

    messages: what arrived with a number, oldest first.
    replies: those to the subscriptions.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.messages: list[str] = []
        self.replies: list[dict[str, Any]] = []
        self._place: dict[str, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for(self, seq: int, seconds: float = 30.0) -> None:
        """Wait until the channel was read up to a message, or the time is over."""
        deadline = time.monotonic() + seconds
        while self._place.get("from_seq", 0) <= seq and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> None:
        """Wait until the last connection has ended."""
        self._stopping.set()
        self._thread.join(10)

    def problems(self, journal: str) -> list[str]:
        """Return what differs from the rows of the journal."""
        found = [f"not resumed: {reply}" for reply in self.replies[1:] if reply.get("resumed") is not True]
        seqs = [json.loads(text)["seq"] for text in self.messages]
        if seqs != [*range(seqs[0], seqs[0] + len(seqs))]:
            found.append(f"the numbers have a gap, or are there twice: {seqs}")
        recorded = recorded_messages(journal)
        found += [f"{seq}: {text}" for seq, text in zip(seqs, self.messages, strict=True) if recorded.get(seq) != text]
        return found

    def _run(self) -> None:
        while not self._stopping.is_set():
            with suppress(OSError, InvalidHandshake, WebSocketException):
                self._read()
            time.sleep(0.02)

    def _read(self) -> None:
        with connect(f"ws://127.0.0.1:{self.port}/api/v1/stream", compression=None, max_size=None) as connection:
            connection.send(json.dumps({"action": "subscribe", "channel": "orders"} | self._place))
            while not self._stopping.is_set():
                with suppress(TimeoutError):
                    self._receive(str(connection.recv(timeout=0.1)))

    def _receive(self, text: str) -> None:
        message = json.loads(text)
        if "action" in message:
            self.replies.append(message)
            if not message.get("resumed"):
                self._place["from_seq"] = message["seq"] + 1
            self._place["epoch"] = message["epoch"]
        elif message.get("event") == "snapshot":
            self._place["from_seq"] = message["seq"] + 1
        elif "event" not in message:
            self.messages.append(text)
            self._place["from_seq"] = message["seq"] + 1


def recorded_messages(journal: str) -> dict[int, str]:
    """Return the messages of the channel by their numbers, as the rows of a journal have them."""
    query = "SELECT seq, message FROM updates WHERE seq > 0 UNION SELECT seq, message FROM published"
    with closing(sqlite3.connect(journal)) as connection:
        return {seq: f'{{"channel":"orders","seq":{seq},{text[1:]}' for seq, text in connection.execute(query)}
