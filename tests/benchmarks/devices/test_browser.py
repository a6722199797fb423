"""Measuring in Chromium, with LiteRT.js and with a stand-in whose outputs take a known time."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from osteolite.benchmarks.devices.browser import measure
from osteolite.benchmarks.devices.pageserver import Content
from osteolite.benchmarks.harness.records import Plan
from osteolite.edge.browser import runtime_name
from osteolite.edge.errors import DeviceError, ImageError, MissingExtra, UsageError
from osteolite.edge.prediction.classifier import FractureClassifier

pytestmark = pytest.mark.slow

StandIn = Callable[..., Callable[[], dict[str, Content]]]

pytest.importorskip("playwright", reason="needs Playwright")


def silent(step: str) -> None:
    pass


@pytest.fixture
def images(tmp_path: Path) -> tuple[tuple[str, int], ...]:
    found = []
    for grey in (0, 60, 120, 255):
        Image.new("L", (40, 50), grey).save(tmp_path / f"{grey}.png")
        found.append((str(tmp_path / f"{grey}.png"), int(grey > 100)))
    return tuple(found)


@pytest.fixture
def descendants() -> Iterator[Callable[[], dict[int, str]]]:
    """Processes that this one started, directly or not, and that still run; none may be left in the end."""

    def find() -> dict[int, str]:
        parents, names = {}, {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = status.read_text()
                command = (status.parent / "cmdline").read_text()
            except OSError:
                continue  # it ended meanwhile
            state, parent = text.rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(status.parent.name)], names[int(status.parent.name)] = int(parent), command
        found: set[int] = set()
        while more := {one for one, parent in parents.items() if parent in found | {os.getpid()}} - found:
            found |= more
        return {one: names[one] for one in found}

    before = set(find())
    yield lambda: {one: name for one, name in find().items() if one not in before}
    deadline = time.monotonic() + 20
    while (left := set(find()) - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


@pytest.mark.slow
def test_a_browser_predicts_as_python_does(
    needs_chromium: None, tiny_model: Path, tiny_int8_model: Path, images: tuple[tuple[str, int], ...], tmp_path: Path
) -> None:
    files = (str(tiny_int8_model), str(tmp_path / "none.tflite"), str(tiny_model))
    messages: list[str] = []
    found = measure(Plan(files, delegates=("wasm",), launches=2, images=images), "browser", messages.append)
    integer, missing, good = found.cases
    assert "INT8" in integer.error and not integer.launches
    assert "none.tflite" in missing.error and missing.bytes == 0
    assert (good.file, good.variant, good.error) == (tiny_model.name, "float32", "")
    assert (good.requested, good.applied, good.engine, good.runtime) == ("wasm", "wasm", "litert.js", runtime_name())
    assert good.threads == os.cpu_count() or good.threads == 1
    assert good.bytes == tiny_model.stat().st_size
    assert len(good.launches) == 2
    for launch in good.launches:
        assert len(launch.invoke) == 10 and min(map(min, launch.invoke)) >= 0
        assert set(launch.cold_start) == {"load", "first_invoke"} and launch.cold_start["load"] > 0
        assert launch.warm_up >= 6  # two turns with similar times
    classifier = FractureClassifier(tiny_model)
    expected = [classifier.predict(path) for path, _ in images]
    assert good.probabilities == pytest.approx([one.fracture_probability for one in expected], abs=1e-6)
    assert good.answers == [int(one.label == "fractured") for one in expected]
    assert set(good.answers) == {0, 1}
    assert set(good.steps) == {"invoke"} and len(good.steps["invoke"]) == len(images)
    assert found.labels == [label for _, label in images] and found.left_out == {}
    assert found.conditions["cross_origin_isolated"] is True
    assert found.conditions["timer_resolution_ms"] < 0.1
    assert found.conditions["litert.js"] == runtime_name().split()[-1]
    assert "Chrom" in found.conditions["browser"] and "Mozilla" in found.conditions["system"]
    assert {"machine", "cores", "load_average", "started", "seconds", "before", "after"} <= set(found.conditions)
    assert messages[0].startswith("launch 1 of 2: ") and messages[-1].startswith("launch 2 of 2: turn 10 of 10")
    assert any(step.startswith("launch 1 of 2: scoring image") for step in messages)


@pytest.mark.slow
def test_an_emulated_gpu_is_named(needs_chromium: None, tiny_model: Path, images: tuple[tuple[str, int], ...]) -> None:
    plan = Plan((str(tiny_model),), delegates=("webgpu",), launches=1, images=images)
    found = measure(plan, "browser", silent)
    (case,) = found.cases
    if "no usable GPU" in case.error:
        pytest.skip("needs a Chromium with a GPU in software")
    assert (case.applied, case.threads, case.error) == ("webgpu", 1, "")
    adapter = found.conditions["webgpu"]
    if "swiftshader" in adapter["architecture"]:
        assert case.reason == f"a processor's imitation of a GPU ({adapter['vendor']} swiftshader)"
    expected = [FractureClassifier(tiny_model).predict(path).fracture_probability for path, _ in images]
    assert case.probabilities == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_without_a_gpu_the_cpu_is_still_measured(needs_chromium: None, tiny_model: Path) -> None:
    flags = ("--disable-gpu", "--disable-software-rasterizer")
    wasm, webgpu = measure(Plan((str(tiny_model),), launches=1), "browser", silent, flags=flags).cases
    assert (wasm.requested, wasm.error, len(wasm.launches)) == ("wasm", "", 1)
    assert webgpu.requested == "webgpu" and "no usable GPU" in webgpu.error and not webgpu.launches


def test_times_include_reading_the_outputs(
    stand_in: StandIn, tiny_model: Path, images: tuple[tuple[str, int], ...]
) -> None:
    page = stand_in()
    plan = Plan((str(tiny_model),), launches=1, images=images)
    found = measure(plan, "browser", silent, page=page)
    assert found.cases[0].threads == 3
    measured = [case for case in found.cases if "no usable GPU" not in case.error]
    for case in measured:
        assert case.error == ""
        (launch,) = case.launches
        times = [spent for turn in launch.invoke for spent in turn]
        assert min([launch.cold_start["first_invoke"], *times, *case.steps["invoke"]]) >= 50
        assert launch.steady and launch.warm_up % 10 == 0 and launch.warm_up >= 20


def test_a_failing_run_affects_only_its_own_case(stand_in: StandIn, tiny_model: Path) -> None:
    page = stand_in("if (options.accelerator === 'wasm') throw new Error('out of\\nmemory');")
    wasm, webgpu = measure(Plan((str(tiny_model),), launches=1), "browser", silent, page=page).cases
    assert wasm.error == "out of memory" and not wasm.launches
    assert webgpu.launches or "no usable GPU" in webgpu.error


def test_a_closed_browser_is_reported(
    stand_in: StandIn, tiny_model: Path, descendants: Callable[[], dict[int, str]]
) -> None:
    page = stand_in()
    threads = threading.active_count()

    def close(step: str) -> None:
        for one, name in descendants().items():
            if "chrom" in name.split("\0")[0] and "--type=" not in name:
                os.kill(one, signal.SIGKILL)

    with pytest.raises(DeviceError, match="failed or was closed") as caught:
        measure(Plan((str(tiny_model),)), "browser", close, page=page)
    assert "\n" not in str(caught.value)
    deadline = time.monotonic() + 30
    while threading.active_count() > threads:  # an answer that the browser did not wait for ends by itself
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.05)


def test_a_page_that_does_not_respond_is_reported(
    stand_in: StandIn, tiny_model: Path, descendants: Callable[[], dict[int, str]]
) -> None:
    page = stand_in("while (true) {}")
    with pytest.raises(DeviceError, match="the page did not respond for 3 s"):
        measure(Plan((str(tiny_model),)), "browser", silent, step_seconds=3.0, page=page)


def test_a_damaged_runtime_is_reported(stand_in: StandIn, tiny_model: Path) -> None:
    page = stand_in("this is no JavaScript")
    with pytest.raises(DeviceError, match="could not measure"):
        measure(Plan((str(tiny_model),)), "browser", silent, page=page)


def test_an_unreadable_image_is_named(stand_in: StandIn, tiny_model: Path, tmp_path: Path) -> None:
    page = stand_in()
    (tmp_path / "bad.png").write_bytes(b"no image")
    plan = Plan((str(tiny_model),), delegates=("wasm",), launches=1, images=((str(tmp_path / "bad.png"), 0),))
    with pytest.raises(ImageError, match=r"bad\.png"):
        measure(plan, "browser", silent, page=page)


def test_options_without_support_in_browsers_are_left_out(
    stand_in: StandIn, tiny_model: Path, tiny_router: Path, save_model: Callable[..., Path], tiny: Any
) -> None:
    page = stand_in()
    parts = {"kind": "body_part", "labels": ["hand", "leg"], "probability_calibration": {"temperature": 1.0}}
    body_part = save_model(tiny.mean(outputs=2), **parts)
    plan = Plan(
        (str(tiny_router), str(body_part)),
        threads=(4,),
        delegates=("wasm",),
        launches=1,
        images=((str(tiny_model), 0),),
        peers=("onnxruntime",),
        batch=8,
        mlperf_seconds=1.0,
        profile=True,
    )
    found = measure(plan, "browser", silent, page=page)
    router, network = found.cases
    assert "router" in router.error
    assert network.error == "" and network.launches and not network.probabilities
    assert set(found.left_out) == {"threads", "peers", "batch", "mlperf_seconds", "profile", "images"}
    assert body_part.name in found.left_out["images"]


def test_an_unknown_accelerator_is_refused(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="--delegate xnnpack: a browser has wasm and webgpu"):
        measure(Plan((str(tiny_model),), delegates=("wasm", "xnnpack")), "browser", silent)


def test_missing_programs_are_named(
    stand_in: StandIn, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = stand_in()
    plan = Plan((str(tiny_model),))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="install Chromium"):
        measure(plan, "browser", silent, page=page)
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/false\n")
    broken.chmod(0o755)
    with pytest.raises(DeviceError, match="cannot be started") as caught:
        measure(plan, "browser", silent, page=page)
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(__import__("sys").modules, "playwright.sync_api", None)
    with pytest.raises(MissingExtra, match=r"pip install 'osteolite\[browser\]'"):
        measure(plan, "browser", silent, page=page)


def test_files_that_cannot_be_read_need_no_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_router: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cases = measure(Plan((str(tmp_path / "none.tflite"), str(tiny_router))), "browser", silent).cases
    assert len(cases) == 4 and all(case.error for case in cases)


# ---- the server and the page
