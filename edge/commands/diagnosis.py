"""Find out what is installed on this device, and whether it works."""

import os
from typing import Any

from ..errors import OsteoliteError
from ..machine import conditions, installed
from ..modelfile.shipped import DEFAULT, shipped_model

_EXTRAS = {
    "train": "tensorflow",
    "convert": "tensorflow",
    "bench": "scikit-learn",
    "demo": "gradio",
    "dicom": "pydicom",
    "tflite": "tflite-runtime",
}


def delegates_here(model: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Open a model on each delegate of this device.

    Returns:
        By delegate, "applied", "taken" and "of": the delegate applied, the operators that it takes, and all operators;
        also "reason" if it leaves some to the CPU. Only "reason" if the delegate cannot run the model.
    """
    from ..inference.gpu import software_only
    from ..inference.opening import open_session

    found: dict[str, dict[str, Any]] = {}
    for name in ("cpu", "xnnpack", "gpu", "edgetpu", "nnapi"):
        try:
            if name == "gpu" and (adapter := software_only()):  # compiling a model for it takes seconds
                found[name] = {"reason": f"the only adapter is {adapter}, a processor's imitation of a GPU; not tried"}
                continue
            delegation = open_session(model, delegate=name).delegation
        except Exception as error:  # a driver may fail in any way; the failure is the result
            found[name] = {"reason": str(error).removeprefix(f"delegate {name}: ")}
            continue
        about = {"applied": delegation.applied, "taken": delegation.operators_taken, "of": delegation.operators}
        found[name] = about | ({"reason": delegation.reason} if delegation.reason else {})
    return found


def diagnose(model: str = DEFAULT) -> dict[str, Any]:
    """Score a blank image with a shipped model, and describe the machine, the runtime, the extras and the delegates.

    Args:
        model: name of a shipped model.
    """
    found: dict[str, Any] = {
        **conditions(),
        "extras": {extra: installed(package) or "not installed" for extra, package in _EXTRAS.items()},
    }
    try:
        from PIL import Image

        from ..prediction.classifier import FractureClassifier

        path = shipped_model(model)
        classifier = FractureClassifier(path)
        found["runtime"] = classifier.session.name
        found["threads"] = classifier.session.threads
        found["model"] = classifier.description.name
        classifier.predict(Image.new("L", (224, 224)))
        found["prediction"] = "works"
        found["delegates"] = delegates_here(path)
    except OsteoliteError as error:
        found["prediction"] = str(error)
    found["works"] = found["prediction"] == "works"
    return found
