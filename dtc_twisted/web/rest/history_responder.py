"""Answer requests for historical data, from files or from the server."""

from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import UNSET
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from dtc_twisted.datafiles import SECOND, DataFiles, PriceColumns, PriceQuery, TradingSession, price_messages
from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import BadParameter, Forbidden
from dtc_twisted.history import HistoryDownload, HistoryRequest
from dtc_twisted.web.access import is_from_this_machine
from dtc_twisted.web.output import StreamingResponse
from dtc_twisted.web.query import FileOptions, OutputOptions
from dtc_twisted.web.rest.resource import json_response

SOURCE_HEADER = "Data-Source"
"""Header of an answer that says where the data come from: file or dtc."""

ROWS_PER_PART = 500
"""Rows that a thread makes at once. It keeps the interpreter meanwhile."""

FetchRows = Callable[[HistoryRequest, Callable[[list[Message]], None]], HistoryDownload]


class HistoryResponder:
    """Answers requests for historical prices and market depth.

    files: the data files; None: there is no data folder.
    fetch: starts a download from the server.
    get_converter: returns the converter of a symbol's prices.
    """

    def __init__(
        self,
        clock: IReactorTime,
        files: DataFiles | None,
        fetch: FetchRows,
        get_converter: Callable[..., Deferred[DisplayConverter]],
    ) -> None:
        self._clock = clock
        self._files = files
        self._fetch = fetch
        self._get_converter = get_converter

    def respond(
        self, request: Request, message: Any, answer: StreamingResponse, options: OutputOptions, source: FileOptions
    ) -> Deferred[bytes | None]:
        """Answer a request with rows."""
        query = price_query(message, source) if isinstance(message, dtc.HistoricalPriceDataRequest) else None
        found = self._choose(request, query, source)

        def start(is_file: bool) -> Deferred[bytes | None]:
            request.setHeader(SOURCE_HEADER, "file" if is_file else "dtc")
            if not options.display_prices:
                return self._stream(message, query if is_file else None, answer)
            converter = self._get_converter(message.Symbol, times=options.iso_times)

            def convert(converter: DisplayConverter) -> Deferred[bytes | None]:
                answer.convert_rows = lambda rows: [converter(row) for row in rows]
                return self._stream(message, query if is_file else None, answer)

            return converter.addCallback(convert)

        return found.addCallback(start)

    def list_files(self, request: Request) -> Deferred[bytes]:
        """Answer /datafiles."""
        files = self._permitted_files(request)
        return files.list_files().addCallback(lambda found: json_response(request, found))

    # -- inside

    def _permitted_files(self, request: Request) -> DataFiles:
        """Return the data files.

        Raises BadParameter without a data folder, Forbidden for another machine.
        """
        if self._files is None:
            raise BadParameter("There is no data folder: --data-folder names one.")
        if not self._files.remote and not is_from_this_machine(request):
            raise Forbidden(
                "Data of files are for this machine only, because exchanges do not permit to pass them on; "
                "--data-folder-remote permits it."
            )
        return self._files

    def _choose(self, request: Request, query: PriceQuery | None, source: FileOptions) -> Deferred[bool]:
        """Return whether the data are taken from a file.

        Raises BadParameter or Forbidden.
        """
        if query is None:
            if source.source == "file":
                raise BadParameter("source: market depth comes from dtc.")
            return succeed(False)
        if source.source == "dtc" or (self._files is None and source.source != "file"):
            if source.session is not None:
                raise BadParameter("session: expected with data of files only.")
            return succeed(False)
        if source.source == "file":
            self._permitted_files(request)
            return succeed(True)
        try:
            files = self._permitted_files(request)
        except Forbidden:
            return succeed(False)
        return files.threads.run(files.prices.has, query)

    def _stream(self, message: Any, query: PriceQuery | None, answer: StreamingResponse) -> Deferred[bytes | None]:
        if query is None:
            transfer = self._fetch(message, answer.extend)
            return answer.stream(transfer.result, transfer)
        assert self._files is not None
        download = self._files.download(price_rows(self._files.prices.blocks(query)), answer.extend)
        return answer.stream(download.result, download)


def price_query(message: dtc.HistoricalPriceDataRequest, source: FileOptions) -> PriceQuery:
    """Return the query of data files that a request describes. Raises BadParameter."""
    session = None
    if source.session is not None:
        try:
            zone = ZoneInfo(source.zone)
        except (OSError, ValueError, KeyError):
            raise BadParameter(f"timezone: {source.zone[:100]!r} is not a known time zone.") from None
        session = TradingSession.parse(source.session, zone)
        if session is None:
            raise BadParameter(f"session: {source.session[:100]!r} was given; expected HH:MM-HH:MM.")

    def number(value: Any) -> int:
        return 0 if value is UNSET else int(value)

    return PriceQuery(
        str(message.Symbol),
        number(message.RecordInterval) * SECOND,
        number(message.StartDateTime) * SECOND,
        number(message.EndDateTime) * SECOND,
        number(message.MaxDaysToReturn),
        session,
    )


def price_rows(blocks: Iterator[PriceColumns]) -> Iterator[list[Message]]:
    """Yield rows in small parts, the last one with IsFinalRecord."""
    held: PriceColumns | None = None
    for block in blocks:
        if held is not None:
            yield from _parts(held, is_end=False)
        held = block
    if held is not None:
        yield from _parts(held, is_end=True)


def _parts(block: PriceColumns, *, is_end: bool) -> Iterator[list[Message]]:
    for begin in range(0, block.size, ROWS_PER_PART):
        end = begin + ROWS_PER_PART
        yield price_messages(block.part(begin, end), is_end=is_end and end >= block.size)
