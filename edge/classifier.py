"""A model file and an image in, a prediction out."""

import math
import os
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from .errors import ModelFileError
from .labels import FRACTURED, NORMAL
from .modelfile import read_description
from .preprocess import preprocess
from .radiograph import ImageSource, Limits, read_radiograph
from .runtime import Runtime, sigmoid

DEFAULT_MODEL = "fracatlas_mobilenetv2_int8.tflite"


@dataclass(frozen=True)
class Prediction:
    """The answer for one image. Research use only: it is no diagnosis."""

    label: str  # "fractured" or "normal"
    fracture_probability: float  # calibrated, 0 to 1
    threshold: float  # from which the label is "fractured"
    model: str  # name of the model that answered
    milliseconds: dict[str, float]  # time spent in "read", "preprocess" and "invoke"

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "fracture_probability": round(self.fracture_probability, 6),
            "threshold": round(self.threshold, 6),
            "model": self.model,
            "milliseconds": {step: round(spent, 3) for step, spent in self.milliseconds.items()},
        }


def default_model() -> Path:
    """The path of the model that ships with the package."""
    path = Path(str(files("osteolite.edge"))) / "models" / DEFAULT_MODEL
    if not path.is_file():
        raise ModelFileError("this build carries no default model; name one with --model or FractureClassifier(FILE)")
    return path


class FractureClassifier:
    """Scores radiographs with one model file; everything it needs to know is in that file.

    Args:
        model: a .tflite file that `osteolite convert` wrote; default, the model that ships with
            the package.
        threads: for the interpreter; default, one for each core, at most 4.
        limits: the largest file and image to accept.

    Raises:
        ModelFileError: the file is missing, damaged, or describes no model of this kind.

    >>> from PIL import Image
    >>> FractureClassifier().predict(Image.new("L", (300, 400))).label  # doctest: +SKIP
    'normal'
    """

    def __init__(
        self, model: str | os.PathLike[str] | None = None, threads: int | None = None, limits: Limits = Limits()
    ) -> None:
        path = default_model() if model is None else Path(model)
        self.description = read_description(path)
        self.spec = self.description.preprocessing
        self.limits = limits
        self.runtime = Runtime(path, threads)
        if self.runtime.input_shape != (1, *self.spec.shape):
            raise ModelFileError(
                f"{path}: the model takes {self.runtime.input_shape} but its description says {(1, *self.spec.shape)}"
            )
        if math.prod(self.runtime.output_shape) != 1:
            raise ModelFileError(
                f"{path}: the model gives {self.runtime.output_shape}; one number, the logit, is needed"
            )

    def predict(self, image: ImageSource) -> Prediction:
        """Score one image: a path, the bytes of a file, a Pillow image, or an array.

        Raises:
            ImageError: the image cannot be read (see `read_radiograph`).
            ModelFileError: the model gives no finite number.
        """
        start = time.perf_counter()
        radiograph = read_radiograph(image, self.spec, self.limits)
        read = time.perf_counter()
        tensor = preprocess(radiograph, self.spec)
        prepared = time.perf_counter()
        logit = float(self.runtime.invoke(tensor).reshape(-1)[0])
        end = time.perf_counter()
        if not math.isfinite(logit):
            raise ModelFileError(f"{self.description.name}: the model's output is {logit}; convert it again")
        probability = sigmoid(self.description.slope * logit + self.description.intercept)
        return Prediction(
            label=FRACTURED if probability >= self.description.threshold else NORMAL,
            fracture_probability=probability,
            threshold=self.description.threshold,
            model=self.description.name,
            milliseconds={
                "read": 1e3 * (read - start),
                "preprocess": 1e3 * (prepared - read),
                "invoke": 1e3 * (end - prepared),
            },
        )
