"""Answer requests for historical data, from files or from the server."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import UNSET
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from dtc_twisted.datafiles import SECOND, DataFiles, DepthQuery, FileDownloads, FileQuery, PriceQuery, TradingSession
from dtc_twisted.definitions.converter import DisplayConverter
from dtc_twisted.dtc import messages as dtc
from dtc_twisted.dtc.messages import Message
from dtc_twisted.errors import BadParameter, Forbidden
from dtc_twisted.history import HistoryDownload, HistoryRequest
from dtc_twisted.web.access import headers, is_from_this_machine
from dtc_twisted.web.output import Parquet, Row, RowEncoder, StreamingResponse, join_parts
from dtc_twisted.web.query import FileOptions, OutputOptions
from dtc_twisted.web.rest.file_parts import file_parts
from dtc_twisted.web.rest.prepared_files import PreparedFile, PreparedFiles, parse_range
from dtc_twisted.web.rest.resource import json_response

SOURCE_HEADER = "Data-Source"
"""Header of an answer that says where the data come from: file or dtc."""

FetchRows = Callable[[HistoryRequest, Callable[[list[Message]], None]], HistoryDownload]
MakeAnswer = Callable[[RowEncoder], StreamingResponse]


class HistoryResponder:
    """Answer requests for historical prices and market depth.

    downloads: reads files, in threads.
    files: the data files; None: there is no data folder.
    fetch: starts a download from the server.
    get_converter: returns the converter of a symbol's prices.
    """

    def __init__(
        self,
        clock: IReactorTime,
        downloads: FileDownloads,
        files: DataFiles | None,
        fetch: FetchRows,
        get_converter: Callable[..., Deferred[DisplayConverter]],
    ) -> None:
        self.prepared = PreparedFiles(clock)
        self._downloads = downloads.start
        self._files = files
        self._fetch = fetch
        self._get_converter = get_converter

    # -- called by RestApi

    def respond(
        self,
        request: Request,
        message: Any,
        encoder: RowEncoder,
        options: OutputOptions,
        source: FileOptions,
        make_answer: MakeAnswer,
    ) -> Deferred[bytes | None]:
        """Answer a request with rows.

        encoder: of the rows.
        make_answer: makes the answer of an encoder.
        """
        query = file_query(message, source)

        def start(is_file: bool) -> Deferred[bytes | None]:
            request.setHeader(SOURCE_HEADER, "file" if is_file else "dtc")
            plan = _AnswerPlan(message, query if is_file else None, encoder, options)
            if not options.display_prices:
                return self._answer(request, plan, make_answer)
            found = self._get_converter(message.Symbol, times=options.iso_times)
            return found.addCallback(lambda converter: self._answer(request, plan.with_prices(converter), make_answer))

        return self._choose(request, query, source).addCallback(start)

    def list_files(self, request: Request) -> Deferred[bytes]:
        """Answer /datafiles."""
        files = self._permitted_files(request)
        return files.list_files().addCallback(lambda found: json_response(request, found))

    # -- the source

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

    def _choose(self, request: Request, query: FileQuery, source: FileOptions) -> Deferred[bool]:
        """Return whether the data come from a file. Raises BadParameter or Forbidden."""
        if source.source == "file":
            self._permitted_files(request)
            return succeed(True)
        if source.source == "dtc" or self._files is None:
            if source.session is not None:
                raise BadParameter("session: expected with data of files only.")
            return succeed(False)
        try:
            files = self._permitted_files(request)
        except Forbidden:
            return succeed(False)
        return files.has(query)

    # -- the answer

    def _answer(self, request: Request, plan: "_AnswerPlan", make_answer: MakeAnswer) -> Deferred[bytes | None]:
        encoder = plan.encoder
        if isinstance(encoder, Parquet):
            return self._answer_ranges(request, plan, encoder, make_answer)
        if plan.query is None:
            answer = make_answer(encoder)
            answer.convert_rows = plan.convert_rows
            transfer = self._fetch(plan.message, answer.extend)
            return answer.stream(transfer.result, transfer)
        assert self._files is not None
        is_encoded, parts = file_parts(self._files.blocks(plan.query), encoder, plan.converter)
        answer = make_answer(join_parts(encoder) if is_encoded else encoder)
        if is_encoded:
            download = self._downloads(parts, answer.append)
        else:
            answer.convert_rows = plan.convert_rows
            download = self._downloads(parts, answer.extend)
        return answer.stream(download.result, download)

    def _answer_ranges(
        self, request: Request, plan: "_AnswerPlan", encoder: Parquet, make_answer: MakeAnswer
    ) -> Deferred[bytes | None]:
        """Answer with a whole file, or with a range of it."""
        wanted = headers(request, "range")
        ready = self.prepared.get(request.uri, lambda made: self._prepare(made, plan, encoder), is_range=bool(wanted))

        def send(made: PreparedFile) -> bytes | Deferred[bytes | None]:
            request.setHeader("Content-Type", encoder.content_type)
            request.setHeader("Accept-Ranges", "bytes")
            request.setHeader("ETag", f'"{id(made):x}-{made.size:x}"')
            try:
                part = parse_range(",".join(wanted), made.size)
            except ValueError as error:
                request.setResponseCode(416)
                request.setHeader("Content-Range", str(error))
                request.setHeader("Content-Length", "0")
                return b""
            begin, end = part or (0, made.size)
            if part is not None:
                request.setResponseCode(206)
                request.setHeader("Content-Range", f"bytes {begin}-{end - 1}/{made.size}")
            request.setHeader("Content-Length", str(end - begin))
            if request.method == b"HEAD":
                return b""
            answer = make_answer(join_parts(encoder))
            download = self._downloads(made.read_parts(begin, end), answer.append)
            return answer.stream(download.result, download)

        return ready.addCallback(send)

    def _prepare(self, made: PreparedFile, plan: "_AnswerPlan", encoder: Parquet) -> Deferred[Any]:
        """Write a whole answer to a file."""
        if plan.query is None:
            return self._prepare_rows(made, plan, encoder)
        assert self._files is not None
        _, parts = file_parts(self._files.blocks(plan.query), encoder, plan.converter)
        return self._downloads(_written(parts, made), lambda _count: None).result

    def _prepare_rows(self, made: PreparedFile, plan: "_AnswerPlan", encoder: Parquet) -> Deferred[Any]:
        def write(rows: list[Message]) -> None:
            made.write(encoder.rows(rows if plan.convert_rows is None else plan.convert_rows(rows)))

        transfer = self._fetch(plan.message, write)
        return transfer.result.addCallback(lambda _count: made.write(encoder.end()))


class _AnswerPlan:
    """Hold what is known of an answer before its first row.

    query: of data files; None: the data come from the server.
    """

    def __init__(self, message: Any, query: FileQuery | None, encoder: RowEncoder, options: OutputOptions) -> None:
        self.message = message
        self.query = query
        self.encoder = encoder
        self.converter: DisplayConverter | None = None
        if options.iso_times:
            self.converter = DisplayConverter(prices=False, times=True)

    def with_prices(self, converter: DisplayConverter) -> "_AnswerPlan":
        """Set the converter of prices and times."""
        self.converter = converter
        return self

    @property
    def convert_rows(self) -> Callable[[Sequence[Message]], Sequence[Row]] | None:
        """Convert rows; None: they stay as they are."""
        converter = self.converter
        return None if converter is None else lambda rows: [converter(row) for row in rows]


def _written(parts: Iterator[bytes], made: PreparedFile) -> Iterator[int]:
    """Write parts to a file, and yield the size of each."""
    for part in parts:
        made.write(part)
        yield len(part)


def file_query(message: Any, source: FileOptions) -> FileQuery:
    """Return the query of data files that a request describes. Raises BadParameter."""

    def number(value: Any) -> int:
        return 0 if value is UNSET else int(value)

    if isinstance(message, dtc.HistoricalMarketDepthDataRequest):
        return DepthQuery(str(message.Symbol), number(message.StartDateTime), number(message.EndDateTime))
    return PriceQuery(
        str(message.Symbol),
        number(message.RecordInterval) * SECOND,
        number(message.StartDateTime) * SECOND,
        number(message.EndDateTime) * SECOND,
        number(message.MaxDaysToReturn),
        None if source.session is None else _parse_session(source.session, source.zone),
    )


def _parse_session(text: str, zone: str) -> TradingSession:
    try:
        session = TradingSession.parse(text, ZoneInfo(zone))
    except (OSError, ValueError, KeyError):
        raise BadParameter(f"timezone: {zone[:100]!r} is not a known time zone.") from None
    if session is None:
        raise BadParameter(f"session: {text[:100]!r} was given; expected HH:MM-HH:MM.")
    return session
