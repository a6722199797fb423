"""What a benchmark says: one documented JSON, a CSV of the same figures, and tables.

{"schema": 2,
 "device": as it was asked for: "local", "ssh://...", "adb:...", "browser",
 "conditions": {"machine", "architecture", "cores", "system", versions..., "load_average": [1, 5, 15 minutes] or null,
                "started": UTC time in ISO 8601, "seconds": the whole took,
                "before", "after": {"governor", "frequency_mhz", "temperature_c", "throttled": [what the board
                                    says of heat and voltage], "on_battery"}, null where a device cannot tell,
                "during": {"temperature_c": the hottest, "first_mhz", "last_mhz", "throttled",
                           "yardstick_ms": of a sum that is always the same}},
 "images": number of labelled images, or 0,
 "left_out": {what was asked for and not measured: why},
 "results": [one for each lane:
   {"file", "variant", "device", "threads", "bytes",
    "engine": "osteolite", or a peer as "onnxruntime", "runtime": package and version,
    "delegate": {"asked", "applied", "operators": {"taken", "of"} or null, "reason"},
    "milliseconds": {
      "cold_start": {"import", "load", "first_invoke", "process"}, medians of the launches; those that are known,
      "invoke": {"p50", "p90", "p99", "runs",
                 "intervals": {"p50": [low, high], "p90": ..., "p99": ...}, of 95 %, or {} of fewer than 6 launches,
                 "launches": [p50 of each launch],
                 "distribution": [quantiles of all runs, from 0 to 100 % in steps of 2.5 %], or []} or null,
      "read", "preprocess", "whole": {"p50", "p90", "p99", "runs"} or null; whole is from file to answer},
    "warm_up": invocations until the time was steady, the median of the launches,
    "peak_mb", "steady_mb",
    "accuracy", "auroc": on the images, by the answers of this very engine, or null,
    "batch": {"size", "milliseconds": an image} or {"size", "reason"}, or null,
    "scenarios": {"SingleStream", "Offline"} as `scenarios` describes them, or null,
    "millijoules": an invocation, or null,
    "operators": [as `profile` describes them, the slowest first] or null,
    "relative": {"to": file, "ratio", "low", "high"}: times as long as the first lane of the same threads, of a peer as
                our own engine on the same file, or null,
    "foreign_cores": cores that other processes kept busy during its turns, or null,
    "valid", "reasons": [why not, in words]}]}

p99 and the like may be null where a device tells none.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from ..harness.peers import PEERS
from ..harness.records import OSTEOLITE, Lane, Launch, Measured
from .intervals import median_interval
from .mlperf import offline, single_stream
from .validity import launch_medians, reasons

SCHEMA = 2
_SHARES = np.arange(0, 100.1, 2.5)  # of the distribution
_STEPS = ("read", "preprocess", "whole")


def results(measured: Measured) -> dict[str, Any]:
    """The JSON of one run."""
    lanes = [lane for lane in measured.lanes if not lane.error]
    first = {lane.threads: lane for lane in reversed(lanes)}
    ours = {(lane.file, lane.threads): lane for lane in reversed(lanes) if _is_ours(lane)}
    failed = {_named(lane): lane.error for lane in measured.lanes if lane.error}
    return {
        "schema": SCHEMA,
        "device": measured.device,
        "conditions": measured.conditions,
        "images": len(measured.labels),
        "left_out": {**measured.left_out, **failed},
        "results": [
            _entry(lane, measured, ours.get((lane.file, lane.threads)) if not _is_ours(lane) else first[lane.threads])
            for lane in lanes
        ],
    }


def _is_ours(lane: Lane) -> bool:
    """Osteolite's own engine, or that of a phone or a browser: nothing that was run beside it for comparison."""
    return lane.engine == OSTEOLITE or lane.engine not in PEERS


def _named(lane: Lane) -> str:
    extras = [lane.engine] if lane.engine != OSTEOLITE else []
    extras += [f"delegate {lane.asked}"] if lane.asked else []
    return ", ".join([lane.file, f"{lane.threads} threads", *extras])


