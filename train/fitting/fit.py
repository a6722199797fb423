"""Fit a recipe epoch by epoch; an interrupted fit resumes after its last finished epoch."""

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
from .batch_norm import recompute_batch_norm
from .distillation import Teacher
from .distributed import FULL_BATCH, SINGLE_PROCESS, BatchShare, Workers, copy_weights
from .input_pipeline import Examples, evaluation_batches, training_batches
from .tasks import Task
from .tensorboard import log_epoch, log_recipe, open_writer

_EVALUATION_BATCH = 64

Array = np.ndarray[Any, Any]


@dataclass
class Progress:
    """The progress of a fit. `progress.json` holds it after each epoch, next to the checkpoint named in it."""

    phase: int = 0  # index of the current phase of the recipe
    epoch: int = 0  # finished epochs of that phase
    checkpoint: str = ""  # name of the checkpoint of weights and optimizer after that epoch
    best: float = -1.0  # best value of the task's metric on the validation split, over all phases
    best_epoch: int = -1  # best epoch of the current phase, for its patience
    renewed: bool = False  # whether batch norm statistics were recomputed for the averaged weights
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry for each epoch

    @classmethod
    def load(cls, path: Path) -> "Progress":
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else cls()


def outputs_of(model: Any, pixels: Pixels, indices: Any, recipe: Recipe) -> Array:
    """Compute the network's outputs for the images of `indices`, float64 (images, outputs)."""
    batches = evaluation_batches(pixels, indices, recipe.preprocessing, _EVALUATION_BATCH)
    return np.concatenate([np.asarray(logits_of(model(batch, training=False))) for batch in batches]).astype(np.float64)


