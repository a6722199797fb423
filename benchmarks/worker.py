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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from osteolite.edge.classifier import FractureClassifier
    from osteolite.edge.router import Router

START = time.perf_counter()


class Server:
    """Answers requests about one loaded model; each method is a value of "do"."""

    def __init__(self, classifier: "FractureClassifier | Router", networks: list[tuple[Any, Any]]) -> None:
        self._classifier, self._networks = classifier, networks

    def invoke(self, runs: int) -> dict[str, Any]:
        spent = []
        for _ in range(runs):
            start = time.perf_counter()
            _invoke_all(self._networks)
            spent.append(1e3 * (time.perf_counter() - start))
        return {"milliseconds": spent}

    def score(self, files: list[str]) -> dict[str, Any]:
        from osteolite.edge.errors import ImageError
        from osteolite.edge.labels import LABELS

        predictions = []
        for file in files:
            try:
                predictions.append(self._classifier.predict(file))
            except ImageError as error:
                return {"error": f"{file}: {error}"}
        return {
            "probabilities": [p.fracture_probability for p in predictions],
            "labels": [LABELS.index(p.label) for p in predictions],
            "milliseconds": [sum(p.milliseconds.values()) for p in predictions],
        }

    def memory(self) -> dict[str, Any]:
        return {"peak_mb": _peak_kilobytes() / 1024}


def main(path: str, threads: int) -> None:
    """Load the model, answer one blank image, report that, then serve requests until the input ends."""
    import numpy as np

    from osteolite.edge.errors import OsteoliteError
    from osteolite.edge.router import open_classifier

    imported = time.perf_counter()
    try:
        classifier = open_classifier(path, threads)
        runtimes = classifier.runtimes()
    except OsteoliteError as error:
        _say({"error": str(error)})
        return
    loaded = time.perf_counter()
    random = np.random.default_rng(0)
    networks = [(runtime, random.uniform(-1, 1, runtime.input_shape).astype(np.float32)) for runtime in runtimes]
    _invoke_all(networks)
    first = time.perf_counter()
    spent = {"import": imported - START, "load": loaded - imported, "first_invoke": first - loaded}
    _say(
        {
            "runtime": classifier.runtime.name,
            "variant": classifier.description.variant,
            "milliseconds": {step: 1e3 * seconds for step, seconds in spent.items()},
        }
    )
    server = Server(classifier, networks)
    answers: dict[str, Callable[..., dict[str, Any]]] = {
        "invoke": server.invoke,
        "score": server.score,
        "memory": server.memory,
    }
    for line in sys.stdin:
        request = json.loads(line)
        _say(answers[request.pop("do")](**request))


def _invoke_all(networks: list[tuple[Any, Any]]) -> None:
    """Each network with its tensor, as one image goes through them: one, or the two stages of a router."""
    for runtime, tensor in networks:
        runtime.invoke(tensor)


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
