"""How long the long scenarios run.

Owns: the reading of ``SOAK``: seconds for each scenario. Unset, a scenario is a short smoke run; CI gives 8,
``make soak`` the full duration.
"""

from __future__ import annotations

import os

SMOKE_SECONDS = 1.0


def soak_seconds(share: float = 1.0) -> float:
    """Seconds a long scenario may run: ``share`` of what ``SOAK`` grants, or the smoke duration."""
    return float(os.environ.get("SOAK") or SMOKE_SECONDS) * share


SOAK_SECONDS = soak_seconds()
