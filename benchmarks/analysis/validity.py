"""Whether a figure may be quoted: steady, unthrottled, quiet, and long enough; else the reasons in words."""

from typing import Any

import numpy as np

from ..harness.records import Lane, Launch
from .intervals import FEWEST, median_interval

# Cores that others may keep busy during a lane's turns. A quiet machine's own services take 0.01 to 0.03;
# a program that keeps one core busy takes 1.
FOREIGN_CORES = 0.1
STOLEN = 0.02  # share of the processors' time
DRIFT = 0.05  # of the median between the first and the last third of a launch's turns
WIDTH = 0.1  # of the interval of p50, to either side
FEWEST_RUNS = 50
IMITATION = "a processor's imitation of"  # in a lane's reason, where the only GPU is software
CLOCK_FELL = 0.9  # of the frequency in the first third of the turns


def reasons(lane: Lane, conditions: dict[str, Any]) -> list[str]:
    """Why a lane's figures must not be quoted; empty where they may.

    What a device does not tell is no reason; its conditions say null there.
    """
    return [*_imitated(lane), *_short(lane), *_unsteady(lane), *_unquiet(lane), *throttled(conditions)]


def _imitated(lane: Lane) -> list[str]:
    return [f"no GPU: {lane.reason}"] if IMITATION in lane.reason else []


def _short(lane: Lane) -> list[str]:
    runs = sum(launch.runs or sum(map(len, launch.invoke)) for launch in lane.launches)
    found = []
    if len(lane.launches) < FEWEST:
        found.append(f"too short: {len(lane.launches)} launches, {FEWEST} are needed")
    if 0 < runs < FEWEST_RUNS:
        found.append(f"too short: {runs} invocations, {FEWEST_RUNS} are needed")
    return found


def _unsteady(lane: Lane) -> list[str]:
    found = []
    if (restless := sum(not launch.steady for launch in lane.launches)) > 1:
        found.append(f"unsteady: {restless} of {len(lane.launches)} launches did not come to rest in their warm-up")
    drifts = [_drift(launch.invoke) for launch in lane.launches if len(launch.invoke) >= 3]
    if drifts and abs(drift := float(np.median(drifts))) > DRIFT:
        found.append(
            f"unsteady: invocations became {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} within a launch"
        )
    known = median_interval(launch_medians(lane))
    if known and (width := max(known[2] / known[0], known[0] / known[1]) - 1) > WIDTH:
        found.append(f"unsteady: launches differ, so that p50 is known to {width:.0%} only; {WIDTH:.0%} is allowed")
    return found


def _drift(turns: list[list[float]]) -> float:
    medians = [float(np.median(turn)) for turn in turns]
    third = max(1, len(medians) // 3)
    return float(np.median(medians[-third:]) / np.median(medians[:third])) - 1


def launch_medians(lane: Lane) -> list[float]:
    """p50 of each launch, in milliseconds."""
    medians = [_median_of(launch) for launch in lane.launches]
    return [median for median in medians if median is not None]


def _median_of(launch: Launch) -> float | None:
    """Of its runs, or what the device told: where it tells no median, the mean."""
    if launch.invoke:
        return float(np.median([spent for turn in launch.invoke for spent in turn]))
    return launch.quantiles.get("p50", launch.quantiles.get("mean"))


def _unquiet(lane: Lane) -> list[str]:
    found = []
    cores = _second_largest([launch.foreign_cores for launch in lane.launches])
    if cores > FOREIGN_CORES:
        found.append(f"not quiet: other programs kept up to {cores:.2f} cores busy; {FOREIGN_CORES:g} is allowed")
    share = _second_largest([launch.stolen for launch in lane.launches])
    if share > STOLEN:
        found.append(f"not quiet: the hypervisor gave {share:.0%} of the processors to others; {STOLEN:.0%} is allowed")
    return found


def _second_largest(values: list[float | None]) -> float:
    """What all launches but one kept to: the intervals do not mind one either."""
    return sorted([0.0, 0.0, *(value for value in values if value is not None)])[-2]


def throttled(conditions: dict[str, Any]) -> list[str]:
    """What the machine says of heat, voltage and its clock."""
    before, after = conditions.get("before") or {}, conditions.get("after") or {}
    during = conditions.get("during") or {}
    found = []
    said = {*(during.get("throttled") or []), *(after.get("throttled") or [])} - _old(before)
    if said:
        found.append(f"throttled: {', '.join(sorted(said))}")
    counted = (after.get("throttle_count") or 0) - (before.get("throttle_count") or 0)
    if counted > 0:
        found.append(f"throttled: processors were slowed for their heat {counted} times")
    first, last = during.get("first_mhz"), during.get("last_mhz")
    if first and last and last < CLOCK_FELL * first:
        found.append(f"throttled: the clock fell from {first} to {last} MHz")
    if before.get("on_battery") or after.get("on_battery"):
        found.append("on battery: a device slows down to save it")
    return found


def _old(before: dict[str, Any]) -> set[str]:
    """What had happened before this run began, and is over."""
    return {word for word in before.get("throttled") or [] if word.endswith("since boot")}
