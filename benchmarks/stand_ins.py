"""Replace the programs of c/ where they cannot be built.

Run with `python -m benchmarks.stand_ins source|receivers|callers ARGUMENTS`. Commands and answers are the same (see
c/source.c, c/receivers.c and c/callers.c), at lower rates.
"""

import json
import os
import random
import select
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks import clients

DELAY = 0.005
"""Seconds until a balance is answered."""


def source() -> None:
    """Run a DTC server that sends updates on command."""
    from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
    from twisted.internet import reactor as installed
    from twisted.internet.task import LoopingCall

    reactor: Any = installed

    class Server(WebSocketServerProtocol):
        transport: Any

        def onOpen(self) -> None:
            self.transport.setTcpNoDelay(True)
            self.transport.unregisterProducer()
            self.transport.registerProducer(self, True)
            self.paused = False
            self.ids: dict[int, list[int]] = {101: [], 102: []}
            feed.client = self

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            request = json.loads(payload.rstrip(b"\0"))
            kind, number = request["Type"], request.get("SymbolID", 0)
            if kind == 1:
                self.send_json({"Type": 2, "ProtocolVersion": 8, "Result": 1, "MarketDataSupported": 1})
            elif kind in self.ids:
                self.ids[kind] = [each for each in self.ids[kind] if each != number]
                if request["RequestAction"] == 1:
                    self.ids[kind].append(number)
                    for snapshot in _SNAPSHOTS[kind]:
                        self.send_json({"Type": _SNAPSHOT_TYPES[kind], "F": [number, *snapshot]})
            elif kind == 601:
                reactor.callLater(DELAY, self.send_json, _BALANCE | {"RequestID": request["RequestID"]})

        def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
            if feed.client is self:
                feed.client = None

        def send_json(self, message: dict[str, Any]) -> None:
            if self.state == self.STATE_OPEN:
                self.sendMessage(json.dumps(message, separators=(",", ":")).encode() + b"\0")

        def pauseProducing(self) -> None:
            self.paused = True

        def resumeProducing(self) -> None:
            self.paused = False

        def stopProducing(self) -> None:
            self.paused = True

    class Feed:
        client: Server | None = None
        sent = 0
        behind = 0
        burst = 1

        def __init__(self) -> None:
            self.calls = LoopingCall.withCount(self.produce)

        def produce(self, due: int) -> None:
            """Send the updates that are due, also late ones."""
            if self.client is None or self.client.paused or not any(self.client.ids.values()):
                return
            self.behind = max(self.behind, (due - 1) * self.burst)
            for _ in range(due * self.burst):
                self.sent += 1
                self.client.send_json(_update(self.client.ids, self.sent))

        def execute(self, line: str) -> None:
            name, *numbers = line.split()
            if name == "count":
                print(json.dumps({"sent": self.sent, "behind": self.behind}), flush=True)
                self.behind = 0
                return
            if self.calls.running:
                self.calls.stop()
            rate, self.burst = (float(numbers[0]), int(numbers[1])) if name == "rate" else (1e6, 100)
            if rate:
                self.calls.start(self.burst / rate, now=False)

    feed = Feed()
    factory = WebSocketServerFactory()
    factory.protocol = Server
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    print(f"Serving http://127.0.0.1:{port.getHost().port}/", flush=True)
    _listen(lambda line: reactor.callFromThread(feed.execute, line), lambda: reactor.callFromThread(reactor.stop))
    reactor.run()


_SNAPSHOT_TYPES = {101: 104, 102: 122}
_SNAPSHOTS: dict[int, list[list[float]]] = {
    101: [[282950, 277700, 283500, 275525, 1512437, 488815, 3332460, 282775, 282825, 67, 57, 282825, 2, 1e9, 1e9, 0]],
    102: [
        [
            side,
            282787.5 + (12.5 + 25 * level) * (1 if side == 2 else -1),
            99,
            level,
            int(place == 0),
            int(place == 19),
            1e9,
            9,
        ]
        for place, (side, level) in enumerate((side, level) for side in (1, 2) for level in range(10))
    ],
}
_SNAPSHOTS[101][0] += [1795478400, 2, 1795556238.693]
_BALANCE = {"Type": 600, "CashBalance": 104250.0, "TradeAccount": "Sim1", "TotalNumberMessages": 1, "MessageNumber": 1}


