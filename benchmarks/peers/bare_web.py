"""Serve the limit of REST: a resource of twisted.web that answers with a fixed number of bytes.

Arguments: bytes, and seconds until the answer; 0: at once.
"""

import sys
from contextlib import suppress
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

reactor: Any = installed


class Balance(Resource):
    isLeaf = True

    def render_GET(self, request: Request) -> int | bytes:
        request.setHeader(b"content-type", b"application/json; charset=utf-8")
        if not DELAY:
            return BODY
        timer = reactor.callLater(DELAY, self._answer, request)
        request.notifyFinish().addErrback(lambda _failure: _cancel(timer))
        return NOT_DONE_YET

    def _answer(self, request: Request) -> None:
        request.setHeader(b"content-length", b"%d" % len(BODY))
        request.write(BODY)
        request.finish()


def _cancel(timer: Any) -> None:
    with suppress(AlreadyCalled, AlreadyCancelled):
        timer.cancel()


DELAY, BODY = float(sys.argv[1]), b" " * int(sys.argv[2])
site = Site(Balance())
site.noisy = False
port = reactor.listenTCP(0, site, interface="127.0.0.1")
print(f"Serving http://127.0.0.1:{port.getHost().port}/", flush=True)
reactor.run()
