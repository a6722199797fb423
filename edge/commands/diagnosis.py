"""What is installed on this device, and whether it works."""

import os
from typing import Any

from ..errors import OsteoliteError
from ..machine import conditions, installed

_EXTRAS = {
    "train": "tensorflow",
    "convert": "tensorflow",
    "bench": "scikit-learn",
    "demo": "gradio",
    "dicom": "pydicom",
    "tflite": "tflite-runtime",
}


def delegates_here(model: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """What each delegate would do with a model on this device, by name.

    Returns:
        `applied`, and the operators `taken` and `of` how many; where it cannot run the model only
        `reason`, which is also there for operators that it leaves to others.
    """
    from ..inference.gpu import software_only
    from ..inference.opening import open_session

    found: dict[str, dict[str, Any]] = {}
    for name in ("cpu", "xnnpack", "gpu", "edgetpu", "nnapi"):
        if name == "gpu" and (adapter := software_only()):  # to build a model for it takes seconds
            found[name] = {"reason": f"the only adapter is {adapter}, a processor's imitation of a GPU; not tried"}
            continue
        try:
            delegation = open_session(model, delegate=name).delegation
        except Exception as error:  # a driver may fail in any way, and what is asked here is whether it does
            found[name] = {"reason": str(error).removeprefix(f"delegate {name}: ")}
            continue
        about = {"applied": delegation.applied, "taken": delegation.operators_taken, "of": delegation.operators}
        found[name] = about | ({"reason": delegation.reason} if delegation.reason else {})
    return found


def diagnose() -> dict[str, Any]:
    """Conditions, runtime, extras, the outcome of one prediction by the model that ships, and its delegates."""
    found: dict[str, Any] = {
        **conditions(),
        "extras": {extra: installed(package) or "not installed" for extra, package in _EXTRAS.items()},
    }
    try:
        from PIL import Image

        from ..modelfile.shipped import shipped_model
        from ..prediction.classifier import FractureClassifier

        classifier = FractureClassifier()
        found["runtime"] = classifier.session.name
        found["threads"] = classifier.session.threads
        found["model"] = classifier.description.name
        classifier.predict(Image.new("L", (224, 224)))
        found["prediction"] = "works"
        found["delegates"] = delegates_here(shipped_model())
    except OsteoliteError as error:
        found["prediction"] = str(error)
    found["works"] = found["prediction"] == "works"
    return found