def _class_weights(targets: Array, classes: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A weight for each training image, 1 on average, that gives every class the same total weight."""
    share = np.bincount(targets, minlength=classes) / len(targets)
    weights: np.ndarray[Any, np.dtype[np.float32]] = (1.0 / classes / share)[targets].astype(np.float32)
    return weights


class _PlainWeights(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Keeps the weights before averaging; at the end of each epoch's `fit`, Keras replaces them by the average."""

    weights: list[Array]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.weights = self.model.get_weights()


class Fit:
    """One fit of a model. `run` completes it from the state that it finds in the folder.

    Args:
        model: a model from `build_model`, with its starting weights.
        task: the classification task.
        recipe: phases, batch, augmentation.
        prepared: the images with their splits.
        folder: for checkpoints, `progress.json`, `weights.h5` and the TensorBoard logs.
        pretrained: whether the model starts from trained weights.
        seed: for shuffling and augmentation.
        workers: the processes that fit this model together.
        callbacks: returns Keras callbacks for an epoch.
        teacher: contributes to the targets.
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
        workers: Workers = SINGLE_PROCESS,
        callbacks: Callable[[], list[Any]] = list,
        teacher: Teacher | None = None,
    ) -> None:
        self.model, self.task, self.recipe, self.folder = model, task, recipe, folder
        self.pretrained, self.seed, self.workers, self.callbacks = pretrained, seed, workers, callbacks
        self.teacher = teacher
        workers.copy_from_chief(folder, ("progress.json", "weights.h5", "checkpoints"))
        splits = np.array([row.split for row in prepared.catalogue.rows])
        targets = np.array([task.target(row) for row in prepared.catalogue.rows])
        self.pixels = prepared.images.pixels
        self.validation = np.flatnonzero(splits == "validation")
        self.validation_targets = targets[self.validation]
        chosen = np.flatnonzero(splits == "train")
        self.steps = -(-len(chosen) // recipe.training.batch)
        self.progress = Progress.load(folder / "progress.json")
        self.replicas = workers.replicate(model)  # fitted; the model takes over their weights after each epoch
        mapped = recipe.model.fracture_map
        ones = np.ones(len(chosen), np.float32)
        self.examples = Examples(
            self.pixels[chosen],
            task.encode(targets[chosen]),
            _class_weights(targets[chosen], len(task.classes)) if recipe.training.class_weights else ones,
            box_coverage(prepared.catalogue, recipe.preprocessing)[chosen] if mapped else None,
            teacher.pixels[chosen] if teacher else None,
        )

    def run(self) -> Progress:
        """Fit the remaining phases and load the final weights into the model."""
        writer = open_writer(self.folder / "logs")
        if self.progress.history:
            console.print(f"resuming after {len(self.progress.history)} epochs")
        else:
            log_recipe(writer, self.recipe)
        batches = self.workers.distribute(self._batches)
        while self.progress.phase < len(self.recipe.training.phases):
            self._run_phase(self.recipe.training.phases[self.progress.phase], batches, writer)
            self.progress.phase += 1
            self.progress.epoch, self.progress.best_epoch, self.progress.checkpoint = 0, -1, ""
            self._save_progress()
        writer.close()
        self.model.load_weights(self.folder / "weights.h5")
        if self.recipe.training.averaging and not self._batch_norm_frozen and not self.progress.renewed:
            self._recompute_batch_norm()
        return self.progress

    @property
    def _batch_norm_frozen(self) -> bool:
        return self.pretrained and not self.recipe.training.batch_norm

    def _recompute_batch_norm(self) -> None:
        set_trainable(self.model, self.recipe.training.phases[-1], keep_norm=False)
        recompute_batch_norm(self.model, self._batches(FULL_BATCH))
        self._save_weights()
        self.progress.renewed = True
        self._save_progress()

    def _batches(self, share: BatchShare) -> Any:
        return training_batches(
            self.examples,
            self.recipe.preprocessing,
            self.recipe.augmentation,
            self.recipe.training.batch,
            lambda: np.random.default_rng((self.seed, self.progress.phase, self.progress.epoch)),
            share,
            self.teacher,
        )

    def _run_phase(self, phase: Phase, batches: Any, writer: Any) -> None:
        set_trainable(self.replicas, phase, self._batch_norm_frozen)
        with self.workers.strategy.scope():
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
            # The first epoch overwrites weights.h5; a run that is killed in it resumes from here.
            self._save_checkpoint(manager)
        while self.progress.epoch < phase.epochs:
            if self.progress.best_epoch >= 0 and self.progress.epoch - self.progress.best_epoch > phase.patience:
                console.print(f"{phase.name}: no improvement in {phase.patience} epochs, stopping early")
                return
            scalars = self._run_epoch(phase, batches)
            self._save_checkpoint(manager)
            log_epoch(
                writer, len(self.progress.history), {**scalars, "learning_rate": float(optimizer.learning_rate.numpy())}
            )

    def _optimizer(self, phase: Phase) -> Any:
        rate = keras.optimizers.schedules.CosineDecay(phase.learning_rate, phase.epochs * self.steps, alpha=0.01)
        averaging = self.recipe.training.averaging
        return keras.optimizers.AdamW(
            rate, weight_decay=self.recipe.training.weight_decay, use_ema=averaging > 0, ema_momentum=averaging
        )

    def _run_epoch(self, phase: Phase, batches: Any) -> dict[str, float]:
        start = time.perf_counter()
        bar = console.is_terminal and not console.quiet
        plain = _PlainWeights()
        result = self.replicas.fit(
            batches, epochs=1, steps_per_epoch=self.steps, verbose=int(bar), callbacks=[*self.callbacks(), plain]
        )
        seconds = time.perf_counter() - start
        copy_weights(self.replicas, self.model)
        outputs = outputs_of(self.model, self.pixels, self.validation, self.recipe)
        metric = self.task.metric(self.validation_targets, outputs)
        if metric > self.progress.best or self.recipe.training.keep_last:
            self.progress.best, self.progress.best_epoch = metric, self.progress.epoch
            self._save_weights()
        self.replicas.set_weights(plain.weights)
        self.progress.epoch += 1
        loss, speed = float(result.history["loss"][0]), len(self.examples.targets) / seconds
        entry = {
            "phase": phase.name,
            "epoch": self.progress.epoch,
            "loss": round(loss, 5),
            "validation": round(metric, 5),  # the task's metric
            "seconds": round(seconds, 2),
        }
        self.progress.history.append(entry)
        console.print(
            f"{phase.name} {self.progress.epoch}/{phase.epochs}  loss {loss:.4f}  "
            f"validation {self.task.metric_name} {metric:.4f}  {speed:.0f} images/s"
        )
        return {"loss": loss, "validation/" + self.task.metric_name: metric, "images_per_second": speed}

    def _save_weights(self) -> None:
        with atomic_path(self.folder / "weights.h5") as temporary:
            self.model.save_weights(temporary, save_format="h5")

    def _save_checkpoint(self, manager: Any) -> None:
        self.progress.checkpoint = Path(manager.save(checkpoint_number=len(self.progress.history))).name
        self._save_progress()

    def _save_progress(self) -> None:
        write_json(self.folder / "progress.json", asdict(self.progress))
