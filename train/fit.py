"""Fitting a recipe, epoch by epoch, so that a killed run goes on where it was."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.atomic import atomic_path, write_json

from .cache import Pixels
from .catalogue import Catalogue
from .console import console
from .evaluation import auroc as area
from .keras import keras, tf
from .model import set_trainable
from .pipeline import evaluation_batches, training_batches
from .recipe import Phase, Recipe

_EVALUATION_BATCH = 64


@dataclass
class Progress:
    """Where a run stands; written after each epoch, together with the checkpoint that it names."""

    phase: int = 0  # index of the recipe's phase that is under way
    epoch: int = 0  # epochs of that phase that are done
    checkpoint: str = ""  # of weights and optimizer after that epoch
    best_auroc: float = -1.0  # on the validation part, over all phases
    best_epoch: int = -1  # of the phase under way, for its patience
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry an epoch

    @classmethod
    def load(cls, path: Path) -> "Progress":
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else cls()


def logits(model: Any, pixels: Pixels, indices: Any, recipe: Recipe) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The model's logit for each image of `indices`, float64 of shape (images,)."""
    batches = evaluation_batches(pixels, indices, recipe.preprocessing, _EVALUATION_BATCH)
    return np.concatenate([np.asarray(model(batch, training=False)) for batch in batches]).astype(np.float64)[:, 0]


class Fit:
    """One fit of a model; `run` carries it to its end from wherever the folder stands.

    Args:
        model: as `build_model` makes it, with its starting weights.
        recipe: phases, batch, augmentation.
        catalogue: split, in the order of `pixels`.
        pixels: uint8 (images, height, width).
        folder: where checkpoints, `progress.json` and `weights.h5` lie.
        pretrained: whether the model starts from trained weights.
        seed: of shuffling and augmentation.
    """

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        catalogue: Catalogue,
        pixels: Pixels,
        folder: Path,
        pretrained: bool,
        seed: int,
    ) -> None:
        self.model, self.recipe, self.folder = model, recipe, folder
        self.pretrained, self.seed = pretrained, seed
        parts = np.array([row.part for row in catalogue.rows])
        labels = np.array([row.label for row in catalogue.rows])
        self.pixels = pixels
        self.validation = np.flatnonzero(parts == "validation")
        self.validation_labels = labels[self.validation]
        chosen = np.flatnonzero(parts == "train")
        self.steps = -(-len(chosen) // recipe.training.batch)
        self.progress = Progress.load(folder / "progress.json")
        self._chosen, self._labels = chosen, labels[chosen]

    def run(self) -> Progress:
        """Fit the phases that are not done yet, and load the best weights into the model."""
        if self.progress.history:
            console.print(f"resuming after {len(self.progress.history)} epochs")
        batches = training_batches(
            self.pixels[self._chosen],
            self._labels,
            self._class_weights(),
            self.recipe.preprocessing,
            self.recipe.augmentation,
            self.recipe.training.batch,
            lambda: np.random.default_rng((self.seed, self.progress.phase, self.progress.epoch)),
        )
        while self.progress.phase < len(self.recipe.training.phases):
            self._run_phase(self.recipe.training.phases[self.progress.phase], batches)
            self.progress.phase += 1
            self.progress.epoch, self.progress.best_epoch, self.progress.checkpoint = 0, -1, ""
            self._save_progress()
        self.model.load_weights(self.folder / "weights.h5")
        return self.progress

    def _class_weights(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        if not self.recipe.training.class_weights:
            return np.ones(len(self._labels), np.float32)
        share = np.bincount(self._labels, minlength=2) / len(self._labels)
        weights: np.ndarray[Any, np.dtype[np.float32]] = (0.5 / share)[self._labels].astype(np.float32)
        return weights

    def _run_phase(self, phase: Phase, batches: Any) -> None:
        set_trainable(self.model, phase, self.pretrained)
        optimizer = self._optimizer(phase)
        self.model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
        optimizer.build(self.model.trainable_variables)
        checkpoint = tf.train.Checkpoint(model=self.model, optimizer=optimizer)
        manager = tf.train.CheckpointManager(checkpoint, str(self.folder / "checkpoints"), max_to_keep=2)
        if self.progress.checkpoint:
            checkpoint.restore(str(self.folder / "checkpoints" / self.progress.checkpoint)).expect_partial()
        elif self.progress.phase:
            self.model.load_weights(self.folder / "weights.h5")
        while self.progress.epoch < phase.epochs:
            if self.progress.best_epoch >= 0 and self.progress.epoch - self.progress.best_epoch > phase.patience:
                console.print(f"{phase.name}: no better for {phase.patience} epochs, stopping early")
                return
            self._run_epoch(phase, batches)
            number = len(self.progress.history)
            self.progress.checkpoint = Path(manager.save(checkpoint_number=number)).name
            self._save_progress()

    def _optimizer(self, phase: Phase) -> Any:
        rate = keras.optimizers.schedules.CosineDecay(phase.learning_rate, phase.epochs * self.steps, alpha=0.01)
        averaging = self.recipe.training.averaging
        # Keras puts the average in the place of the weights at the end of each `fit`, here of each epoch.
        return keras.optimizers.AdamW(
            rate, weight_decay=self.recipe.training.weight_decay, use_ema=averaging > 0, ema_momentum=averaging
        )

    def _run_epoch(self, phase: Phase, batches: Any) -> None:
        start = time.perf_counter()
        result = self.model.fit(batches, epochs=1, verbose=1 if console.is_terminal else 0)
        seconds = time.perf_counter() - start
        scores = logits(self.model, self.pixels, self.validation, self.recipe)
        auroc = area(self.validation_labels, scores)
        if auroc > self.progress.best_auroc:
            self.progress.best_auroc, self.progress.best_epoch = auroc, self.progress.epoch
            with atomic_path(self.folder / "weights.h5") as part:
                self.model.save_weights(part, save_format="h5")
        self.progress.epoch += 1
        entry = {
            "phase": phase.name,
            "epoch": self.progress.epoch,
            "loss": round(float(result.history["loss"][0]), 5),
            "validation_auroc": round(auroc, 5),
            "seconds": round(seconds, 2),
        }
        self.progress.history.append(entry)
        console.print(
            f"{phase.name} {self.progress.epoch}/{phase.epochs}  loss {entry['loss']:.4f}  "
            f"validation AUROC {auroc:.4f}  {len(self._chosen) / seconds:.0f} images/s"
        )

    def _save_progress(self) -> None:
        write_json(self.folder / "progress.json", asdict(self.progress))
