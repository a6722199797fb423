"""The measurement that a visitor starts, with the real command: progress, saved results, cancellation."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from osteolite.demo.page.tabs import benchmark
from osteolite.demo.service import benchmark_job
from osteolite.demo.service.benchmark_job import measure, saved_report, saved_results
from osteolite.edge.errors import OsteoliteError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

RESULTS: dict[str, Any] = {
    "schema": 2,
    "conditions": {"machine": "A <board>", "cores": 2, "started": "2026-11-22T06:02:18+00:00", "load_average": [1, 2]},
    "left_out": {"b.tflite, 2 threads": "no memory"},
    "results": [
        {
            "file": "a.tflite",
            "variant": "int8",
            "threads": 1,
            "bytes": 2_836_996,
            "delegate": {"applied": "xnnpack"},
            "milliseconds": {
                "cold_start": {"process": 379.4},
                "invoke": {"p50": 12.166, "p90": 16.54, "intervals": {"p50": [11.09, 14.4]}},
            },
            "peak_mb": 73.4,
            "valid": True,
            "reasons": [],
        },
        {
            "file": "<i>.tflite",
            "variant": "",
            "threads": 2,
            "bytes": 1_000_000,
            "delegate": {"applied": "xnnpack"},
            "milliseconds": {"cold_start": {}, "invoke": None},
            "peak_mb": None,
            "valid": False,
            "reasons": ["too short: 1 launches, 6 are needed", "not quiet: <others>"],
        },
    ],
}

measure_once = partial(measure, launches=(1, 1), poll_seconds=0.05)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def measured(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Any]]]:
    """A cache folder with the results of the tiny model, and the page's updates during the measurement."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        assert saved_results([tiny_model]) is None
        start = benchmark.handlers([tiny_model], True, measure_once)[0]
        yield folder, list(start())


