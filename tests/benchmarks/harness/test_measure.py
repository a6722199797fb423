"""Measuring on this machine: values of the process itself, and times that include the outputs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, cycle, repeat
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from osteolite.benchmarks.harness.engines import Unavailable, load
from osteolite.benchmarks.harness.measure import measure
from osteolite.benchmarks.harness.process import Lost, Worker
from osteolite.benchmarks.harness.records import Case, Measured, Plan, Task
from osteolite.benchmarks.harness.worker import Served
from osteolite.benchmarks.labelled_images import labelled_images
from osteolite.edge import FractureClassifier
from osteolite.edge.inference import gpu as edge_compiled
from osteolite.edge.inference.opening import open_session


def ignore_progress(_: str) -> None:
    pass


def test_accuracy_is_that_of_the_measured_engine(tiny_model: Path, bench_images: Path) -> None:
    """The scores are computed from the predictions of the code that was timed."""
    images = tuple(labelled_images(str(bench_images)))
    (case,) = measure(Plan((str(tiny_model),), (1,), launches=1, images=images), ignore_progress).cases
    classifier = FractureClassifier(tiny_model)
    answers = [classifier.predict(path) for path, _ in images]
    assert case.probabilities == [answer.fracture_probability for answer in answers]
    assert case.answers == [int(answer.label == "fractured") for answer in answers]
    assert {len(spent) for spent in case.steps.values()} == {6}
    assert set(case.steps) == {"read", "preprocess", "invoke", "whole"}


def test_a_router_is_measured_through_both_stages(tiny_router: Path, tiny_model: Path, bench_images: Path) -> None:
    images = tuple(labelled_images(str(bench_images)))
    plan = Plan((str(tiny_router), str(tiny_model)), (1,), launches=1, images=images)
    whole, single = measure(plan, ignore_progress).cases
    assert (whole.variant, whole.probabilities) == ("float32", single.probabilities)
    assert np.median(whole.launches[0].invoke[0]) > 0


def test_memory_is_that_of_the_process(tiny_model: Path) -> None:
    """The caller's memory is not counted."""
    held = np.ones(100_000_000, np.float32)
    (case,) = measure(Plan((str(tiny_model),), (1,), launches=1), ignore_progress).cases
    (launch,) = case.launches
    assert launch.peak_mb is not None
    assert launch.steady_mb is not None
    assert launch.steady_mb <= launch.peak_mb < held.nbytes / 2**20


@pytest.mark.slow
def test_cases_take_turns_in_several_launches(tiny_model: Path, tiny_int8_model: Path) -> None:
    cases = measure(Plan((str(tiny_model), str(tiny_int8_model)), (1,), launches=2), ignore_progress).cases
    assert [(case.variant, len(case.launches)) for case in cases] == [("float32", 2), ("int8", 2)]
    for case in cases:
        assert {len(launch.invoke) for launch in case.launches} == {10}
        assert min(launch.warm_up for launch in case.launches) > 100


@pytest.mark.parametrize(
    ("times", "warm_up", "steady"),
    [
        (chain([9.0, 6.0, 5.0], repeat(5.1)), 3 + 11 + 17 + 4 * 20, True),  # half a second, with similar last turns
        (cycle([4.0, 5.0]), 3 + 25 * 25 + 24 * 20, False),  # fifty turns, no two of them similar
    ],
)
def test_a_launch_warms_up_until_turns_are_steady(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, times: Iterator[float], warm_up: int, steady: bool
) -> None:
    def timed(worker: Worker, what: str, **given: Any) -> dict[str, Any]:
        answer = ask(worker, what, **given)
        return answer | {"milliseconds": [next(times)] * given["runs"]} if what == "invoke" else answer

    ask = Worker.ask
    monkeypatch.setattr(Worker, "ask", timed)
    (case,) = measure(Plan((str(tiny_model),), (1,), launches=1), ignore_progress).cases
    assert [(launch.warm_up, launch.steady) for launch in case.launches] == [(warm_up, steady)]


def test_records_survive_json(tiny_model: Path) -> None:
    measured = measure(Plan((str(tiny_model),), (1,), launches=1, batch=2), ignore_progress)
    assert Measured.from_dict(json.loads(json.dumps(measured.to_dict()))) == measured


def test_a_plan_survives_json() -> None:
    plan = Plan(("a.tflite",), (1, 4), ("", "gpu"), images=(("x.png", 1),), peers=("openvino",))
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_an_unreadable_image_is_named(tiny_model: Path, bench_images: Path) -> None:
    (bench_images / "normal" / "broken.png").write_bytes(b"no image")
    images = tuple(labelled_images(str(bench_images)))
    (case,) = measure(Plan((str(tiny_model),), (1,), launches=1, images=images), ignore_progress).cases
    assert "broken.png: not an image" in case.error


