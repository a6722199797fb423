"""What runs on the device: a radiograph in, a calibrated fracture probability out.

Needs numpy, Pillow and a LiteRT runtime; never TensorFlow.

>>> from PIL import Image
>>> from osteolite.edge import FractureClassifier
>>> with FractureClassifier() as classifier:
...     classifier.predict(Image.new("L", (300, 400))).label
'normal'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import OsteoliteError
    from .imaging.limits import Limits
    from .imaging.radiograph import read_radiograph
    from .modelfile.archive import read_description
    from .modelfile.description import ModelDescription
    from .prediction.classifier import FractureClassifier
    from .prediction.prediction import Prediction
    from .prediction.router import Router, open_classifier
    from .preprocess import PreprocessingSpec

_EXPORTS = {
    "FractureClassifier": "prediction.classifier",
    "Prediction": "prediction.prediction",
    "OsteoliteError": "errors",
    "ModelDescription": "modelfile.description",
    "read_description": "modelfile.archive",
    "PreprocessingSpec": "preprocess",
    "Limits": "imaging.limits",
    "read_radiograph": "imaging.radiograph",
    "Router": "prediction.router",
    "open_classifier": "prediction.router",
}
__all__ = [
    "FractureClassifier",
    "Limits",
    "ModelDescription",
    "OsteoliteError",
    "Prediction",
    "PreprocessingSpec",
    "Router",
    "open_classifier",
    "read_description",
    "read_radiograph",
]


def __getattr__(name: str) -> Any:
    # `osteolite --help` must not load numpy, Pillow and the runtime.
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
