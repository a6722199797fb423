"""The process of one case: one model file at one number of threads, driven by requests line by line.

A separate process per case keeps memory and cold start apart from other files. The process takes one JSON argument
with the fields of `Task` and writes JSON lines. The first line describes what it loaded; then it answers each
request {"do": NAME, ...}, where NAME is a method of `Served`, by one line that also holds the CPU seconds that the
request took ("cpu").

Every timed call ends with the outputs in this process's memory: an engine cannot run without returning its outputs,
so no time leaves out work that a GPU still has to do.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .records import Task

if TYPE_CHECKING:
    from .engines import Loaded

START = time.perf_counter()


class Served:
    """The requests that a process answers about its loaded model."""

    def __init__(self, loaded: "Loaded") -> None:
        self._loaded = loaded

    def invoke(self, runs: int) -> dict[str, Any]:
        """Time consecutive invocations, in milliseconds."""
        return {"milliseconds": [_timed(self._loaded.invoke) for _ in range(runs)]}

    def score(self, files: list[str]) -> dict[str, Any]:
        """Predict images from their files, and time each step."""
        from osteolite.edge.errors import ImageError

        answers = []
        for file in files:
            try:
                answers.append(self._loaded.answer(file))
            except ImageError as error:
                return {"error": f"{file}: {error}"}
        return {
            "probabilities": [one.probability for one in answers],
            "answers": [one.label for one in answers],
            "steps": [one.milliseconds for one in answers],
        }

    def memory(self) -> dict[str, Any]:
        """The peak and the current resident memory, in MiB."""
        steady = _resident_kilobytes()
        return {"peak_mb": max(_peak_kilobytes(), steady) / 1024, "steady_mb": steady / 1024}

    def single_stream(self, seconds: float) -> dict[str, Any]:
        """Send one query after another for `seconds`, as MLPerf's SingleStream does."""
        spent, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end:
            spent.append(_timed(self._loaded.invoke))
        return {"milliseconds": spent}

    def offline(self, seconds: float) -> dict[str, Any]:
        """Run on all threads in parallel for `seconds`, as MLPerf's Offline does."""
        samples, spent = self._loaded.side_by_side(seconds)
        return {"samples": samples, "seconds": spent}

    def batch(self, size: int, runs: int) -> dict[str, Any]:
        """Time invocations on batches of `size` images, in milliseconds."""
        return {"milliseconds": [_timed(step) for step in [self._loaded.batch(size)] * runs]}


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return round(1e3 * (time.perf_counter() - start), 4)


def main(argument: str) -> None:
    """Load the model, invoke it once, report both, then serve requests until the input ends."""
    from osteolite.edge.errors import OsteoliteError

    from .engines import Unavailable, load, prepare

    task = Task(**json.loads(argument))
    with ExitStack() as stack:
        try:
            prepare(task)
            imported = time.perf_counter()
            loaded = load(task, stack)
            ready = time.perf_counter()
            if loaded.takes_tensors:
                loaded.invoke()
        except (OsteoliteError, Unavailable) as error:
            _say({"error": str(error)})
            return
        first = time.perf_counter()
        spent = {"import": imported - START, "load": ready - imported, "first_invoke": first - ready}
        milliseconds = {step: 1e3 * seconds for step, seconds in spent.items()}
        _say({"about": loaded.about, "takes_tensors": loaded.takes_tensors, "milliseconds": milliseconds})
        _serve(Served(loaded))


def _serve(served: Served) -> None:
    from osteolite.edge.errors import OsteoliteError

    from .engines import Unavailable

    for line in sys.stdin:
        request = json.loads(line)
        used = time.process_time()
        try:
            answer = getattr(served, request.pop("do"))(**request)
        except (OsteoliteError, Unavailable) as error:
            answer = {"error": str(error)}
        _say({**answer, "cpu": time.process_time() - used})


def _resident_kilobytes() -> int:
    return _status("VmRSS") or _peak_kilobytes()


def _peak_kilobytes() -> int:
    """The peak resident memory of this process. On Linux ru_maxrss would include the parent's before `exec`."""
    peak = _status("VmHWM")
    if peak:
        return peak
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found // 1024 if sys.platform == "darwin" else found  # macOS counts bytes


def _status(field: str) -> int:
    """A field of Linux's /proc/self/status in KiB; 0 on other systems."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
