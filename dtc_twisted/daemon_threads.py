"""Run functions in threads that do not keep the process from ending."""

import time
from functools import partial
from threading import Thread

from twisted.python.threadpool import ThreadPool


class DaemonThreadPool(ThreadPool):
    """A pool whose threads end with the process, whatever they wait for."""

    threadFactory = staticmethod(partial(Thread, daemon=True))  # type: ignore[assignment]

    def stop_within(self, seconds: float) -> bool:
        """Wait for running functions, and end the threads.

        Return False if one of them goes on.
        """
        threads, self.threads = self.threads, []  # `stop` waits without a limit for those that are listed
        self.stop()
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)
