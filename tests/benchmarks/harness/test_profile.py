"""Time by operator from the runtime's profiler, and the reasons when there is none."""

import ctypes
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osteolite.benchmarks.harness import profile as profiling
from osteolite.benchmarks.harness.profile import (
    Event,
    Library,
    NoProfile,
    ProfiledNetwork,
    operator_times,
    profile,
    summary,
)
from osteolite.edge.inference.engine import nodes, parse_model
from osteolite.edge.modelfile.archive import read_flatbuffer, write_model
from osteolite.edge.modelfile.shipped import shipped_model

SHAPE = (1, 512, 512, 3)  # large enough for the runtime's clock, which counts whole microseconds


def counts(found: list[dict[str, Any]]) -> dict[str, float]:
    """Calls by the first two words of an operator's name; the rest differs between CPUs."""
    return {" ".join(one["operator"].split()[:2]): one["count"] for one in found}


def put_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an empty package ai_edge_litert on PYTHONPATH, and return the path where its library belongs."""
    package = folder / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return package / "libLiteRt.so"


@pytest.mark.parametrize("threads", [1, 2])
def test_profile_covers_all_operators_of_the_shipped_model(threads: int) -> None:
    found = profile(str(shipped_model()), threads, runs=5)
    spent = [one["milliseconds"] for one in found]
    assert spent == sorted(spent, reverse=True)
    assert sum(one["share"] for one in found) == pytest.approx(1)
    assert [one["share"] for one in found] == pytest.approx([one / sum(spent) for one in spent], abs=1e-3)
    graph = Counter(node.name for node in nodes(parse_model(shipped_model())))
    convolutions = graph["CONV_2D"] + graph["DEPTHWISE_CONV_2D"] + graph["FULLY_CONNECTED"]
    kernels = ("Convolution", "Fully Connected", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    assert sum(one["count"] for one in found if one["operator"].startswith(kernels)) == convolutions


def network(threads: int) -> Any:
    """The shipped network, profiled in this process."""
    library, environment = Library(), ctypes.c_void_p()
    library.call("LiteRtCreateEnvironment", 0, None, ctypes.byref(environment))
    return ProfiledNetwork(library, environment, read_flatbuffer(shipped_model()), threads)


def test_operators_add_up_to_about_an_invocation() -> None:
    """Compares within one invocation, because another one may take any time on a busy machine."""
    one, shares = network(threads=1), []
    for _ in range(20):
        operators = one.run()
        whole = sum(event.elapsed for event in one.events() if event.kind == 1 and event.tag == b"Invoke")
        shares.append(sum(spent for _, spent in operators) / whole)
    assert 0.75 < sorted(shares)[10] <= 1


def test_profiler_uses_the_requested_number_of_threads() -> None:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("counts threads in /proc")
    before = set(tasks.iterdir())
    held = network(threads=3)
    held.run()
    assert len(set(tasks.iterdir()) - before) == 2  # the calling thread is the third


def test_profile_counts_the_calls_of_each_operator(tiny: Any, save_model: Callable[..., Path]) -> None:
    found = profile(str(save_model(tiny.mean(SHAPE))), 1, runs=5)
    assert sum(one["share"] for one in found) == pytest.approx(1)
    assert counts(found)["Mean (ND)"] == 1
    assert counts(found)["Fully Connected"] == 1
    assert found[0]["operator"].startswith("Mean")


def test_profile_of_a_router_includes_both_networks(tiny: Any, save_model: Callable[..., Path], tmp_path: Path) -> None:
    stage = save_model(tiny.mean(SHAPE))
    described = tiny.description(kind="router", labels=["hand", "leg"], probability_calibration={"temperature": 1.0})
    router = tmp_path / "router.tflite"
    write_model(router, tiny.mean(SHAPE, outputs=2), described, dict.fromkeys(("hand", "leg"), stage.read_bytes()))
    assert counts(profile(str(router), 1, runs=5))["Mean (ND)"] == 2


def test_summary_adds_up_by_operator_without_slow_runs() -> None:
    quiet = [("ADD", 1.0), ("CONV_2D", 4.0), ("ADD", 1.0)]
    found = summary([quiet, quiet, quiet, [("ADD", 500.0), ("CONV_2D", 900.0), ("ADD", 1.0)]])
    assert found == [
        {"operator": "CONV_2D", "count": 1, "milliseconds": 0.004, "share": pytest.approx(2 / 3)},
        {"operator": "ADD", "count": 2, "milliseconds": 0.002, "share": pytest.approx(1 / 3)},
    ]
    with pytest.raises(NoProfile, match="less than a microsecond"):
        summary([[("ADD", 0.0)]])


def test_profile_refuses_a_file_that_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(NoProfile, match="not a TFLite model"):
        profile(str(tmp_path / "model.tflite"), 1)


def test_profile_reports_a_model_that_the_runtime_refuses(save_model: Callable[..., Path]) -> None:
    with pytest.raises(NoProfile, match=r"ai-edge-litert .* fails in LiteRt\w+ \(status"):
        profile(str(save_model(b"\x1c\0\0\0TFL3" + bytes(200))), 1)


def test_profile_reports_a_library_without_the_profiler(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = put_library(tmp_path, monkeypatch)
    with pytest.raises(NoProfile, match="without its library"):
        profile(str(tiny_model), 1)
    extension = pytest.importorskip("_ctypes").__file__
    shutil.copy(extension, library)  # any library without these functions
    with pytest.raises(NoProfile, match="has no LiteRtCreateEnvironment"):
        profile(str(tiny_model), 1)


def test_profile_reports_a_crash_of_the_runtime(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (compiler := shutil.which("gcc")):
        pytest.skip("needs gcc to build a library that crashes")
    library = put_library(tmp_path, monkeypatch)
    (tmp_path / "crash.c").write_text("#include <stdlib.h>\nint LiteRtCreateEnvironment(void) { abort(); }\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(tmp_path / "crash.c")], check=True)
    with pytest.raises(NoProfile, match="was ended by SIGABRT"):
        profile(str(tiny_model), 1)
    library.write_bytes(b"no library")
    with pytest.raises(NoProfile, match="failed: OSError"):
        profile(str(tiny_model), 1)


@pytest.mark.parametrize("version", ["2.1.5", "2.1.0rc1", None])
def test_profile_names_a_runtime_that_is_too_old(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], version: str | None
) -> None:
    monkeypatch.setattr(profiling, "installed", lambda package: version)
    profiling.main(str(tiny_model), 1, 1)
    reason = json.loads(capsys.readouterr().out)["reason"]
    assert "has no time by operator; install ai-edge-litert 2.1.6 or newer" in reason


def test_operator_times_refuses_more_time_than_the_run_took() -> None:
    """Events that are read with a wrong memory layout look like this."""
    events = [Event(tag=b"ADD", kind=2, elapsed=60), Event(tag=b"Invoke", kind=1, elapsed=100)]
    assert operator_times(events, whole=100.0) == [("ADD", 60.0)]
    with pytest.raises(NoProfile, match="more than the run took"):
        operator_times(events, whole=59.0)
