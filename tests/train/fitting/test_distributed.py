"""Distributed training: several worker processes end with the weights of one, and invalid settings are refused."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.edge.errors import UsageError
from osteolite.train.data.phantoms import write_phantoms
from osteolite.train.fitting.distributed import STRATEGIES, BatchShare, Workers, open_strategy, worker_index
from osteolite.train.keras import keras, tf
from osteolite.train.runs.run_folder import Run

from .small_recipe import small_recipe

# A batch of 15 does not divide the 44 training images, and 2 workers do not divide the batch.
RECIPE = small_recipe(("all", 2, 3e-3), name="steady", batch=15)


@given(st.integers(1, 50), st.integers(1, 9), st.data())
def test_the_losses_of_all_shares_add_up_to_the_loss_of_one_replica(rows: int, replicas: int, data: Any) -> None:
    losses = np.array(data.draw(st.lists(st.floats(0, 10), min_size=rows, max_size=rows)))
    shares = [one for i in range(replicas) for one in BatchShare(replicas, range(i, i + 1)).divide(np.arange(rows))]
    assert [replica for replica, _, _ in shares] == list(range(replicas))
    assert len({len(chosen) for _, chosen, _ in shares}) == 1
    seen = np.concatenate([chosen[factors > 0] for _, chosen, factors in shares])
    assert sorted(seen) == list(range(rows))
    total = sum((losses[chosen] * factors).mean() / replicas for _, chosen, factors in shares)
    assert total == pytest.approx(losses.mean(), rel=1e-5, abs=1e-9)


def test_replicas_in_one_process_get_the_same_rows_as_in_separate_processes() -> None:
    together = list(BatchShare(4, range(1, 3)).divide(np.arange(11)))
    apart = [one for i in (1, 2) for one in BatchShare(4, range(i, i + 1)).divide(np.arange(11))]
    for (first, rows, factors), (second, others, more) in zip(together, apart, strict=True):
        assert first == second
        np.testing.assert_array_equal(rows, others)
        np.testing.assert_array_equal(factors, more)


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(UsageError, match=f"no strategy 'horovod'; known are {', '.join(STRATEGIES)}"):
        open_strategy("horovod")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        '{"cluster": {"worker": ["localhost"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": "localhost:1"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "evaluator", "index": 0}}',
        '{"cluster": {"worker": ["localhost:1"], "ps": ["localhost:2"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_missing_or_malformed_tf_config_is_refused(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match=r"^TF_CONFIG is .*--strategy multiworker needs.*\"cluster\"[^\n]*$"):
        open_strategy("multiworker")


def test_the_worker_index_is_that_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", tf_config([1, 2, 3], 2))
    assert worker_index() == 2


def test_replicas_compute_the_same_as_the_model() -> None:
    model = keras.Sequential([keras.layers.Normalization(input_shape=(3,)), keras.layers.Dense(2)])
    model.layers[0].adapt(np.arange(12.0).reshape(4, 3))
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    copies = Workers(strategy, Path("run"), Path("run")).replicate(model)
    assert copies is not model
    values = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(copies.predict(values, verbose=0), model(values), rtol=1e-6)


def tf_config(ports: list[int], index: int) -> str:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def command(folder: Path, out: str, *more: str) -> list[str]:
    name = str(Path(sys.executable).with_name("osteolite"))
    return [name, "train", str(folder / "data"), "--recipe", str(folder / "steady.toml"), "--out", out, *more]


def train_with_two(folder: Path, out: str) -> list[subprocess.CompletedProcess[str]]:
    ports = free_ports(2)
    processes = [
        subprocess.Popen(
            command(folder, out, "--strategy", "multiworker"),
            env={**os.environ, "TF_CONFIG": tf_config(ports, index), "TMPDIR": str(folder / "tmp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        ended = []
        for process in processes:
            printed = process.communicate(timeout=240)
            ended.append(subprocess.CompletedProcess(process.args, process.returncode, *printed))
        return ended
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, recipe, the run `one` of a single process, and a folder for temporary files."""
    folder = tmp_path_factory.mktemp("strategy")
    write_phantoms(folder / "data", 64, 1)
    (folder / "steady.toml").write_text(RECIPE)
    (folder / "tmp").mkdir()
    one = subprocess.run(command(folder, str(folder / "one")), capture_output=True, text=True, timeout=240, check=False)
    assert one.returncode == 0, one.stderr
    return folder


def state(run: Path) -> dict[str, Any]:
    """All weights and the optimizer's variables after the last epoch."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name]
    return {name: np.asarray(reader.get_tensor(name), np.float64) for name in names}


def assert_same_end(run: Path, other: Path) -> None:
    first, second = state(run), state(other)
    assert len(first) > 20
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name], atol=1e-4, err_msg=name)
    for values, others in zip(Run(run).model().get_weights(), Run(other).model().get_weights(), strict=True):
        np.testing.assert_allclose(values, others, atol=1e-4)


@pytest.mark.slow
def test_two_workers_end_with_the_weights_of_one(alone: Path) -> None:
    chief, other = train_with_two(alone, str(alone / "two"))
    assert chief.returncode == 0, chief.stderr
    assert other.returncode == 0, other.stderr
    assert "all 2/2" in chief.stderr
    assert (other.stdout, other.stderr) == ("", "")
    assert_same_end(alone / "one", alone / "two")
    assert {path.name for path in (alone / "one").iterdir()} == {path.name for path in (alone / "two").iterdir()}
    assert not list((alone / "tmp").glob("osteolite-worker-*"))


@pytest.mark.slow
def test_two_workers_resume_from_the_chiefs_checkpoint(alone: Path) -> None:
    run = alone / "resumed"
    shutil.copytree(alone / "one", run)
    progress = json.loads((run / "progress.json").read_text())
    after_first = {"phase": 0, "epoch": 1, "checkpoint": "ckpt-1", "best": -1.0, "history": progress["history"][:1]}
    (run / "progress.json").write_text(json.dumps({**progress, **after_first}))
    (run / "evaluation.json").unlink()
    for stale in (run / "checkpoints").glob("ckpt-2*"):
        stale.unlink()
    chief, other = train_with_two(alone, str(run))
    assert chief.returncode == 0, chief.stderr
    assert other.returncode == 0, other.stderr
    assert "resuming after 1 epochs" in chief.stderr
    for name, values in state(alone / "one").items():
        np.testing.assert_allclose(values, state(run)[name], atol=1e-4, err_msg=name)
