"""What a benchmark says: one documented JSON, a CSV of the same figures, and a table.

{"schema": 1,
 "conditions": {machine, architecture, cores, system, versions, load},
 "images": number of labelled images, or 0,
 "results": [{"file", "variant", "device", "threads", "runtime", "bytes",
              "delegate": {"asked", "applied"},
              "milliseconds": {"cold_start": {import, load, first_invoke, process},
                               "invoke": {p50, p90, p99, runs}, "whole": the same or null},
              "warm_up": invocations, "peak_mb", "accuracy", "auroc"}]}
"""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.atomic import atomic_path, write_json
from osteolite.edge.doctor import conditions

from .measure import Measurement

SCHEMA = 1
COLUMNS = ["variant", "threads", "MB", "cold ms", "p50 ms", "p90 ms", "p99 ms", "file to answer ms", "peak MB"]


def results(measured: list[Measurement], images: int, load: tuple[float, float, float]) -> dict[str, Any]:
    """Measurements with the conditions they were made under; `load` is the system's before the start."""
    return {
        "schema": SCHEMA,
        "conditions": {**conditions(), "load_average": [round(value, 2) for value in load]},
        "images": images,
        "results": [_entry(one) for one in measured],
    }


def _entry(one: Measurement) -> dict[str, Any]:
    return {
        "file": os.path.basename(one.file),
        "variant": one.variant,
        "device": "local",
        "threads": one.threads,
        "runtime": one.runtime,
        "bytes": one.bytes,
        "delegate": {"asked": "cpu", "applied": "cpu"},
        "milliseconds": {
            "cold_start": {step: round(spent, 2) for step, spent in one.cold_start.items()},
            "invoke": _quantiles(one.invoke),
            "whole": _quantiles(one.whole) if one.whole else None,
        },
        "warm_up": one.warm_up,
        "peak_mb": round(one.peak_mb, 1),
        "accuracy": None if one.accuracy is None else round(one.accuracy, 5),
        "auroc": None if one.auroc is None else round(one.auroc, 5),
    }


def _quantiles(spent: list[float]) -> dict[str, float]:
    p50, p90, p99 = np.percentile(spent, [50, 90, 99])
    return {"p50": round(p50, 3), "p90": round(p90, 3), "p99": round(p99, 3), "runs": len(spent)}


def table(found: dict[str, Any]) -> list[list[str]]:
    """Rows for `COLUMNS`, with accuracy and AUROC at the end where images were scored."""
    rows = []
    for one in found["results"]:
        spent, whole = one["milliseconds"], one["milliseconds"]["whole"]
        row = [
            one["variant"],
            str(one["threads"]),
            f"{one['bytes'] / 1e6:.2f}",
            f"{spent['cold_start']['process']:.0f}",
            *(f"{spent['invoke'][p]:.2f}" for p in ("p50", "p90", "p99")),
            f"{whole['p50']:.1f}" if whole else "",
            f"{one['peak_mb']:.0f}",
        ]
        if found["images"]:
            row += [f"{one['accuracy']:.4f}", f"{one['auroc']:.4f}"]
        rows.append(row)
    return rows


def columns(found: dict[str, Any]) -> list[str]:
    return COLUMNS + (["accuracy", "AUROC"] if found["images"] else [])


def write_results(found: dict[str, Any], folder: Path) -> None:
    """Write benchmark.json and benchmark.csv, each whole or not at all."""
    write_json(folder / "benchmark.json", found)
    with atomic_path(folder / "benchmark.csv") as path, path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns(found))
        writer.writerows(table(found))
