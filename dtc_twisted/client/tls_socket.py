"""Share a TLS connection between two threads.

The websockets library reads in one and writes in the other. OpenSSL allows one thread at a time. What one thread writes
while another waits in a read may be lost, without an error. So calls of the connection return at once here, and threads
wait for the socket while others may call.
"""

import selectors
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar, cast

from websockets.sync.client import ClientConnection

_Result = TypeVar("_Result")


class ThreadedConnection(ClientConnection):
    """Connect with a TLS socket that the threads of the websockets library may share."""

    def __init__(self, connected: socket.socket, *args: Any, **kwargs: Any) -> None:
        if isinstance(connected, ssl.SSLSocket):
            connected = cast(socket.socket, TlsSocket(connected))
        super().__init__(connected, *args, **kwargs)


class TlsSocket:
    """Read and write a TLS connection, in one thread each.

    connection: after its TLS handshake.
    """

    def __init__(self, connection: ssl.SSLSocket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._lock = Lock()  # held during each call of the connection, not while a thread waits
        self._reading = Lock()
        self._writing = Lock()
        self._timeout: float | None = None

    def recv(self, size: int) -> bytes:
        """Return what has arrived, b"" at the end. Waits for it. Raises OSError."""
        with self._reading:
            return self._call(self._connection.recv, size)

    def sendall(self, data: bytes) -> None:
        """Send all of the data. Raises TimeoutError, OSError."""
        rest = memoryview(data)
        with self._writing:
            while rest:
                rest = rest[self._call(self._connection.send, rest) :]

    def settimeout(self, seconds: float | None) -> None:
        """Set how long a call waits for the socket. None: as long as it takes."""
        self._timeout = seconds

    def shutdown(self, how: int) -> None:
        """End the TCP connection in one direction or both.

        Threads that wait for it go on. SSLSocket's would have the rest read as if it were not encrypted.
        Raises OSError.
        """
        with self._lock:
            socket.socket.shutdown(self._connection, how)

    def close(self) -> None:
        """Close the socket.

        First the threads that wait for it have to go on, because closing does not wake them.
        """
        with suppress(OSError):  # it is not connected any more
            self.shutdown(socket.SHUT_RDWR)
        with self._reading, self._writing:
            self._connection.close()

    def fileno(self) -> int:
        return self._connection.fileno()

    def getpeername(self) -> Any:
        return self._connection.getpeername()

    def getsockname(self) -> Any:
        return self._connection.getsockname()

    def _call(self, method: Callable[[Any], _Result], argument: Any) -> _Result:
        """Call a method of the connection until it need not wait.

        Raises TimeoutError, OSError.
        """
        while True:
            try:
                with self._lock:
                    return method(argument)
            except ssl.SSLWantReadError:
                self._wait(selectors.EVENT_READ)
            except ssl.SSLWantWriteError:
                self._wait(selectors.EVENT_WRITE)

    def _wait(self, event: int) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, event)
            if not selector.select(self._timeout):
                raise TimeoutError("the socket was not ready in time")
