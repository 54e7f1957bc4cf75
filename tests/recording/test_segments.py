"""Test the files of recordings: records, frames, cuts, damage, limits, deletion."""

import os
import random
import stat
from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from dtc_twisted.recording import Record, RecordingLimits, SegmentReader, list_segments, read_folder, summarize
from dtc_twisted.recording.record_format import unpack
from dtc_twisted.recording.segment_sequence import SegmentSequence
from tests.support import FileTestCase, slow

MESSAGE = b'{"Type":107,"F":[1,1,282775,8,1795649643.891]}\0'


def read_record(time: int, count: int = 1) -> Record:
    return Record("R", time, MESSAGE * count)


class SegmentCase(FileTestCase):
    def setUp(self) -> None:
        self.folder = self.mktemp()
        self.now = 1_700_000_000.0

    def sequence(self, limits: RecordingLimits | None = None) -> SegmentSequence:
        self.deleted: list[str] = []
        made = SegmentSequence(
            self.folder, limits or RecordingLimits(), "test", lambda: self.now, lambda names: self.deleted.extend(names)
        )
        made.begin()
        return made

    def path(self) -> str:
        (path,) = list_segments(self.folder)
        return path

    def reads(self) -> list[Record]:
        return [record for record in read_folder(self.folder) if record.kind == "R"]


class RecordTests(SynchronousTestCase):
    def test_records_come_back(self) -> None:
        records = [Record("H", 1, b"{}"), Record("R", 2, b"\xff\n\0}"), Record("E", 3, b"")]
        data = b"".join(record.pack() for record in records)
        self.assertEqual(list(unpack(data, is_cut=False)), records)

    def test_every_cut_gives_whole_messages(self) -> None:
        first, second = read_record(1), read_record(2, 3)
        data = first.pack() + second.pack()
        for size in range(len(data)):
            found = b"".join(record.data for record in unpack(data[:size], is_cut=True))
            messages = found.rstrip(b"\0").split(b"\0") if found else []  # the last NUL may be missing
            self.assertEqual(messages, [MESSAGE[:-1]] * len(messages), size)

    def test_an_incomplete_record_is_damage(self) -> None:
        with self.assertRaises(ValueError):
            list(unpack(read_record(1).pack()[:-5], is_cut=False))


class WritingTests(SegmentCase):
    def test_private_and_complete(self) -> None:
        segments = self.sequence()
        segments.write([read_record(5), read_record(6)])
        segments.close()
        self.assertEqual(self.reads(), [read_record(5), read_record(6)])
        if os.name == "posix":
            self.assertEqual(stat.S_IMODE(os.stat(self.path()).st_mode), 0o600)
        summary = summarize(self.path())
        self.assertEqual((summary.state, summary.reads, summary.messages), ("complete", 2, 2))

    def test_flushed_within_a_second(self) -> None:
        segments = self.sequence()
        segments.write([read_record(5)])
        self.now += 0.5
        segments.write([])
        self.assertEqual(self.reads(), [read_record(5)])
        self.assertEqual(summarize(self.path()).state, "cut")
        segments.close()

    def test_a_state_begins_a_segment(self) -> None:
        segments = self.sequence(RecordingLimits(age=10))
        segments.write([read_record(5)])
        self.assertEqual(segments.full_name, "")
        self.now += 11
        segments.write([read_record(6)])
        self.assertEqual(segments.full_name, segments.name)
        segments.write([Record("K", 7, MESSAGE), read_record(8)])
        segments.close()
        self.assertEqual(len(list_segments(self.folder)), 2)
        second = list(SegmentReader(list_segments(self.folder)[1]).records())
        self.assertEqual([record.kind for record in second], ["H", "K", "R", "E"])

    def test_size_limit(self) -> None:
        segments = self.sequence(RecordingLimits(size=2000))
        chance = random.Random(1)
        for _ in range(10):
            self.now += 1
            segments.write([Record("R", 1, chance.randbytes(500))])
        self.assertEqual(segments.full_name, segments.name)
        segments.close()

    def test_old_segments_are_deleted(self) -> None:
        segments = self.sequence()
        segments.close()
        old = self.path()
        os.utime(old, (self.now, self.now))
        self.now += 3 * 86_400
        segments = self.sequence(RecordingLimits(keep_days=2))
        segments.close()
        self.assertEqual(self.deleted, [os.path.basename(old)])
        self.assertNotEqual(self.path(), old)


class DamageTests(SegmentCase):
    def write(self) -> bytes:
        """Write a segment of several frames, and return its bytes."""
        segments = self.sequence()
        chance = random.Random(1)
        number = count()
        for _ in range(30):
            self.now += 0.5
            texts = (b'{"Type":3,"N":"%x"}\0' % chance.getrandbits(400) for _ in range(2500))
            segments.write([Record("R", next(number), b"".join(texts))])
        segments.close()
        with open(self.path(), "rb") as file:
            return file.read()

    def replace(self, data: bytes) -> SegmentReader:
        path = self.path()
        with open(path, "wb") as file:
            file.write(data)
        return SegmentReader(path)

    @slow
    def test_cut_anywhere(self) -> None:
        data = self.write()
        whole = b"".join(record.data for record in self.reads())
        chance = random.Random(2)
        for _ in range(20):
            size = chance.randrange(len(data))
            reader = self.replace(data[:size])
            found = b"".join(record.data for record in reader.records() if record.kind == "R")
            self.assertTrue(whole.startswith(found), size)
            self.assertIn(found[-2:], (b"", b"}\0"))
            self.assertEqual(reader.problems, [])
            self.assertFalse(reader.is_complete)

    @slow
    def test_a_damaged_frame_is_named_and_skipped(self) -> None:
        data = bytearray(self.write())
        data[200] ^= 0xFF
        reader = self.replace(bytes(data))
        times = [record.time for record in reader.records() if record.kind == "R"]
        self.assertEqual(len(reader.problems), 1)
        self.assertIn("frame 1 at byte 0 is damaged", reader.problems[0])
        self.assertGreater(reader.frame_count, 1)
        self.assertEqual(times, list(range(times[0], 30)))
        self.assertGreater(times[0], 0)
        self.assertEqual(summarize(self.path()).state, "damaged")

    def test_zeros_after_a_loss_of_power(self) -> None:
        data = self.write()
        reader = self.replace(data + bytes(5000))
        self.assertEqual(len([record for record in reader.records() if record.kind == "R"]), 30)
        self.assertEqual(len(reader.problems), 1)
