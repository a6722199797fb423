"""Figures of a browser, with the real Chromium and LiteRT.js, and with a stand-in whose answers take a known time."""

import http.client
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from osteolite.benchmarks.analysis.phone_import import read_figures
from osteolite.benchmarks.devices import browser
from osteolite.benchmarks.devices.pageserver import PageServer, page_contents, serving
from osteolite.benchmarks.harness.records import Plan
from osteolite.edge.browser import runtime_name
from osteolite.edge.errors import DeviceError, ImageError, MissingExtra, UsageError
from osteolite.edge.prediction.classifier import FractureClassifier

pytest.importorskip("playwright", reason="needs Playwright")

# Stands in for LiteRT.js: `run` answers at once, as a GPU does, and the answer's data come 50 ms later.
_STAND_IN = """
export const supportsFeature = async () => true;
export const loadLiteRt = async () => ({liteRtWasm: {getThreadCount: () => 3}});
export class Tensor {
  delete() {}
  async data() {
    const end = performance.now() + 50;
    while (performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 1));
    return new Float32Array([0.25]);
  }
}
export const loadAndCompile = async (bytes, options) => ({
  options, isFullyAccelerated: true, delete() {},
  getInputDetails: () => [{dtype: "float32", shape: [1, 32, 32, 1]}],
  run: async () => { %s return [new Tensor()]; },
});
"""


def silent(step: str) -> None:
    pass


@pytest.fixture(scope="module")
def chromium() -> None:
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("needs Chromium")


