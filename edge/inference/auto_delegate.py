"""The delegate `auto`: measure which delegate runs a model fastest on this device, and remember it."""

import hashlib
import json
import os
import platform
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import write_json
from ..errors import DelegateUnavailable, ModelFileError
from ..machine import cpu_model
from .delegates import open_engine
from .delegation import Candidate
from .engine import Source, name_of_source, runtime_name
from .session import InferenceSession
from .tensors import Outputs, Tensor

# Integer kernels that round differently move the logit of a trained network by up to 0.08 on noise, and its activation
# map by a third of the map's root mean square. A wrong or empty output moves the map by its whole root mean square.
LOGIT_TOLERANCE = 0.25  # largest difference from the CPU, logits
RELATIVE_TOLERANCE = 0.5  # largest difference of a map or of features, relative to their root mean square

CANDIDATES = ("xnnpack", "cpu", "gpu", "edgetpu")

_OFFSETS = (-0.5, 0.0, 0.5)  # added to noise between -1 and 1: the inputs on which outputs are compared
_MAX_RUNS, _MAX_SECONDS = 15, 3.0  # timed runs of each candidate, and time for all of them together
_TOO_SLOW = 2.0  # a candidate this many times slower than the fastest is not timed further


@dataclass(frozen=True)
class Choice:
    """The fastest delegate, and the measurements of all."""

    delegate: str
    candidates: tuple[Candidate, ...]


def fastest(model: Source, threads: int, candidates: tuple[str, ...] = CANDIDATES) -> Choice:
    """Time the candidates on a model, one run of each in turn, and remember the fastest.

    A delegate is excluded if it cannot run the model, or if its outputs differ from the CPU's by more than
    `LOGIT_TOLERANCE` or, for maps and features, `RELATIVE_TOLERANCE`.

    Args:
        model: a .tflite file, or its content.
        threads: number of CPU threads.
        candidates: the delegates to compare, as `delegates.open_engine` takes them.

    Raises:
        ModelFileError: the runtime refuses the model.
    """
    reference, noise = _open(model, threads, None), np.random.default_rng(0)
    inputs = [(noise.uniform(-1, 1, reference.input_shape) + offset).astype(np.float32) for offset in _OFFSETS]
    expected = [reference.run(tensor) for tensor in inputs]
    opened: dict[str, InferenceSession] = {}
    times: dict[str, list[float]] = {}
    reasons: dict[str, str] = {}
    for name in candidates:
        try:
            session = _open(model, threads, name)
            times[name] = _check_outputs(session, inputs, expected)
        except (DelegateUnavailable, ModelFileError) as error:
            reasons[name] = str(error)
        else:
            opened[name] = session
    _time(opened, times, inputs[0])
    medians = {name: round(1e3 * statistics.median(spent), 3) for name, spent in times.items()}
    measured = tuple(Candidate(name, medians.get(name), reasons.get(name, "")) for name in candidates)
    choice = Choice(min(medians, key=medians.__getitem__, default="cpu"), measured)
    _remember(model, threads, choice)
    return choice


def _open(model: Source, threads: int, delegate: str | None) -> InferenceSession:
    return InferenceSession(*open_engine(model, threads, delegate), threads, name_of_source(model))


def _check_outputs(session: InferenceSession, inputs: list[Tensor], expected: list[Outputs]) -> list[float]:
    """Return the seconds of each run after the first; raise DelegateUnavailable if outputs are wrong."""
    spent = []
    for tensor, reference in zip(inputs, expected, strict=True):
        start = time.perf_counter()
        found = session.run(tensor)
        spent.append(time.perf_counter() - start)
        # "not <=", so that NaN counts as a difference
        if not (difference := float(np.abs(found.values - reference.values).max())) <= LOGIT_TOLERANCE:
            raise DelegateUnavailable(
                f"its logits differ from the CPU's by {difference:.3g}; at most {LOGIT_TOLERANCE} is allowed"
            )
        for name in ("activation_map", "features"):
            difference = relative_difference(getattr(found, name), getattr(reference, name))
            if not difference <= RELATIVE_TOLERANCE:
                raise DelegateUnavailable(
                    f"its {name.replace('_', ' ')} differs from the CPU's by {difference:.0%}; "
                    f"at most {RELATIVE_TOLERANCE:.0%} is allowed"
                )
    return spent[1:]


def relative_difference(found: Tensor | None, reference: Tensor | None) -> float:
    """Root mean square of the difference, divided by that of the reference; 0 if there is none or it is all 0."""
    if found is None or reference is None or not reference.any():
        return 0.0
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


def _time(opened: dict[str, InferenceSession], times: dict[str, list[float]], tensor: Tensor) -> None:
    """Run the candidates that may still win, in turn, and add the seconds of each run to `times`."""
    quickest = min((min(times[name]) for name in opened), default=0.0)
    close = [name for name in opened if min(times[name]) <= _TOO_SLOW * quickest]
    end = time.perf_counter() + _MAX_SECONDS
    for _ in range(_MAX_RUNS if len(close) > 1 else 0):
        for name in close:
            start = time.perf_counter()
            opened[name].invoke(tensor)
            times[name].append(time.perf_counter() - start)
        if time.perf_counter() > end:
            break


def remembered(model: Source, threads: int) -> Choice | None:
    """Return what `fastest` measured for this model, threads and device; None if nothing valid is stored."""
    try:
        match json.loads(_file(model, threads).read_text(encoding="utf-8")):
            case {"delegate": str(delegate), "candidates": [*rows]} if delegate in CANDIDATES:
                return Choice(delegate, tuple(Candidate(**row) for row in rows))
    except (OSError, ValueError, TypeError, RuntimeError):
        pass  # no file, a damaged one, or a user without a home directory: measure again
    return None


def _remember(model: Source, threads: int, choice: Choice) -> None:
    values: dict[str, Any] = {
        **_conditions(model, threads),
        "delegate": choice.delegate,
        "candidates": [one.to_dict() for one in choice.candidates],
    }
    with suppress(OSError, RuntimeError):  # a read-only or full disk, or no home directory: measure again next time
        write_json(_file(model, threads), values)


def _conditions(model: Source, threads: int) -> dict[str, Any]:
    """Return everything that the fastest delegate depends on."""
    content = model if isinstance(model, bytes) else Path(model).read_bytes()
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "machine": f"{platform.node()}, {cpu_model()}",
        "runtime": runtime_name(),
        "threads": threads,
    }


def _file(model: Source, threads: int) -> Path:
    """Return the cache file. Each set of conditions has its own, so processes can measure at the same time."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "osteolite" / "fastest"
    key = json.dumps(_conditions(model, threads), sort_keys=True)
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
