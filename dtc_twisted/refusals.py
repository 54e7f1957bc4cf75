"""Count what the gateway refuses because of a limit."""

REASONS = (
    "bad_request",
    "connections",
    "connections_of_address",
    "fragments",
    "header_size",
    "lists",
    "message_size",
    "not_utf8",
    "protocol_violation",
    "requests",
    "requests_of_token",
    "slow_request",
    "subscriptions",
    "subscriptions_of_all",
    "unread_answers",
    "wrong_token",
    "unsent",
)
"""Values of the label `reason` of dtc_refused_total. docs/metrics.md describes them."""


class Refusals:
    """Count refused connections, requests and messages.

    counts: number of refusals by reason, for each of REASONS.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = dict.fromkeys(REASONS, 0)

    def add(self, reason: str) -> None:
        """Count one refusal. Raises KeyError for a reason that is not in REASONS."""
        self.counts[reason] += 1
