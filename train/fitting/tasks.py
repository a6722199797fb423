"""What a network is asked, one class each: fractured or not, or which body part."""

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
    """What fitting needs to know of the question."""

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the answer."""

    @property
    def outputs(self) -> int:
        """How many numbers the network gives."""

    @property
    def figure(self) -> str:
        """The name of the figure of merit, for the log."""

    def target(self, row: Row) -> int:
        """The index of the row's true class."""

    def encode(self, targets: Array) -> Array:
        """Targets (images,) as the loss wants them: float32 (images, outputs)."""

    def loss(self) -> Any:
        """The Keras loss on logits."""

    def merit(self, targets: Array, outputs: Array) -> float:
        """How good outputs (images, outputs) are; 1 is perfect. The best epoch is chosen by it."""


@dataclass(frozen=True)
class FractureTask:
    """Fractured or normal: one logit, or one for each class."""

    outputs: int = 1
    name: str = "fracture"
    classes: tuple[str, ...] = tuple(LABELS)
    figure: str = "AUROC"

    def target(self, row: Row) -> int:
        return row.label

    def encode(self, targets: Array) -> Array:
        columns = targets[:, None] if self.outputs == 1 else np.eye(2)[targets]
        return np.asarray(columns, np.float32)

    def loss(self) -> Any:
        return keras.losses.BinaryCrossentropy(from_logits=True)

    def merit(self, targets: Array, outputs: Array) -> float:
        return auroc(targets, fracture_logits(outputs))


@dataclass(frozen=True)
class BodyPartTask:
    """Which of the body parts that the data names."""

    classes: tuple[str, ...]
    name: str = "body_part"
    figure: str = "balanced accuracy"

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def target(self, row: Row) -> int:
        return self.classes.index(row.body_part)

    def encode(self, targets: Array) -> Array:
        return np.eye(self.outputs, dtype=np.float32)[targets]

    def loss(self) -> Any:
        return keras.losses.CategoricalCrossentropy(from_logits=True)

    def merit(self, targets: Array, outputs: Array) -> float:
        return float(balanced_accuracy_score(targets, outputs.argmax(axis=1)))
