"""Feed a hub with the records that are added to data files."""

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dtc_twisted.datafiles.data_folder import DataFolder
from dtc_twisted.datafiles.file_tail import FileTail, TailResult
from dtc_twisted.datafiles.file_threads import FileThreads
from dtc_twisted.datafiles.live_messages import LiveMessages
from dtc_twisted.dtc.messages import MarketDataReject, MarketDataRequest, Message, RequestActionEnum
from dtc_twisted.dtc.own_symbol_ids import OwnSymbolIds
from dtc_twisted.errors import NoDataFile
from dtc_twisted.logs import logger

_log = logger(__name__)

POLL_INTERVAL = 0.1
"""Seconds between two polls of all files that are followed."""


class _FollowedFile:
    """Hold one subscription with its file."""

    def __init__(self, symbol: str, symbol_id: int, tail: FileTail, *, once: bool) -> None:
        self.symbol = symbol
        self.symbol_id = symbol_id
        self.tail = tail
        self.once = once
        self.messages = LiveMessages(symbol_id)
        self.is_answered = False
        self.is_stale = False


class FileFeed(OwnSymbolIds, Service):
    """Take the place of a session with the server, for a hub.

    One loop polls all files, in a thread.

    receive: handles a message, as one from the server.
    mark_stale: called with SymbolID and reason if a file cannot be followed for now.
    on_read_done: called after the messages of a poll.
    """

    logon = None

    def __init__(
        self,
        clock: IReactorTime,
        threads: FileThreads,
        folder: DataFolder,
        receive: Callable[[Message], None],
        mark_stale: Callable[[int, str], None],
        on_read_done: Callable[[], None],
    ) -> None:
        super().__init__()
        self._clock = clock
        self._threads = threads
        self._folder = folder
        self._receive = receive
        self._mark_stale = mark_stale
        self._on_read_done = on_read_done
        self._followed: dict[int, _FollowedFile] = {}
        self._call: IDelayedCall | None = None
        self._is_polling = False

    # -- called by Hub, as of a session

    def send(self, request: MarketDataRequest) -> None:
        """Follow the file of a symbol, read its end once, or stop following it."""
        symbol, symbol_id = str(request.Symbol), int(request.SymbolID)  # type: ignore[arg-type]
        if request.RequestAction == RequestActionEnum.UNSUBSCRIBE:
            self._remove(symbol_id)
            return
        try:
            path = self._folder.intraday_path(symbol)
        except NoDataFile as error:
            text = str(error)
            self._clock.callLater(0, self._deliver, MarketDataReject(SymbolID=symbol_id, RejectText=text))
            return
        self._remove(symbol_id)
        once = request.RequestAction == RequestActionEnum.SNAPSHOT
        self._followed[symbol_id] = _FollowedFile(symbol, symbol_id, FileTail(path), once=once)
        self._schedule(0)

    # -- called by the service tree

    def startService(self) -> None:
        super().startService()
        self._schedule(0)

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        for symbol_id in list(self._followed):
            self._remove(symbol_id)
        return None

    # -- polling

    def _schedule(self, delay: float) -> None:
        if self._is_polling or not self.running or not self._followed:
            return
        if self._call is not None:
            self._call.cancel()
        self._call = self._clock.callLater(delay, self._poll)

    def _poll(self) -> None:
        self._call = None
        self._is_polling = True
        followed = list(self._followed.values())
        self._threads.run(_poll_all, followed).addCallbacks(
            lambda results: self._publish(followed, results),
            lambda failure: _log.failure("Failed to read data files", failure),
        ).addBoth(self._poll_again)

    def _publish(self, followed: list[_FollowedFile], results: list[TailResult]) -> bool:
        """Pass on what was read. Return whether there is more."""
        for each, result in zip(followed, results, strict=True):
            if self._followed.get(each.symbol_id) is each:
                self._publish_one(each, result)
            else:
                each.tail.close()  # it has been removed meanwhile
        self._on_read_done()
        return any(result.has_more for result in results)

    def _poll_again(self, has_more: object) -> None:
        self._is_polling = False
        self._schedule(0 if has_more is True else POLL_INTERVAL)

    def _publish_one(self, each: _FollowedFile, result: TailResult) -> None:
        if result.problem and not each.is_answered:
            self._remove(each.symbol_id)
            self._receive(MarketDataReject(SymbolID=each.symbol_id, RejectText=result.problem))
        elif result.problem:
            if not each.is_stale:
                each.is_stale = True
                self._mark_stale(each.symbol_id, result.problem)
        elif result.is_start:
            each.is_answered, each.is_stale = True, False
            if each.once:
                self._remove(each.symbol_id)
            self._receive(each.messages.snapshot(result.records))
        else:
            for message in each.messages.updates(result.records):
                self._receive(message)

    def _deliver(self, message: Message) -> None:
        self._receive(message)
        self._on_read_done()

    def _remove(self, symbol_id: int) -> None:
        followed = self._followed.pop(symbol_id, None)
        if followed is not None and not self._is_polling:
            followed.tail.close()


def _poll_all(followed: list[_FollowedFile]) -> list[TailResult]:
    return [each.tail.poll() for each in followed]
