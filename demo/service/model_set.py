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

# An uncompressed 16-bit radiograph of 5000 x 6000 pixels still fits; strangers may upload through a shared link.
LIMITS = Limits(max_bytes=64 * 1024 * 1024, max_seconds=10.0)


class ModelSet:
    """Model files by the names they give themselves, in the order given.

    Args:
        models: paths of .tflite files; none for the model that ships with the package.

    Raises:
        ModelFileError: a file is missing, damaged, or describes no model of this kind.
    """

    def __init__(self, models: Iterable[str] = ()) -> None:
        self._classifiers: dict[str, FractureClassifier | Router] = {}
        self._paths: dict[str, Path] = {}
        for path in list(models) or [str(shipped_model())]:
            classifier = open_classifier(path, limits=LIMITS)
            name = self._unused(classifier.description.name)
            self._classifiers[name], self._paths[name] = classifier, Path(path)
        # An interpreter has one set of buffers, and its threads already use the cores: one image at a time, over
        # all models, is as fast as several and also bounds the memory that decoding takes.
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        return list(self._classifiers)

    def path(self, name: str) -> Path:
        """The file of the model of that name."""
        return self._paths[name]

    def description(self, name: str) -> Description:
        """What the file of that name says of itself."""
        return self._classifiers[name].description

    def variant(self, name: str) -> str:
        """The variant of the model of that name: float32, int8, ..."""
        return self.description(name).variant

    def answering(self, name: str, prediction: Prediction) -> ModelDescription:
        """Of the fracture model that gave this prediction: a router's is that of the body part it found."""
        classifier = self._classifiers[name]
        if isinstance(classifier, FractureClassifier):
            return classifier.description
        assert prediction.body_part is not None  # a router always finds one
        return classifier.stage(prediction.body_part).description

    def predict_with_image(self, image: bytes, name: str) -> tuple[Prediction, Image.Image]:
        """What `score` answers, and the radiograph that the model looked at, decoded once for both; as safe.

        Raises:
            ImageError, ModelFileError: as of `score`.
        """
        with self._lock:
            return self._classifiers[name].predict_with_image(image)

    def network_ms(self, name: str) -> float:
        """Milliseconds of one run of the networks alone, without an image's way to them."""
        with self._lock:
            networks = self._classifiers[name].sessions()
            start = time.perf_counter()
            for network in networks:
                network.invoke(np.zeros(network.input_shape, np.float32))
            return 1e3 * (time.perf_counter() - start)

    def score(self, image: bytes, name: str) -> Prediction:
        """Score the bytes of an image file with the model of that name; safe between threads.

        Raises:
            ImageError: the image cannot be read.
            ModelFileError: the model gives no finite number.
        """
        with self._lock:
            return self._classifiers[name].predict(image)

    def _unused(self, name: str) -> str:
        unused, number = name, 1
        while unused in self._classifiers:
            number += 1
            unused = f"{name} #{number}"
        return unused
