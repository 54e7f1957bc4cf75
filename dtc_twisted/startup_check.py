"""Check options, files, connection and logon, and end: `twistd dtc --check`."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.interfaces import IDelayedCall

from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.logs import logger
from dtc_twisted.transport.upstream import Upstream
from dtc_twisted.transport.upstream_status import UpstreamState

_log = logger(__name__)
_PATIENCE = 10.0  # seconds, besides the time that the server has for an answer


def file_findings(settings: Mapping[str, Any], journal: str | None) -> list[str]:
    """Return one line for each file of the options, all of which were read or found.

    journal: its path; None without --allow-trading.

    Raises OSError if the journal cannot be written.
    """
    lines = []
    if settings["tokens"] is not None:
        principals = settings["tokens"].table.values()
        traders = sum(each.may_trade for each in principals)
        lines.append(f"--token-file: {len(principals)} tokens, {traders} of them may trade")
    if settings["certificate"] is not None:
        lines.append(f"--cert: a certificate for {', '.join(settings['certificate'].names) or 'no DNS name'}")
    if settings["data-folder"] and not settings["demo"]:
        names = [path.suffix.lower() for path in Path(settings["data-folder"]).iterdir()]
        found = sum(name in (".scid", ".depth", ".dly") for name in names)
        lines.append(f"--data-folder: {found} data files")
    if journal is not None:
        folder = os.path.dirname(os.path.abspath(journal))
        if not os.access(journal if os.path.exists(journal) else folder, os.W_OK):
            raise OSError(f"--journal: {journal} cannot be written")
        lines.append(f"--journal: {journal} {'exists' if os.path.exists(journal) else 'will be made'}")
    return lines


class StartupCheck(MultiService):
    """Log on to the server, log what it says, and end.

    upstream: None if only files are served.
    findings: lines about files, logged first.
    end: ends the process with an exit status.
    """

    def __init__(
        self,
        reactor: IGatewayReactor,
        upstream: Upstream | None,
        findings: list[str],
        timeout: float,
        end: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._upstream = upstream
        self._findings = findings
        self._timeout = timeout
        self._end = end
        self._patience: IDelayedCall | None = None
        self._is_finished = False
        if upstream is not None:
            upstream.status_listeners.append(self._status_changed)
            upstream.setServiceParent(self)

    def startService(self) -> None:
        for line in self._findings:
            _log.info("{line}", line=line)
        if self._upstream is None:
            self._finish("no server: only files are served", 0)
        else:
            seconds = self._timeout + _PATIENCE
            self._patience = self._reactor.callLater(seconds, self._finish, f"{self._upstream.url} does not answer", 1)
        super().startService()

    def _status_changed(self) -> None:
        assert self._upstream is not None
        status, session = self._upstream.status, self._upstream.session
        if session is not None and session.logon is not None:
            orders = "takes orders" if session.logon.TradingIsSupported == 1 else "takes no orders"
            self._finish(f"logged on to {status.server_name} at {status.url}, which {orders}", 0)
        elif status.state in (UpstreamState.WAITING, UpstreamState.REFUSED):
            self._finish(f"no session with {status.url}: {status.reason}", 1)

    def _finish(self, line: str, exit_status: int) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        write = _log.error if exit_status else _log.info
        write("{line}", line=line)
        self._end(exit_status)
