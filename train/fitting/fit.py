"""Fitting a recipe, epoch by epoch, so that a killed run goes on where it was."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.atomic import atomic_path, write_json

from ..console import console
from ..data.pixel_cache import Pixels
from ..keras import keras, tf
from ..networks.fracture_map import box_coverage, map_loss
from ..networks.model import logits_of, set_trainable
from ..recipe import Phase, Recipe
from ..runs.prepared import Prepared
from .batch_norm import renew_batch_norm
from .distillation import Teacher
from .distributed import ALONE, WHOLE, Share, Workers, copy_weights
from .input_pipeline import Examples, evaluation_batches, training_batches
from .tasks import Task
from .tensorboard import log_epoch, log_recipe, open_board

_EVALUATION_BATCH = 64

Array = np.ndarray[Any, Any]


@dataclass
class Progress:
    """Where a run stands; written after each epoch, together with the checkpoint that it names."""

    phase: int = 0  # index of the recipe's phase that is under way
    epoch: int = 0  # epochs of that phase that are done
    checkpoint: str = ""  # of weights and optimizer after that epoch
    best: float = -1.0  # figure of merit on the validation part, over all phases
    best_epoch: int = -1  # of the phase under way, for its patience
    renewed: bool = False  # whether the statistics of batch norm are those of the weights that stay
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry an epoch

    @classmethod
    def load(cls, path: Path) -> "Progress":
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else cls()


def outputs_of(model: Any, pixels: Pixels, indices: Any, recipe: Recipe) -> Array:
    """The network's outputs for each image of `indices`, float64 of shape (images, outputs)."""
    batches = evaluation_batches(pixels, indices, recipe.preprocessing, _EVALUATION_BATCH)
    return np.concatenate([np.asarray(logits_of(model(batch, training=False))) for batch in batches]).astype(np.float64)


