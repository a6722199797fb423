"""Training on several devices or machines through tf.distribute.

A recipe's batch is the global batch: each replica (a device with a copy of the network) processes its
share, and the resulting weights equal those of a single device up to rounding. `docs/distributed.md`
explains how to start it and which differences remain.
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
    """Open a tf.distribute strategy. Call this before TensorFlow computes anything.

    Args:
        name: "none"; "mirrored", over the GPUs of this machine, or its CPU if there is none; or "multiworker",
            over the processes listed in the variable TF_CONFIG. It waits until all of them have started.

    Raises:
        UsageError: the name is unknown, or TF_CONFIG is missing or malformed.
        OsteoliteError: the workers cannot connect to each other.
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
            raise OsteoliteError(
                f"the workers of TF_CONFIG cannot connect to each other: {_one_line(error)}"
            ) from error


def worker_index() -> int:
    """The index of this process among the workers listed in TF_CONFIG.

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
    raise UsageError(f"{state}; --strategy multiworker needs, for each worker with its own index, {_EXAMPLE}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


@dataclass(frozen=True)
class BatchShare:
    """The share of each global batch that the replicas of one process take."""

    replicas: int = 1  # in all processes together
    local: range = range(1)  # numbers of the replicas in this process

    def divide(self, rows: Any) -> Iterator[tuple[int, Any, Any]]:
        """Divide a global batch, with the same number of rows for each replica.

        Keras divides a replica's loss by its number of rows and by the number of replicas. If the batch does
        not divide evenly, some rows are repeated with weight 0 and the others weigh more by as much, so that
        the replicas' losses add up to the loss of one replica with all rows.

        Args:
            rows: (batch,), any indices.

        Yields:
            For each replica of this process its number, its rows, and the factors of their weights (float32).

        >>> shares = BatchShare(2, range(2)).divide(np.array([7, 8, 9]))
        >>> [(rows.tolist(), factors.tolist()) for _, rows, factors in shares]
        [([7, 9], [1.3333333730697632, 1.3333333730697632]), ([8, 7], [1.3333333730697632, 0.0])]
        """
        total = -(-len(rows) // self.replicas) * self.replicas
        padded, factors = np.resize(rows, total), np.zeros(total, np.float32)
        factors[: len(rows)] = total / len(rows)
        for replica in self.local:
            yield replica, padded[replica :: self.replicas], factors[replica :: self.replicas]


FULL_BATCH = BatchShare()


def copy_weights(source: Any, target: Any) -> None:
    """Copy weights between models with the same layers. With replicas, all processes must call this together."""
    if target is not source:
        target.set_weights(source.get_weights())


@dataclass(frozen=True)
class Workers:
    """The processes that train together, as seen from one of them.

    All run the same steps, so that their collective operations match, each in its own folder. Only the
    chief's folder is kept; the others are temporary.
    """

    strategy: Any
    run: Path  # the chief's run folder
    folder: Path  # this process's run folder

    @property
    def chief(self) -> bool:
        return self.folder == self.run

    def replicate(self, model: Any) -> Any:
        """Copy the model to each replica; without a strategy, return the model itself."""
        if self.strategy is SINGLE_PROCESS.strategy:
            return model
        with self.strategy.scope():
            copies = keras.models.clone_model(model)
        copy_weights(model, copies)
        for layer in copies.layers:
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()  # the layer computes with constants derived from its weights
        return copies

    def distribute(self, make: Callable[[BatchShare], Any]) -> Any:
        """The dataset that `make` returns for this process's share, for `fit` of a replicated model."""

        def make_local(context: Any) -> Any:
            local = context.num_replicas_in_sync // context.num_input_pipelines
            first = local * context.input_pipeline_id
            return make(BatchShare(context.num_replicas_in_sync, range(first, first + local)))

        return self.strategy.distribute_datasets_from_function(make_local)

    def copy_from_chief(self, folder: Path, names: tuple[str, ...]) -> None:
        """Copy existing files and folders of the chief's run to the same place in this process's run."""
        if self.chief:
            return
        source = self.run / folder.relative_to(self.folder)
        for name in names:
            if (source / name).is_dir():
                shutil.copytree(source / name, folder / name)
            elif (source / name).is_file():
                shutil.copy(source / name, folder / name)


SINGLE_PROCESS = Workers(tf.distribute.get_strategy(), Path(), Path())


@contextmanager
def open_workers(name: str, run: Path) -> Iterator[Workers]:
    """Open the workers of a strategy. All but the chief print nothing and use a temporary folder.

    Args:
        name: the strategy, as for `open_strategy`.
        run: the run folder, the same for all workers.

    Raises:
        OsteoliteError: a worker was lost inside the block.
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
            f"the workers lost their connection ({_one_line(error)}); start all of them again with the same command"
        ) from error
