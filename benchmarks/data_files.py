"""Measure data files: python -m benchmarks.data_files [--records N] [--folder FOLDER].

Writes a .scid file of N records (4 GB for 100 million) into a new folder, measures, and deletes it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import psutil

from benchmarks import load, processes
from benchmarks.disturb import SUBSCRIBERS
from benchmarks.fanout import settled

SYMBOL = "BIG"
START = 1_700_000_000 * 1_000_000
"""Time of the first record, in microseconds since 1970."""
YEAR = 365 * 86_400 * 1_000_000
EPOCH = 25_569 * 86_400 * 1_000_000
RECORD = numpy.dtype(
    [
        *(("time", "<i8"), ("open", "<f4"), ("high", "<f4"), ("low", "<f4"), ("close", "<f4")),
        *(("trades", "<u4"), ("volume", "<u4"), ("bid", "<u4"), ("ask", "<u4")),
    ]
)

BARE_SCAN = """
import sys, time, numpy, pyarrow, resource
from benchmarks.data_files import RECORD, EPOCH
records = numpy.memmap(sys.argv[1], RECORD, "r", 56)
begin = time.perf_counter()
names = ["time", "open", "high", "low", "close", "volume", "open_interest", "trades", "bid", "ask"]
kinds = [pyarrow.timestamp("us", "UTC"), *[pyarrow.float64()] * 5, *[pyarrow.uint32()] * 2, *[pyarrow.float64()] * 2]
schema = pyarrow.schema(zip(names, kinds))
sink = open("/dev/null", "wb")
with pyarrow.ipc.new_stream(sink, schema) as writer:
    for first in range(0, len(records), 65536):
        part = records[first : first + 65536]
        columns = [pyarrow.array(part["time"] - EPOCH).cast(kinds[0])]
        columns += [pyarrow.array(part[name].astype("f8")) for name in ("open", "high", "low", "close", "volume")]
        columns += [pyarrow.array(part["trades"])] * 2
        columns += [pyarrow.array(part[name].astype("f8")) for name in ("bid", "ask")]
        writer.write_batch(pyarrow.record_batch(columns, schema=schema))
print(time.perf_counter() - begin, 0)
"""

OUR_SCAN = """
import sys, time, psutil
from dtc_twisted.datafiles import PriceQuery
from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.history_query import PriceHistory
from dtc_twisted.dtc.messages import HistoricalPriceDataRecordResponse
from dtc_twisted.web.output import ArrowStream
from dtc_twisted.web.output.block_tables import column_parts
import pyarrow, pyarrow.parquet, numpy
process = psutil.Process()
at_start = most = process.memory_info().rss
sink = open("/dev/null", "wb")
begin = time.perf_counter()
blocks = PriceHistory(DataFolder(sys.argv[1])).blocks(PriceQuery("BIG", 0))
for number, parts in enumerate(column_parts(blocks, ArrowStream(HistoricalPriceDataRecordResponse), None)):
    sink.writelines(parts)
    if number % 10 == 0:
        most = max(most, process.memory_info().rss)
print(time.perf_counter() - begin, (most - at_start) / 1e6)
"""


def write_file(path: Path, count: int) -> None:
    """Write trades at equal distances over a year."""
    chance = numpy.random.default_rng(1)
    with path.open("wb") as file:
        file.write(b"SCID" + numpy.array([56, 40, 1, 0], "<u4").tobytes() + bytes(36))
        for first in range(0, count, 1_000_000):
            size = min(1_000_000, count - first)
            records = numpy.zeros(size, RECORD)
            numbers = numpy.arange(first, first + size, dtype="i8")
            records["time"] = START + EPOCH + numbers * (YEAR // count)
            records["close"] = 450_000 + numpy.cumsum(chance.integers(-1, 2, size)) % 400 * 25
            records["low"], records["high"] = records["close"], records["close"] + 25
            records["trades"], records["volume"] = 1, chance.integers(1, 20, size)
            at_bid = chance.integers(0, 2, size)
            records["bid"], records["ask"] = records["volume"] * at_bid, records["volume"] * (1 - at_bid)
            file.write(records.tobytes())


def drop_from_cache(path: Path) -> None:
    """Remove a file from the page cache of the system."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def url(port: str, **query: object) -> str:
    text = "&".join(f"{name}={value}" for name, value in ({"Symbol": SYMBOL} | query).items())
    return f"http://127.0.0.1:{port}/api/v1/historicalpricedata?{text}"


