"""Two stages in one file: which body part, then whether that part is fractured."""

import os
import threading
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from ..errors import ModelFileError
from ..imaging.radiograph import ImageSource, Limits, decode
from ..inference.opening import open_session
from ..inference.session import InferenceSession
from ..modelfile.archive import read_description, read_stage
from ..modelfile.description import Description, PartDescription
from ..modelfile.shipped import shipped_model
from ..preprocess import PreprocessingSpec, fit, grey_levels
from .classifier import FractureClassifier
from .prediction import Prediction, timed
from .scorer import Scorer


class Router(Scorer):
    """Names the body part and asks the fracture model of that part; all of them are in one file.

    A part's fracture model is loaded when the first of its images comes, and kept.

    Args:
        model: a router's .tflite file that `osteolite convert` wrote.
        threads, delegate, fallback: see `open_session`.
        limits: the largest file and image to accept.
        description: what `read_description` gave of the same file, where it was read and checked already.

    Raises:
        ModelFileError: the file is missing, damaged, or no router.
        DelegateUnavailable: the delegate cannot run this model on this device.
        UsageError: no such delegate.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        threads: int | None = None,
        limits: Limits = Limits(),
        description: Description | None = None,
        delegate: str | None = None,
        fallback: bool = False,
    ) -> None:
        description = description or read_description(model)
        if not isinstance(description, PartDescription) or not description.stages:
            raise ModelFileError(f"{model}: no router of several models; open it as a FractureClassifier")
        self.description, self.path, self.threads, self.limits = description, os.fspath(model), threads, limits
        self.spec = description.preprocessing
        self.session = open_session(model, threads, delegate, fallback)
        self._delegate, self._fallback = delegate, fallback
        expected = ((1, *self.spec.shape), (1, len(description.parts)))
        if (self.session.input_shape, self.session.output_shape) != expected:
            raise ModelFileError(
                f"{model}: the body-part network goes from {self.session.input_shape} to "
                f"{self.session.output_shape} but its description says from {expected[0]} to {expected[1]}"
            )
        self._stages: dict[str, FractureClassifier] = {}
        self._loading = threading.Lock()

    def copy(self, threads: int, delegate: str | None) -> "Router":
        """Another one of the same model."""
        return Router(self.path, threads, self.limits, self.description, delegate)

    def close(self) -> None:
        """Give back threads, memory and device; nothing is scored after it."""
        super().close()
        for stage in self._stages.values():
            stage.close()

    def stage(self, part: str) -> FractureClassifier:
        """The fracture model of a body part.

        Raises:
            ModelFileError: it is missing or damaged.
        """
        with self._loading:
            if part not in self._stages:
                self._stages[part] = self._load(part)
            return self._stages[part]

    def _load(self, part: str) -> FractureClassifier:
        content = read_stage(self.path, part, self.description.stages[part])
        try:
            return FractureClassifier(
                content, self.threads, self.limits, delegate=self._delegate, fallback=self._fallback
            )
        except ModelFileError as error:
            raise ModelFileError(f"{self.path}: stage {part}: {error}") from error

    def sessions(self) -> list[InferenceSession]:
        """The networks that an image of the first body part goes through, in order."""
        return [self.session, self.stage(self.description.parts[0]).session]

    def predict_with_image(self, image: ImageSource, heatmap: bool = False) -> tuple[Prediction, Image.Image]:
        """What `predict` answers, and the radiograph that the part's fracture model looked at.

        Raises:
            ImageError, ModelFileError: as of `predict`.
        """
        spent = dict.fromkeys(("read", "preprocess", "invoke", "load"), 0.0)
        with timed(spent, "read"):
            decoded = decode(image, self.spec, self.limits)
        with timed(spent, "preprocess"):
            pixels = fit(decoded.grey, self.spec)
        with timed(spent, "invoke"):
            shares = self._shares(self.session.run_pixels(pixels, grey_levels(self.spec)).values.reshape(-1))
        part = self.description.parts[int(shares.argmax())]
        with timed(spent, "load"):
            stage = self.stage(part)
        if _need(stage.spec) != _need(self.spec):  # a reduced JPEG is decoded for the size that is needed
            with timed(spent, "read"):
                decoded = decode(image, stage.spec, self.limits)
        if stage.spec != self.spec:
            with timed(spent, "preprocess"):
                pixels = fit(decoded.grey, stage.spec)
        answer = replace(
            stage.score(decoded, pixels, spent, heatmap),
            model=self.description.name,
            body_part=part,
            body_part_probability=float(shares.max()),
        )
        return answer, decoded.grey

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
    model: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    limits: Limits = Limits(),
    delegate: str | None = None,
    fallback: bool = False,
) -> FractureClassifier | Router:
    """Open a model file of either kind; both answer `predict(image)`.

    Args:
        model: a .tflite file that `osteolite convert` wrote; default, the model that ships with
            the package.
        threads, delegate, fallback: see `open_session`.
        limits: the largest file and image to accept.

    Raises:
        ModelFileError: the file is missing, damaged, or describes no model of these kinds.
        DelegateUnavailable: the delegate cannot run this model on this device.
        UsageError: no such delegate.
    """
    path = shipped_model() if model is None else model
    description = read_description(path)
    kind = Router if isinstance(description, PartDescription) and description.stages else FractureClassifier
    return kind(path, threads, limits, description, delegate, fallback)
