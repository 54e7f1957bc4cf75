"""Hold the options that all subcommands share."""

from dataclasses import dataclass, field

import click

from dtc_twisted.client import Client


@dataclass(frozen=True)
class SharedOptions:
    """The options before the subcommand."""

    url: str
    token: str = field(repr=False)
    timeout: float
    as_json: bool

    def client(self) -> Client:
        """Return a client of the gateway."""
        return Client(self.url, self.token, self.timeout, order_timeout=self.timeout)


pass_options = click.make_pass_decorator(SharedOptions)
