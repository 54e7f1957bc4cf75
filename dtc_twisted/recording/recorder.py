"""Record the traffic with the server, beside live data.

The reactor's thread only appends to a queue. Another thread packs, compresses and writes. If the disk is too slow, the
queue reaches its limit and reads are dropped and counted. If the disk fails, recording stops.
"""

from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime

from dtc_twisted.clocks import wall_time
from dtc_twisted.dtc.codec.repair import MESSAGE_START
from dtc_twisted.logs import logger
from dtc_twisted.recording.record_format import Record, RecordKind, load_zstandard
from dtc_twisted.recording.segment_sequence import RecordingLimits, SegmentSequence

_log = logger(__name__)

WRITE_INTERVAL = 0.2
"""Seconds between two writes."""

STOP_TIMEOUT = 1.5
"""Seconds that the end of the service waits for the disk."""


class Recorder(Service):
    """Record while the service runs. A TrafficObserver of Upstream.

    state: returns what is known of the session, in messages each with a NUL. A segment that begins within a session
        begins with it. Set it before the service starts.

    startService raises OSError or NoZstandard.
    """

    def __init__(self, reactor: IReactorTime, folder: str, limits: RecordingLimits, program: str) -> None:
        self.state: Callable[[], bytes] = bytes
        self.failure_text = ""
        """Why recording has stopped; empty while it goes on."""
        self.dropped_reads = self.dropped_messages = self.dropped_bytes = 0
        self.reads = 0
        self._reactor = reactor
        self._folder = folder
        self._limit = limits.queue
        self._segments = SegmentSequence(folder, limits, program, lambda: wall_time(reactor), self._deleted)
        self._queue: deque[Record] = deque()
        self._put = self._taken = 0  # bytes; each is changed by one thread
        self._gap = (0, 0, 0)  # reads, messages and bytes dropped since the last record
        self._ended_name = ""  # the last segment whose end is queued
        self._is_recording = self._is_connected = False
        self._stopping = Event()
        self._thread: Thread | None = None
        self._timer: IDelayedCall | None = None

    # -- called by the service tree

    def startService(self) -> None:
        load_zstandard()
        self._segments.begin()
        super().startService()
        self._is_recording = True
        if IReactorFromThreads.providedBy(self._reactor):
            self._thread = Thread(target=self._work, name="recording", daemon=True)
            self._thread.start()
        else:
            self._write_later()
        _log.info("Recording to {folder}", folder=self._folder)

    def stopService(self) -> None:
        """Write what is queued, and end the segment."""
        super().stopService()
        if not self._is_recording:
            return
        self._is_recording = False
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT)
            if self._thread.is_alive():  # it ends with the process
                _log.error("The recording was not written to its end, because the disk does not answer")
                return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if not self.failure_text:
            self._drain()
        if not self.failure_text:
            try:
                self._segments.close()
            except OSError as error:
                self._fail(error)

    # -- called by Upstream

    def opened(self, url: str) -> None:
        """Record that a connection was opened."""
        self._is_connected = True
        self._add(RecordKind.OPENED, msgspec.json.encode({"url": url}))

    def received(self, data: bytes, *, is_boundary: bool) -> None:
        """Record a read, before it is processed.

        is_boundary: the data begins with a message.
        """
        if not self._is_recording:
            return
        full = self._segments.full_name
        if full and full != self._ended_name and is_boundary and self._is_connected:
            self._ended_name = full
            self._add_state()
        self.reads += 1
        self._add(RecordKind.RECEIVED, data)

    def sent(self, data: bytes) -> None:
        """Record a message to the server."""
        self._add(RecordKind.SENT, data.rstrip(b"\0"))

    def closed(self, reason: str) -> None:
        """Record the end of the connection."""
        self._is_connected = False
        self._add(RecordKind.CLOSED, msgspec.json.encode({"reason": reason}))

    # -- called by status and metrics

    @property
    def written(self) -> int:
        """Bytes written by this process."""
        return self._segments.written

    @property
    def queued(self) -> int:
        """Bytes that wait for the disk."""
        return max(0, self._put - self._taken)

    def status(self) -> dict[str, Any]:
        """Return the state, for /status. docs/recording.md describes the keys."""
        return {
            "state": "failed" if self.failure_text else "recording" if self._is_recording else "stopped",
            "reason": self.failure_text,
            "folder": self._folder,
            "segment": self._segments.name,
            "reads": self.reads,
            "bytes": self.written,
            "queued_bytes": self.queued,
            "dropped_reads": self.dropped_reads,
            "dropped_messages": self.dropped_messages,
            "dropped_bytes": self.dropped_bytes,
        }

    # -- the queue

    def _add(self, kind: RecordKind, data: bytes) -> None:
        if not self._is_recording:
            return
        if kind is RecordKind.RECEIVED and self._put - self._taken + len(data) > self._limit:
            self._drop(data)
            return
        time = int(wall_time(self._reactor) * 1e6)
        if self._gap[0]:
            reads, messages, size = self._gap
            self._gap = (0, 0, 0)
            counts = msgspec.json.encode({"reads": reads, "messages": messages, "bytes": size})
            self._queue.append(Record(RecordKind.GAP, time, counts))
        self._put += len(data)
        self._queue.append(Record(kind, time, data))

    def _add_state(self) -> None:
        """Begin a segment, or go on with the present one if the state cannot be stated."""
        try:
            state = self.state()
        except Exception:
            _log.failure("Failed to read the state of the session. The recording goes on in the same segment")
        else:
            self._add(RecordKind.STATE, state)

    def _drop(self, data: bytes) -> None:
        count = data.count(MESSAGE_START)
        if not self.dropped_reads:
            _log.warn("The disk is too slow for the recording: messages are missing there. Live data goes on.")
        self.dropped_reads += 1
        self.dropped_messages += count
        self.dropped_bytes += len(data)
        reads, messages, size = self._gap
        self._gap = (reads + 1, messages + count, size + len(data))

    # -- in the thread, or with a reactor that has none

    def _work(self) -> None:
        while not self._stopping.wait(WRITE_INTERVAL) and not self.failure_text:
            self._drain()

    def _write_later(self) -> None:
        self._drain()
        if not self.failure_text:
            self._timer = self._reactor.callLater(WRITE_INTERVAL, self._write_later)

    def _drain(self) -> None:
        records = []
        size = 0
        for _ in range(len(self._queue)):
            record = self._queue.popleft()
            size += len(record.data)
            records.append(record)
        try:
            self._segments.write(records)
        except Exception as error:  # also those of zstandard, because nothing is written any more
            self._segments.abandon()
            self._fail(error)
        self._taken += size

    def _fail(self, error: Exception) -> None:
        self._is_recording = False
        self.failure_text = f"the recording cannot be written: {getattr(error, 'strerror', None) or error}"
        self._queue.clear()
        self._call_in_reactor(self._report_failure)

    def _report_failure(self) -> None:
        _log.error("Recording has stopped, {reason}. Live data and orders go on.", reason=self.failure_text)

    def _deleted(self, names: list[str]) -> None:
        self._call_in_reactor(lambda: _log.info("Deleted old segments: {names}", names=", ".join(names)))

    def _call_in_reactor(self, function: Callable[[], object]) -> None:
        if self._thread is not None:
            IReactorFromThreads(self._reactor).callFromThread(function)
        else:
            function()
