"""What is compared on digits beside the methods that a table printed."""

from typing import Any

from da_bench.methods import METHODS, Method

CLASSICS = ("coral", "mmd", "jan", "cdan", "mcd", "wdgrl", "adda")
CONDITIONED = {"entropy_conditioning": "plain"}  # CDAN+E; printed under a name of its own, see baselines/published.py


def classics() -> list[Method]:
    """CORAL, DAN, JAN, CDAN, MCD, WDGRL, ADDA and CDAN+E, at the defaults of their papers."""
    asked: list[tuple[str, dict[str, Any]]] = [*((name, {}) for name in CLASSICS), ("cdan", CONDITIONED)]
    made: list[Any] = [METHODS[name](**fields) for name, fields in asked]
    return made
