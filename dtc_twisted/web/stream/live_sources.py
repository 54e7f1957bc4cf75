"""Choose the hub of a subscription: that of the server, or that of data files."""

from dataclasses import dataclass

from dtc_twisted.market_data import Hub


@dataclass(frozen=True)
class LiveSources:
    """Hold the hubs of market data.

    server: the hub of the server.
    files: the hub of data files; None: there is no data folder.
    has_server: whether the gateway has a server at all.
    remote: whether other machines may have data of files.
    """

    server: Hub
    files: Hub | None = None
    has_server: bool = True
    remote: bool = False

    def choose(self, source: str, *, is_local: bool) -> tuple[Hub, Hub | None]:
        """Return the hub to subscribe to, and the one to try after a rejection.

        source: "file", "dtc" or "auto".
        is_local: whether the subscriber is on this machine.
        Raises ValueError with a text for the subscriber.
        """
        if source == "file" and self.files is None:
            raise ValueError("source: there is no data folder; --data-folder names one.")
        if source == "file" and not (self.remote or is_local):
            raise ValueError("source: data of files are for this machine only; --data-folder-remote permits others.")
        if self.files is None or source == "dtc" or not (self.remote or is_local):
            return self.server, None
        if source == "file" or not self.has_server:
            return self.files, None
        return self.server, self.files

    @property
    def hubs(self) -> list[Hub]:
        """All hubs of market data."""
        return [self.server] if self.files is None else [self.server, self.files]
