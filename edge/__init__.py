"""What runs on the device: a radiograph in, a calibrated fracture probability out.

Needs numpy, Pillow and a LiteRT runtime; never TensorFlow.

>>> from osteolite.edge import FractureClassifier  # doctest: +SKIP
>>> FractureClassifier().predict("xray.png").fracture_probability  # doctest: +SKIP
0.07
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .classifier import FractureClassifier, Prediction
    from .errors import OsteoliteError
    from .modelfile import ModelDescription, read_description
    from .preprocess import PreprocessingSpec, preprocess
    from .radiograph import Limits, read_radiograph

_EXPORTS = {
    "FractureClassifier": "classifier",
    "Prediction": "classifier",
    "OsteoliteError": "errors",
    "ModelDescription": "modelfile",
    "read_description": "modelfile",
    "PreprocessingSpec": "preprocess",
    "preprocess": "preprocess",
    "Limits": "radiograph",
    "read_radiograph": "radiograph",
}
__all__ = [
    "FractureClassifier",
    "Limits",
    "ModelDescription",
    "OsteoliteError",
    "Prediction",
    "PreprocessingSpec",
    "preprocess",
    "read_description",
    "read_radiograph",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: `osteolite --help` must not pay for numpy, Pillow and the runtime.
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
