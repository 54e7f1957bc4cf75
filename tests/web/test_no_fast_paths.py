"""Run the same tests without the fast paths around Twisted's and Autobahn's buffers."""

from tests import test_service
from tests.support import GatewayTestCase, slow
from tests.transport import test_upstream
from tests.web import test_account_channels, test_multi_channel, test_single_channel

for _module in (test_account_channels, test_service, test_single_channel, test_multi_channel, test_upstream):
    for _name, _case in list(vars(_module).items()):
        if isinstance(_case, type) and issubclass(_case, GatewayTestCase) and _case.__module__ == _module.__name__:
            _slow = slow(type(f"Slow{_name}", (_case,), {"fast": False, "__module__": __name__}))
            globals()[_slow.__name__] = _slow
