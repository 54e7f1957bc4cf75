"""Serve HTTP: turn each request into a DTC request, and the responses into rows.

Names of query parameters are the names of DTC fields. `RestApi.route` adds a path. `json_object` parses the body of a
request. `json_response` makes the body of an answer.

Errors are `{"success": false, "error": {"type", "message", "status"}}`. Status and type are in `errors.PUBLIC_ERRORS`.
"""

from dtc_twisted.web.rest.api import RestApi, RestBackend
from dtc_twisted.web.rest.dashboard_routes import DashboardRoutes
from dtc_twisted.web.rest.document_routes import DocumentRoutes
from dtc_twisted.web.rest.forwarding import OriginForwarder
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
    "DashboardRoutes",
    "DocumentRoutes",
    "MonitoringRoutes",
    "OrderRoutes",
    "OriginForwarder",
    "QuietSite",
    "RestApi",
    "RestBackend",
    "json_object",
    "json_response",
]
