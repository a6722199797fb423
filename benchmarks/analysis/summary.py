"""The results of a benchmark as one JSON:

{"schema": 2,
 "device": as requested: "local", "ssh://...", "adb:...", "browser",
 "conditions": {"machine", "architecture", "cores", "system", versions..., "load_average": [1, 5, 15 minutes] or null,
                "started": UTC time in ISO 8601, "seconds": duration of the whole run,
                "before", "after": {"governor", "frequency_mhz", "temperature_c", "throttled": [reports of heat and
                                    low voltage], "on_battery"}; null if a device does not report a value,
                "during": {"temperature_c": the highest, "first_mhz", "last_mhz", "throttled",
                           "yardstick_ms": time of a fixed sum}},
 "images": number of labelled images, or 0,
 "left_out": {what was requested but not measured: why},
 "results": [one per case:
   {"file", "variant", "device", "threads", "bytes",
    "engine": "osteolite", or a peer such as "onnxruntime", "runtime": package and version,
    "delegate": {"asked", "applied", "operators": {"taken", "of"} or null, "reason"},
    "milliseconds": {
      "cold_start": {"import", "load", "first_invoke", "process"}: medians over the launches, as far as known,
      "invoke": {"p50", "p90", "p99", "runs",
                 "intervals": {"p50": [low, high], "p90": ..., "p99": ...}, 95 %; {} for fewer than 6 launches,
                 "launches": [p50 of each launch],
                 "distribution": [quantiles of all runs, from 0 to 100 % in steps of 2.5 %], or []} or null,
      "read", "preprocess", "whole": {"p50", "p90", "p99", "runs"} or null; whole is from file to prediction},
    "warm_up": invocations until the time was steady, median over the launches,
    "peak_mb", "steady_mb",
    "accuracy", "auroc": of this engine's predictions on the images, or null,
    "batch": {"size", "milliseconds": per image} or {"size", "reason"}, or null,
    "scenarios": {"SingleStream", "Offline"} as `mlperf` describes them, or null,
    "millijoules": energy per invocation, or null,
    "operators": [as `profile` describes them, the slowest first] or null,
    "relative": {"to": file, "ratio", "low", "high"}: time relative to the first case with the same threads; for a peer,
                relative to Osteolite's engine on the same file; or null,
    "foreign_cores": cores that other processes kept busy during its turns, or null,
    "valid", "reasons": [why it is not valid]}]}

Quantiles such as p99 are null if a device does not report them.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from ..harness.peers import PEERS
from ..harness.records import OSTEOLITE, Case, Launch, Measured
from .intervals import median_interval
from .mlperf import offline, single_stream
from .validity import launch_medians, reasons

SCHEMA = 2
_PERCENTILES = np.arange(0, 100.1, 2.5)  # of the distribution
_STEPS = ("read", "preprocess", "whole")


def results(measured: Measured) -> dict[str, Any]:
    """Build the JSON of one run, as the module describes it."""
    cases = [case for case in measured.cases if not case.error]
    first = {case.threads: case for case in reversed(cases)}
    ours = {(case.file, case.threads): case for case in reversed(cases) if _is_ours(case)}
    failed = {_named(case): case.error for case in measured.cases if case.error}
    return {
        "schema": SCHEMA,
        "device": measured.device,
        "conditions": measured.conditions,
        "images": len(measured.labels),
        "left_out": {**measured.left_out, **failed},
        "results": [
            _entry(case, measured, ours.get((case.file, case.threads)) if not _is_ours(case) else first[case.threads])
            for case in cases
        ],
    }


def _is_ours(case: Case) -> bool:
    """Whether a case ran Osteolite's engine, or that of a phone or a browser, and not a peer."""
    return case.engine == OSTEOLITE or case.engine not in PEERS


def _named(case: Case) -> str:
    extras = [case.engine] if case.engine != OSTEOLITE else []
    extras += [f"delegate {case.requested}"] if case.requested else []
    return ", ".join([case.file, f"{case.threads} threads", *extras])


