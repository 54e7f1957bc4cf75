"""Make the JSON value of an error, the same over REST and /stream."""

from typing import Any

from twisted.python.failure import Failure

from dtc_twisted.errors import INTERNAL_ERROR, public_error
from dtc_twisted.logs import logger

_log = logger(__name__)


def error_json(failure: Failure, error: BaseException | None, place: str, **details: Any) -> dict[str, Any]:
    """Return what a caller sees of an error, and of the orders that it is about.

    failure: what is logged if the gateway has a fault.
    error: what the caller sees.
    place: what failed, for the log.
    details: other fields of the error.
    """
    status, name = public_error(error)
    text = str(error)
    if (status, name) == INTERNAL_ERROR:
        _log.failure("Failed to answer {place}", failure, place=place)
        text = "The gateway failed to answer; its log says why."
    known = {each: getattr(error, each) for each in ("updates", "orders") if hasattr(error, each)}
    return {"success": False, "error": {"type": name, "message": text, "status": status} | known | details}
