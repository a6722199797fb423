import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from osteolite.edge.commands import diagnosis
from osteolite.edge.commands.diagnosis import delegates_here, diagnose
from osteolite.edge.inference import gpu
from osteolite.edge.inference.engine import nodes, parse_model
from osteolite.edge.modelfile import shipped
from osteolite.edge.modelfile.shipped import shipped_model


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_LOADER", "libvulkan-absent.so.1")


@pytest.mark.usefixtures("without_gpu")
def test_each_delegate_says_what_it_would_do_with_the_model_that_ships() -> None:
    found, operators = delegates_here(shipped_model()), len(nodes(parse_model(shipped_model())))
    assert list(found) == ["cpu", "xnnpack", "gpu", "edgetpu", "nnapi"]
    assert found["cpu"] == {"applied": "none", "taken": 0, "of": operators}
    assert found["xnnpack"] == {
        "applied": "xnnpack",
        "taken": operators - 1,
        "of": operators,
        "reason": "left to the processor: 1 AVERAGE_POOL_2D",
    }
    for name in ("gpu", "edgetpu", "nnapi"):
        assert set(found[name]) == {"reason"}
    assert found["gpu"]["reason"].startswith("there is no Vulkan loader")
    assert "Android" in found["nnapi"]["reason"]


@pytest.mark.usefixtures("without_gpu")
def test_a_delegate_that_breaks_in_an_unknown_way_does_not_break_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise ZeroDivisionError("a driver gone mad")

    monkeypatch.setattr(gpu, "missing_for_gpu", broken)
    assert delegates_here(shipped_model())["gpu"] == {"reason": "a driver gone mad"}


def test_a_gpu_in_software_is_named_and_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "adapters", lambda: [("SwiftShader", True)])
    assert "the only adapter is SwiftShader" in delegates_here(shipped_model())["gpu"]["reason"]


@pytest.mark.usefixtures("without_gpu")
def test_what_was_examined_is_whole_and_fit_for_json() -> None:
    found = diagnose()
    assert found["works"] is True
    assert found["model"] == shipped_model().stem
    assert json.loads(json.dumps(found))["delegates"]["xnnpack"] == found["delegates"]["xnnpack"]


def test_without_the_model_that_ships_the_rest_is_still_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(shipped.SHIPPED, "base", "missing.tflite")
    found = diagnose()
    assert found["works"] is False
    assert "no model 'base'" in found["prediction"]
    assert "delegates" not in found
    assert found["python"] == diagnosis.conditions()["python"]


def test_the_command_takes_no_longer_than_a_person_waits() -> None:
    command = [str(Path(sys.executable).with_name("osteolite")), "doctor", "--json"]
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
        spent.append(time.perf_counter() - start)
    assert set(json.loads(done.stdout)["delegates"]) == {"cpu", "xnnpack", "gpu", "edgetpu", "nnapi"}
    assert min(spent) < 5  # about one second on a machine with nothing else to do
