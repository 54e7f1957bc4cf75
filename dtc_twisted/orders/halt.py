"""Whether trading is halted."""

from dtc_twisted.errors import Conflict


class TradingHalt:
    """The halt that one command begins and another ends.

    text: since when, and by whom, no new orders are taken; empty: they are.
    """

    def __init__(self) -> None:
        self.text = ""

    def check(self) -> None:
        """Raise Conflict while trading is halted."""
        if self.text:
            raise Conflict(f"Trading is halted {self.text}.")