def _entry(lane: Lane, measured: Measured, other: Lane | None) -> dict[str, Any]:
    found = reasons(lane, measured.conditions)
    accuracy, auroc = _scores(lane, measured.labels)
    joules = [launch.joules for launch in lane.launches if launch.joules is not None]
    foreign = [launch.foreign_cores for launch in lane.launches if launch.foreign_cores is not None]
    return {
        "file": lane.file,
        "variant": lane.variant,
        "device": measured.device,
        "threads": lane.threads,
        "engine": lane.engine,
        "runtime": lane.runtime,
        "bytes": lane.bytes,
        "delegate": {
            "asked": lane.asked or "default",
            "applied": lane.applied,
            "operators": None if lane.taken is None else {"taken": lane.taken, "of": lane.of},
            "reason": lane.reason,
        },
        "milliseconds": {
            "cold_start": _cold_start(lane.launches),
            "invoke": _invoke(lane),
            **{step: _step(lane.steps.get(step)) for step in _STEPS},
        },
        "warm_up": _median([launch.warm_up for launch in lane.launches if launch.warm_up], 0),
        "peak_mb": _highest([launch.peak_mb for launch in lane.launches]),
        "steady_mb": _median([launch.steady_mb for launch in lane.launches if launch.steady_mb], 1),
        "accuracy": accuracy,
        "auroc": auroc,
        "batch": lane.batch or None,
        "scenarios": _scenarios(lane),
        "millijoules": round(1e3 * joules[-1], 2) if joules else None,
        "operators": lane.operators or None,
        "relative": _relative(lane, other),
        "foreign_cores": round(max(foreign), 3) if foreign else None,
        "valid": not found,
        "reasons": found,
    }


def _cold_start(launches: list[Launch]) -> dict[str, float | None]:
    steps: dict[str, list[float]] = defaultdict(list)
    for launch in launches:
        for step, spent in launch.cold_start.items():
            steps[step].append(spent)
    return {step: _median(spent, 2) for step, spent in steps.items()}


def _invoke(lane: Lane) -> dict[str, Any] | None:
    """Quantiles of each launch, and of those the medians; some devices tell quantiles alone."""
    flat = [[spent for turn in launch.invoke for spent in turn] for launch in lane.launches]
    told = [launch.quantiles for launch in lane.launches if launch.quantiles]
    medians = launch_medians(lane)
    if not medians:
        return None
    runs = [spent for launch in flat for spent in launch]
    each = {
        name: [float(np.percentile(launch, share)) for launch in flat if launch]
        if runs
        else [one[name] for one in told if name in one]
        for name, share in (("p50", 50), ("p90", 90), ("p99", 99))
    }
    each["p50"] = medians
    found = {name: median_interval(values) for name, values in each.items()}
    return {
        **{name: _median(values, 3) for name, values in each.items()},
        "runs": len(runs) or sum(launch.runs for launch in lane.launches),
        "intervals": {name: [round(one[1], 3), round(one[2], 3)] for name, one in found.items() if one},
        "launches": [round(value, 3) for value in medians],
        "distribution": [round(float(value), 3) for value in np.percentile(runs, _SHARES)] if runs else [],
    }


def _step(spent: list[float] | None) -> dict[str, Any] | None:
    if not spent:
        return None
    p50, p90, p99 = np.percentile(spent, [50, 90, 99])
    return {"p50": round(p50, 3), "p90": round(p90, 3), "p99": round(p99, 3), "runs": len(spent)}


def _scores(lane: Lane, labels: list[int]) -> tuple[float | None, float | None]:
    if not labels or len(lane.probabilities) != len(labels):
        return None, None
    from sklearn.metrics import roc_auc_score

    right = np.mean(np.array(lane.answers) == np.array(labels))
    return round(float(right), 5), round(float(roc_auc_score(labels, lane.probabilities)), 5)


def _scenarios(lane: Lane) -> dict[str, Any] | None:
    if not lane.scenarios:
        return None
    return {
        "SingleStream": single_stream(lane.scenarios["single_stream"]),
        "Offline": offline(lane.scenarios["offline"]),
    }


def _relative(lane: Lane, other: Lane | None) -> dict[str, Any] | None:
    """Launch by launch, as both were launched at about the same time."""
    if other is None or other is lane:
        return None
    pairs = list(zip(launch_medians(lane), launch_medians(other), strict=False))
    if not pairs:
        return None
    ratios = [own / others for own, others in pairs]
    found = median_interval(ratios) or (float(np.median(ratios)), None, None)
    middle, low, high = (None if value is None else round(value, 3) for value in found)
    return {"to": other.file, "ratio": middle, "low": low, "high": high}


def _median(values: list[Any], digits: int) -> float | None:
    return round(float(np.median(values)), digits) if values else None


def _highest(values: list[float | None]) -> float | None:
    return round(max(known), 1) if (known := [value for value in values if value is not None]) else None
