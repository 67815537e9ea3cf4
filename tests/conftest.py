"""Hypothesis profiles: short and repeatable by default, long and random with HYPOTHESIS_PROFILE=fuzz."""

import os

from hypothesis import HealthCheck, settings

QUIET = (HealthCheck.too_slow,)
settings.register_profile("default", max_examples=60, deadline=None, derandomize=True, suppress_health_check=QUIET)
settings.register_profile("fuzz", max_examples=20_000, deadline=None, suppress_health_check=QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
