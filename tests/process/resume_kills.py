"""python -m tests.process.resume_kills [KILLS [RATE]]: kill a subscriber's connection again and again.

Two clients subscribe to the same channels at RATE updates a second. The connection of one is aborted at random moments,
and it connects again with `from_seq`. At the end, what it received over all connections must be what the other one
received, message for message on each channel, and after each gap its order books must be those of the other one. Then
both stay away for longer than the gateway keeps messages: the replies must state how many were missed.
"""

import asyncio
import json
import random
import sys
import time
from contextlib import suppress
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.process.test_twistd import Gateway, Simulator

ES, CL = "ESM20_FUT_CME", "CLM20_FUT_NYMEX"
SUBSCRIPTIONS: tuple[dict[str, Any], ...] = (
    {"channel": "marketdata", "symbol": ES},
    {"channel": "trades", "symbol": ES},
    {"channel": "quotes", "symbol": ES, "prices": "display"},
    {"channel": "marketdepth", "symbol": ES},
    {"channel": "marketdata", "symbol": CL},
    {"channel": "marketdepth", "symbol": CL, "num_levels": 5, "prices": "display"},
    *({"channel": each} for each in ("status", "orders", "positions", "balances")),
)
MOST_SECONDS = 180.0
"""Seconds after which no more connections are killed."""
KEPT_SECONDS = 3.0
"""--replay-buffer of the second part."""

Key = tuple[str, str]


class Progress:
    """Hold what one client received of one channel.

    epoch, next_seq: where a subscription continues.
    hashes: of each numbered message, in order of arrival; the first number is `first_seq`.
    book: the levels of depth, by side and price.
    book_hash: of the book, whatever the order of its changes.
    books: the hash of the book after each message, for the client that is not disturbed; after a gap for the other.
    """

    def __init__(self) -> None:
        self.epoch = self.next_seq = self.first_seq = 0
        self.hashes: list[int] = []
        self.book: dict[tuple[int, float], Any] = {}
        self.book_hash = 0
        self.books: dict[int, int] = {}
        self.is_after_gap = False

    def apply(self, message: dict[str, Any]) -> None:
        """Apply a book, or changes, to the book and to its hash."""
        if message["event"] == "book":
            self.book.clear()
            self.book_hash = 0
            for side, name in ((1, "bids"), (2, "asks")):
                for level in message[name]:
                    self._set((side, level["Price"]), (level["Quantity"], level.get("NumOrders")))
            return
        for change in message["changes"]:
            is_deleted = change["UpdateType"] == 2
            level = None if is_deleted else (change["Quantity"], change.get("NumOrders"))
            self._set((change["Side"], change["Price"]), level)

    def _set(self, place: tuple[int, float], level: Any) -> None:
        old = self.book.pop(place, None)
        if old is not None:
            self.book_hash ^= hash((place, old))
        if level is not None:
            self.book[place] = level
            self.book_hash ^= hash((place, level))


class ResumingReader:
    """Keep subscriptions over any number of connections.

    every_book: whether the hash of a book is kept after each message, not only after a gap.
    """

    def __init__(self, url: str, *, every_book: bool) -> None:
        self.progress: dict[Key, Progress] = {}
        self.replies: list[dict[str, Any]] = []
        self.not_resumed: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.connection: ClientConnection | None = None
        self._url = url
        self._every_book = every_book

    async def read(self) -> None:
        """Connect, subscribe, and read until the connection is lost."""
        async with connect(self._url, max_size=None, compression=None, max_queue=None) as connection:
            self.connection = connection
            self.replies = []
            for each in SUBSCRIPTIONS:
                known = self.progress.get((each["channel"], each.get("symbol", "")))
                place = {} if known is None else {"epoch": known.epoch, "from_seq": known.next_seq}
                await connection.send(json.dumps({"action": "subscribe"} | each | place))
            with suppress(ConnectionClosed):
                async for text in connection:
                    self.receive(str(text))
            self.connection = None

    def receive(self, text: str) -> None:
        message = msgspec.json.decode(text)
        channel = message.get("channel", "")
        key = (channel, message.get("symbol") or message.get("Symbol") or "")
        if channel in ("status", "orders", "positions", "balances"):
            key = (channel, "")
        if message.get("action") == "subscribe":
            self.replies.append(message)
            progress = self.progress.setdefault(key, Progress())
            if message.get("resumed") is not True:
                progress.epoch, progress.next_seq = message["epoch"], message["seq"] + 1
            progress.is_after_gap = bool(progress.hashes)
        elif message.get("event") in ("stale", "live"):
            return
        elif message.get("event") in ("ended", "skipped"):
            self.errors.append(text)
        elif "seq" in message:
            self._count(self.progress[key], message, text)

    def _count(self, progress: Progress, message: dict[str, Any], text: str) -> None:
        seq = message["seq"]
        if not progress.hashes:
            progress.first_seq = progress.next_seq = seq
        if seq != progress.next_seq:
            self.errors.append(f"{seq} instead of {progress.next_seq}: {text[:100]}")
        progress.next_seq = seq + 1
        progress.hashes.append(hash(text))
        if message["channel"] == "marketdepth":
            progress.apply(message)
            if self._every_book or progress.is_after_gap:
                progress.books[seq] = progress.book_hash
        progress.is_after_gap = False