def first_row(port: str, path: Path) -> float:
    """Return the milliseconds until the first row of one day in the middle of a file that is not in the cache."""
    drop_from_cache(path)
    middle = (START + YEAR // 2) // 1_000_000
    asked = url(port, RecordInterval="tick", StartDateTime=middle, EndDateTime=middle + 86_400, format="ndjson")
    begin = time.perf_counter()
    with urllib.request.urlopen(asked) as answer:
        assert answer.readline().startswith(b'{"Type":803')
        return (time.perf_counter() - begin) * 1000


def download(asked: str, *, is_idle: bool = False) -> tuple[float, int]:
    """Return seconds and bytes of a download by curl.

    is_idle: give curl only the processor time that no other process needs.
    """
    command = ("curl", "-fsS", "-m", "600", "-o", os.devnull, "-w", "%{time_total} %{size_download}", asked)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if is_idle:
            processes.set_idle_priority(psutil.Process(process.pid))
        output, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds, size = output.split()
    return float(seconds), int(float(size))


def scan(code: str, argument: Path) -> tuple[float, float]:
    """Return seconds and megabytes of memory of a scan in a process of its own."""
    command = (sys.executable, "-c", code, str(argument))
    seconds, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(memory)


class Watch:
    """Find the largest memory of a process while something runs."""

    def __init__(self, service: processes.Service) -> None:
        self._service = service
        self._stopped = threading.Event()
        self.start = self.most = service.memory
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def growth(self) -> float:
        """Stop, and return the growth in megabytes."""
        self._stopped.set()
        self._thread.join()
        return (self.most - self.start) / 1e6

    def _run(self) -> None:
        while not self._stopped.wait(0.05):
            self.most = max(self.most, self._service.memory)


def p99_meanwhile(folder: Path, happening: Callable[[str], Any]) -> tuple[float, float]:
    """Return p99 in milliseconds of live data for 100 subscribers, without and during a download.

    The program that downloads should run at idle priority, because only the gateway's part is measured.
    """
    with load.source() as source:
        gateway = processes.gateway(source.found[1], "--data-folder", str(folder))
        with gateway, load.subscribers(gateway.found[1], SUBSCRIBERS) as subscribers:
            settled(subscribers)
            source.command("rate 200 1")
            time.sleep(1)
            found = []
            for action in (lambda: time.sleep(4), lambda: happening(gateway.found[1]), lambda: time.sleep(4)):
                subscribers.command("go")
                action()
                found.append(float(subscribers.query("report")["p99"]))
    return (found[0] + found[2]) / 2, found[1]


def _download_ticks(form: str, port: str) -> None:
    end = (START + YEAR // 10) // 1_000_000
    download(url(port, RecordInterval="tick", EndDateTime=end, format=form), is_idle=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_files")
    parser.add_argument("--records", type=int, default=100_000_000)
    parser.add_argument("--folder", default=None, help="where to make the temporary folder")
    parser.add_argument("--live", action="store_true", help="measure live data during downloads as well")
    options = parser.parse_args()
    count = options.records
    found: dict[str, float] = {"records": count}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        path = folder / f"{SYMBOL}.scid"
        write_file(path, count)
        gateway = processes.Service(
            *("dtc", "--restport", "0", "--data-folder", name), until=r"Serving http://[^:]*:(\d+)/"
        )
        with gateway:
            port = gateway.found[1]
            first_row(port, path)
            found["first row of a day, cold, ms"] = sorted(first_row(port, path) for _ in range(5))[2]
            seconds, _ = download(url(port, RecordInterval="1m", format="csv"))
            found["a year of 1 minute bars from ticks, s"] = seconds
            tenth = (START + YEAR // 10) // 1_000_000
            asked = url(port, RecordInterval="tick", format="csv", EndDateTime=tenth)
            seconds, _ = download(asked)
            found["CSV of ticks, rows/s"] = count / 10 / seconds
            watch = Watch(gateway)
            seconds, size = download(url(port, RecordInterval="tick", format="arrow"))
            found["all ticks as Arrow over HTTP, s"] = seconds
            found["all ticks as Arrow over HTTP, MB/s"] = size / seconds / 1e6
            found["growth of memory meanwhile, MB"] = watch.growth()
        bare, ours = [], []
        for _ in range(2):
            bare.append(scan(BARE_SCAN, path)[0])
            seconds, memory = scan(OUR_SCAN, folder)
            ours.append(seconds)
        found |= {"scan to Arrow, memmap and pyarrow alone, s": min(bare), "scan to Arrow, ours, s": min(ours)}
        found |= {"scan to Arrow, ratio": min(ours) / min(bare), "scan to Arrow, growth of memory, MB": memory}
        if options.live:
            for form in ("csv", "arrow"):
                without, during = p99_meanwhile(folder, partial(_download_ticks, form))
                found |= {f"p99 without {form}, ms": without, f"p99 during {form}, ms": during}
    print(json.dumps({name: round(value, 3) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
