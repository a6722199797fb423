"""Score radiographs in two stages: find the body part, then use its fracture model."""

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
from ..modelfile.description import Description, MultiClassDescription
from ..modelfile.shipped import shipped_model
from ..preprocess import PreprocessingSpec, fit, grey_levels
from .classifier import FractureClassifier
from .prediction import Prediction, timed
from .scorer import Scorer


class Router(Scorer):
    """Find the body part and score the image with the fracture model of that part; one file holds all models.

    A fracture model is loaded with the first image of its body part, and kept.

    Args:
        model: a router's .tflite file that `osteolite convert` wrote.
        threads, delegate, fallback: see `open_session`.
        limits: limits for image files, and the DICOM modalities to read.
        description: the result of `read_description` for this file, if it has been read already.

    Raises:
        ModelFileError: the file is missing, damaged, or not a router.
        DelegateUnavailable: the delegate cannot run this model on this device.
        UsageError: there is no such delegate.
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
        if not isinstance(description, MultiClassDescription) or not description.stages:
            raise ModelFileError(f"{model}: not a router; open it with FractureClassifier or open_classifier")
        self.description, self.path, self.threads, self.limits = description, os.fspath(model), threads, limits
        self.spec = description.preprocessing
        self.session = open_session(model, threads, delegate, fallback)
        self._delegate, self._fallback = delegate, fallback
        expected = ((1, *self.spec.shape), (1, len(description.labels)))
        if (self.session.input_shape, self.session.output_shape) != expected:
            raise ModelFileError(
                f"{model}: the body-part network has input {self.session.input_shape} and output "
                f"{self.session.output_shape}, but its description says {expected[0]} and {expected[1]}"
            )
        self._stages: dict[str, FractureClassifier] = {}
        self._loading = threading.Lock()

    def copy(self, threads: int, delegate: str | None) -> "Router":
        """Open the same model once more, with its own sessions."""
        return Router(self.path, threads, self.limits, self.description, delegate)

    def close(self) -> None:
        """Release threads, memory and devices. The router cannot score afterwards."""
        super().close()
        for stage in self._stages.values():
            stage.close()

    def stage(self, body_part: str) -> FractureClassifier:
        """Return the fracture model of a body part, loaded on first use.

        Raises:
            ModelFileError: it is missing or damaged.
        """
        with self._loading:
            if body_part not in self._stages:
                self._stages[body_part] = self._load(body_part)
            return self._stages[body_part]

    def _load(self, body_part: str) -> FractureClassifier:
        content = read_stage(self.path, body_part, self.description.stages[body_part])
        try:
            return FractureClassifier(
                content, self.threads, self.limits, delegate=self._delegate, fallback=self._fallback
            )
        except ModelFileError as error:
            raise ModelFileError(f"{self.path}: stage {body_part}: {error}") from error

    def sessions(self) -> list[InferenceSession]:
        """Return the sessions that an image of the first body part uses, in order."""
        return [self.session, self.stage(self.description.labels[0]).session]

    def predict_with_image(self, image: ImageSource, heatmap: bool = False) -> tuple[Prediction, Image.Image]:
        """Score one image, as `predict` does, and return the radiograph as decoded for the fracture model.

        Raises:
            ImageError, ModelFileError: see `predict`.
        """
        spent = dict.fromkeys(("read", "preprocess", "invoke", "load"), 0.0)
        with timed(spent, "read"):
            decoded = decode(image, self.spec, self.limits)
        with timed(spent, "preprocess"):
            pixels = fit(decoded.grey, self.spec)
        with timed(spent, "invoke"):
            logits = self.session.run_pixels(pixels, grey_levels(self.spec)).values.reshape(-1)
            probabilities = self._probabilities(logits)
        body_part = self.description.labels[int(probabilities.argmax())]
        with timed(spent, "load"):
            stage = self.stage(body_part)
        # The scale at which a JPEG is decoded depends on the model's input.
        if _decoded_for(stage.spec) != _decoded_for(self.spec):
            with timed(spent, "read"):
                decoded = decode(image, stage.spec, self.limits)
        if stage.spec != self.spec:
            with timed(spent, "preprocess"):
                pixels = fit(decoded.grey, stage.spec)
        prediction = replace(
            stage.score(decoded, pixels, spent, heatmap),
            model=self.description.name,
            body_part=body_part,
            body_part_probability=float(probabilities.max()),
        )
        return prediction, decoded.grey

    def _probabilities(self, logits: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return calibrated probabilities of the body parts: softmax with temperature."""
        if not np.isfinite(logits).all():
            raise ModelFileError(f"{self.description.name}: the model's output is {logits}; convert it again")
        scaled = logits.astype(np.float64) / self.description.temperature
        powers = np.exp(scaled - scaled.max())
        probabilities: np.ndarray[Any, np.dtype[np.float64]] = powers / powers.sum()
        return probabilities


def _decoded_for(spec: PreprocessingSpec) -> tuple[int, int, str]:
    """Return what the scale of decoding depends on."""
    return spec.width, spec.height, spec.aspect


def open_classifier(
    model: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    limits: Limits = Limits(),
    delegate: str | None = None,
    fallback: bool = False,
) -> FractureClassifier | Router:
    """Open a fracture model or a router; both have the methods of `Scorer`.

    Args:
        model: a .tflite file that `osteolite convert` wrote; default, the model that ships with the package.
        threads, delegate, fallback: see `open_session`.
        limits: limits for image files, and the DICOM modalities to read.

    Raises:
        ModelFileError: the file is missing, damaged, or of another kind.
        DelegateUnavailable: the delegate cannot run this model on this device.
        UsageError: there is no such delegate.
    """
    path = shipped_model() if model is None else model
    description = read_description(path)
    kind = Router if isinstance(description, MultiClassDescription) and description.stages else FractureClassifier
    return kind(path, threads, limits, description, delegate, fallback)
