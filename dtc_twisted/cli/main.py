"""Define the command `dtc`: its options, exit statuses and subcommands."""

import sys
from dataclasses import dataclass

import click

from dtc_twisted import __version__
from dtc_twisted.cli.market_commands import MARKET_COMMANDS
from dtc_twisted.cli.output import write_error
from dtc_twisted.cli.record_commands import record as record_command
from dtc_twisted.cli.shared_options import SharedOptions
from dtc_twisted.cli.token_command import token as token_command
from dtc_twisted.cli.trading_commands import TRADING_COMMANDS
from dtc_twisted.client import ApiError, GatewayUnreachable

EXIT_STATUSES = {
    0: "done",
    1: "the gateway or the server refused",
    2: "the command line is wrong",
    3: "the gateway does not answer",
    4: "the outcome of an order is unknown: do not place it again under another id",
    5: "the gateway is not ready: try again",
    130: "interrupted",
}
"""Exit statuses of `dtc`."""


@dataclass(frozen=True)
class Failure:
    """Hold the exit status and the text of a failed command."""

    status: int
    text: str


def failure_of(error: Exception) -> Failure | None:
    """Return how a command ends that failed; None for errors of other kinds."""
    if isinstance(error, GatewayUnreachable):
        return Failure(3, f"The gateway does not answer. {error}")
    if isinstance(error, ApiError):
        status = 4 if error.type == "OutcomeUnknown" else 5 if error.status == 503 else 1
        return Failure(status, str(error))
    return None


class CommandGroup(click.Group):
    """A group whose commands end with an exit status and one line when they fail."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(130)
        except (ApiError, GatewayUnreachable) as error:
            failure = failure_of(error)
            assert failure is not None
            write_error(failure.text)
            sys.exit(failure.status)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dtc")
@click.option(
    "--url", envvar="DTC_URL", default="http://127.0.0.1:8080", show_default=True, help="The gateway (DTC_URL)."
)
@click.option("--token", envvar="DTC_TOKEN", default="", help="The token (better in DTC_TOKEN).")
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds to wait for an answer.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of tables.")
@click.pass_context
def cli(ctx: click.Context, url: str, token: str, timeout: float, as_json: bool) -> None:
    """Show markets and accounts, and trade, through a dtc_twisted gateway.

    Exit statuses: 0 done, 1 refused, 2 wrong command line, 3 the gateway does not answer, 4 the outcome of an order is
    unknown, 5 not ready.
    """
    ctx.obj = SharedOptions(url, token, timeout, as_json)


for _command in (*MARKET_COMMANDS, *TRADING_COMMANDS, token_command, record_command):
    cli.add_command(_command)
