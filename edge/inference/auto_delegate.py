"""`auto`: which delegate runs this model fastest on this device, measured once and remembered."""

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

# Integer kernels that round otherwise move the logit of a trained network by up to 0.08 on noise, and
# its activation map by a third of its own size; a wrong answer, or none, moves the map by its size.
TOLERANCE = 0.25  # of a logit
SHARE = 0.5  # of the root mean square of a map or of features

_CANDIDATES = ("xnnpack", "cpu", "gpu", "edgetpu")
_OFFSETS = (-0.5, 0.0, 0.5)  # of inputs of noise between -1 and 1, on which the answers are compared
_ROUNDS, _SECONDS = 15, 3.0  # at most that many timed runs of each candidate, in about that time together
_HOPELESS = 2.0  # times the quickest one's time, from which a candidate is not timed further


@dataclass(frozen=True)
class Choice:
    """The fastest delegate, and how all of them did."""

    delegate: str
    candidates: tuple[Candidate, ...]


def fastest(model: Source, threads: int) -> Choice:
    """Time the delegates on this model, one run of each in turn, and remember the fastest.

    One that cannot run the model is left out, and so is one whose outputs are further from the
    processor's than `TOLERANCE`, for maps and features `SHARE`, allows.

    Raises:
        ModelFileError: the runtime refuses the model.
    """
    reference, noise = _open(model, threads, None), np.random.default_rng(0)
    inputs = [(noise.uniform(-1, 1, reference.input_shape) + offset).astype(np.float32) for offset in _OFFSETS]
    expected = [reference.run(tensor) for tensor in inputs]
    opened: dict[str, InferenceSession] = {}
    times: dict[str, list[float]] = {}
    reasons: dict[str, str] = {}
    for name in _CANDIDATES:
        try:
            session = _open(model, threads, name)
            times[name] = _check(session, inputs, expected)
        except (DelegateUnavailable, ModelFileError) as error:
            reasons[name] = str(error)
        else:
            opened[name] = session
    _time(opened, times, inputs[0])
    medians = {name: round(1e3 * statistics.median(spent), 3) for name, spent in times.items()}
    candidates = tuple(Candidate(name, medians.get(name), reasons.get(name, "")) for name in _CANDIDATES)
    choice = Choice(min(medians, key=medians.__getitem__, default="cpu"), candidates)
    _remember(model, threads, choice)
    return choice


def _open(model: Source, threads: int, delegate: str | None) -> InferenceSession:
    return InferenceSession(*open_engine(model, threads, delegate), threads, name_of_source(model))


def _check(session: InferenceSession, inputs: list[Tensor], expected: list[Outputs]) -> list[float]:
    """Seconds of the runs after the first, which prepares; wrong outputs are a delegate that is unavailable."""
    spent = []
    for tensor, right in zip(inputs, expected, strict=True):
        start = time.perf_counter()
        found = session.run(tensor)
        spent.append(time.perf_counter() - start)
        if not (distance := float(np.abs(found.values - right.values).max())) <= TOLERANCE:  # NaN is wrong too
            raise DelegateUnavailable(
                f"its answers differ from the processor's by {distance:.3g}; at most {TOLERANCE} of a logit is allowed"
            )
        for name in ("activation_map", "features"):
            if not (distance := _share(getattr(found, name), getattr(right, name))) <= SHARE:
                raise DelegateUnavailable(
                    f"its {name.replace('_', ' ')} differs from the processor's by {distance:.0%} of its size; "
                    f"at most {SHARE:.0%} is allowed"
                )
    return spent[1:]


def _share(found: Tensor | None, right: Tensor | None) -> float:
    """Root mean square of the difference, by that of the right values; 0 where there are none or all are 0."""
    if found is None or right is None or not right.any():
        return 0.0
    return float(np.linalg.norm(found - right) / np.linalg.norm(right))


def _time(opened: dict[str, InferenceSession], times: dict[str, list[float]], tensor: Tensor) -> None:
    """Add the seconds of further runs, in turn, of the candidates that may win."""
    quickest = min((min(times[name]) for name in opened), default=0.0)
    racing = [name for name in opened if min(times[name]) <= _HOPELESS * quickest]
    end = time.perf_counter() + _SECONDS
    for _ in range(_ROUNDS if len(racing) > 1 else 0):
        for name in racing:
            start = time.perf_counter()
            opened[name].invoke(tensor)
            times[name].append(time.perf_counter() - start)
        if time.perf_counter() > end:
            break


def remembered(model: Source, threads: int) -> Choice | None:
    """What `fastest` found of this model with these threads on this device; None where it was not asked yet."""
    try:
        match json.loads(_file(model, threads).read_text(encoding="utf-8")):
            case {"delegate": str(delegate), "candidates": [*rows]} if delegate in _CANDIDATES:
                return Choice(delegate, tuple(Candidate(**row) for row in rows))
    except (OSError, ValueError, TypeError, RuntimeError):
        pass  # never written, damaged, or a user without a home: it is measured again
    return None


def _remember(model: Source, threads: int, choice: Choice) -> None:
    values: dict[str, Any] = {
        **_circumstances(model, threads),
        "delegate": choice.delegate,
        "candidates": [one.to_dict() for one in choice.candidates],
    }
    with suppress(OSError, RuntimeError):  # a read-only or full disk, or no home: it is measured the next time too
        write_json(_file(model, threads), values)


def _circumstances(model: Source, threads: int) -> dict[str, Any]:
    """What the fastest delegate depends on."""
    content = model if isinstance(model, bytes) else Path(model).read_bytes()
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "machine": f"{platform.node()}, {cpu_model()}",
        "runtime": runtime_name(),
        "threads": threads,
    }


def _file(model: Source, threads: int) -> Path:
    """A file for each model and circumstance, so that processes which measure at once disturb no other's."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "osteolite" / "fastest"
    key = json.dumps(_circumstances(model, threads), sort_keys=True)
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
