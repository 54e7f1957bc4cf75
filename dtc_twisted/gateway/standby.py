"""Log on only while this process holds the lease of the origin."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall

from dtc_twisted.cluster.lease import OriginLease
from dtc_twisted.errors import NotLoggedOn, StartupError, StoreError, StoreLocked
from dtc_twisted.gateway.web_parts import GatewayParts
from dtc_twisted.interfaces import IGatewayReactor
from dtc_twisted.journal import FileLock
from dtc_twisted.logs import call_safely, logger

_log = logger(__name__)

JOURNAL_PATIENCE = 10.0
"""Seconds to wait until the former origin has closed the journal."""

JOURNAL_INTERVAL = 0.1


class HeldServices(MultiService):
    """Hold services that are started by `release`, not with the gateway."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped: Any = None

    def startService(self) -> None:
        """Wait for `release`."""

    def release(self) -> None:
        """Start the services."""
        super().startService()

    def stopService(self) -> Any:
        if self.running:
            self._stopped = super().stopService()
        return self._stopped


class StandbyGateway(MultiService):
    """Hold a gateway that is the origin only while it has the lease.

    gateway: all services of the gateway.
    held: those of them that need the lease, in the order in which they are started. The last ones end the session.
    key: name of the lease.
    end: ends the process with an exit status.
    """

    def __init__(
        self,
        reactor: IGatewayReactor,
        parts: GatewayParts,
        lease: OriginLease,
        gateway: IService,
        held: Sequence[HeldServices],
        key: str,
        end: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._parts = parts
        self._lease = lease
        self._held = held
        self._key = key
        self._end = end
        self._retry: IDelayedCall | None = None
        self._is_released = False
        self._cluster = parts.status.cluster
        parts.status.cluster = self._cluster_status
        parts.status.waiting = self._waiting_reason
        parts.upstream.require_permission = lease.require
        if parts.orders.manager is not None:
            parts.orders.manager.require_origin = self._require_origin
        lease.on_taken, lease.on_lost, lease.on_change = self._on_taken, self._on_lost, self._on_change
        gateway.setServiceParent(self)

    # -- called by the service tree

    def startService(self) -> None:
        self._on_change()
        super().startService()
        self._lease.start()

    def stopService(self) -> Deferred[None]:
        if self._retry is not None and self._retry.active():
            self._retry.cancel()

        def give_up(_: object) -> Deferred[None]:
            return Deferred.fromCoroutine(self._lease.stop())

        return maybeDeferred(super().stopService).addBoth(give_up)

    # -- for GatewayStatus

    def _waiting_reason(self) -> str:
        return "" if self._is_released else f"standby: waits for the lease of {self._key}"

    def _require_origin(self) -> None:
        """Raise NotLoggedOn while this is a standby."""
        if self._is_released:
            return
        if self._lease.is_held:
            problem = f"it has the lease of {self._key}, and waits for the journal"
        elif self._lease.holder:
            problem = f"the origin {self._lease.holder} holds the lease of {self._key}, and takes the orders"
        else:
            problem = f"it waits for the lease of {self._key}{self._problem()}"
        raise NotLoggedOn(f"This gateway is a standby: {problem}.")

    def _problem(self) -> str:
        return f": {self._lease.problem}" if self._lease.problem else ""

    def _cluster_status(self) -> dict[str, Any]:
        age = self._lease.age
        found = {} if self._cluster is None else self._cluster()
        return found | {
            "role": "origin" if self._is_released else "standby",
            "nats": self._lease.problem or (found["nats"] if self._is_released else "connected"),
            "holder": self._lease.holder or None,
            "lease_age": None if age is None else round(age, 3),
        }

    # -- called by OriginLease

    def _on_change(self) -> None:
        if not self._is_released:
            holder = f", which {self._lease.holder} holds" if self._lease.holder else ""
            self._parts.upstream.wait(f"{self._waiting_reason()}{holder}{self._problem()}")

    def _on_taken(self, generation: int) -> None:
        for begin in self._parts.epoch_listeners:
            begin(generation)
        self._release(self._reactor.seconds() + JOURNAL_PATIENCE)

    def _release(self, deadline: float) -> None:
        """Start the services, as soon as the journal is free."""
        journal = self._parts.orders.journal
        if journal is not None and is_locked(journal.path) and self._reactor.seconds() < deadline:
            self._retry = self._reactor.callLater(JOURNAL_INTERVAL, partial(self._release, deadline))
            return
        if not self._lease.is_held:
            return
        self._is_released = True
        try:
            for each in self._held:
                each.release()
        except StartupError as error:
            _log.critical("{text}", text=str(error.code))
            self._end(1)
        except Exception:  # the lease would be kept by a process that does not serve
            _log.failure("Failed to become the origin. This process ends")
            self._end(1)

    def _on_lost(self, reason: str) -> None:
        """Log off at once, and end the process."""
        _log.critical("The lease of the origin is lost: {reason}. This process ends.", reason=reason)
        call_safely(self._held[-1].stopService)
        self._end(1)


def is_locked(path: str) -> bool:
    """Return whether another process has the journal open."""
    try:
        FileLock(path).release()
    except StoreLocked:
        return True
    except (StoreError, OSError):
        return False  # the journal states it when it is opened
    return False
