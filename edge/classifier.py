"""A model file and an image in, a prediction out."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from .description import Description, ModelDescription
from .errors import ModelFileError
from .labels import FRACTURED, NORMAL
from .modelfile import ModelSource, name_of, read_description
from .preprocess import preprocess
from .radiograph import ImageSource, Limits, read_radiograph
from .runtime import Runtime, Tensor, sigmoid

DEFAULT_MODEL = "fracatlas_mobilenetv2_selective_int8.tflite"


@dataclass(frozen=True)
class Prediction:
    """The answer for one image. Research use only: it is no diagnosis."""

    label: str  # "fractured" or "normal"
    fracture_probability: float  # calibrated, 0 to 1
    threshold: float  # from which the label is "fractured"
    model: str  # name of the model that answered
    milliseconds: dict[str, float]  # time spent in "read", "preprocess" and "invoke"; a router's also in "load"
    body_part: str | None = None  # that a router found, and whose fracture model answered
    body_part_probability: float | None = None  # calibrated, 0 to 1

    def to_dict(self) -> dict[str, Any]:
        part: dict[str, Any] = {}
        if self.body_part is not None and self.body_part_probability is not None:
            part = {"body_part": self.body_part, "body_part_probability": round(self.body_part_probability, 6)}
        return {
            **part,
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
        model: a .tflite file that `osteolite convert` wrote, or its content; default, the model that
            ships with the package.
        threads: for the interpreter; default, one for each core, at most 4.
        limits: the largest file and image to accept.
        description: what `read_description` gave of the same file, where it was read and checked already.

    Raises:
        ModelFileError: the file is missing, damaged, or describes no model of this kind.

    >>> from PIL import Image
    >>> FractureClassifier().predict(Image.new("L", (300, 400))).label  # doctest: +SKIP
    'normal'
    """

    def __init__(
        self,
        model: ModelSource | None = None,
        threads: int | None = None,
        limits: Limits = Limits(),
        description: Description | None = None,
    ) -> None:
        source = default_model() if model is None else model
        where, description = name_of(source), description or read_description(source)
        if not isinstance(description, ModelDescription):
            raise ModelFileError(
                f"{where}: a model of kind {description.details['kind']}, no single fracture model; "
                "`osteolite predict` runs a router, and each of its stages has files of its own in the run's folder"
            )
        self.description = description
        self.spec = description.preprocessing
        self.limits = limits
        self.runtime = Runtime(source, threads)
        if self.runtime.input_shape != (1, *self.spec.shape):
            raise ModelFileError(
                f"{where}: the model takes {self.runtime.input_shape} but its description says {(1, *self.spec.shape)}"
            )
        if math.prod(self.runtime.output_shape) != 1:
            raise ModelFileError(
                f"{where}: the model gives {self.runtime.output_shape}; one number, the logit, is needed"
            )

    def runtimes(self) -> list[Runtime]:
        """The networks that an image goes through."""
        return [self.runtime]

    def predict(self, image: ImageSource) -> Prediction:
        """Score one image: a path, the bytes of a file, a Pillow image, or an array.

        Raises:
            ImageError: the image cannot be read (see `read_radiograph`).
            ModelFileError: the model gives no finite number.
        """
        spent: dict[str, float] = {}
        with timed(spent, "read"):
            radiograph = read_radiograph(image, self.spec, self.limits)
        with timed(spent, "preprocess"):
            tensor = preprocess(radiograph, self.spec)
        with timed(spent, "invoke"):
            probability = self.probability(tensor)
        return self.judge(probability, spent)

    def probability(self, tensor: Tensor) -> float:
        """The calibrated fracture probability of an input tensor.

        Raises:
            ModelFileError: the model gives no finite number.
        """
        logit = float(self.runtime.invoke(tensor).reshape(-1)[0])
        if not math.isfinite(logit):
            raise ModelFileError(f"{self.description.name}: the model's output is {logit}; convert it again")
        return sigmoid(self.description.slope * logit + self.description.intercept)

    def judge(self, probability: float, milliseconds: dict[str, float]) -> Prediction:
        """The answer that a fracture probability stands for."""
        return Prediction(
            label=FRACTURED if probability >= self.description.threshold else NORMAL,
            fracture_probability=probability,
            threshold=self.description.threshold,
            model=self.description.name,
            milliseconds=milliseconds,
        )


@contextmanager
def timed(milliseconds: dict[str, float], step: str) -> Iterator[None]:
    """Add the time that the block takes to a step's."""
    start = time.perf_counter()
    yield
    milliseconds[step] = milliseconds.get(step, 0.0) + 1e3 * (time.perf_counter() - start)
