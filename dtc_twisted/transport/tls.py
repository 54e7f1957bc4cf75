"""Explain why TLS to the server failed."""

from OpenSSL import SSL
from service_identity import VerificationError


def tls_reason(error: BaseException | None, host: str) -> str:
    """Return why a connection was lost, in one line; empty if not because of TLS.

    host: the name or address for which the server's certificate must be valid.
    """
    if isinstance(error, VerificationError):
        return f"the server's certificate is not valid for {host}"
    if not isinstance(error, SSL.Error):
        return ""
    details = error.args[0] if error.args and isinstance(error.args[0], list) else []
    text = ", ".join(str(each[-1]) for each in details) or "no reason given"
    if "certificate verify failed" in text:
        return f"the server's certificate cannot be verified ({text}): its authority is unknown here, or it has expired"
    return f"TLS failed ({text})"