def _entry(case: Case, measured: Measured, other: Case | None) -> dict[str, Any]:
    found = reasons(case, measured.conditions)
    accuracy, auroc = _scores(case, measured.labels)
    joules = [launch.joules for launch in case.launches if launch.joules is not None]
    foreign = [launch.foreign_cores for launch in case.launches if launch.foreign_cores is not None]
    return {
        "file": case.file,
        "variant": case.variant,
        "device": measured.device,
        "threads": case.threads,
        "engine": case.engine,
        "runtime": case.runtime,
        "bytes": case.bytes,
        "delegate": {
            "asked": case.requested or "default",
            "applied": case.applied,
            "operators": _operators(case),
            "reason": case.reason,
        },
        "milliseconds": {
            "cold_start": _cold_start(case.launches),
            "invoke": _invoke(case),
            **{step: _step(case.steps.get(step)) for step in _STEPS},
        },
        "warm_up": _median([launch.warm_up for launch in case.launches if launch.warm_up], 0),
        "peak_mb": _highest([launch.peak_mb for launch in case.launches]),
        "steady_mb": _median([launch.steady_mb for launch in case.launches if launch.steady_mb], 1),
        "accuracy": accuracy,
        "auroc": auroc,
        "batch": case.batch or None,
        "scenarios": _scenarios(case),
        "millijoules": round(1e3 * joules[-1], 2) if joules else None,
        "operators": case.profile or None,
        "relative": _relative(case, other),
        "foreign_cores": round(max(foreign), 3) if foreign else None,
        "valid": not found,
        "reasons": found,
    }


def _operators(case: Case) -> dict[str, int | None] | None:
    return None if case.operators_taken is None else {"taken": case.operators_taken, "of": case.operators}


def _cold_start(launches: list[Launch]) -> dict[str, float | None]:
    steps: dict[str, list[float]] = defaultdict(list)
    for launch in launches:
        for step, spent in launch.cold_start.items():
            steps[step].append(spent)
    return {step: _median(spent, 2) for step, spent in steps.items()}


def _invoke(case: Case) -> dict[str, Any] | None:
    """Take the quantiles of each launch and their medians over the launches. Some devices report only quantiles."""
    flat = [[spent for turn in launch.invoke for spent in turn] for launch in case.launches]
    reported = [launch.quantiles for launch in case.launches if launch.quantiles]
    medians = launch_medians(case)
    if not medians:
        return None
    runs = [spent for launch in flat for spent in launch]
    each = {
        name: [float(np.percentile(launch, share)) for launch in flat if launch]
        if runs
        else [one[name] for one in reported if name in one]
        for name, share in (("p50", 50), ("p90", 90), ("p99", 99))
    }
    each["p50"] = medians
    found = {name: median_interval(values) for name, values in each.items()}
    return {
        **{name: _median(values, 3) for name, values in each.items()},
        "runs": len(runs) or sum(launch.runs for launch in case.launches),
        "intervals": {name: [round(one[1], 3), round(one[2], 3)] for name, one in found.items() if one},
        "launches": [round(value, 3) for value in medians],
        "distribution": [round(float(value), 3) for value in np.percentile(runs, _PERCENTILES)] if runs else [],
    }


def _step(spent: list[float] | None) -> dict[str, Any] | None:
    if not spent:
        return None
    p50, p90, p99 = np.percentile(spent, [50, 90, 99])
    return {"p50": round(p50, 3), "p90": round(p90, 3), "p99": round(p99, 3), "runs": len(spent)}


def _scores(case: Case, labels: list[int]) -> tuple[float | None, float | None]:
    if not labels or len(case.probabilities) != len(labels):
        return None, None
    from sklearn.metrics import roc_auc_score

    right = np.mean(np.array(case.answers) == np.array(labels))
    return round(float(right), 5), round(float(roc_auc_score(labels, case.probabilities)), 5)


def _scenarios(case: Case) -> dict[str, Any] | None:
    if not case.scenarios:
        return None
    return {
        "SingleStream": single_stream(case.scenarios["single_stream"]),
        "Offline": offline(case.scenarios["offline"]),
    }


def _relative(case: Case, other: Case | None) -> dict[str, Any] | None:
    """The ratio of the times of two cases, launch by launch: the launches of a pair ran at about the same time."""
    if other is None or other is case:
        return None
    pairs = list(zip(launch_medians(case), launch_medians(other), strict=False))
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
