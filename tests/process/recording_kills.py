"""python -m tests.process.recording_kills [KILLS]: kill a gateway that records, at random moments.

After each kill every segment must be readable up to its last whole message, and the time from the last recorded message
to the kill is measured.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

from dtc_twisted.recording import list_segments, read_folder, summarize
from tests.process.test_twistd import Gateway


def kill_once(folder: str, wait: float) -> float:
    """Record for some seconds, and kill the gateway. Return the seconds that were lost."""
    gateway = Gateway("--demo", "--symbol", "ESM20_FUT_CME", "--record", folder)
    try:
        gateway.wait_until_ready()
        time.sleep(wait)
        killed_at = time.time()
        gateway.process.kill()
        gateway.process.wait()
    finally:
        gateway.stop()
    last = max(record.time for record in read_folder(folder))
    return killed_at - last / 1e6


def check(folder: str, segments: int) -> None:
    """Check that all segments can be read, and that each message is whole."""
    paths = list_segments(folder)
    assert len(paths) == segments, (paths, segments)
    for path in paths:
        summary = summarize(path)
        assert not summary.problems, summary.problems
        assert summary.messages > 0, summary
    for record in read_folder(folder):
        if record.kind == "R":
            assert record.data.rstrip(b"\0").endswith(b"}"), record


def main(kills: int) -> None:
    choice = random.Random(1)
    lost = []
    with tempfile.TemporaryDirectory() as parent:
        folder = str(Path(parent) / "recording")
        for number in range(1, kills + 1):
            lost.append(kill_once(folder, choice.uniform(0.5, 2.5)))
            check(folder, number)
    text = f"{kills} kills: lost at most {max(lost):.3f} s, on average {sum(lost) / kills:.3f} s; no segment lost\n"
    sys.stdout.write(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
