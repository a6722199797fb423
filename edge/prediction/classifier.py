"""Score radiographs with a fracture model."""

import math
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from ..errors import ModelFileError
from ..imaging.radiograph import DecodedImage, ImageSource, Limits, decode
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
    """Score radiographs with a fracture model; everything it needs is in the model file.

    Args:
        model: a .tflite file that `osteolite convert` wrote, or its content; default, the model that ships with the
            package.
        threads, delegate, fallback: see `open_session`.
        limits: limits for image files, and the DICOM modalities to read.
        description: the result of `read_description` for this file, if it has been read already.

    Raises:
        ModelFileError: the file is missing, damaged, or not a fracture model.
        DelegateUnavailable: the delegate cannot run this model on this device.
        UsageError: there is no such delegate.

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
                f"{where}: a model of kind {description.details['kind']}, not a single fracture model; open a router "
                "with open_classifier or `osteolite predict`, or use the model file of one stage from the run's folder"
            )
        self.description, self._source = description, source
        self.spec = description.preprocessing
        self.limits = limits
        self.session = open_session(source, threads, delegate, fallback)
        if self.session.input_shape != (1, *self.spec.shape):
            raise ModelFileError(
                f"{where}: the model's input is {self.session.input_shape}, but its description says "
                f"{(1, *self.spec.shape)}; convert the run again"
            )
        if math.prod(self.session.output_shape) != 1:
            raise ModelFileError(
                f"{where}: the model's first output is {self.session.output_shape}; it must be one logit"
            )
        known = description.out_of_distribution
        if known is not None and self.session.feature_count != len(known.mean):
            raise ModelFileError(
                f"{where}: the model has {self.session.feature_count} features, but its description says "
                f"{len(known.mean)}; convert the run again"
            )

    def sessions(self) -> list[InferenceSession]:
        """Return the session of the model."""
        return [self.session]

    def copy(self, threads: int, delegate: str | None) -> "FractureClassifier":
        """Open the same model once more, with its own session."""
        return FractureClassifier(self._source, threads, self.limits, self.description, delegate)

    def predict_with_image(self, image: ImageSource, heatmap: bool = False) -> tuple[Prediction, Image.Image]:
        """Score one image, as `predict` does, and return the decoded radiograph as well.

        Raises:
            ImageError, ModelFileError: see `predict`.
        """
        spent: dict[str, float] = {}
        with timed(spent, "read"):
            decoded = decode(image, self.spec, self.limits)
        with timed(spent, "preprocess"):
            pixels = fit(decoded.grey, self.spec)
        return self.score(decoded, pixels, spent, heatmap), decoded.grey

    def score(self, decoded: DecodedImage, pixels: Pixels, spent: dict[str, float], heatmap: bool) -> Prediction:
        """Score an image that has been decoded and resized.

        Args:
            decoded: the decoded image.
            pixels: the image resized by `preprocess.fit`, uint8 of (height, width).
            spent: milliseconds by step; the steps of this method are added.
            heatmap: whether to draw the heatmap.

        Raises:
            ModelFileError: see `predict`.
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
        """Return the out-of-distribution score divided by its limit; None if the model has no limit."""
        known = self.description.out_of_distribution
        if known is None or outputs.features is None:
            return None
        return known.score(outputs.features) / known.limit

    def _inverted_ood_score(self, decoded: DecodedImage) -> float:
        pixels = fit(ImageChops.invert(decoded.grey), self.spec)
        score = self._ood_score(self.session.run_pixels(pixels, grey_levels(self.spec)))
        assert score is not None  # called only if the image itself has a score
        return score

    def _draw(self, decoded: DecodedImage, outputs: Outputs) -> Image.Image:
        if outputs.activation_map is None:
            raise ModelFileError(
                f"{self.description.name}: the model has no activation map; only models trained on bounding boxes, or "
                "with a linear head on averaged features, have one"
            )
        return overlay(decoded.grey, content_map(outputs.activation_map, self.spec, *decoded.grey.size))
