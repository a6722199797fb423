"""What is installed on this device, and whether it works."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .errors import OsteoliteError

_EXTRAS = {
    "train": "tensorflow",
    "convert": "tensorflow",
    "bench": "scikit-learn",
    "demo": "gradio",
    "dicom": "pydicom",
    "tflite": "tflite-runtime",
}


def installed(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The board or processor by the name its system gives it."""
    board = Path("/proc/device-tree/model")
    if board.is_file():
        return board.read_text(errors="replace").strip("\0 \n")
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def conditions() -> dict[str, Any]:
    """Machine, system and versions, as written beside every figure."""
    return {
        "machine": cpu_model(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "osteolite": installed("osteolite"),
        "numpy": installed("numpy"),
        "pillow": installed("pillow"),
    }


def delegates_here(model: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """What each delegate would do with a model on this device, by name.

    Returns:
        `applied`, and the operators `taken` and `of` how many; where it cannot run the model only
        `reason`, which is also there for operators that it leaves to others.
    """
    from .compiled import software_only
    from .runtime import Runtime

    found: dict[str, dict[str, Any]] = {}
    for name in ("cpu", "xnnpack", "gpu", "edgetpu", "nnapi"):
        if name == "gpu" and (adapter := software_only()):  # to build a model for it takes seconds
            found[name] = {"reason": f"the only adapter is {adapter}, a processor's imitation of a GPU; not tried"}
            continue
        try:
            delegation = Runtime(model, delegate=name).delegation
        except Exception as error:  # a driver may fail in any way, and what is asked here is whether it does
            found[name] = {"reason": str(error).removeprefix(f"delegate {name}: ")}
            continue
        about = {"applied": delegation.applied, "taken": delegation.taken, "of": delegation.of}
        found[name] = about | ({"reason": delegation.reason} if delegation.reason else {})
    return found


def examine() -> dict[str, Any]:
    """Conditions, runtime, extras, the outcome of one prediction by the model that ships, and its delegates."""
    found: dict[str, Any] = {
        **conditions(),
        "extras": {extra: installed(package) or "not installed" for extra, package in _EXTRAS.items()},
    }
    try:
        from PIL import Image

        from .classifier import FractureClassifier
        from .shipped import shipped_model

        classifier = FractureClassifier()
        found["runtime"] = classifier.runtime.name
        found["threads"] = classifier.runtime.threads
        found["model"] = classifier.description.name
        classifier.predict(Image.new("L", (224, 224)))
        found["prediction"] = "works"
        found["delegates"] = delegates_here(shipped_model())
    except OsteoliteError as error:
        found["prediction"] = str(error)
    found["works"] = found["prediction"] == "works"
    return found
