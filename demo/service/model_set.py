"""The models behind the page."""

import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from osteolite.edge.imaging.radiograph import Limits
from osteolite.edge.modelfile.description import Description, ModelDescription
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.classifier import FractureClassifier
from osteolite.edge.prediction.prediction import Prediction
from osteolite.edge.prediction.router import Router, open_classifier

# An uncompressed 16-bit radiograph of 5000 x 6000 pixels fits. Strangers can upload through a shared link.
LIMITS = Limits(max_bytes=64 * 1024 * 1024, max_seconds=10.0)


class ModelSet:
    """The open models by the name in their description, in the given order. All methods are thread-safe.

    Args:
        paths: .tflite files; none means the shipped model.

    Raises:
        ModelFileError: a file is missing, damaged, or not a fracture model or router.
    """

    def __init__(self, paths: Iterable[str] = ()) -> None:
        self._classifiers: dict[str, FractureClassifier | Router] = {}
        self._paths: dict[str, Path] = {}
        for path in list(paths) or [str(shipped_model())]:
            classifier = open_classifier(path, limits=LIMITS)
            name = self._unique_name(classifier.description.name)
            self._classifiers[name], self._paths[name] = classifier, Path(path)
        # An interpreter has one set of buffers and its threads already use all cores. One image at a time over all
        # models is therefore as fast as several, and it bounds the memory for decoding.
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """The names of the models."""
        return list(self._classifiers)

    def path(self, name: str) -> Path:
        """The file of a model."""
        return self._paths[name]

    def description(self, name: str) -> Description:
        """The description in a model's file."""
        return self._classifiers[name].description

    def variant(self, name: str) -> str:
        """The variant of a model: float32, int8, ..."""
        return self.description(name).variant

    def fracture_description(self, name: str, prediction: Prediction) -> ModelDescription:
        """The description of the fracture model behind a prediction; for a router, that of the body part it found."""
        classifier = self._classifiers[name]
        if isinstance(classifier, FractureClassifier):
            return classifier.description
        assert prediction.body_part is not None  # a router always finds one
        return classifier.stage(prediction.body_part).description

    def predict_with_image(self, image: bytes, name: str) -> tuple[Prediction, Image.Image]:
        """Score an image as `score` does, and return the decoded radiograph too.

        Raises:
            ImageError: the image cannot be read.
            ModelFileError: the model's output is not a finite number.
        """
        with self._lock:
            return self._classifiers[name].predict_with_image(image)

    def network_ms(self, name: str) -> float:
        """Milliseconds of one run of the networks alone, without reading and preprocessing."""
        with self._lock:
            networks = self._classifiers[name].sessions()
            start = time.perf_counter()
            for network in networks:
                network.invoke(np.zeros(network.input_shape, np.float32))
            return 1e3 * (time.perf_counter() - start)

    def score(self, image: bytes, name: str) -> Prediction:
        """Score the bytes of an image file with a model.

        Raises:
            ImageError: the image cannot be read.
            ModelFileError: the model's output is not a finite number.
        """
        with self._lock:
            return self._classifiers[name].predict(image)

    def _unique_name(self, name: str) -> str:
        unique, number = name, 1
        while unique in self._classifiers:
            number += 1
            unique = f"{name} #{number}"
        return unique
