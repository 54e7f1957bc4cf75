"""Run the same tests without the fast paths around Twisted's and Autobahn's buffers."""

from tests import test_service
from tests.support import GatewayTestCase, slow
from tests.transport import test_upstream
from tests.web import test_account_channels, test_multi_channel, test_single_channel


def slow_cases() -> dict[str, type[GatewayTestCase]]:
    """Make a case without fast paths of each case, by name."""
    found = {}
    for module in (test_account_channels, test_service, test_single_channel, test_multi_channel, test_upstream):
        for name, case in vars(module).items():
            if isinstance(case, type) and issubclass(case, GatewayTestCase) and case.__module__ == module.__name__:
                unique = f"Slow_{module.__name__.rpartition('.')[2]}_{name}"
                found[unique] = slow(type(unique, (case,), {"fast": False, "__module__": __name__}))
    return found


# No other name of the module may be a case: trial would run its tests twice, at the same time in two processes.
globals().update(slow_cases())
