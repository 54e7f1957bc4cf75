"""The tests. Their folders mirror the package."""

import atexit
import gc
import os
import random
import sys
from pathlib import Path
from typing import Any

from autobahn.twisted import websocket as autobahn_websocket
from autobahn.websocket import protocol
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir
from twisted.python.log import theLogPublisher
from twisted.trial import _synctest
from twisted.trial.runner import TestLoader

# Otherwise each process of the tests compiles every module again, which takes longer than to import them.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Its tables of characters, and of constants in our modules, take seconds to make. They are made once for this checkout.
set_hypothesis_home_dir(Path(__file__).parents[1] / ".hypothesis")

# The machine may be busy, which makes the generation of input slow.
settings.register_profile("whole", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.register_profile("fast", settings.get_profile("whole"), max_examples=10)
settings.load_profile("fast" if "FAST_TESTS" in os.environ else "whole")

# Thousands of tests leave many objects that stay. The usual thresholds search these often, a fifth of the time.
gc.set_threshold(50_000, 10, 10)
# The end of a process would search them too, which takes seconds.
atexit.register(gc.freeze)

# Trial marks each module before each test, so that a warning is shown again. Since Python 3.4 a change of the filters
# has this effect, and trial changes them too.
modules_of_trial: Any = _synctest
modules_of_trial._setWarningRegistryToNone = lambda modules: None

# Autobahn makes these texts for each connection, and logs them only at the level debug.
for texts_of_autobahn in (protocol, autobahn_websocket):
    for name in ("pformat", "hltype", "hlval"):
        setattr(texts_of_autobahn, name, lambda value: "")

# It also seeds the generator of the process for each connection, which takes 0.2 ms.
generator: Any = random.Random()
generator.seed = lambda: None
protocol_of_autobahn: Any = protocol
protocol_of_autobahn.random = generator

names_of = TestLoader.getTestCaseNames


def names_of_fast_tests(loader: TestLoader, case: Any) -> list[str]:
    """Return the names of a class's tests, without their prefix and without those that are marked `slow`."""
    tests = {name: getattr(case, loader.methodPrefix + name) for name in names_of(loader, case)}
    return [name for name, test in tests.items() if getattr(test, "skip", getattr(case, "skip", None)) != "slow"]


if "FAST_TESTS" in os.environ:
    # With `trial -j`, a test that is skipped takes 2 ms all the same, and a third of all are slow.
    TestLoader.getTestCaseNames = names_of_fast_tests  # type: ignore[method-assign]


def keep_log_from_trial() -> None:
    """Do not send each line of the log from a process of `trial -j` to its parent, where all are mixed in one file."""
    for observer in theLogPublisher.observers:
        if type(getattr(observer, "__self__", None)).__name__ == "WorkerLogObserver":
            theLogPublisher.removeObserver(observer)


keep_log_from_trial()
