"""This machine."""

from dataclasses import replace

from ..harness.measure import measure as measure_here
from ..harness.records import Measured, Plan
from . import Progress


def measure(plan: Plan, name: str, tell: Progress) -> Measured:
    """Measure a plan on this machine; see `osteolite.benchmarks.harness.measure`."""
    return replace(measure_here(plan, tell), device=name)
