"""One lane's process: one model file at one number of threads, told what to do line by line.

A process of its own makes memory and cold start this file's alone. It is given one JSON argument with the
fields of `Task`, and speaks JSON lines: its first tells what it loaded, and then each request
{"do": NAME, ...}, a method of `Served`, is answered by one line, which also holds the seconds of processor
time that it took ("cpu").

Whatever is timed ends with the answer in this process's own memory: an engine has no way to run without
handing its outputs over, so that no figure leaves out what a GPU still has to do.
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
    """Answers requests about one loaded model."""

    def __init__(self, loaded: "Loaded") -> None:
        self._loaded = loaded

    def invoke(self, runs: int) -> dict[str, Any]:
        """Milliseconds of consecutive invocations."""
        return {"milliseconds": [_timed(self._loaded.invoke) for _ in range(runs)]}

    def score(self, files: list[str]) -> dict[str, Any]:
        """From files to answers, step by step."""
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
        """The largest resident memory so far, and that of this moment, in MiB."""
        steady = _resident_kilobytes()
        return {"peak_mb": max(_peak_kilobytes(), steady) / 1024, "steady_mb": steady / 1024}

    def single_stream(self, seconds: float) -> dict[str, Any]:
        """One query after another for so long, as MLPerf's SingleStream asks them."""
        spent, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end:
            spent.append(_timed(self._loaded.invoke))
        return {"milliseconds": spent}

    def offline(self, seconds: float) -> dict[str, Any]:
        """All samples there are at once, on all threads side by side, for so long."""
        samples, spent = self._loaded.side_by_side(seconds)
        return {"samples": samples, "seconds": spent}

    def batch(self, size: int, runs: int) -> dict[str, Any]:
        """Milliseconds of invocations of so many images at once."""
        return {"milliseconds": [_timed(step) for step in [self._loaded.batch(size)] * runs]}


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return round(1e3 * (time.perf_counter() - start), 4)


def main(argument: str) -> None:
    """Load the model, invoke it once, report that, then serve requests until the input ends."""
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
    """The largest resident memory of this process. Linux's ru_maxrss would also tell the parent's before `exec`."""
    peak = _status("VmHWM")
    if peak:
        return peak
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found // 1024 if sys.platform == "darwin" else found  # macOS counts bytes


def _status(field: str) -> int:
    """A field of Linux's /proc/self/status in KiB, 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
