"""A trained model file that teaches a smaller network: its answers join the labels (Hinton et al., 2015).

The teacher answers each training image as the network sees it, changed in the same way, which teaches more
than one answer an image (Beyer et al., CVPR 2022).
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
    """What the recipe's teacher says of a run's images.

    Args:
        recipe: names the teacher and what it counts for beside the label.
        run: its catalogue has its parts by now; the images at the teacher's size are kept in its cache.
        catalogue: the same images, in the order of the network's own pixels.

    Raises:
        UsageError: no such teacher, or one of another data set or split: it may know the answers of held-out images.
        ModelFileError: no model file.
    """

    def __init__(self, recipe: Recipe, run: Run, catalogue: Catalogue) -> None:
        file, description = _open(recipe)
        if description.details.get("training", {}).get("catalogue_sha256") != run.catalogue_sha256:
            raise UsageError(
                f"recipe {recipe.name}: its teacher {recipe.training.teacher} was trained on other data or another "
                "split, and may know images that are held out here; name a teacher of the same data and split_seed"
            )
        self.spec, self.weight = description.preprocessing, recipe.training.teacher_weight
        self.pixels = read_images(catalogue, self.spec, run.path("cache/teacher")).pixels
        self._sessions = [open_session(file, threads=1) for _ in range(default_threads())]
        self._pool = ThreadPoolExecutor(len(self._sessions))

    def targets(self, images: Any, labels: Any, in_sight: Any) -> Any:
        """What the network is to answer: the teacher's probability in part, and alone where the label may be wrong.

        Args:
            images: float32 (batch, height, width, channels), scaled as the teacher takes them.
            labels: float32 (batch, 1), 0 or 1.
            in_sight: of each image whether what the label says is still to be seen, bool (batch,).

        Returns:
            float32 (batch, 1).
        """
        taught = tf.numpy_function(self._answers, [images], tf.float32)
        taught.set_shape((None, 1))
        return tf.where(in_sight[:, None], (1.0 - self.weight) * labels + self.weight * taught, taught)

    def _answers(self, images: Array) -> Array:
        shares = np.array_split(images, len(self._sessions))
        logits = np.concatenate(list(self._pool.map(_logits, self._sessions, shares)))
        return np.asarray(1.0 / (1.0 + np.exp(-logits)), np.float32)


def _logits(session: InferenceSession, images: Array) -> Array:
    return np.array([session.invoke(image[None])[0] for image in images], np.float32).reshape(-1, 1)


def check_teaching(recipe: Recipe) -> None:
    """See that what the recipe says of a teacher fits together.

    Raises:
        UsageError: a teacher without a weight, or of a network that none can teach.
    """
    weight = recipe.training.teacher_weight
    if bool(recipe.training.teacher) != (0.0 < weight <= 1.0):
        raise UsageError(
            f"recipe {recipe.name}: training.teacher is {recipe.training.teacher!r} and training.teacher_weight "
            f"{weight:g}; a teacher needs a weight above 0, at most 1, and a weight needs a teacher"
        )
    if recipe.training.teacher and (recipe.stages or recipe.model.outputs != 1):
        raise UsageError(f"recipe {recipe.name}: a teacher teaches a fracture model of one output, not this network")


def describe_teacher(recipe: Recipe) -> dict[str, Any]:
    """What run.json says of the recipe's teacher; nothing where it has none.

    Raises:
        UsageError: it is no fracture model.
        ModelFileError: no model file.
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
        raise UsageError(f"recipe {recipe.name}: its teacher {named} is no fracture model")
    return file, description
