"""Serve what describes the API.

That is /openapi.json, /asyncapi.json, the page /docs, and the list of paths at /api/v1.
"""

import mimetypes
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from twisted.web.server import Request

from dtc_twisted import __version__
from dtc_twisted.errors import NotFound
from dtc_twisted.logs import pretty_json
from dtc_twisted.web.openapi.asyncapi import asyncapi_document
from dtc_twisted.web.openapi.document import openapi_document
from dtc_twisted.web.openapi.gateway_operations import ASYNCAPI, INDEX, OPENAPI
from dtc_twisted.web.openapi.order_operations import ORDER_SCHEMAS
from dtc_twisted.web.openapi.read_operations import read_schemas
from dtc_twisted.web.query import query_args, reject_unknown
from dtc_twisted.web.rest.api import RestApi
from dtc_twisted.web.rest.resource import json_response
from dtc_twisted.web.rest.routes import GET_REQUESTS, PREFIX

_PAGE = Path(__file__).parent / "docs_page"
_UI_FILES = ("swagger-ui.css", "swagger-ui-bundle.js")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
)
"""Swagger UI sets styles of elements; its scripts are files only."""


class DocumentRoutes:
    """Add the paths to `rest`.

    Make it after all other routes, because the documents list those that exist then.

    The documents contain nothing of the server or the accounts, and need no token.

    is_root: whether / leads to /docs.
    """

    def __init__(self, rest: RestApi, *, is_root: bool) -> None:
        self._rest = rest
        self._openapi = b""
        self._asyncapi = b""
        self._files: dict[str, bytes] = {}  # by name; all callers share the bytes
        rest.route("GET", "/openapi.json", self._get_openapi, OPENAPI, prefix="", public=True)
        rest.route("GET", "/asyncapi.json", self._get_asyncapi, ASYNCAPI, prefix="", public=True)
        rest.route("GET", "", self._index, INDEX)
        if is_root:
            rest.route("GET", "/", self._redirect, None, prefix="", public=True)
        rest.route("GET", "/docs", self._docs, None, prefix="", public=True)
        for name in ("docs.js", *_UI_FILES):
            rest.route("GET", f"/docs/{name}", self._file_handler(name), None, prefix="", public=True)

    def _get_openapi(self, request: Request) -> bytes:
        reject_unknown(query_args(request), ())
        if not self._openapi:
            schemas = ORDER_SCHEMAS | read_schemas([*GET_REQUESTS.values()])
            document = openapi_document(self._rest.described_routes, schemas, __version__)
            self._openapi = pretty_json(document) + b"\n"
        return _body(request, self._openapi, "application/json; charset=utf-8")

    def _get_asyncapi(self, request: Request) -> bytes:
        reject_unknown(query_args(request), ())
        if not self._asyncapi:
            self._asyncapi = pretty_json(asyncapi_document(__version__)) + b"\n"
        return _body(request, self._asyncapi, "application/json; charset=utf-8")

    def _index(self, request: Request) -> bytes:
        reject_unknown(query_args(request), ())
        rows = [
            {"method": each.method, "path": each.template, "summary": each.operation.summary}
            for each in self._rest.described_routes
        ]
        rows += [{"method": "GET", "path": f"{PREFIX}/stream", "summary": "WebSocket of all channels: /asyncapi.json"}]
        return json_response(request, sorted(rows, key=lambda row: (row["path"], row["method"])))

    def _docs(self, request: Request) -> bytes:
        request.setHeader("Content-Security-Policy", _POLICY)
        return _body(request, (_PAGE / "docs.html").read_bytes(), "text/html; charset=utf-8")

    def _redirect(self, request: Request) -> bytes:
        request.setResponseCode(302)
        request.setHeader("Location", "/docs")
        return b""

    def _file_handler(self, name: str) -> Callable[[Request], bytes]:
        def answer(request: Request) -> bytes:
            if name not in self._files:
                self._files[name] = ((_PAGE if name == "docs.js" else _ui_folder()) / name).read_bytes()
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            request.setHeader("Cache-Control", "max-age=3600")
            return _body(request, self._files[name], f"{kind}; charset=utf-8")

        return answer


def _ui_folder() -> Path:
    """Return the folder of Swagger UI's files.

    The code of its package, which is for Flask, is not imported.

    Raises NotFound if the package is not installed.
    """
    spec = find_spec("flask_swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        raise NotFound("Swagger UI is not installed: pip install flask-swagger-ui.")
    return Path(spec.submodule_search_locations[0]) / "dist"


def _body(request: Request, data: bytes, content_type: str) -> bytes:
    request.setHeader("Content-Type", content_type)
    request.setHeader("Content-Length", str(len(data)))
    return data
