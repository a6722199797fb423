"""Two stages in one file: which body part, then whether that part is fractured."""

import os
from dataclasses import replace
from typing import Any

import numpy as np

from .classifier import FractureClassifier, Prediction, default_model, timed
from .description import Description, PartDescription
from .errors import ModelFileError
from .modelfile import read_description, read_stage
from .preprocess import PreprocessingSpec, preprocess
from .radiograph import ImageSource, Limits, read_radiograph
from .runtime import Runtime


class Router:
    """Names the body part and asks the fracture model of that part; all of them are in one file.

    A part's fracture model is loaded when the first of its images comes, and kept.

    Args:
        model: a router's .tflite file that `osteolite convert` wrote.
        threads: for each interpreter; default, one for each core, at most 4.
        limits: the largest file and image to accept.
        description: what `read_description` gave of the same file, where it was read and checked already.

    Raises:
        ModelFileError: the file is missing, damaged, or no router.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        threads: int | None = None,
        limits: Limits = Limits(),
        description: Description | None = None,
    ) -> None:
        description = description or read_description(model)
        if not isinstance(description, PartDescription) or not description.stages:
            raise ModelFileError(f"{model}: no router of several models; open it as a FractureClassifier")
        self.description, self.path, self.threads, self.limits = description, os.fspath(model), threads, limits
        self.spec = description.preprocessing
        self.runtime = Runtime(model, threads)
        expected = ((1, *self.spec.shape), (1, len(description.parts)))
        if (self.runtime.input_shape, self.runtime.output_shape) != expected:
            raise ModelFileError(
                f"{model}: the body-part network goes from {self.runtime.input_shape} to "
                f"{self.runtime.output_shape} but its description says from {expected[0]} to {expected[1]}"
            )
        self._stages: dict[str, FractureClassifier] = {}

    def stage(self, part: str) -> FractureClassifier:
        """The fracture model of a body part.

        Raises:
            ModelFileError: it is missing or damaged.
        """
        if part not in self._stages:
            content = read_stage(self.path, part, self.description.stages[part])
            try:
                self._stages[part] = FractureClassifier(content, self.threads, self.limits)
            except ModelFileError as error:
                raise ModelFileError(f"{self.path}: stage {part}: {error}") from error
        return self._stages[part]

    def runtimes(self) -> list[Runtime]:
        """The networks that an image of the first body part goes through, in order."""
        return [self.runtime, self.stage(self.description.parts[0]).runtime]

    def predict(self, image: ImageSource) -> Prediction:
        """Score one image: a path, the bytes of a file, a Pillow image, or an array.

        Raises:
            ImageError: the image cannot be read (see `read_radiograph`).
            ModelFileError: a network gives no finite number, or the part's model is damaged.
        """
        spent = dict.fromkeys(("read", "preprocess", "invoke", "load"), 0.0)
        with timed(spent, "read"):
            radiograph = read_radiograph(image, self.spec, self.limits)
        with timed(spent, "preprocess"):
            tensor = preprocess(radiograph, self.spec)
        with timed(spent, "invoke"):
            shares = self._shares(self.runtime.invoke(tensor).reshape(-1))
        part = self.description.parts[int(shares.argmax())]
        with timed(spent, "load"):
            stage = self.stage(part)
        if _need(stage.spec) != _need(self.spec):  # a reduced JPEG is decoded for the size that is needed
            with timed(spent, "read"):
                radiograph = read_radiograph(image, stage.spec, self.limits)
        if stage.spec != self.spec:
            with timed(spent, "preprocess"):
                tensor = preprocess(radiograph, stage.spec)
        with timed(spent, "invoke"):
            probability = stage.probability(tensor)
        return replace(
            stage.judge(probability, spent),
            model=self.description.name,
            body_part=part,
            body_part_probability=float(shares.max()),
        )

    def _shares(self, logits: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Calibrated probabilities of the parts, by softmax."""
        if not np.isfinite(logits).all():
            raise ModelFileError(f"{self.description.name}: the model's output is {logits}; convert it again")
        scaled = logits.astype(np.float64) / self.description.temperature
        powers = np.exp(scaled - scaled.max())
        shares: np.ndarray[Any, np.dtype[np.float64]] = powers / powers.sum()
        return shares


def _need(spec: PreprocessingSpec) -> tuple[int, int, str]:
    return spec.width, spec.height, spec.aspect


def open_classifier(
    model: str | os.PathLike[str] | None = None, threads: int | None = None, limits: Limits = Limits()
) -> FractureClassifier | Router:
    """Open a model file of either kind; both answer `predict(image)`.

    Args:
        model: a .tflite file that `osteolite convert` wrote; default, the model that ships with
            the package.
        threads: for the interpreter; default, one for each core, at most 4.
        limits: the largest file and image to accept.

    Raises:
        ModelFileError: the file is missing, damaged, or describes no model of these kinds.
    """
    path = default_model() if model is None else model
    description = read_description(path)
    kind = Router if isinstance(description, PartDescription) and description.stages else FractureClassifier
    return kind(path, threads, limits, description)
