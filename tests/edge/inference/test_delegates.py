"""Delegates through the runtime's real loader: libraries that gcc builds here, and what they take of a model."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.edge.errors import DelegateUnavailable, ModelFileError, UsageError
from osteolite.edge.inference import delegates
from osteolite.edge.inference.delegates import DELEGATES, parse_delegate
from osteolite.edge.inference.engine import InterpreterEngine, nodes, runtime_module
from osteolite.edge.inference.opening import open_session
from osteolite.edge.inference.session import InferenceSession
from osteolite.edge.modelfile.archive import read_flatbuffer
from osteolite.edge.modelfile.graph import ModelGraph
from osteolite.edge.modelfile.shipped import shipped_model

OPERATORS = len(ModelGraph.of(read_flatbuffer(shipped_model())).operators)


@pytest.fixture
def partly(tmp_path: Path, tiny: Any) -> Path:
    """A model of three operators, of which XNNPACK does not take the second."""
    graph, shape = tiny.graph(), (1, 8, 8, 1)
    picture = graph.tensor(shape, np.float32)
    half = graph.operator(
        tiny.operators.MUL, [picture, graph.constant([0.5], np.float32)], graph.tensor(shape, np.float32)
    )
    turned = graph.operator(
        tiny.operators.REVERSE_V2, [half, graph.constant([1], np.int32)], graph.tensor(shape, np.float32)
    )
    sum_ = graph.operator(tiny.operators.MUL, [turned, half], graph.tensor(shape, np.float32))
    (tmp_path / "partly.tflite").write_bytes(graph.to_bytes([picture], [sum_]))
    return tmp_path / "partly.tflite"


def grey(session: InferenceSession, level: float = 0.25) -> np.ndarray:
    return np.full(session.input_shape, level, np.float32)


# Names


@pytest.mark.parametrize("name", DELEGATES)
def test_a_name_stands_for_itself(name: str) -> None:
    assert parse_delegate(name) == (name, {})


@pytest.mark.parametrize(
    ("text", "path", "options"),
    [
        ("vendor.so", "vendor.so", {}),
        ("/opt/vendor.so.1.2:level=2", "/opt/vendor.so.1.2", {"level": "2"}),
        ("C:\\npu\\vendor.dll:level=2:mode=", "C:\\npu\\vendor.dll", {"level": "2", "mode": ""}),
        ("libnpu.dylib:path=/tmp/a.so:equation=a=b", "libnpu.dylib", {"path": "/tmp/a.so", "equation": "a=b"}),
    ],
)
def test_a_path_and_its_options(text: str, path: str, options: dict[str, str]) -> None:
    assert parse_delegate(text) == (path, options)


@pytest.mark.parametrize("text", ["", "cuda", "GPU", "vendor.tflite", "gpu:level=2", ".so"])
def test_an_unknown_name_is_told_what_is_allowed(text: str) -> None:
    with pytest.raises(UsageError, match=r"unknown delegate .*; allowed are auto, cpu, .* and PATH\.so") as caught:
        parse_delegate(text)
    assert not isinstance(caught.value, DelegateUnavailable)  # a slip of the pen is no reason to fall back


@pytest.mark.parametrize("options", ["", "level", "=2", "level=1:level=2", "level=1:"])
def test_an_option_that_is_none(options: str) -> None:
    with pytest.raises(UsageError, match="is no key=value, or comes twice"):
        parse_delegate(f"vendor.so:{options}")


def test_a_wrong_name_does_not_fall_back(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="unknown delegate"):
        open_session(tiny_model, delegate="cuda", fallback=True)


# The processor


def test_without_a_delegate_the_runtime_chooses(tiny_model: Path) -> None:
    delegation = open_session(tiny_model).delegation
    assert (delegation.requested, delegation.applied, delegation.operators_taken, delegation.operators) == (
        None,
        "xnnpack",
        2,
        2,
    )
    assert delegation.reason == delegation.warning == ""


def test_cpu_is_the_kernels_alone(tiny_model: Path) -> None:
    session = open_session(tiny_model, delegate="cpu")
    assert (session.delegation.applied, session.delegation.operators_taken, session.delegation.operators) == (
        "none",
        0,
        2,
    )
    assert session.invoke(grey(session)) == pytest.approx(1.5)


def test_xnnpack_by_name_on_a_model_that_it_takes_in_part(partly: Path) -> None:
    delegation = open_session(partly, delegate="xnnpack").delegation
    assert (delegation.applied, delegation.operators_taken, delegation.operators) == ("xnnpack", 2, 3)
    assert delegation.reason == "left to the processor: 1 REVERSE_V2"
    assert delegation.to_dict() == {
        "asked": "xnnpack",
        "applied": "xnnpack",
        "taken": 2,
        "of": 3,
        "reason": "left to the processor: 1 REVERSE_V2",
        "warning": "",
    }


def test_xnnpack_that_takes_nothing(tmp_path: Path, tiny: Any) -> None:
    path = tmp_path / "int16.tflite"
    path.write_bytes(tiny.quantize(np.int16, 0.01, 0, (1, 8, 8, 1)))
    with pytest.raises(DelegateUnavailable, match="xnnpack: it loads, but takes none of the model's 1 operators"):
        open_session(path, delegate="xnnpack")
    delegation = open_session(path, delegate="xnnpack", fallback=True).delegation
    assert (delegation.applied, delegation.operators_taken) == ("none", 0)
    assert "takes none" in delegation.reason
    assert open_session(path).delegation.applied == "none"  # no error where nothing was asked for


def test_the_count_of_xnnpacks_operators_is_the_runtimes_own(partly: Path, tiny_int8_model: Path) -> None:
    """Told not to join operators, the runtime makes one node for each that a delegate took."""
    for path in (partly, tiny_int8_model, shipped_model()):
        alone = runtime_module()[0].Interpreter(model_path=str(path), experimental_disable_delegate_node_fusion=True)
        alone.allocate_tensors()
        delegation = open_session(path).delegation
        assert delegation.operators == len(ModelGraph.of(read_flatbuffer(path)).operators)
        assert delegation.operators_taken == len(nodes(alone)) - delegation.operators


# Libraries


@pytest.mark.parametrize("claim", ["all", "even"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_count_is_what_the_library_claimed(claim: str, threads: int, library: Path, tmp_path: Path) -> None:
    """The library itself writes down which operators it claimed."""
    report = tmp_path / "claimed"
    asked = f"{library}:claim={claim}:report={report}"
    session = open_session(shipped_model(), threads, asked)
    claimed = {int(line) for line in report.read_text().split()}
    delegation = session.delegation
    assert (delegation.requested, delegation.applied) == (asked, str(library))
    assert (delegation.operators_taken, delegation.operators) == (len(claimed), OPERATORS)
    assert len(claimed) == {"all": OPERATORS, "even": (OPERATORS + 1) // 2}[claim]
    assert delegation.reason.startswith("left to the processor: ") == (claim == "even")
    assert isinstance(session._engine, InterpreterEngine)
    assert session._engine.taken == claimed
    assert session.invoke(grey(session)).shape == (1, 1)


def test_a_library_beside_the_caller_needs_no_slash(
    library: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library.parent)
    assert open_session(tiny_model, delegate=library.name).delegation.applied == library.name


FAILURES = [
    ("claim=none", "it loads, but takes none of the model's 2 operators"),
    ("fail=create", r"it makes no delegate \(.*no such device\); is its device connected"),
    ("fail=prepare", r"it fails on this model \(.+\); run it without this delegate"),
    ("fail=allocate", r"it fails on this model \(.*TestDelegate\) failed to prepare.*\)"),
]


@pytest.mark.parametrize(("option", "message"), FAILURES)
def test_a_library_that_fails(option: str, message: str, library: Path, tiny_model: Path) -> None:
    with pytest.raises(DelegateUnavailable, match=message) as caught:
        open_session(tiny_model, delegate=f"{library}:{option}")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("option", "message"), FAILURES)
def test_a_library_that_fails_with_fallback(option: str, message: str, library: Path, tiny_model: Path) -> None:
    asked = f"{library}:{option}"
    session = open_session(tiny_model, delegate=asked, fallback=True)
    assert (session.delegation.requested, session.delegation.applied) == (asked, "xnnpack")
    assert str(library) in session.delegation.reason
    assert session.delegation.warning.endswith("until then the processor runs the model")
    assert session.invoke(grey(session)) == pytest.approx(1.5)


def test_a_library_that_fails_in_a_run(library: Path, tiny_model: Path) -> None:
    session = open_session(tiny_model, delegate=f"{library}:fail=invoke")
    with pytest.raises(DelegateUnavailable, match=r"it fails in a run \(.*TestDelegate\) failed to invoke"):
        session.invoke(grey(session))


def test_what_is_no_library(tmp_path: Path, no_delegate: Path, tiny_model: Path) -> None:
    (tmp_path / "text.so").write_text("not an ELF file, though it is long enough to hold the header of one\n")
    for path, message in (
        (tmp_path / "missing.so", r"missing\.so: the library cannot be loaded"),
        (tmp_path / "text.so", r"text\.so: the library cannot be loaded \(.*invalid ELF header\)"),
        (no_delegate, "has no tflite_plugin_create_delegate; give one that is a TFLite external delegate"),
    ):
        with pytest.raises(DelegateUnavailable, match=message):
            open_session(tiny_model, delegate=str(path))
        assert open_session(tiny_model, delegate=str(path), fallback=True).delegation.applied == "xnnpack"


def test_a_damaged_model_is_no_fault_of_the_delegate(library: Path, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"A text file.\n" * 9)
    for delegate in (str(library), "gpu", "cpu", "xnnpack", "auto"):
        with pytest.raises(ModelFileError, match="refuses the model"):
            open_session(tmp_path / "model.tflite", delegate=delegate, fallback=True)


# NNAPI and the Edge TPU


def test_nnapi_is_androids(tiny_model: Path) -> None:
    with pytest.raises(DelegateUnavailable, match="Android's, deprecated since Android 15; `osteolite bench --device"):
        open_session(tiny_model, delegate="nnapi")


OPEN = """
import json, sys
from osteolite.edge.errors import OsteoliteError
from osteolite.edge.inference.opening import open_session
found = []
for model, delegate in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        found.append(open_session(model, 1, delegate).delegation.to_dict())
    except OsteoliteError as error:
        found.append({"error": type(error).__name__, "message": str(error)})
