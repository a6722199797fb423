"""Knowledge distillation from a trained model file (Hinton et al., 2015).

The teacher predicts each training image as the network sees it, with the same augmentation, which works better
than one fixed prediction for each image (Beyer et al., CVPR 2022).
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.errors import UsageError
from osteolite.edge.inference.opening import open_session
from osteolite.edge.inference.session import InferenceSession
from osteolite.edge.machine import default_threads
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.description import ModelDescription
from osteolite.edge.modelfile.shipped import SHIPPED, shipped_model

from ..data.catalogue import Catalogue
from ..data.pixel_cache import read_images
from ..keras import tf
from ..recipe import Recipe
from ..runs.run_folder import Run

Array = np.ndarray[Any, Any]


class Teacher:
    """The recipe's teacher and its predictions for a run's images.

    Args:
        recipe: names the teacher and its weight against the label.
        run: its catalogue is already split. The images at the teacher's input size are kept in its cache.
        catalogue: the same images, in the order of the network's pixels.

    Raises:
        UsageError: there is no such teacher, or it was trained on another data set or split, so that it may have
            seen held-out images.
        ModelFileError: the file is not a model file.
    """

    def __init__(self, recipe: Recipe, run: Run, catalogue: Catalogue) -> None:
        file, description = _open(recipe)
        if description.details.get("training", {}).get("catalogue_sha256") != run.catalogue_sha256:
            raise UsageError(
                f"recipe {recipe.name}: its teacher {recipe.training.teacher} was trained on other data or another "
                "split and may have seen held-out images; name a teacher trained on the same data and split_seed"
            )
        self.spec, self.weight = description.preprocessing, recipe.training.teacher_weight
        self.pixels = read_images(catalogue, self.spec, run.path("cache/teacher")).pixels
        self._sessions = [open_session(file, threads=1) for _ in range(default_threads())]
        self._pool = ThreadPoolExecutor(len(self._sessions))

    def targets(self, images: Any, labels: Any, label_visible: Any) -> Any:
        """Mix labels and the teacher's probabilities into targets.

        Where the augmentation removed the fracture, the label may be wrong and the target is the teacher's
        probability alone.

        Args:
            images: float32 (batch, height, width, channels), scaled for the teacher.
            labels: float32 (batch, 1), 0 or 1.
            label_visible: bool (batch,), whether the augmented image still shows what its label says.

        Returns:
            float32 (batch, 1), 0 to 1.
        """
        predicted = tf.numpy_function(self._probabilities, [images], tf.float32)
        predicted.set_shape((None, 1))
        return tf.where(label_visible[:, None], (1.0 - self.weight) * labels + self.weight * predicted, predicted)

    def _probabilities(self, images: Array) -> Array:
        shares = np.array_split(images, len(self._sessions))
        logits = np.concatenate(list(self._pool.map(_logits, self._sessions, shares)))
        return np.asarray(1.0 / (1.0 + np.exp(-logits)), np.float32)


def _logits(session: InferenceSession, images: Array) -> Array:
    return np.array([session.invoke(image[None])[0] for image in images], np.float32).reshape(-1, 1)


def check_teacher(recipe: Recipe) -> None:
    """Check that the recipe's teacher, its weight and the network go together.

    Raises:
        UsageError: a teacher without a weight, a weight without a teacher, or a network that cannot have a teacher.
    """
    weight = recipe.training.teacher_weight
    if bool(recipe.training.teacher) != (0.0 < weight <= 1.0):
        raise UsageError(
            f"recipe {recipe.name}: training.teacher is {recipe.training.teacher!r} and training.teacher_weight "
            f"{weight:g}; a teacher needs a weight above 0, at most 1, and a weight needs a teacher"
        )
    if recipe.training.teacher and (recipe.stages or recipe.model.outputs != 1):
        raise UsageError(
            f"recipe {recipe.name}: a teacher needs a fracture model with one output and no stages; remove the teacher"
        )


def describe_teacher(recipe: Recipe) -> dict[str, Any]:
    """The entry of run.json about the recipe's teacher; empty if there is none.

    Raises:
        UsageError: the teacher is not a fracture model.
        ModelFileError: the file is not a model file.
    """
    if not recipe.training.teacher:
        return {}
    file, description = _open(recipe)
    return {"teacher": {"name": description.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}}


def _open(recipe: Recipe) -> tuple[Path, ModelDescription]:
    named = recipe.training.teacher
    file = shipped_model(named) if named in SHIPPED else Path(named)
    description = read_description(file)
    if not isinstance(description, ModelDescription):
        raise UsageError(f"recipe {recipe.name}: its teacher {named} is not a fracture model; name one")
    return file, description
