"""A model file and an image in, a prediction out."""

import math
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from ..errors import ModelFileError
from ..imaging.radiograph import Decoded, ImageSource, Limits, decode
from ..inference.opening import open_session
from ..inference.session import InferenceSession
from ..inference.tensors import Outputs, sigmoid
from ..labels import FRACTURED, NORMAL
from ..modelfile.archive import ModelSource, name_of, read_description
from ..modelfile.description import Description, ModelDescription
from ..modelfile.shipped import shipped_model
from ..preprocess import fit, grey_levels
from .heatmap import content_map, overlay
from .image_checks import image_warnings
from .prediction import Prediction, timed
from .scorer import Scorer

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


class FractureClassifier(Scorer):
    """Scores radiographs with one model file; everything it needs to know is in that file.

    Args:
        model: a .tflite file that `osteolite convert` wrote, or its content; default, the model that
            ships with the package.
        threads, delegate, fallback: see `open_session`.
        limits: the largest file and image to accept.
        description: what `read_description` gave of the same file, where it was read and checked already.

    Raises:
        ModelFileError: the file is missing, damaged, or describes no model of this kind.
        DelegateUnavailable: the delegate cannot run this model on this device.
        UsageError: no such delegate.

    >>> from PIL import Image
    >>> FractureClassifier().predict(Image.new("L", (300, 400))).label
    'normal'
    """

    def __init__(
        self,
        model: ModelSource | None = None,
        threads: int | None = None,
        limits: Limits = Limits(),
        description: Description | None = None,
        delegate: str | None = None,
        fallback: bool = False,
    ) -> None:
        source = shipped_model() if model is None else model
        where, description = name_of(source), description or read_description(source)
        if not isinstance(description, ModelDescription):
            raise ModelFileError(
                f"{where}: a model of kind {description.details['kind']}, no single fracture model; "
                "`osteolite predict` runs a router, and each of its stages has files of its own in the run's folder"
            )
        self.description, self._source = description, source
        self.spec = description.preprocessing
        self.limits = limits
        self.session = open_session(source, threads, delegate, fallback)
        if self.session.input_shape != (1, *self.spec.shape):
            raise ModelFileError(
                f"{where}: the model takes {self.session.input_shape} but its description says {(1, *self.spec.shape)}"
            )
        if math.prod(self.session.output_shape) != 1:
            raise ModelFileError(
                f"{where}: the model gives {self.session.output_shape}; one number, the logit, is needed"
            )
        known = description.out_of_distribution
        if known is not None and self.session.feature_count != len(known.mean):
            raise ModelFileError(
                f"{where}: the model gives {self.session.feature_count} features but its description "
                f"{len(known.mean)}; convert the run again"
            )

    def sessions(self) -> list[InferenceSession]:
        """The networks that an image goes through."""
        return [self.session]

    def copy(self, threads: int, delegate: str | None) -> "FractureClassifier":
        """Another one of the same model."""
        return FractureClassifier(self._source, threads, self.limits, self.description, delegate)

    def predict_with_image(self, image: ImageSource, heatmap: bool = False) -> tuple[Prediction, Image.Image]:
        """What `predict` answers, and the radiograph that it looked at.

        Raises:
            ImageError, ModelFileError: as of `predict`.
        """
        spent: dict[str, float] = {}
        with timed(spent, "read"):
            decoded = decode(image, self.spec, self.limits)
        with timed(spent, "preprocess"):
            pixels = fit(decoded.grey, self.spec)
        return self.score(decoded, pixels, spent, heatmap), decoded.grey

    def score(self, decoded: Decoded, pixels: Pixels, spent: dict[str, float], heatmap: bool) -> Prediction:
        """Score an image that is fitted to `spec` already.

        Args:
            decoded: the image.
            pixels: what `fit` makes of it.
            spent: milliseconds by step, to which those of this are added.
            heatmap: as of `predict`.

        Raises:
            ModelFileError: as of `predict`.
        """
        with timed(spent, "invoke"):
            outputs = self.session.run_pixels(pixels, grey_levels(self.spec))
        logit = float(outputs.values.reshape(-1)[0])
        if not math.isfinite(logit):
            raise ModelFileError(f"{self.description.name}: the model's output is {logit}; convert it again")
        probability = sigmoid(self.description.slope * logit + self.description.intercept)
        ood_score = self._ood_score(outputs)
        with timed(spent, "check"):
            warnings = image_warnings(
                decoded.grey,
                self.spec.enlargement(*decoded.grey.size),
                decoded.chroma,
                ood_score,
                lambda: self._inverted_ood_score(decoded),
            )
        drawn = None
        if heatmap:
            with timed(spent, "draw"):
                drawn = self._draw(decoded, outputs)
        return Prediction(
            label=FRACTURED if probability >= self.description.threshold else NORMAL,
            fracture_probability=probability,
            threshold=self.description.threshold,
            model=self.description.name,
            milliseconds=spent,
            delegation=self.session.delegation,
            warnings=warnings,
            ood_score=ood_score,
            activation_map=outputs.activation_map,
            heatmap=drawn,
        )

    def _ood_score(self, outputs: Outputs) -> float | None:
        """The out-of-distribution score in shares of its limit."""
        known = self.description.out_of_distribution
        if known is None or outputs.features is None:
            return None
        return known.score(outputs.features) / known.limit

    def _inverted_ood_score(self, decoded: Decoded) -> float:
        pixels = fit(ImageChops.invert(decoded.grey), self.spec)
        score = self._ood_score(self.session.run_pixels(pixels, grey_levels(self.spec)))
        assert score is not None  # it was one for the image itself
        return score

    def _draw(self, decoded: Decoded, outputs: Outputs) -> Image.Image:
        if outputs.activation_map is None:
            raise ModelFileError(
                f"{self.description.name}: the model gives no activation map; only networks that learnt from "
                "boxes, or whose head is linear on averaged features, do"
            )
        return overlay(decoded.grey, content_map(outputs.activation_map, self.spec, *decoded.grey.size))
