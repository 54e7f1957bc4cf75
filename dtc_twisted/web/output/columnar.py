"""Encode rows as an Arrow stream or as Parquet, which need pyarrow."""

import io
from collections.abc import Sequence
from typing import Any, ClassVar

from dtc_twisted.datafiles.optional import load_arrow
from dtc_twisted.dtc.messages import Message
from dtc_twisted.web.output.arrow_schema import arrow_schema, record_batch, row_type
from dtc_twisted.web.output.formats import Row

ROWS_PER_BATCH = 10_000
"""Rows of a record batch, and of a row group of Parquet, that are made of messages."""


class ByteSink(io.RawIOBase):
    """Collect what a writer of pyarrow writes, until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def take(self) -> list[bytes]:
        """Return the parts that were written since the last time."""
        parts, self._parts = self._parts, []
        return parts


class BufferSink(ByteSink):
    """Collect the buffers of columns without a copy of them.

    The writer must not change a buffer after it was written.
    """

    def write(self, data: Any) -> int:
        self._parts.append(data)
        self._position += len(data)
        return len(data)


class ColumnEncoder:
    """Encode rows in columns; base of both formats."""

    content_type: ClassVar[str]
    make_sink: ClassVar[type[ByteSink]] = ByteSink

    def __init__(self, row_type: type[Message]) -> None:
        self._type = row_type
        self._pending: list[Row] = []
        self._sink = self.make_sink()
        self._writer: Any = None

    def make_writer(self, sink: ByteSink, schema: Any) -> Any:
        """Return the writer of pyarrow."""
        raise NotImplementedError

    def rows(self, rows: Sequence[Row]) -> bytes:
        if self._writer is None and not self._pending:
            self._type = row_type(rows[0], self._type)
        self._pending += rows
        return b"".join(self._write()) if len(self._pending) >= ROWS_PER_BATCH else b""

    def batch(self, batch: Any) -> list[bytes]:
        """Return the encoded parts of a record batch with the schema of the row type."""
        if self._writer is None:
            self._writer = self.make_writer(self._sink, arrow_schema(self._type))
        self._writer.write_batch(batch)
        return self._sink.take()

    def error(self, error: dict[str, Any]) -> bytes:
        """Return nothing: a reader notices the missing end."""
        return b""

    def end(self) -> bytes:
        parts = self._write()
        self._writer.close()
        return b"".join([*parts, *self._sink.take()])

    def _write(self) -> list[bytes]:
        rows, self._pending = self._pending, []
        return self.batch(record_batch(self._type, rows))


class ArrowStream(ColumnEncoder):
    """Encode rows as a stream of Arrow's interprocess format (IPC)."""

    content_type: ClassVar[str] = "application/vnd.apache.arrow.stream"
    make_sink: ClassVar[type[ByteSink]] = BufferSink

    def make_writer(self, sink: ByteSink, schema: Any) -> Any:
        return load_arrow().ipc.new_stream(sink, schema)


class Parquet(ColumnEncoder):
    """Encode rows as Parquet."""

    content_type: ClassVar[str] = "application/vnd.apache.parquet"

    def make_writer(self, sink: ByteSink, schema: Any) -> Any:
        return load_arrow().parquet.ParquetWriter(sink, schema, compression="zstd")
