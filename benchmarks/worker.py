"""One model file at one number of threads, in a process of its own, told what to do line by line.

A process of its own makes memory and cold start this file's alone. It speaks JSON lines: the request
{"do": "invoke", "runs": 20} is answered by {"milliseconds": [...]}, {"do": "score", "files": [...]}
by {"probabilities": [...], "labels": [...], "milliseconds": [...]}, {"do": "memory"} by {"peak_mb": ...}.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

START = time.perf_counter()


def main(path: str, threads: int) -> None:
    """Load the model, answer one blank image, report that, then serve requests until the input ends."""
    import numpy as np

    from osteolite.edge.classifier import FractureClassifier
    from osteolite.edge.errors import ImageError, OsteoliteError
    from osteolite.edge.labels import LABELS

    imported = time.perf_counter()
    try:
        classifier = FractureClassifier(path, threads)
    except OsteoliteError as error:
        _say({"error": str(error)})
        return
    loaded = time.perf_counter()
    runtime = classifier.runtime
    tensor = np.random.default_rng(0).uniform(-1, 1, runtime.input_shape).astype(np.float32)
    runtime.invoke(tensor)
    first = time.perf_counter()
    _say(
        {
            "runtime": runtime.name,
            "variant": classifier.description.variant,
            "milliseconds": {
                "import": 1e3 * (imported - START),
                "load": 1e3 * (loaded - imported),
                "first_invoke": 1e3 * (first - loaded),
            },
        }
    )

    def invoke(runs: int) -> dict[str, Any]:
        spent = []
        for _ in range(runs):
            start = time.perf_counter()
            runtime.invoke(tensor)
            spent.append(1e3 * (time.perf_counter() - start))
        return {"milliseconds": spent}

    def score(files: list[str]) -> dict[str, Any]:
        predictions = []
        for file in files:
            try:
                predictions.append(classifier.predict(file))
            except ImageError as error:
                return {"error": f"{file}: {error}"}
        return {
            "probabilities": [p.fracture_probability for p in predictions],
            "labels": [LABELS.index(p.label) for p in predictions],
            "milliseconds": [sum(p.milliseconds.values()) for p in predictions],
        }

    def memory() -> dict[str, Any]:
        return {"peak_mb": _peak_kilobytes() / 1024}

    answers: dict[str, Callable[..., dict[str, Any]]] = {"invoke": invoke, "score": score, "memory": memory}
    for line in sys.stdin:
        request = json.loads(line)
        _say(answers[request.pop("do")](**request))


def _peak_kilobytes() -> int:
    """The largest resident memory of this process. Linux's ru_maxrss would also tell the parent's before `exec`."""
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
