"""`osteolite doctor`: delegates, the shipped model, and how long it takes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from osteolite.edge.commands.diagnosis import delegates_here, diagnose
from osteolite.edge.inference import gpu
from osteolite.edge.inference.engine import nodes, parse_model
from osteolite.edge.machine import conditions
from osteolite.edge.modelfile.shipped import shipped_model


@pytest.mark.usefixtures("no_gpu")
def test_every_delegate_is_tried_with_the_shipped_model() -> None:
    found, operators = delegates_here(shipped_model()), len(nodes(parse_model(shipped_model())))
    assert list(found) == ["cpu", "xnnpack", "gpu", "edgetpu", "nnapi"]
    assert found["cpu"] == {"applied": "none", "taken": 0, "of": operators}
    assert found["xnnpack"] == {
        "applied": "xnnpack",
        "taken": operators - 1,
        "of": operators,
        "reason": "left to the CPU: 1 AVERAGE_POOL_2D",
    }
    for name in ("gpu", "edgetpu", "nnapi"):
        assert set(found[name]) == {"reason"}
    assert "Vulkan" in found["gpu"]["reason"]
    assert "Android" in found["nnapi"]["reason"]


def test_a_driver_that_fails_in_any_way_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(loader: str) -> list[tuple[str, bool]]:
        raise ZeroDivisionError("the driver is broken")

    monkeypatch.setattr(gpu, "adapters", broken)  # stands for a driver
    assert delegates_here(shipped_model())["gpu"] == {"reason": "the driver is broken"}


def test_a_software_gpu_is_named_and_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "adapters", lambda loader: [("SwiftShader", True)])  # stands for a driver
    assert "the only adapter is SwiftShader" in delegates_here(shipped_model())["gpu"]["reason"]


@pytest.mark.usefixtures("no_gpu")
def test_diagnose_works_and_gives_json() -> None:
    found = diagnose()
    assert found["works"] is True
    assert found["model"] == shipped_model().stem
    assert json.loads(json.dumps(found))["delegates"]["xnnpack"] == found["delegates"]["xnnpack"]


def test_diagnose_without_a_usable_model_reports_the_machine() -> None:
    found = diagnose("missing")
    assert found["works"] is False
    assert "no shipped model 'missing'" in found["prediction"]
    assert "delegates" not in found
    assert found["python"] == conditions()["python"]


def test_the_command_takes_a_few_seconds() -> None:
    command = [str(Path(sys.executable).with_name("osteolite")), "doctor", "--json"]
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
        spent.append(time.perf_counter() - start)
    assert set(json.loads(done.stdout)["delegates"]) == {"cpu", "xnnpack", "gpu", "edgetpu", "nnapi"}
    assert min(spent) < 5  # about one second on an idle machine
