"""Serve the trading dashboard at /: static files, which use the public API only."""

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

from twisted.web.http import CACHED
from twisted.web.server import Request

from dtc_twisted.web.rest.api import RestApi

FOLDER = Path(__file__).parents[1] / "dashboard"
FOLDER_PATH = "/dashboard"
"""Path of the files, except for the page itself."""

PAGE = "index.html"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


class DashboardRoutes:
    """Add the page and its files to `rest`.

    They contain nothing of the server or the accounts, and need no token. A file is read when it is asked for.
    """

    def __init__(self, rest: RestApi) -> None:
        for path, handler in _handlers().items():
            rest.route("GET", path, handler, None, prefix="", public=True)


@cache
def _handlers() -> dict[str, Callable[[Request], bytes]]:
    """Return the handlers of the page and its files, by path."""
    files = [path for path in FOLDER.iterdir() if path.suffix in _TYPES]
    return {"/" if path.name == PAGE else f"{FOLDER_PATH}/{path.name}": _handler(path) for path in files}


def _handler(path: Path) -> Callable[[Request], bytes]:
    kind = _TYPES[path.suffix]

    def answer(request: Request) -> bytes:
        data = path.read_bytes()
        request.setHeader("Content-Security-Policy", _POLICY)
        request.setHeader("Content-Type", f"{kind}; charset=utf-8")
        # The browser asks each time, so that the files of two versions are never mixed.
        request.setHeader("Cache-Control", "no-cache")
        if request.setETag(b'"' + sha256(data).hexdigest()[:32].encode() + b'"') is CACHED:
            return b""
        request.setHeader("Content-Length", str(len(data)))
        return data

    return answer