@pytest.fixture
def stand_in(chromium: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Serve the stand-in, whose `run` first does what is given, instead of LiteRT.js."""

    def install(first: str = "") -> dict[str, Any]:
        contents = page_contents() | {"/third_party/litertjs/index.js": (_STAND_IN % first).encode()}
        monkeypatch.setattr(browser, "page_contents", lambda: dict(contents))
        return contents

    return install


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
def test_a_browser_answers_as_python_does(
    chromium: None, tiny_model: Path, tiny_int8_model: Path, images: tuple[tuple[str, int], ...], tmp_path: Path
) -> None:
    files = (str(tiny_int8_model), str(tmp_path / "none.tflite"), str(tiny_model))
    told: list[str] = []
    found = browser.measure(Plan(files, delegates=("wasm",), launches=2, images=images), "browser", told.append)
    integer, missing, good = found.lanes
    assert "INT8" in integer.error and not integer.launches
    assert "none.tflite" in missing.error and missing.bytes == 0
    assert (good.file, good.variant, good.error) == (tiny_model.name, "float32", "")
    assert (good.asked, good.applied, good.engine, good.runtime) == ("wasm", "wasm", "litert.js", runtime_name())
    assert good.threads == os.cpu_count() or good.threads == 1
    assert good.bytes == tiny_model.stat().st_size
    assert len(good.launches) == 2
    for launch in good.launches:
        assert len(launch.invoke) == 10 and min(map(min, launch.invoke)) >= 0
        assert set(launch.cold_start) == {"load", "first_invoke"} and launch.cold_start["load"] > 0
        assert launch.warm_up >= 6  # two turns, to be near one another
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
    assert told[0].startswith("launch 1 of 2: ") and told[-1].startswith("launch 2 of 2: turn 10 of 10")
    assert any(step.startswith("launch 1 of 2: scoring image") for step in told)


@pytest.mark.slow
def test_a_processor_that_imitates_a_gpu_is_called_that(
    chromium: None, tiny_model: Path, images: tuple[tuple[str, int], ...]
) -> None:
    plan = Plan((str(tiny_model),), delegates=("webgpu",), launches=1, images=images)
    found = browser.measure(plan, "browser", silent)
    (lane,) = found.lanes
    if "no usable GPU" in lane.error:
        pytest.skip("needs a Chromium with a GPU in software")
    assert (lane.applied, lane.threads, lane.error) == ("webgpu", 1, "")
    adapter = found.conditions["webgpu"]
    if "swiftshader" in adapter["architecture"]:
        assert lane.reason == f"a processor's imitation of a GPU ({adapter['vendor']} swiftshader)"
    expected = [FractureClassifier(tiny_model).predict(path).fracture_probability for path, _ in images]
    assert lane.probabilities == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_without_a_gpu_the_processor_is_measured_still(
    chromium: None, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "_FLAGS", ("--disable-gpu", "--disable-software-rasterizer"))
    wasm, webgpu = browser.measure(Plan((str(tiny_model),), launches=1), "browser", silent).lanes
    assert (wasm.asked, wasm.error, len(wasm.launches)) == ("wasm", "", 1)
    assert webgpu.asked == "webgpu" and "no usable GPU" in webgpu.error and not webgpu.launches


def test_no_time_without_the_answer(
    stand_in: Callable[..., None], tiny_model: Path, images: tuple[tuple[str, int], ...]
) -> None:
    stand_in()
    plan = Plan((str(tiny_model),), launches=1, images=images)
    found = browser.measure(plan, "browser", silent)
    assert found.lanes[0].threads == 3
    measured = [lane for lane in found.lanes if "no usable GPU" not in lane.error]
    for lane in measured:
        assert lane.error == ""
        (launch,) = lane.launches
        times = [spent for turn in launch.invoke for spent in turn]
        assert min([launch.cold_start["first_invoke"], *times, *lane.steps["invoke"]]) >= 50
        assert launch.steady and launch.warm_up % 10 == 0 and launch.warm_up >= 20


def test_a_run_that_fails_is_its_lanes_error_alone(stand_in: Callable[..., None], tiny_model: Path) -> None:
    stand_in("if (options.accelerator === 'wasm') throw new Error('out of\\nmemory');")
    wasm, webgpu = browser.measure(Plan((str(tiny_model),), launches=1), "browser", silent).lanes
    assert wasm.error == "out of memory" and not wasm.launches
    assert webgpu.launches or "no usable GPU" in webgpu.error


def test_a_browser_closed_in_the_middle(
    stand_in: Callable[..., None], tiny_model: Path, descendants: Callable[[], dict[int, str]]
) -> None:
    stand_in()
    threads = threading.active_count()

    def close(step: str) -> None:
        for one, name in descendants().items():
            if "chrom" in name.split("\0")[0] and "--type=" not in name:
                os.kill(one, signal.SIGKILL)

    with pytest.raises(DeviceError, match="failed or was closed in the middle") as caught:
        browser.measure(Plan((str(tiny_model),)), "browser", close)
    assert "\n" not in str(caught.value)
    deadline = time.monotonic() + 30
    while threading.active_count() > threads:  # an answer that the browser did not wait for ends by itself
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.05)


def test_a_page_that_falls_silent(
    stand_in: Callable[..., None],
    tiny_model: Path,
    descendants: Callable[[], dict[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in("while (true) {}")
    monkeypatch.setattr(browser, "_SILENCE", 3.0)
    with pytest.raises(DeviceError, match="the page said nothing for 3 s"):
        browser.measure(Plan((str(tiny_model),)), "browser", silent)


def test_a_page_whose_runtime_is_damaged(stand_in: Callable[..., None], tiny_model: Path) -> None:
    stand_in("this is no JavaScript")
    with pytest.raises(DeviceError, match="could not measure"):
        browser.measure(Plan((str(tiny_model),)), "browser", silent)


def test_an_image_that_cannot_be_read(stand_in: Callable[..., None], tiny_model: Path, tmp_path: Path) -> None:
    stand_in()
    (tmp_path / "bad.png").write_bytes(b"no image")
    plan = Plan((str(tiny_model),), delegates=("wasm",), launches=1, images=((str(tmp_path / "bad.png"), 0),))
    with pytest.raises(ImageError, match=r"bad\.png"):
        browser.measure(plan, "browser", silent)


def test_what_a_browser_cannot_measure_is_said(
    stand_in: Callable[..., None], tiny_model: Path, tiny_router: Path, save_model: Callable[..., Path], tiny: Any
) -> None:
    stand_in()
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
    found = browser.measure(plan, "browser", silent)
    router, network = found.lanes
    assert "router" in router.error
    assert network.error == "" and network.launches and not network.probabilities
    assert set(found.left_out) == {"threads", "peers", "batch", "mlperf_seconds", "profile", "images"}
    assert body_part.name in found.left_out["images"]


def test_an_unknown_accelerator(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="--delegate xnnpack: a browser has wasm and webgpu"):
        browser.measure(Plan((str(tiny_model),), delegates=("wasm", "xnnpack")), "browser", silent)


def test_what_is_missing_is_named(
    stand_in: Callable[..., None], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in()
    plan = Plan((str(tiny_model),))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="install Chromium"):
        browser.measure(plan, "browser", silent)
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/false\n")
    broken.chmod(0o755)
    with pytest.raises(DeviceError, match="cannot be started") as caught:
        browser.measure(plan, "browser", silent)
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(__import__("sys").modules, "playwright.sync_api", None)
    with pytest.raises(MissingExtra, match=r"pip install 'osteolite\[browser\]'"):
        browser.measure(plan, "browser", silent)


def test_files_that_cannot_be_read_need_no_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_router: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lanes = browser.measure(Plan((str(tmp_path / "none.tflite"), str(tiny_router))), "browser", silent).lanes
    assert len(lanes) == 4 and all(lane.error for lane in lanes)


# ---- the server and the page


@pytest.fixture
def page_server(stand_in: Callable[..., None], tiny_model: Path) -> Iterator[PageServer]:
    """The page with the stand-in, two launches on the processor, as a person opens it."""
    contents = stand_in() | {"/bench/models/0.tflite": tiny_model}
    with serving(contents) as server:
        task = browser._task([browser._model(str(tiny_model))], ("wasm",))
        server.contents["/bench/bench.json"] = json.dumps({**task, "launches": 2, "images": 0}).encode()
        yield server


def test_the_server_serves_what_is_listed_alone(page_server: PageServer) -> None:
    def get(path: str, method: str = "GET") -> tuple[int, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", page_server.server_port, timeout=10)
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, response.headers

    assert page_server.server_address[0] == "127.0.0.1"
    status, headers = get("/bench/index.html")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert get("/third_party/litertjs/index.js?threaded")[1]["Content-Type"] == "text/javascript; charset=utf-8"
    assert get("/bench/models/0.tflite")[0] == 200
    outside = [
        "/",
        "/../lanes.py",
        "/bench/../../__init__.py",
        "/%2e%2e/lanes.py",
        "/bench/models/../../bench/index.html",
        "//etc/passwd",
    ]
    outside += [
        "/third_party/litertjs/../../../../../../etc/passwd",
        "/bench/models/1.tflite",
        "/third_party/litertjs",
        "/bench/index.html/",
    ]
    assert [get(path)[0] for path in outside] == [404] * len(outside)
    assert get("/bench/index.html", "POST")[0] == 501


@pytest.fixture
def open_page(page_server: PageServer) -> Iterator[Callable[..., Any]]:
    with browser._chromium() as program:

        def open_it(**options: Any) -> Any:
            page = program.new_context(**options).new_page()
            page.goto(f"{page_server.address}/bench/index.html")
            page.wait_for_selector("#measure:enabled")
            return page

        yield open_it


def test_a_phone_measures_and_saves(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, is_mobile=True, color_scheme="dark")
    fits = "document.documentElement.scrollWidth <= 390"
    assert page.evaluate(fits)
    assert "Research use only" in page.inner_text("footer")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#progress:not([hidden])")
    assert page.evaluate(fits)
    page.wait_for_selector("#save:not([hidden])", timeout=60_000)
    assert page.evaluate(fits)
    cells = page.locator("#rows tr").first.locator("th, td").all_inner_texts()
    assert cells[:2] == ["float32", "wasm"] and float(cells[2]) >= 50
    with page.expect_download() as download:
        page.focus("#save")
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "figures.json")
    found = read_figures(str(tmp_path / "figures.json"))
    assert found.to_dict() == json.loads((tmp_path / "figures.json").read_text())["measured"]
    (lane,) = found.lanes
    assert len(lane.launches) == 2 and lane.error == ""
    assert page.locator("iframe").count() == 0


def test_the_page_reaches_no_other_server(open_page: Callable[..., Any], page_server: PageServer) -> None:
    page = open_page()
    reach = "address => fetch(address).then(() => 'reached', () => 'refused')"
    assert page.evaluate(reach, f"{page_server.address}/bench/bench.json") == "reached"
    with serving({"/": b"elsewhere"}) as other:
        other.headers = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
        assert page.evaluate(reach, f"{other.address}/") == "refused"


def test_the_way_back_stays_on_the_server(page_server: PageServer) -> None:
    expected = {"": None, "?back=../": f"{page_server.address}/", "?back=https://example.org/": None}
    expected |= {"?back=javascript:alert(1)": None, "?back=//example.org/": None}
    with browser._chromium() as program:
        page = program.new_page()
        for query, target in expected.items():
            page.goto(f"{page_server.address}/bench/index.html{query}")
            page.wait_for_selector("#measure:enabled")
            link = page.locator("#back")
            assert (link.evaluate("link => link.href") if link.is_visible() else None) == target, query


def test_a_page_without_a_task_says_so(page_server: PageServer) -> None:
    del page_server.contents["/bench/bench.json"]
    with browser._chromium() as program:
        page = program.new_page()
        page.goto(f"{page_server.address}/bench/index.html")
        page.wait_for_selector("#state.failed")
        assert "no bench.json" in page.inner_text("#state")
        assert page.is_disabled("#measure")
