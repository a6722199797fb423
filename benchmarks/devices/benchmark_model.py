"""Parse the output of TensorFlow Lite's `benchmark_model`: times, memory, operators, and the delegate that ran.

Builds differ: those before 2022 print no quantiles, those before 2020 no first inference, and later ones add the prefix
"INFO: ". A delegate counts as applied only if the tool says so ("Explicitly applied ..."), because the tool also times
a silent fallback to the CPU.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from osteolite.edge.errors import DelegateUnavailable, DeviceError

from ..harness.records import Launch

_NUMBER = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_COUNT = re.compile(r"^(?:[A-Z]+: )?count=(\d{1,9})\b(.*)$", re.MULTILINE)
_FIELD = re.compile(rf"\b(\w+)={_NUMBER}")
_TIMINGS = re.compile(r"inference timings in us:(.*)$", re.MULTILINE | re.IGNORECASE)
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\)[^:\n]*: {_NUMBER}")
_DELTA = re.compile(rf"emory footprint [^\n]*\(MB\): init=\S+ overall={_NUMBER}")
_ERROR = re.compile(r"^(?:ERROR: |E tflite\s*: )(.+)$", re.MULTILINE)
_ACCELERATORS = re.compile(r"NNAPI accelerators available: \[([^\]\n]*)\]")
_REFERENCE = {"nnapi-reference"}  # Android's own implementation, which runs on the CPU
_REPLACING = re.compile(
    r"Replacing (\d{1,9}) out of (\d{1,9}) node\(s\) with delegate \((\w+)\) node(.*)$", re.MULTILINE
)
_SHARED = re.compile(r"(\d{1,9}) operations will run on the GPU, and the remaining (\d{1,9})")
_OPERATOR = re.compile(rf"^\s*(\S.*?)\s+(\d{{1,9}})\s+{_NUMBER}\s+{_NUMBER}%")
_SUMMARY = "Summary by node type"
_REGULAR_RUNS = "Operator-wise Profiling Info"
_DELEGATE_KERNEL = re.compile(r"TfLite\w*Delegate\w*")
_XNNPACK_CREATED = "Created TensorFlow Lite XNNPACK delegate"
_UNSTEADY = 0.25  # standard deviation over mean

# The tool's names of a delegate and of its kernels.
_NAMES = {
    "xnnpack": ("XNNPACK", "TfLiteXNNPackDelegate"),
    "gpu": ("GPU", "TfLiteGpuDelegateV2"),
    "nnapi": ("NNAPI", "TfLiteNnapiDelegate"),
}


@dataclass(frozen=True)
class Verdict:
    """What ran the model, as in the fields of the same names of `Case`."""

    applied: str
    operators_taken: int | None
    operators: int | None
    reason: str


def read_verdict(text: str, requested: str) -> Verdict:
    """Read from the tool's output what ran the model.

    Args:
        text: the whole output of `benchmark_model`.
        requested: "" or "cpu" for the CPU, "xnnpack", "gpu" or "nnapi".

    Raises:
        DelegateUnavailable: the output does not show that the requested delegate ran any part of the model.
    """
    if requested not in _NAMES:
        applied = "xnnpack" if _XNNPACK_CREATED in text else "none"
        taken, total = _taken(text, applied) if applied == "xnnpack" else (None, None)
        return Verdict(applied, taken, total, "")
    if requested == "nnapi" and (found := _ACCELERATORS.search(text)) and set(found[1].split(",")) == _REFERENCE:
        raise DelegateUnavailable(
            "nnapi: the phone has no driver for it, only nnapi-reference, which runs on the CPU; give cpu or gpu"
        )
    name = _NAMES[requested][0]
    said = re.search(
        rf"Explicitly applied {name} delegate, and the model graph will be (?:(completely)|partially) executed"
        r"(?: by the delegate w/ (\d{1,9}) delegate kernels)?",
        text,
    )
    if not said:
        raise DelegateUnavailable(f"{requested}: it was not applied{_why_not(text, name)}; its time is discarded")
    taken, total = _taken(text, requested)
    return Verdict(requested, taken, total, "" if said[1] else f"partial: {said[2] or 'some'} delegate kernels")


def _why_not(text: str, name: str) -> str:
    if f"Though {name} delegate is explicitly applied" in text:
        return ", the CPU ran the whole model" + complaint(text)
    if f"Applied {name} delegate." in text:
        return " for certain: this benchmark_model is too old to report what ran the model"
    return (
        complaint(text)
        or ", benchmark_model does not mention it: it was built without it, or the phone does not support it"
    )


def complaint(text: str) -> str:
    """The tool's error messages, shortened and in brackets; empty if there are none."""
    errors = " / ".join(" ".join(line.split()) for line in _ERROR.findall(text))
    return f" ({errors[:200].rstrip()}{' ...' if len(errors) > 200 else ''})" if errors else ""


