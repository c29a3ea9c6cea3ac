"""Hypothesis profiles: `dev` by default, others by the environment variable HYPOTHESIS_PROFILE.

`dev` and `ci` draw the same examples each time, so that a red test is a change's own doing; `soak` draws new
ones.
"""

import os

from hypothesis import settings

settings.register_profile("dev", max_examples=50, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("soak", max_examples=5_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
