"""Test the recorder: the queue, a full disk, the state at the begin of a segment."""

import errno
import os
import shutil
import sys
import threading
from typing import Any
from unittest import skipIf

from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from dtc_twisted.recording import list_segments, read_folder
from dtc_twisted.recording import recorder as recorder_module
from dtc_twisted.recording.recorder import Recorder
from dtc_twisted.recording.segment_sequence import RecordingLimits
from dtc_twisted.recording.segment_writer import SegmentWriter
from dtc_twisted.replay.recorded_source import RecordedSource
from tests.recording.support import RecordingCase
from tests.support import MemoryReactor

ES = "ESM20_FUT_CME"


class FullDiskTests(RecordingCase):
    options = ("--host", "127.0.0.1", "--allow-trading")

    def test_live_data_and_orders_go_on(self) -> None:
        caller = self.subscriber(ES)
        self.advance(1)
        self.assertEqual(self.status()["recording"]["state"], "recording")

        def write(segment: SegmentWriter, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(SegmentWriter, "_write", write)
        self.advance(2)
        caller.take()
        self.simulator.trade(ES, 282800, 3, 1)
        self.advance(1)
        self.assertIn(107, [message["Type"] for message in caller.take()])
        order = b'{"Symbol": "%s", "TradeAccount": "Sim1", "OrderType": "MARKET", "BuySell": "BUY", "Quantity": 1}'
        self.assertEqual(self.fetch("/orders", "POST", body=order % ES.encode()).status, 201)
        recording = self.status()["recording"]
        self.assertEqual(recording["state"], "failed")
        self.assertIn("No space left on device", recording["reason"])
        self.assertEqual(self.log_text().count("Recording has stopped"), 1)
        metrics = self.fetch_metrics()
        self.assertIn("dtc_recording_writable 0.0", metrics)
        self.assertEqual(self.status()["state"], "ready")


@implementer(IReactorFromThreads)
class ThreadedReactor(MemoryReactor):
    """Provide threads, whose calls are not needed here."""

    def callFromThread(self, callable: Any, *args: object, **kwargs: object) -> None: ...


class QueueTests(RecordingCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactor()
        self.reactor.advance(1_700_000_000)
        self.path = self.mktemp()

    def tearDown(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_slow_disk_drops_and_counts(self) -> None:
        recorder = Recorder(self.reactor, self.path, RecordingLimits(queue=100), "test")
        recorder.startService()
        message = b'{"Type":3}\0'
        for _ in range(20):
            recorder.received(message * 2, is_boundary=True)
        self.assertEqual((recorder.dropped_reads, recorder.dropped_messages), (16, 32))
        self.reactor.advance(1)
        recorder.received(message, is_boundary=True)
        recorder.stopService()
        kinds = [record.kind for record in read_folder(self.path)]
        self.assertEqual(kinds, ["H", *"RRRR", "G", "R", "E"])
        gap = next(record.data for record in read_folder(self.path) if record.kind == "G")
        self.assertIn(b'"messages":32', gap)

    def test_an_error_that_is_not_of_the_disk(self) -> None:
        """Recording stops, and says so."""

        def write(segment: SegmentWriter, data: bytes) -> None:
            raise ValueError("broken")

        recorder = Recorder(self.reactor, self.path, RecordingLimits(), "test")
        recorder.startService()
        recorder.received(b'{"Type":3}\0', is_boundary=True)
        self.patch(SegmentWriter, "write", write)
        self.reactor.advance(1)
        self.assertEqual(recorder.status()["state"], "failed")
        self.assertIn("broken", recorder.status()["reason"])
        recorder.stopService()

    @skipIf(sys.platform == "win32", "Windows keeps the files that are open")
    def test_the_folder_is_deleted(self) -> None:
        recorder = Recorder(self.reactor, self.path, RecordingLimits(), "test")
        recorder.startService()
        self.reactor.advance(1)
        self.assertEqual(recorder.status()["state"], "recording")
        shutil.rmtree(self.path)
        self.reactor.advance(1)
        self.assertEqual(recorder.status()["state"], "failed")
        self.assertIn("the file was deleted or moved", recorder.status()["reason"])
        recorder.stopService()

    @skipIf(sys.platform == "win32", "Windows does not move files that are open")
    def test_the_file_is_moved(self) -> None:
        """It is noticed, also if another file has its name."""
        for has_other in (False, True):
            recorder = Recorder(self.reactor, self.path, RecordingLimits(), "test")
            recorder.startService()
            self.reactor.advance(1)
            self.assertEqual(recorder.status()["state"], "recording")
            segment = os.path.join(self.path, recorder.status()["segment"])
            os.rename(segment, f"{segment}.old")
            if has_other:
                shutil.copy(f"{segment}.old", segment)
            self.reactor.advance(1)
            self.assertEqual(recorder.status()["state"], "failed")
            self.assertIn("the file was deleted or moved", recorder.status()["reason"])
            recorder.stopService()

    def test_a_disk_that_hangs_at_the_end(self) -> None:
        """The process is not kept from ending."""
        self.patch(recorder_module, "STOP_TIMEOUT", 0.01)
        has_begun, may_end = threading.Event(), threading.Event()
        self.addCleanup(may_end.set)
        write = SegmentWriter.write

        def hang(segment: SegmentWriter, data: bytes) -> None:
            has_begun.set()
            may_end.wait(10)
            write(segment, data)

        recorder = Recorder(ThreadedReactor(), self.path, RecordingLimits(), "test")
        recorder.startService()
        self.patch(SegmentWriter, "write", hang)
        recorder.received(b'{"Type":3}\0', is_boundary=True)
        self.assertTrue(has_begun.wait(10))
        recorder.stopService()
        assert recorder._thread is not None
        self.assertTrue(recorder._thread.is_alive())
        may_end.set()
        recorder._thread.join(10)

    def test_the_time_of_day_is_set_back(self) -> None:
        """The recording can be played."""
        recorder = Recorder(self.reactor, self.path, RecordingLimits(), "test")
        recorder.startService()
        recorder.opened("ws://x/")
        began = self.reactor.seconds()
        self.reactor.advance(5)
        recorder.received(b'{"Type":3}\0', is_boundary=True)
        self.reactor.dtc_twisted_wall_time = lambda: began - 3600
        recorder.received(b'{"Type":3}\0', is_boundary=True)
        recorder.stopService()
        source = RecordedSource(self.path)
        self.assertEqual((source.first, source.last), (began * 1e6, (began + 5) * 1e6))

    def test_a_state_that_cannot_be_stated(self) -> None:
        """The reads are recorded nevertheless."""
        recorder = Recorder(self.reactor, self.path, RecordingLimits(age=5), "test")
        recorder.state = lambda: b"%d" % (1 // 0)
        recorder.startService()
        recorder.opened("ws://x/")
        self.reactor.advance(6)
        for _ in range(2):
            recorder.received(b'{"Type":3}\0', is_boundary=True)
        recorder.stopService()
        self.assertEqual("".join(record.kind for record in read_folder(self.path)), "HORRE")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_segment_begins_with_the_state_between_messages(self) -> None:
        recorder = Recorder(self.reactor, self.path, RecordingLimits(age=5), "test")
        recorder.state = lambda: b'{"Type":507}\0'
        recorder.startService()
        recorder.opened("ws://x/")
        self.reactor.advance(6)
        recorder.received(b'{"Type":3', is_boundary=True)
        recorder.received(b"}\0", is_boundary=False)
        recorder.received(b'{"Type":3}\0', is_boundary=True)
        recorder.stopService()
        first, second = list_segments(self.path)
        kinds = "".join(record.kind for record in read_folder(self.path))
        self.assertEqual(kinds, "HOE" + "HKRRRE")
        self.assertLess(first, second)


class StateTests(RecordingCase):
    options = ("--host", "127.0.0.1", "--allow-trading", "--record-segment-age", "0.1")
    start_market = True

    def test_what_is_known_is_recorded(self) -> None:
        self.stream_depth(ES)
        self.advance(20)
        self.assertGreater(len(list_segments(self.folder)), 2)
        states = [record.data for record in read_folder(self.folder) if record.kind == "K"]
        for part in (b'"Type":507', b'"Type":101', b'"Type":104', b'"Type":102', b'"Type":122', b'"Type":301'):
            self.assertIn(part, states[-1])
