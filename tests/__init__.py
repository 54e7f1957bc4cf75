"""The tests. Their folders mirror the package."""

import gc
import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

# Its tables of characters, and of constants in our modules, take seconds to make. They are made once for this checkout.
set_hypothesis_home_dir(Path(__file__).parents[1] / ".hypothesis")

# The machine may be busy, which makes the generation of input slow.
settings.register_profile("whole", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.register_profile("fast", settings.get_profile("whole"), max_examples=10)
settings.load_profile("fast" if "FAST_TESTS" in os.environ else "whole")

# Thousands of tests leave many objects that stay. The usual thresholds search these often, a fifth of the time.
gc.set_threshold(50_000, 10, 10)