def _update(ids: dict[int, list[int]], turn: int) -> dict[str, Any]:
    """Return a trade of each symbol in turn; if only depth is subscribed, a change of one level."""
    if ids[101]:
        number = ids[101][turn % len(ids[101])]
        return {"Type": 107, "F": [number, 1 + turn % 2, 282700 + 25 * (turn % 4), turn % 90 + 1, time.time()]}
    number, price = ids[102][turn % len(ids[102])], 282775 - 25 * (turn % 10)
    return {"Type": 106, "F": [number, 1, price, turn // 10 % 90 + 1, 1, time.time(), 9, 1, 1]}


def receivers(port: str, path: str, count: str, symbols: str, each: str, symbol: str) -> None:
    """Run subscribers, and report number and delay of received messages."""
    chance = random.Random(1)
    parts: dict[Any, bytes] = {}
    for _ in range(int(count)):
        subscriber, rest = clients.upgraded(int(port), path.removeprefix("/api/v1"))
        parts[subscriber] = rest
        chosen = [symbol]
        if int(symbols) > 1:
            chosen = [f"{symbol}{number}" for number in chance.sample(range(int(symbols)), int(each))]
        for name in chosen:
            subscriber.sendall(clients.frame({"action": "subscribe", "symbol": name}))
    answers_left = int(count) * (int(each) if int(symbols) > 1 else 1)
    frames: Counter[Any] = Counter(dict.fromkeys(parts, 0))
    ages: list[float] = []
    skipped = total = gone = reads = 0

    def execute(line: str) -> None:
        nonlocal skipped, reads
        with lock:
            if line == "report":
                counts = frames.values()
                report = {
                    "frames": sum(counts),
                    "least": min(counts),
                    "most": max(counts),
                    "skipped": skipped,
                    "reads": reads,
                }
                print(json.dumps(report | {"total": total, "gone": gone} | _times(ages)), flush=True)
            else:
                frames.update({each: -count for each, count in frames.items()})
                ages.clear()
                skipped = reads = 0

    lock = threading.Lock()
    _listen(execute, _exit)
    while True:
        for subscriber in select.select(list(parts), [], [], 1)[0]:
            data = subscriber.recv(1 << 18)
            now = time.time()
            with lock:
                reads += 1
                if not data:
                    gone += 1
                    del parts[subscriber]
                    continue
                payloads, parts[subscriber] = _frames(parts[subscriber] + data)
                for payload in payloads:
                    if b'"success"' in payload:
                        answers_left -= 1
                        if answers_left == 0:
                            print("ready", flush=True)
                    elif b'"skipped"' in payload:
                        skipped += json.loads(payload)["messages"]
                    else:
                        frames[subscriber] += 1
                        total += 1
                        found = payload.find(b'"DateTime":')
                        if found > 0:
                            ages.append(now - float(payload[found + 11 :].partition(b",")[0].rstrip(b"}")))


def _frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the payloads of complete text frames, and the remaining bytes."""
    payloads, at = [], 0
    while len(data) - at >= 4:
        length, head = data[at + 1], 2
        if length == 126:
            length, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
        if len(data) - at < head + length:
            break
        if data[at] & 15 == 1:
            payloads.append(data[at + head : at + head + length])
        at += head + length
    return payloads, data[at:]


def callers(port: str, path: str, count: str) -> None:
    """Run callers of REST, each in a thread."""
    times: list[float] = []
    going = threading.Event()

    def call() -> None:
        client = clients.connect(int(port))
        while going.wait():
            begin = time.perf_counter()
            clients.get(client, path.removeprefix("/api/v1"))
            times.append(time.perf_counter() - begin)

    def execute(line: str) -> None:
        if line == "report":
            answers = list(times)
            print(json.dumps({"answers": len(answers), "failures": 0} | _times(answers)), flush=True)
        elif line == "go":
            times.clear()
            going.set()
        else:
            going.clear()

    for _ in range(int(count)):
        threading.Thread(target=call, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        execute(line.strip())


def _times(seconds: list[float]) -> dict[str, float]:
    """Return quantiles in milliseconds."""
    if not seconds:
        return {"p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}
    ordered = sorted(seconds)
    parts = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1000 for name, part in parts.items()}


def _listen(execute: Callable[[str], object], end: Callable[[], object]) -> None:
    """Pass each line of standard input to `execute`, from a thread.

    Call `end` at its end.
    """

    def read() -> None:
        for line in sys.stdin:
            execute(line.strip())
        end()

    threading.Thread(target=read, daemon=True).start()


def _exit() -> None:
    os._exit(0)


if __name__ == "__main__":
    stand_ins: dict[str, Callable[..., None]] = {"source": source, "receivers": receivers, "callers": callers}
    stand_ins[sys.argv[1]](*sys.argv[2:])
