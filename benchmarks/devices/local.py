"""This machine."""

from dataclasses import replace

from ..lanes import Measured, Plan
from ..measure import measure as measure_here
from . import Progress


def measure(plan: Plan, name: str, tell: Progress) -> Measured:
    """Measure a plan here; see `osteolite.benchmarks.measure`."""
    return replace(measure_here(plan, tell), device=name)
