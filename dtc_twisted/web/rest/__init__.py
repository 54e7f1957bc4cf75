"""HTTP: a request becomes a DTC request, its reply rows of DTC messages. Query names are DTC field names.

`Rest.route` adds an address; `body` reads the JSON object that a request brings, `as_json` writes an answer.

Errors are `{"success": false, "error": {"type", "message", "status"}}`; status and type are those of
`errors.PUBLIC_ERRORS`.
"""

from dtc_twisted.web.rest.api import RestApi, RestBackend
from dtc_twisted.web.rest.json_body import MAX_BODY, json_object
from dtc_twisted.web.rest.monitoring_routes import MonitoringRoutes
from dtc_twisted.web.rest.order_routes import OrderRoutes
from dtc_twisted.web.rest.resource import QuietSite, json_response
from dtc_twisted.web.rest.routes import GET_REQUESTS, PREFIX, ROW_TYPES, SNAPSHOT_REQUESTS, STREAMED_REQUESTS

__all__ = [
    "GET_REQUESTS",
    "MAX_BODY",
    "PREFIX",
    "ROW_TYPES",
    "SNAPSHOT_REQUESTS",
    "STREAMED_REQUESTS",
    "MonitoringRoutes",
    "OrderRoutes",
    "QuietSite",
    "RestApi",
    "RestBackend",
    "json_object",
    "json_response",
]