def _balance(targets: Array, classes: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The weight of each training image, 1 on average, such that each class weighs the same."""
    share = np.bincount(targets, minlength=classes) / len(targets)
    weights: np.ndarray[Any, np.dtype[np.float32]] = (1.0 / classes / share)[targets].astype(np.float32)
    return weights


class _Learning(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Keeps the weights that learn, in whose place Keras puts their average when `fit` ends, which is each epoch."""

    weights: list[Array]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.weights = self.model.get_weights()


class Fit:
    """One fit of a model; `run` carries it to its end from wherever the folder stands.

    Args:
        model: as `build_model` makes it, with its starting weights.
        task: what the network is asked.
        recipe: phases, batch, augmentation.
        prepared: images with their parts.
        folder: where checkpoints, `progress.json`, `weights.h5` and the logs for TensorBoard lie.
        pretrained: whether the model starts from trained weights.
        seed: of shuffling and augmentation.
        crew: the processes that fit this model together.
        callbacks: gives what Keras calls during an epoch.
        teacher: has a say in what is learnt.
    """

    def __init__(
        self,
        model: Any,
        task: Task,
        recipe: Recipe,
        prepared: Prepared,
        folder: Path,
        pretrained: bool,
        seed: int,
        crew: Workers = ALONE,
        callbacks: Callable[[], list[Any]] = list,
        teacher: Teacher | None = None,
    ) -> None:
        self.model, self.task, self.recipe, self.folder = model, task, recipe, folder
        self.pretrained, self.seed, self.crew, self.callbacks = pretrained, seed, crew, callbacks
        self.teacher = teacher
        crew.take_over(folder, ("progress.json", "weights.h5", "checkpoints"))
        parts = np.array([row.split for row in prepared.catalogue.rows])
        targets = np.array([task.target(row) for row in prepared.catalogue.rows])
        self.pixels = prepared.images.pixels
        self.validation = np.flatnonzero(parts == "validation")
        self.validation_targets = targets[self.validation]
        chosen = np.flatnonzero(parts == "train")
        self.steps = -(-len(chosen) // recipe.training.batch)
        self.progress = Progress.load(folder / "progress.json")
        self.replicas = crew.replicate(model)  # these learn; the model itself takes their weights after each epoch
        mapped = recipe.model.fracture_map
        ones = np.ones(len(chosen), np.float32)
        self.examples = Examples(
            self.pixels[chosen],
            task.encode(targets[chosen]),
            _balance(targets[chosen], len(task.classes)) if recipe.training.class_weights else ones,
            box_coverage(prepared.catalogue, recipe.preprocessing)[chosen] if mapped else None,
            teacher.pixels[chosen] if teacher else None,
        )

    def run(self) -> Progress:
        """Fit the phases that are not done yet, and load the weights that stay into the model."""
        board = open_board(self.folder / "logs")
        if self.progress.history:
            console.print(f"resuming after {len(self.progress.history)} epochs")
        else:
            log_recipe(board, self.recipe)
        batches = self.crew.distribute(self._batches)
        while self.progress.phase < len(self.recipe.training.phases):
            self._run_phase(self.recipe.training.phases[self.progress.phase], batches, board)
            self.progress.phase += 1
            self.progress.epoch, self.progress.best_epoch, self.progress.checkpoint = 0, -1, ""
            self._save_progress()
        board.close()
        self.model.load_weights(self.folder / "weights.h5")
        if self.recipe.training.averaging and not self._keeps_norm and not self.progress.renewed:
            self._renew_norm()
        return self.progress

    @property
    def _keeps_norm(self) -> bool:
        return self.pretrained and not self.recipe.training.batch_norm

    def _renew_norm(self) -> None:
        set_trainable(self.model, self.recipe.training.phases[-1], keep_norm=False)
        renew_batch_norm(self.model, self._batches(WHOLE))
        with atomic_path(self.folder / "weights.h5") as part:
            self.model.save_weights(part, save_format="h5")
        self.progress.renewed = True
        self._save_progress()

    def _batches(self, share: Share) -> Any:
        return training_batches(
            self.examples,
            self.recipe.preprocessing,
            self.recipe.augmentation,
            self.recipe.training.batch,
            lambda: np.random.default_rng((self.seed, self.progress.phase, self.progress.epoch)),
            share,
            self.teacher,
        )

    def _run_phase(self, phase: Phase, batches: Any, board: Any) -> None:
        set_trainable(self.replicas, phase, self._keeps_norm)
        with self.crew.strategy.scope():
            optimizer = self._optimizer(phase)
            if self.examples.coverage is None:
                self.replicas.compile(optimizer, self.task.loss())
            else:
                weights = [1.0, self.recipe.training.box_weight]
                loss = map_loss(self.recipe.training.pointing_weight)
                self.replicas.compile(optimizer, [self.task.loss(), loss], loss_weights=weights)
            optimizer.build(self.replicas.trainable_variables)
        checkpoint = tf.train.Checkpoint(model=self.replicas, optimizer=optimizer)
        manager = tf.train.CheckpointManager(checkpoint, str(self.folder / "checkpoints"), max_to_keep=2)
        if self.progress.checkpoint:
            checkpoint.restore(str(self.folder / "checkpoints" / self.progress.checkpoint)).expect_partial()
        elif self.progress.phase:
            self.model.load_weights(self.folder / "weights.h5")
            copy_weights(self.model, self.replicas)
        while self.progress.epoch < phase.epochs:
            if self.progress.best_epoch >= 0 and self.progress.epoch - self.progress.best_epoch > phase.patience:
                console.print(f"{phase.name}: no better for {phase.patience} epochs, stopping early")
                return
            figures = self._run_epoch(phase, batches)
            number = len(self.progress.history)
            self.progress.checkpoint = Path(manager.save(checkpoint_number=number)).name
            self._save_progress()
            log_epoch(board, number, {**figures, "learning_rate": float(optimizer.learning_rate.numpy())})

    def _optimizer(self, phase: Phase) -> Any:
        rate = keras.optimizers.schedules.CosineDecay(phase.learning_rate, phase.epochs * self.steps, alpha=0.01)
        averaging = self.recipe.training.averaging
        return keras.optimizers.AdamW(
            rate, weight_decay=self.recipe.training.weight_decay, use_ema=averaging > 0, ema_momentum=averaging
        )

    def _run_epoch(self, phase: Phase, batches: Any) -> dict[str, float]:
        start = time.perf_counter()
        bar = console.is_terminal and not console.quiet
        learning = _Learning()
        result = self.replicas.fit(
            batches, epochs=1, steps_per_epoch=self.steps, verbose=int(bar), callbacks=[*self.callbacks(), learning]
        )
        seconds = time.perf_counter() - start
        copy_weights(self.replicas, self.model)
        outputs = outputs_of(self.model, self.pixels, self.validation, self.recipe)
        merit = self.task.merit(self.validation_targets, outputs)
        if merit > self.progress.best or self.recipe.training.keep_last:
            self.progress.best, self.progress.best_epoch = merit, self.progress.epoch
            with atomic_path(self.folder / "weights.h5") as part:
                self.model.save_weights(part, save_format="h5")
        self.replicas.set_weights(learning.weights)
        self.progress.epoch += 1
        loss, speed = float(result.history["loss"][0]), len(self.examples.targets) / seconds
        entry = {
            "phase": phase.name,
            "epoch": self.progress.epoch,
            "loss": round(loss, 5),
            "validation": round(merit, 5),  # the task's figure of merit
            "seconds": round(seconds, 2),
        }
        self.progress.history.append(entry)
        console.print(
            f"{phase.name} {self.progress.epoch}/{phase.epochs}  loss {loss:.4f}  "
            f"validation {self.task.figure} {merit:.4f}  {speed:.0f} images/s"
        )
        return {"loss": loss, "validation/" + self.task.figure: merit, "images_per_second": speed}

    def _save_progress(self) -> None:
        write_json(self.folder / "progress.json", asdict(self.progress))
