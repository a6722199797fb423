"""Decide whether a result is valid: steady, unthrottled, quiet and long enough. If it is not, give the reasons."""

from typing import Any

import numpy as np

from ..harness.records import Case, Launch
from .intervals import FEWEST, median_interval

# Cores that other programs may keep busy during a case's turns. The services of a quiet machine take 0.01 to 0.03;
# a program that keeps one core busy takes 1.
FOREIGN_CORES = 0.1
STOLEN = 0.02  # share of CPU time that the hypervisor may give to others
DRIFT = 0.05  # relative change of the median from the first to the last third of a launch's turns
WIDTH = 0.1  # relative half-width of the interval of p50
FEWEST_RUNS = 50  # invocations
IMITATION = "a processor's imitation of"  # part of a case's `reason` if its GPU is emulated in software
CLOCK_FELL = 0.9  # lowest allowed final clock, as a share of that in the first third of the turns


def reasons(case: Case, conditions: dict[str, Any]) -> list[str]:
    """Why the results of a case are not valid; empty if they are valid.

    Values that a device does not report are not a reason; they are null in its conditions.
    """
    return [*_imitated(case), *_short(case), *_unsteady(case), *_unquiet(case), *throttled(conditions)]


def _imitated(case: Case) -> list[str]:
    return [f"no GPU: {case.reason}"] if IMITATION in case.reason else []


def _short(case: Case) -> list[str]:
    runs = sum(launch.runs or sum(map(len, launch.invoke)) for launch in case.launches)
    found = []
    if len(case.launches) < FEWEST:
        found.append(f"too short: {len(case.launches)} launches, {FEWEST} are needed")
    if 0 < runs < FEWEST_RUNS:
        found.append(f"too short: {runs} invocations, {FEWEST_RUNS} are needed")
    return found


def _unsteady(case: Case) -> list[str]:
    found = []
    if (unsteady := sum(not launch.steady for launch in case.launches)) > 1:
        found.append(f"unsteady: {unsteady} of {len(case.launches)} launches were not steady after their warm-up")
    drifts = [_drift(launch.invoke) for launch in case.launches if len(launch.invoke) >= 3]
    if drifts and abs(drift := float(np.median(drifts))) > DRIFT:
        found.append(
            f"unsteady: invocations became {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} within a launch"
        )
    known = median_interval(launch_medians(case))
    if known and (width := max(known[2] / known[0], known[0] / known[1]) - 1) > WIDTH:
        found.append(f"unsteady: launches differ, so p50 is known only to {width:.0%}; {WIDTH:.0%} is allowed")
    return found


def _drift(turns: list[list[float]]) -> float:
    medians = [float(np.median(turn)) for turn in turns]
    third = max(1, len(medians) // 3)
    return float(np.median(medians[-third:]) / np.median(medians[:third])) - 1


def launch_medians(case: Case) -> list[float]:
    """The p50 of each launch, in milliseconds."""
    medians = [_median_of(launch) for launch in case.launches]
    return [median for median in medians if median is not None]


def _median_of(launch: Launch) -> float | None:
    """The median of the runs, or the value that the device reported: its median, or else its mean."""
    if launch.invoke:
        return float(np.median([spent for turn in launch.invoke for spent in turn]))
    return launch.quantiles.get("p50", launch.quantiles.get("mean"))


def _unquiet(case: Case) -> list[str]:
    found = []
    cores = _second_largest([launch.foreign_cores for launch in case.launches])
    if cores > FOREIGN_CORES:
        found.append(f"not quiet: other programs kept up to {cores:.2f} cores busy; {FOREIGN_CORES:g} is allowed")
    share = _second_largest([launch.stolen for launch in case.launches])
    if share > STOLEN:
        found.append(f"not quiet: the hypervisor gave {share:.0%} of the CPU time to others; {STOLEN:.0%} is allowed")
    return found


def _second_largest(values: list[float | None]) -> float:
    """The limit that all launches but one kept: one exception does not affect the intervals either."""
    return sorted([0.0, 0.0, *(value for value in values if value is not None)])[-2]


def throttled(conditions: dict[str, Any]) -> list[str]:
    """Reports of heat, low voltage, a falling clock, or battery power."""
    before, after = conditions.get("before") or {}, conditions.get("after") or {}
    during = conditions.get("during") or {}
    found = []
    reported = {*(during.get("throttled") or []), *(after.get("throttled") or [])} - _past(before)
    if reported:
        found.append(f"throttled: {', '.join(sorted(reported))}")
    counted = (after.get("throttle_count") or 0) - (before.get("throttle_count") or 0)
    if counted > 0:
        found.append(f"throttled: CPU cores were slowed down by heat {counted} times")
    first, last = during.get("first_mhz"), during.get("last_mhz")
    if first and last and last < CLOCK_FELL * first:
        found.append(f"throttled: the clock fell from {first} to {last} MHz")
    if before.get("on_battery") or after.get("on_battery"):
        found.append("on battery: the device may slow down to save power")
    return found


def _past(before: dict[str, Any]) -> set[str]:
    """What happened before this run and is over."""
    return {word for word in before.get("throttled") or [] if word.endswith("since boot")}