print(json.dumps(found))
"""


@pytest.fixture
def open_with(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Open pairs of model and delegate in a process whose libraries are also searched for in a folder."""

    def run(folder: Path, *arguments: str) -> list[dict[str, Any]]:
        environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [sys.executable, "-c", OPEN, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    return run


@pytest.fixture
def for_edge_tpu(tmp_path: Path, tiny: Any) -> Path:
    """What Coral's compiler leaves of a model that it took as a whole: one operator of its own."""
    graph = tiny.graph()
    picture = graph.tensor((1, 8, 8, 1), np.int8, (2 / 255, -1))
    answer = graph.operator(tiny.operators.CUSTOM, [picture], graph.tensor((1, 1), np.int8, (0.1, 0)))
    graph.model.operatorCodes[-1].customCode = "edgetpu-custom-op"
    (tmp_path / "edgetpu.tflite").write_bytes(graph.to_bytes([picture], [answer]))
    return tmp_path / "edgetpu.tflite"


@pytest.mark.skipif(sys.platform != "linux", reason="the library's name and search path are Linux's")
def test_the_edge_tpu(
    library: Path, tmp_path: Path, tiny_model: Path, for_edge_tpu: Path, open_with: Callable[..., list[dict[str, Any]]]
) -> None:
    (tmp_path / "lib").mkdir()
    shutil.copy(library, tmp_path / "lib" / "libedgetpu.so.1")
    whole, other, chosen = open_with(
        tmp_path / "lib", str(for_edge_tpu), "edgetpu", str(tiny_model), "edgetpu", str(for_edge_tpu), "auto"
    )
    assert (whole["applied"], whole["taken"], whole["of"]) == ("edgetpu", 1, 1)
    assert other["error"] == "DelegateUnavailable"
    assert "not compiled for the Edge TPU" in other["message"]
    assert (chosen["asked"], chosen["applied"]) == ("auto", "edgetpu")


def test_without_the_edge_tpus_library_the_message_says_what_to_install(
    tiny_int8_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(delegates._EDGE_TPU, platform.system(), "libedgetpu-absent.so.1")
    with pytest.raises(DelegateUnavailable, match=r"absent\.so\.1 cannot be loaded .*; install Coral's Edge TPU"):
        open_session(tiny_int8_model, delegate="edgetpu")
