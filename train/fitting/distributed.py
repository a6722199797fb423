"""Training on several devices or machines through tf.distribute.

A recipe's batch is the global batch: each replica (a device with a copy of the network) takes its
share of it, and the weights come out as one device would make them, up to rounding. `docs/distributed.md`
says how to start it and what is left to differ.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.errors import OsteoliteError, UsageError
from osteolite.edge.silence import quiet_stderr

from ..console import console
from ..keras import keras, tf

STRATEGIES = ("none", "mirrored", "multiworker")
_EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'


def open_strategy(name: str) -> Any:
    """A tf.distribute strategy; it must be opened before TensorFlow computes anything.

    Args:
        name: "none"; "mirrored", over the GPUs of this machine, or its processor where it has none; or
            "multiworker", over the processes that the variable TF_CONFIG lists, for which it waits.

    Raises:
        UsageError: another name, or a TF_CONFIG that is missing or malformed.
        OsteoliteError: the workers do not find each other.
    """
    if name not in STRATEGIES:
        raise UsageError(f"no strategy {name!r}; known are {', '.join(STRATEGIES)}")
    if name == "none":
        return tf.distribute.get_strategy()
    with quiet_stderr():  # a dozen lines about servers, sessions and NCCL
        if name == "mirrored":
            return tf.distribute.MirroredStrategy()
        worker_index()
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except (tf.errors.OpError, RuntimeError) as error:
            raise OsteoliteError(f"the workers of TF_CONFIG do not find each other: {_line(error)}") from error


def worker_index() -> int:
    """Which of the workers that TF_CONFIG lists this process is.

    Raises:
        UsageError: TF_CONFIG is missing or malformed.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        found = json.loads(text)
        workers, task = found["cluster"]["worker"], found["task"]
        hosts = all(isinstance(worker, str) and worker.rpartition(":")[2].isdecimal() for worker in workers)
        index = int(task["index"])
        if set(found["cluster"]) == {"worker"} and task["type"] == "worker" and hosts and 0 <= index < len(workers):
            return index
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    state = f"TF_CONFIG is {text!r}" if text else "TF_CONFIG is not set"
    raise UsageError(f"{state}; --strategy multiworker needs, on each worker with its own index, {_EXAMPLE}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


@dataclass(frozen=True)
class Share:
    """The part of each global batch that the replicas of one process take."""

    replicas: int = 1  # of all processes
    mine: range = range(1)  # those of this process

    def cut(self, rows: Any) -> Iterator[tuple[int, Any, Any]]:
        """Deal out a global batch, of equally many rows to each replica.

        Keras divides a replica's loss by its own rows and by the replicas. Where these do not divide
        the batch, rows come twice, the second time without weight, and the others weigh more by as
        much, so that the replicas' losses add up to the loss of one replica with all rows.

        Args:
            rows: (batch,), any indices.

        Yields:
            For each replica of this process its number, its rows, and the factors of their weights (float32).

        >>> [(rows.tolist(), factors.tolist()) for _, rows, factors in Share(2, range(2)).cut(np.array([7, 8, 9]))]
        [([7, 9], [1.3333333730697632, 1.3333333730697632]), ([8, 7], [1.3333333730697632, 0.0])]
        """
        total = -(-len(rows) // self.replicas) * self.replicas
        dealt, factors = np.resize(rows, total), np.zeros(total, np.float32)
        factors[: len(rows)] = total / len(rows)
        for replica in self.mine:
            yield replica, dealt[replica :: self.replicas], factors[replica :: self.replicas]


WHOLE = Share()


def copy_weights(source: Any, target: Any) -> None:
    """Give a model the weights of another of the same layers; of replicas, all processes must ask at once."""
    if target is not source:
        target.set_weights(source.get_weights())


@dataclass(frozen=True)
class Workers:
    """The processes that train together, seen from one of them.

    All do the same, so that their collective operations meet, each in a folder of its own. What counts
    is the chief's; the others' folders are temporary.
    """

    strategy: Any
    run: Path  # the chief's run folder
    folder: Path  # this process's run folder

    @property
    def chief(self) -> bool:
        return self.folder == self.run

    def replicate(self, model: Any) -> Any:
        """A copy of the model on each replica, or, without a strategy, the model itself."""
        if self.strategy is ALONE.strategy:
            return model
        with self.strategy.scope():
            copies = keras.models.clone_model(model)
        copy_weights(model, copies)
        for layer in copies.layers:
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()  # it computes with constants that it makes of its weights
        return copies

    def distribute(self, make: Callable[[Share], Any]) -> Any:
        """The dataset that `make` gives for this process's share, for `fit` of a replicated model."""

        def made(context: Any) -> Any:
            local = context.num_replicas_in_sync // context.num_input_pipelines
            first = local * context.input_pipeline_id
            return make(Share(context.num_replicas_in_sync, range(first, first + local)))

        return self.strategy.distribute_datasets_from_function(made)

    def take_over(self, folder: Path, names: tuple[str, ...]) -> None:
        """Copy files and folders of the chief's run into the same place of this process's, where they exist."""
        if self.chief:
            return
        source = self.run / folder.relative_to(self.folder)
        for name in names:
            if (source / name).is_dir():
                shutil.copytree(source / name, folder / name)
            elif (source / name).is_file():
                shutil.copy(source / name, folder / name)


ALONE = Workers(tf.distribute.get_strategy(), Path(), Path())


@contextmanager
def open_crew(name: str, run: Path) -> Iterator[Workers]:
    """The crew of a strategy (see `open_strategy`); all but the chief fall silent and work in a temporary folder.

    Args:
        name: of the strategy.
        run: the run folder, the same for all workers.

    Raises:
        OsteoliteError: a worker was lost in the block.
    """
    strategy = open_strategy(name)
    if name != "multiworker":
        yield Workers(strategy, run, run)
        return
    try:
        if worker_index() == 0:
            yield Workers(strategy, run, run)
            return
        console.quiet = True
        with tempfile.TemporaryDirectory(prefix="osteolite-worker-") as folder:
            yield Workers(strategy, run, Path(folder) / "run")
    except tf.errors.OpError as error:
        raise OsteoliteError(
            f"the workers lost each other ({_line(error)}); start all of them again with the same call"
        ) from error
