"""How many examples the model tests try: some that never change, or many others for a search.

    MODEL_EXAMPLES=1000 trial tests.orders.test_chaos

tries that many that no run has tried before. An example that fails is printed as the calls that lead to the failure.
"""

import os
from typing import Any

from hypothesis import HealthCheck, settings


def model_settings(examples: int, steps: int) -> Any:
    """Return the settings of a state machine of so many examples of so many steps each."""
    searched = int(os.environ.get("MODEL_EXAMPLES", "0"))
    return settings(
        max_examples=searched or examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=not searched,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