def _taken(text: str, delegate: str) -> tuple[int | None, int | None]:
    """The operators that a delegate runs, and all operators, summed over subgraphs. The last report of each counts."""
    kernel = _NAMES[delegate][1]
    found = {
        where: (int(taken), int(total)) for taken, total, name, where in _REPLACING.findall(text) if name == kernel
    }
    if found:
        return sum(taken for taken, _ in found.values()), sum(total for _, total in found.values())
    if delegate == "gpu" and (shared := _SHARED.search(text)):
        return int(shared[1]), int(shared[1]) + int(shared[2])
    return None, None


def read_launch(text: str) -> Launch:
    """Read the times and the memory of one start of the tool, in milliseconds and MiB.

    `quantiles` has "mean", and "p5", "p50" and "p95" if the build prints them. `peak_mb` is that of the process; with
    builds that do not measure it, the memory that the model added.

    Raises:
        DeviceError: the output is not complete.
    """
    timings = _TIMINGS.search(text)
    counts = [_statistics(found) for found in _COUNT.finditer(text[: timings.start()])] if timings else []
    load = re.search(rf"\bInit: {_NUMBER}", timings[1]) if timings else None
    if not timings or not load or len(counts) < 2:
        raise DeviceError(f"benchmark_model printed no timings{complaint(text)}; use another build of it")
    warm_up, runs = counts[-2:]
    named = {"p5": "p5", "p50": "median", "p95": "p95", "mean": "avg"}
    memory = _PEAK.search(text) or _DELTA.search(text)
    return Launch(
        cold_start={"load": _milliseconds(load[1]), "first_invoke": _milliseconds(warm_up["first"])},
        warm_up=int(warm_up["count"]),
        steady=float(runs["std"]) <= _UNSTEADY * float(runs["avg"]),
        quantiles={name: _milliseconds(runs[field]) for name, field in named.items() if field in runs},
        runs=int(runs["count"]),
        peak_mb=_finite(memory[1]) if memory else None,
    )


def _statistics(found: re.Match[str]) -> dict[str, str]:
    """The fields of a line of counts. If all times are equal, the tool prints one value instead of all."""
    fields: dict[str, str] = {"count": found[1], **dict(_FIELD.findall(found[2]))}
    if "avg" not in fields and "curr" in fields:
        same = fields["curr"]
        fields = {"first": same, "avg": same, "p5": same, "median": same, "p95": same, "std": "0", **fields}
    if missing := {"first", "avg", "std"} - set(fields):
        raise DeviceError(
            f"benchmark_model printed times without {', '.join(sorted(missing))}; use another build of it"
        )
    return fields


def _milliseconds(microseconds: str) -> float:
    return _finite(microseconds) / 1e3


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise DeviceError(f"benchmark_model printed {number[:20]}, which is not a valid time; run it again")
    return value


def read_operators(text: str) -> list[dict[str, Any]]:
    """Read the time by type of operator from a run with `--enable_op_profiling=true`, the slowest first.

    If a delegate reports the operators inside it, they replace its single kernel.

    Returns:
        For each type "operator", "count", "milliseconds" per run, and "share" of the total, from 0 to 1.

    Raises:
        DeviceError: the output has no such table.
    """
    graph, _, inside = text[max(0, text.find(_REGULAR_RUNS)) :].partition("Delegate internal")
    within = _rows(inside)
    rows = [row for row in _rows(graph) if not (within and _DELEGATE_KERNEL.fullmatch(row["operator"]))] + within
    total = sum(row["milliseconds"] for row in rows)
    if not rows:
        raise DeviceError("benchmark_model printed no table of operators; use another build of it")
    ranked = sorted(rows, key=lambda row: -row["milliseconds"])
    return [{**row, "share": round(row["milliseconds"] / total, 5) if total else 0.0} for row in ranked]


def _rows(text: str) -> list[dict[str, Any]]:
    rows = []
    for table in text.split(_SUMMARY)[1:]:  # one per subgraph
        for line in table.splitlines()[2:]:  # after the rest of the title and the column names
            if not (found := _OPERATOR.match(line[:400])):
                break
            rows.append({"operator": found[1], "count": int(found[2]), "milliseconds": _finite(found[3])})
    return rows
