"""Classification tasks, one class each: fractured or normal, or which body part."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from osteolite.edge.labels import LABELS

from ..data.catalogue import Row
from ..keras import keras
from ..metrics.metrics import auroc
from ..networks.model import fracture_logits

Array = np.ndarray[Any, Any]


class Task(Protocol):
    """What fitting needs to know about a classification task."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their indices."""

    @property
    def outputs(self) -> int:
        """Number of outputs of the network."""

    @property
    def metric_name(self) -> str:
        """Name of `metric`, for the log."""

    def target(self, row: Row) -> int:
        """Index of the row's true class."""

    def encode(self, targets: Array) -> Array:
        """Encode class indices (images,) for the loss: float32 (images, outputs)."""

    def loss(self) -> Any:
        """The Keras loss on logits."""

    def metric(self, targets: Array, outputs: Array) -> float:
        """Rate outputs (images, outputs); 1 is perfect. It selects the best epoch."""


@dataclass(frozen=True)
class FractureTask:
    """Fractured or normal: one logit, or one for each class."""

    outputs: int = 1
    name: str = "fracture"
    classes: tuple[str, ...] = tuple(LABELS)
    metric_name: str = "AUROC"

    def target(self, row: Row) -> int:
        return row.label

    def encode(self, targets: Array) -> Array:
        columns = targets[:, None] if self.outputs == 1 else np.eye(2)[targets]
        return np.asarray(columns, np.float32)

    def loss(self) -> Any:
        return keras.losses.BinaryCrossentropy(from_logits=True)

    def metric(self, targets: Array, outputs: Array) -> float:
        return auroc(targets, fracture_logits(outputs))


@dataclass(frozen=True)
class BodyPartTask:
    """Which body part is shown, of those named by the data."""

    classes: tuple[str, ...]
    name: str = "body_part"
    metric_name: str = "balanced accuracy"

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def target(self, row: Row) -> int:
        return self.classes.index(row.body_part)

    def encode(self, targets: Array) -> Array:
        return np.eye(self.outputs, dtype=np.float32)[targets]

    def loss(self) -> Any:
        return keras.losses.CategoricalCrossentropy(from_logits=True)

    def metric(self, targets: Array, outputs: Array) -> float:
        return float(balanced_accuracy_score(targets, outputs.argmax(axis=1)))