async def disturb(reader: ResumingReader, kills: int, choice: random.Random) -> dict[str, float]:
    """Abort the connection at random moments. Return the counts."""
    counts = {"kills": 0.0, "resumed": 0.0, "not resumed": 0.0, "longest gap": 0.0}
    end = time.monotonic() + MOST_SECONDS
    for number in range(kills + 1):
        is_last = number == kills or time.monotonic() > end
        reading = asyncio.ensure_future(reader.read())
        await asyncio.sleep(3.0 if is_last else choice.uniform(0.005, 0.1))
        while len(reader.replies) < len(SUBSCRIPTIONS) and choice.random() < 0.9 and not reading.done():
            await asyncio.sleep(0.005)  # now and then also before all subscriptions are answered
        counts["resumed"] += sum(each.get("resumed") is True for each in reader.replies)
        not_resumed = [each for each in reader.replies if each.get("resumed") is False]
        counts["not resumed"] += len(not_resumed)
        reader.not_resumed += not_resumed
        if reader.connection is not None:
            reader.connection.transport.abort()
        else:
            reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        if is_last:
            break
        counts["kills"] += 1
        pause = choice.choice((0.0, choice.uniform(0, 0.03), choice.uniform(0, 0.15)))
        counts["longest gap"] = max(counts["longest gap"], pause)
        await asyncio.sleep(pause)
    return counts


def compare(undisturbed: ResumingReader, disturbed: ResumingReader) -> list[str]:
    """Return a line for each channel. Raises AssertionError if something differs."""
    assert not undisturbed.errors and not disturbed.errors, (undisturbed.errors[:3], disturbed.errors[:3])
    lines = []
    for (channel, symbol), one in undisturbed.progress.items():
        other = disturbed.progress[channel, symbol]
        first = max(one.first_seq, other.first_seq)
        ours, theirs = one.hashes[first - one.first_seq :], other.hashes[first - other.first_seq :]
        size = min(len(ours), len(theirs))
        skipped = 0 if channel == "trades" else 1  # a snapshot for one client only
        assert ours[skipped:size] == theirs[skipped:size], (channel, symbol)
        gaps = [seq for seq in other.books if seq in one.books]
        assert all(one.books[seq] == other.books[seq] for seq in gaps), (channel, symbol)
        books = f", {len(gaps)} books after gaps equal" if gaps else ""
        lines.append(f"{channel} {symbol}: {size} messages equal{books}")
    return lines


async def kill_connections(url: str, kills: int) -> list[str]:
    undisturbed, disturbed = ResumingReader(url, every_book=True), ResumingReader(url, every_book=False)
    began = time.monotonic()
    reading = asyncio.ensure_future(undisturbed.read())
    await asyncio.sleep(1)
    counts = await disturb(disturbed, kills, random.Random(1))
    seconds = time.monotonic() - began
    if undisturbed.connection is not None:
        await undisturbed.connection.close()
    await reading
    total = sum(len(each.hashes) for each in undisturbed.progress.values())
    assert counts["not resumed"] == 0, (counts, disturbed.not_resumed)
    lines = compare(undisturbed, disturbed)
    return [f"{counts} in {seconds:.0f} s, {total / seconds:.0f} messages/s for each client", *lines]


async def stay_away(url: str) -> list[str]:
    """Stay away for longer than messages are kept, while another client is there."""
    undisturbed, disturbed = ResumingReader(url, every_book=False), ResumingReader(url, every_book=False)
    reading = asyncio.ensure_future(undisturbed.read())
    for pause in (0.0, 2 * KEPT_SECONDS):
        await asyncio.sleep(pause)
        away = asyncio.ensure_future(disturbed.read())
        await asyncio.sleep(1)
        assert disturbed.connection is not None
        disturbed.connection.transport.abort()
        await asyncio.gather(away, return_exceptions=True)
    assert undisturbed.connection is not None
    await undisturbed.connection.close()
    await reading
    lines = []
    for reply in disturbed.replies:
        key = (reply["channel"], reply.get("symbol", ""))
        one = undisturbed.progress[key]
        if key[0] in ("trades", "marketdata", "quotes", "marketdepth"):
            missed = len([n for n in range(len(one.hashes)) if reply["from_seq"] <= one.first_seq + n <= reply["seq"]])
            assert (reply["resumed"], reply["missed"]) == (False, missed), reply
            lines.append(f"{key}: {missed} missed, as the reply states")
    return lines


def main(kills: int, rate: int) -> None:
    simulator = Simulator("--rate", str(rate))
    try:
        for options, run in (
            ((), lambda url: kill_connections(url, kills)),
            (("--replay-buffer", str(KEPT_SECONDS)), stay_away),
        ):
            gateway = Gateway("--host", "127.0.0.1", "--port", simulator.port, *options)
            try:
                gateway.wait_until_ready()
                lines = asyncio.run(run(gateway.url.replace("http", "ws") + "/api/v1/stream"))
            finally:
                gateway.stop()
            sys.stdout.write("\n".join(lines) + "\n")
    finally:
        simulator.stop()


if __name__ == "__main__":
    main(*(int(each) for each in (sys.argv[1:] + ["1000", "5000"][len(sys.argv) - 1 :])))
