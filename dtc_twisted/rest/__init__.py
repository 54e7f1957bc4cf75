"""HTTP: a request becomes a DTC request, its reply rows of DTC messages. Query names are DTC field names.

`Rest.route` adds an address; `body` reads the JSON object that a request brings, `as_json` writes an answer.

Errors are `{"success": false, "error": {"type", "message", "status"}}`; which status means what is decided in
problems.py and nowhere else.
"""

from dtc_twisted.rest.bodies import MAX_BODY, body
from dtc_twisted.rest.paths import GETS, LONG, PREFIX, ROWS, SNAPSHOTS
from dtc_twisted.rest.resource import Gateway, Rest
from dtc_twisted.rest.site import QuietSite, as_json
from dtc_twisted.rest.trading import Trading

__all__ = [
    "GETS",
    "LONG",
    "MAX_BODY",
    "PREFIX",
    "ROWS",
    "SNAPSHOTS",
    "Gateway",
    "QuietSite",
    "Rest",
    "Trading",
    "as_json",
    "body",
]