def test_a_killed_process_is_reported_and_the_others_continue(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[Worker] = []
    ask = Worker.ask

    def kill_the_first(self: Worker, do: str, **values: Any) -> dict[str, Any]:
        requests.append(self)
        if self is requests[0] and len(requests) > 8:
            os.kill(self.process.pid, signal.SIGKILL)
        return ask(self, do, **values)

    monkeypatch.setattr(Worker, "ask", kill_the_first)
    first, second = measure(Plan((str(tiny_model),), (1, 2), launches=1), ignore_progress).cases
    assert "ended with code -9" in first.error
    assert not second.error
    assert len(second.launches) == 1
    assert all(worker.process.poll() is not None for worker in requests)


def test_batches_are_timed(tiny_model: Path, tiny: Any) -> None:
    worker = Worker(Task(str(tiny_model), 1))
    try:
        assert len(worker.ask("batch", size=4, runs=3)["milliseconds"]) == 3
    finally:
        worker.close()
    (case,) = measure(Plan((str(tiny_model),), (1,), launches=1, batch=4), ignore_progress).cases
    assert case.batch["size"] == 4
    assert case.batch["milliseconds"] > 0


def test_mlperf_scenarios_run_for_the_given_time(tiny_model: Path) -> None:
    (case,) = measure(Plan((str(tiny_model),), (2,), launches=1, mlperf_seconds=0.2), ignore_progress).cases
    assert sum(case.scenarios["single_stream"]["milliseconds"]) <= 250
    assert case.scenarios["offline"]["samples"] > 100
    assert case.scenarios["offline"]["seconds"] == pytest.approx(0.2, abs=0.2)


def test_a_missing_peer_is_left_out(tiny_model: Path) -> None:
    measured = measure(Plan((str(tiny_model),), (1,), launches=1, peers=("mediapipe",)), ignore_progress)
    assert [case.engine for case in measured.cases] == ["osteolite"]
    assert "mediapipe" in next(iter(measured.left_out))


def test_cpu_use_of_another_program_is_detected(tiny_model: Path) -> None:
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        (case,) = measure(Plan((str(tiny_model),), (1,), launches=1), ignore_progress).cases
    finally:
        loop.kill()
        loop.wait()
    foreign = case.launches[0].foreign_cores
    assert foreign is None or foreign > 0.3  # None if the system does not report it


class LazyTensor:
    """A buffer like that of a GPU: running takes no time, reading waits for the result."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def read(self, count: int, dtype: Any) -> np.ndarray:
        time.sleep(0.05)
        return self.values.reshape(-1)[:count].astype(dtype)


def test_gpu_times_include_reading_the_outputs(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine's only call that runs also returns the outputs, so nothing else can be timed."""

    class AsynchronousEngine:
        """Like `GpuEngine`, on a device that computes while the caller waits."""

        def __init__(self, model: Any) -> None:
            self._plain = cast(Any, open_session(model)._engine)  # without `operators` in its declared type
            self.inputs, self.outputs = self._plain.inputs, self._plain.outputs
            self.operators = self._plain.operators

        def input(self) -> np.ndarray:
            pixels: np.ndarray = self._plain.input()
            return pixels

        def run(self) -> list[np.ndarray]:
            outputs = self._plain.run()
            return [LazyTensor(one).read(one.size, one.dtype).reshape(one.shape) for one in outputs]

    monkeypatch.setattr(edge_compiled, "GpuEngine", AsynchronousEngine)
    monkeypatch.setattr(edge_compiled, "software_only", lambda: "")
    loaded = load(Task(str(tiny_model), 1, "gpu"), ExitStack())
    assert loaded.about["applied"] == "gpu"
    served = Served(loaded)
    assert min(served.invoke(3)["milliseconds"]) >= 50
    assert min(served.single_stream(0.2)["milliseconds"]) >= 50
    assert served.offline(0.2)["samples"] <= 5
    with pytest.raises(Unavailable, match="CPU"):
        served.batch(2, 1)


def test_edge_engines_cannot_run_without_returning_outputs() -> None:
    public = {name for name in dir(edge_compiled.GpuEngine) if not name.startswith("_")}
    assert public == {"input", "run"}


def test_a_worker_reports_why_it_cannot_load(tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(b"TFL3")
    with pytest.raises(Lost, match=r"x\.tflite"):
        Worker(Task(str(tmp_path / "x.tflite"), 1))


def test_a_case_keeps_its_keys_in_json() -> None:
    """Result files and pages that exist already use these keys."""
    case = Case("a.tflite", "int8", 1000, 2, requested="gpu", applied="gpu", operators_taken=9, operators=13)
    case.profile = [{"operator": "CONV_2D"}]
    values = Measured("local", {}, [case]).to_dict()
    (written,) = values["lanes"]
    assert [written[key] for key in ("asked", "applied", "taken", "of")] == ["gpu", "gpu", 9, 13]
    assert written["operators"] == [{"operator": "CONV_2D"}]
    assert set(written) == Case.json_keys()
    assert Measured.from_dict(json.loads(json.dumps(values))) == Measured("local", {}, [case])
