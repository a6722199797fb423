"""Predict a list of images once, in a separate process that runs on the given CPU cores.

The process reads one JSON object, {"model", "images", "cores": list, "workers": number or null, "samples": number}, and
writes {"images", "failed", "seconds", "peak_mb", "resident_mb": [samples over the pass]}.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_WARM_UP = 16  # images before the clock starts


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Predict the images with `FractureClassifier.predict_stream`, and record time and memory."""
    # Before any library asks how many cores there are.
    os.sched_setaffinity(0, order["cores"])
    from osteolite.edge import FractureClassifier
    from osteolite.edge.errors import ImageError

    images: list[str] = order["images"]
    classifier = FractureClassifier(order["model"])
    for _ in classifier.predict_stream(images[:_WARM_UP], workers=order["workers"]):
        pass
    every = max(1, len(images) // order["samples"])
    resident, failed = [], 0
    start = time.perf_counter()
    for index, answer in enumerate(classifier.predict_stream(images, workers=order["workers"])):
        failed += isinstance(answer, ImageError)
        if index % every == 0:
            resident.append(_megabytes("VmRSS"))
    return {
        "images": len(images),
        "failed": failed,
        "seconds": round(time.perf_counter() - start, 6),
        "peak_mb": _megabytes("VmHWM"),
        "resident_mb": resident,
    }


def _megabytes(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return round(int(value.split()[0]) / 1024, 1)
    raise KeyError(field)


if __name__ == "__main__":
    json.dump(main(json.load(sys.stdin)), sys.stdout)
