"""What TensorFlow Lite's `benchmark_model` prints: times, memory, operators, and who ran the model.

Builds differ. Those before 2022 print no quantiles, those before 2020 no first inference, and a prefix
("INFO: ") came with time. That a delegate ran is believed from the tool's own verdict alone
("Explicitly applied ..."): it times a silent fallback to the processor as readily as the delegate.
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
_REFERENCE = {"nnapi-reference"}  # Android's own implementation, on the processor
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

# What the tool calls a delegate, and its kernels.
_NAMES = {
    "xnnpack": ("XNNPACK", "TfLiteXNNPackDelegate"),
    "gpu": ("GPU", "TfLiteGpuDelegateV2"),
    "nnapi": ("NNAPI", "TfLiteNnapiDelegate"),
}


@dataclass(frozen=True)
class Verdict:
    """What ran the model: the fields of the same names of `lanes.Lane`."""

    applied: str
    taken: int | None
    of: int | None
    reason: str


def read_verdict(text: str, asked: str) -> Verdict:
    """What ran the model, by what the tool says of itself.

    Args:
        text: all that `benchmark_model` printed.
        asked: "" or "cpu" for the processor, "xnnpack", "gpu" or "nnapi".

    Raises:
        DelegateUnavailable: nothing proves that the delegate asked for ran any of the model.
    """
    if asked not in _NAMES:
        applied = "xnnpack" if _XNNPACK_CREATED in text else "none"
        taken, of = _taken(text, applied) if applied == "xnnpack" else (None, None)
        return Verdict(applied, taken, of, "")
    if asked == "nnapi" and (found := _ACCELERATORS.search(text)) and set(found[1].split(",")) == _REFERENCE:
        raise DelegateUnavailable(
            "nnapi: the phone has no driver for it, only nnapi-reference, which is the processor; ask for cpu or gpu"
        )
    name = _NAMES[asked][0]
    said = re.search(
        rf"Explicitly applied {name} delegate, and the model graph will be (?:(completely)|partially) executed"
        r"(?: by the delegate w/ (\d{1,9}) delegate kernels)?",
        text,
    )
    if not said:
        raise DelegateUnavailable(f"{asked}: it was not applied{_why_not(text, name)}; no time is given for it")
    taken, of = _taken(text, asked)
    return Verdict(asked, taken, of, "" if said[1] else f"partial: {said[2] or 'some'} delegate kernels")


def _why_not(text: str, name: str) -> str:
    if f"Though {name} delegate is explicitly applied" in text:
        return ", the processor ran the whole model" + complaint(text)
    if f"Applied {name} delegate." in text:
        return " for certain: this benchmark_model is too old to say what ran the model"
    return complaint(text) or ", benchmark_model says nothing of it: it was built without it, or the phone has none"


def complaint(text: str) -> str:
    """The tool's own errors in brackets, shortened, or nothing."""
    errors = " / ".join(" ".join(line.split()) for line in _ERROR.findall(text))
    return f" ({errors[:200].rstrip()}{' ...' if len(errors) > 200 else ''})" if errors else ""


def _taken(text: str, delegate: str) -> tuple[int | None, int | None]:
    """Operators that a delegate took, of how many; each subgraph counts, and its last telling."""
    kernel = _NAMES[delegate][1]
    told = {where: (int(taken), int(of)) for taken, of, name, where in _REPLACING.findall(text) if name == kernel}
    if told:
        return sum(taken for taken, _ in told.values()), sum(of for _, of in told.values())
    if delegate == "gpu" and (shared := _SHARED.search(text)):
        return int(shared[1]), int(shared[1]) + int(shared[2])
    return None, None


def read_launch(text: str) -> Launch:
    """The times and the memory of one start of the tool, in milliseconds and MiB.

    `quantiles` has "mean", and "p5", "p50" and "p95" where the build prints them. `peak_mb` is of the
    process, or with builds that do not watch it what the model added to it.

    Raises:
        DeviceError: the text is not the whole of what the tool prints.
    """
    timings = _TIMINGS.search(text)
    counts = [_statistics(found) for found in _COUNT.finditer(text[: timings.start()])] if timings else []
    load = re.search(rf"\bInit: {_NUMBER}", timings[1]) if timings else None
    if not timings or not load or len(counts) < 2:
        raise DeviceError(f"benchmark_model printed no timings{complaint(text)}; take another build of it")
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
    """The fields of a line of counts; equal times are told as one value, which then is each of them."""
    fields: dict[str, str] = {"count": found[1], **dict(_FIELD.findall(found[2]))}
    if "avg" not in fields and "curr" in fields:
        same = fields["curr"]
        fields = {"first": same, "avg": same, "p5": same, "median": same, "p95": same, "std": "0", **fields}
    if missing := {"first", "avg", "std"} - set(fields):
        raise DeviceError(
            f"benchmark_model printed times without {', '.join(sorted(missing))}; take another build of it"
        )
    return fields


def _milliseconds(microseconds: str) -> float:
    return _finite(microseconds) / 1e3


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise DeviceError(f"benchmark_model printed {number[:20]}, which is no measurement; run it again")
    return value


def read_operators(text: str) -> list[dict[str, Any]]:
    """Time by kind of operator from a run with `--enable_op_profiling=true`, the slowest first.

    Where a delegate tells what it spent inside, that stands in the place of its one kernel.

    Returns:
        Of each kind "operator", "count", "milliseconds" a run, and "share" of the whole from 0 to 1.

    Raises:
        DeviceError: the text has no such table.
    """
    graph, _, inside = text[max(0, text.find(_REGULAR_RUNS)) :].partition("Delegate internal")
    within = _rows(inside)
    rows = [row for row in _rows(graph) if not (within and _DELEGATE_KERNEL.fullmatch(row["operator"]))] + within
    total = sum(row["milliseconds"] for row in rows)
    if not rows:
        raise DeviceError("benchmark_model printed no table of operators; take another build of it")
    ranked = sorted(rows, key=lambda row: -row["milliseconds"])
    return [{**row, "share": round(row["milliseconds"] / total, 5) if total else 0.0} for row in ranked]


def _rows(text: str) -> list[dict[str, Any]]:
    rows = []
    for table in text.split(_SUMMARY)[1:]:  # one of each subgraph
        for line in table.splitlines()[2:]:  # after the title's end and the names of the columns
            if not (found := _OPERATOR.match(line[:400])):
                break
            rows.append({"operator": found[1], "count": int(found[2]), "milliseconds": _finite(found[3])})
    return rows