def test_measurement_reports_progress_and_saves_its_results(
    measured: tuple[Path, list[Any]], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, updates = measured
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    assert "starting" in updates[0][0]
    assert any("launch 1 of 1" in step[0] for step in updates)
    found = saved_results([tiny_model])
    assert found is not None
    assert [(result["file"], result["threads"]) for result in found["results"]] == [
        (tiny_model.name, 1),
        (tiny_model.name, 2),
    ]
    (saved,) = (folder / "osteolite" / "demo").iterdir()
    assert sorted(path.name for path in saved.iterdir()) == ["benchmark.html", "benchmark.json"]
    progress, table, *_ = updates[-1]
    assert progress == ""
    assert table.count("<tr><td") == 2
    assert "too short: 1 launches, 6 are needed" in table
    report = saved_report([tiny_model])
    assert report is not None
    assert "<script" not in report


def test_saved_results_are_shown_after_a_restart(
    measured: tuple[Path, list[Any]], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(measured[0]))
    for can_measure in (True, False):
        _, show, show_report, _ = benchmark.handlers([tiny_model], can_measure)
        assert show()[1] == measured[1][-1][1]
        page = show_report()
        assert 'sandbox=""' in page
        assert 'download="osteolite-benchmark.html"' in page


def test_other_models_have_no_results(measured: Any, tiny_int8_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(measured[0]))
    _, show, show_report, _ = benchmark.handlers([tiny_int8_model], False)
    assert "have not been measured on this machine" in show()[1]
    assert "measure again" in show_report()


def test_only_one_measurement_runs_and_closing_it_kills_its_processes(tiny_model: Path, cache: Path) -> None:
    assert not benchmark_job.is_measuring()
    running = measure_once([tiny_model])
    while next(running).launch == 0:  # until its processes have started
        pass
    assert benchmark_job.is_measuring()
    group = _descendants(os.getpid())
    assert group
    with pytest.raises(OsteoliteError, match="a measurement is running on this machine"):
        next(measure([tiny_model]))
    _, show, *_ = benchmark.handlers([tiny_model], True)
    assert "is running" in show()[0]
    running.close()
    assert not benchmark_job.is_measuring()
    for process in group:
        _wait_for_end(process)
    assert saved_results([tiny_model]) is None
    assert list((cache / "osteolite" / "demo").glob("*/*")) == []


def _descendants(parent: int) -> list[int]:
    """The processes in the sessions whose leaders are children of `parent`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            leader = int(fields[3])
            if _parent(leader) == parent:
                found.append(int(folder.name))
    return found


def _parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _wait_for_end(process: int) -> None:
    deadline = time.monotonic() + 60
    while _state(process) not in ("Z", ""):
        assert time.monotonic() < deadline, f"process {process} is still running"
        time.sleep(0.02)


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@pytest.mark.slow
def test_measurement_ends_with_its_page_and_with_the_server(
    run_demo: Any, tiny_model: Path, chromium: "Browser", tmp_path: Path
) -> None:
    with run_demo(tmp_path, "--model", tiny_model) as server:
        pages = [chromium.new_page(), chromium.new_page()]
        for number, page in enumerate(pages):
            page.goto(server.url)
            page.get_by_role("tab", name="Benchmark").click()
            page.get_by_role("button", name="Measure on this machine").click()
            page.get_by_text("launch 1 of 9").wait_for()
            group = _descendants(server.process.pid)
            assert len(group) > 1
            if number == 0:
                page.close()
            else:
                assert server.stop() == 0
            for process in group:
                _wait_for_end(process)
        pages[1].close()
        assert list(tmp_path.glob("osteolite/demo/*/benchmark.json")) == []  # neither measurement finished
        assert "Traceback" not in server.log.read_text()


def test_error_of_the_command_is_shown_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    with pytest.raises(OsteoliteError, match=r"broken\.tflite: ") as caught:
        list(measure_once([broken]))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert not benchmark_job.is_measuring()
    missing = tmp_path / "rich"
    missing.mkdir()
    (missing / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'rich'\", name='rich')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (last,) = list(benchmark.handlers([broken], True, measure_once)[0]())[-1:]
    assert "pip install &#x27;osteolite[bench]&#x27;" in last[0]


def test_measurement_is_killed_at_its_time_limit(tiny_model: Path) -> None:
    with pytest.raises(OsteoliteError, match="did not end within"):
        list(measure_once([tiny_model], max_seconds=0.2))


@pytest.mark.skipif(os.name == "nt", reason="uses a Unix path")
def test_unwritable_cache_is_reported_in_one_line(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OsteoliteError, match="the results cannot be saved"):
        next(measure([tiny_model]))
    assert saved_results([tiny_model]) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 1}', b"\xff"])
def test_damaged_or_foreign_results_are_ignored(tiny_model: Path, cache: Path, content: bytes) -> None:
    folder = benchmark_job.results_folder([tiny_model])
    folder.mkdir(parents=True)
    (folder / "benchmark.json").write_bytes(content)
    assert saved_results([tiny_model]) is None


def test_launches_are_few_enough_for_a_minute() -> None:
    assert [benchmark_job.launch_count(files) for files in (1, 2, 5, 40)] == [9, 6, 2, 1]


def test_table_shows_validity_and_reasons() -> None:
    html = benchmark.results(RESULTS)
    assert "Measured on 2026-11-22 at 06:02 UTC: 1 of 2 results are valid" in html
    for cell in ("int8", "yes", "12.17", "11.09 to 14.40", "16.54", "379", "2.84", "73.4"):
        assert f">{cell}</td>" in html
    assert "&lt;i&gt;.tflite, 2 threads: too short: 1 launches, 6 are needed; not quiet: &lt;others&gt;" in html
    assert "b.tflite, 2 threads, left out: no memory" in html
    assert "Machine A &lt;board&gt;; Cores 2; Load before 1, 2" in html
    assert "<i>" not in html
