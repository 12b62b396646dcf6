"""How hypothesis judges: by what a test finds, not by how long the machine took for it.

Examples are drawn at random, so that every run looks elsewhere; with ``CI`` set always the same, so that a change is
judged by what it changed.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("patient")
