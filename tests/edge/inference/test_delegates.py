"""Delegates: names and options, XNNPACK, and libraries built with gcc and loaded by the runtime."""

import ctypes.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.edge.errors import DelegateUnavailable, ModelFileError, UsageError
from osteolite.edge.inference.delegates import DELEGATES, open_engine, parse_delegate
from osteolite.edge.inference.engine import InterpreterEngine, nodes, runtime_module
from osteolite.edge.inference.opening import open_session
from osteolite.edge.inference.session import InferenceSession
from osteolite.edge.inference.tensors import Tensor
from osteolite.edge.modelfile.archive import read_flatbuffer
from osteolite.edge.modelfile.graph import ModelGraph
from osteolite.edge.modelfile.shipped import shipped_model

OPERATORS = len(ModelGraph.from_flatbuffer(read_flatbuffer(shipped_model())).operators)


@pytest.fixture
def partly(tmp_path: Path, tiny: Any) -> Path:
    """A model of three operators; XNNPACK does not support the second."""
    graph, shape = tiny.graph(), (1, 8, 8, 1)
    picture = graph.tensor(shape, np.float32)
    half = graph.operator(
        tiny.operators.MUL, [picture, graph.constant([0.5], np.float32)], graph.tensor(shape, np.float32)
    )
    turned = graph.operator(
        tiny.operators.REVERSE_V2, [half, graph.constant([1], np.int32)], graph.tensor(shape, np.float32)
    )
    product = graph.operator(tiny.operators.MUL, [turned, half], graph.tensor(shape, np.float32))
    (tmp_path / "partly.tflite").write_bytes(graph.to_bytes([picture], [product]))
    return tmp_path / "partly.tflite"


def grey(session: InferenceSession, level: float = 0.25) -> Tensor:
    return np.full(session.input_shape, level, np.float32)


# Names


@pytest.mark.parametrize("name", DELEGATES)
def test_parse_delegate_returns_a_name_unchanged(name: str) -> None:
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
def test_parse_delegate_splits_a_path_and_its_options(text: str, path: str, options: dict[str, str]) -> None:
    assert parse_delegate(text) == (path, options)


@pytest.mark.parametrize("text", ["", "cuda", "GPU", "vendor.tflite", "gpu:level=2", ".so"])
def test_an_unknown_name_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(UsageError, match=r"unknown delegate .*; allowed are auto, cpu, .* and PATH\.so") as caught:
        parse_delegate(text)
    assert not isinstance(caught.value, DelegateUnavailable)  # a typing error must not fall back to the CPU


@pytest.mark.parametrize("options", ["", "level", "=2", "level=1:level=2", "level=1:"])
def test_a_malformed_option_is_refused(options: str) -> None:
    with pytest.raises(UsageError, match="is not key=value, or is given twice"):
        parse_delegate(f"vendor.so:{options}")


def test_a_wrong_name_does_not_fall_back(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="unknown delegate"):
        open_session(tiny_model, delegate="cuda", fallback=True)


# The CPU


def test_without_a_delegate_the_runtime_applies_xnnpack(tiny_model: Path) -> None:
    delegation = open_session(tiny_model).delegation
    assert (delegation.requested, delegation.applied, delegation.operators_taken, delegation.operators) == (
        None,
        "xnnpack",
        2,
        2,
    )
    assert delegation.reason == delegation.warning == ""


def test_cpu_uses_the_kernels_without_xnnpack(tiny_model: Path) -> None:
    session = open_session(tiny_model, delegate="cpu")
    assert (session.delegation.applied, session.delegation.operators_taken, session.delegation.operators) == (
        "none",
        0,
        2,
    )
    assert session.invoke(grey(session)) == pytest.approx(1.5)


def test_xnnpack_leaves_unsupported_operators_to_the_cpu(partly: Path) -> None:
    delegation = open_session(partly, delegate="xnnpack").delegation
    assert (delegation.applied, delegation.operators_taken, delegation.operators) == ("xnnpack", 2, 3)
    assert delegation.reason == "left to the CPU: 1 REVERSE_V2"
    assert delegation.to_dict() == {
        "asked": "xnnpack",
        "applied": "xnnpack",
        "taken": 2,
        "of": 3,
        "reason": "left to the CPU: 1 REVERSE_V2",
        "warning": "",
    }


def test_xnnpack_is_unavailable_if_it_takes_no_operator(tmp_path: Path, tiny: Any) -> None:
    path = tmp_path / "int16.tflite"
    path.write_bytes(tiny.quantize(np.int16, 0.01, 0, (1, 8, 8, 1)))
    with pytest.raises(DelegateUnavailable, match="xnnpack: loads, but takes none of the model's 1 operators"):
        open_session(path, delegate="xnnpack")
    delegation = open_session(path, delegate="xnnpack", fallback=True).delegation
    assert (delegation.applied, delegation.operators_taken) == ("none", 0)
    assert "takes none" in delegation.reason
    assert open_session(path).delegation.applied == "none"  # no error without a request


def test_the_number_of_operators_on_xnnpack_agrees_with_the_runtime(partly: Path, tiny_int8_model: Path) -> None:
    """Without node fusion, the runtime makes one node for each operator that a delegate takes."""
    for path in (partly, tiny_int8_model, shipped_model()):
        unfused = runtime_module()[0].Interpreter(model_path=str(path), experimental_disable_delegate_node_fusion=True)
        unfused.allocate_tensors()
        delegation = open_session(path).delegation
        assert delegation.operators == len(ModelGraph.from_flatbuffer(read_flatbuffer(path)).operators)
        assert delegation.operators_taken == len(nodes(unfused)) - delegation.operators


# Libraries


@pytest.mark.parametrize("claim", ["all", "even"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_operators_on_a_library_is_what_it_took(
    claim: str, threads: int, library: Path, tmp_path: Path
) -> None:
    """The library itself reports which operators it took."""
    report = tmp_path / "claimed"
    requested = f"{library}:claim={claim}:report={report}"
    engine, delegation = open_engine(shipped_model(), threads, requested)
    claimed = {int(line) for line in report.read_text().split()}
    assert (delegation.requested, delegation.applied) == (requested, str(library))
    assert (delegation.operators_taken, delegation.operators) == (len(claimed), OPERATORS)
    assert len(claimed) == {"all": OPERATORS, "even": (OPERATORS + 1) // 2}[claim]
    assert delegation.reason.startswith("left to the CPU: ") == (claim == "even")
    assert isinstance(engine, InterpreterEngine)
    assert engine.taken == claimed
    session = InferenceSession(engine, delegation, threads, "model")
    assert session.invoke(grey(session)).shape == (1, 1)


def test_a_library_in_the_working_directory_needs_no_slash(
    library: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library.parent)
    assert open_session(tiny_model, delegate=library.name).delegation.applied == library.name


FAILURES = [
    ("claim=none", "loads, but takes none of the model's 2 operators"),
    ("fail=create", r"the library creates no delegate \(.*no such device\); check that its device is connected"),
    ("fail=prepare", r"fails on this model \(.+\); run the model without this delegate"),
    ("fail=allocate", r"fails on this model \(.*TestDelegate\) failed to prepare.*\)"),
]


@pytest.mark.parametrize(("option", "message"), FAILURES)
def test_a_failing_library_is_unavailable(option: str, message: str, library: Path, tiny_model: Path) -> None:
    with pytest.raises(DelegateUnavailable, match=message) as caught:
        open_session(tiny_model, delegate=f"{library}:{option}")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("option", "message"), FAILURES)
def test_fallback_replaces_a_failing_library_by_the_cpu(
    option: str, message: str, library: Path, tiny_model: Path
) -> None:
    requested = f"{library}:{option}"
    session = open_session(tiny_model, delegate=requested, fallback=True)
    assert (session.delegation.requested, session.delegation.applied) == (requested, "xnnpack")
    assert str(library) in session.delegation.reason
    assert session.delegation.warning.endswith("until then the CPU runs the model")
    assert session.invoke(grey(session)) == pytest.approx(1.5)


def test_a_library_that_fails_during_a_run_raises(library: Path, tiny_model: Path) -> None:
    session = open_session(tiny_model, delegate=f"{library}:fail=invoke")
    with pytest.raises(DelegateUnavailable, match=r"fails during a run \(.*TestDelegate\) failed to invoke"):
        session.invoke(grey(session))


def test_a_file_that_is_not_a_delegate_library_is_unavailable(
    tmp_path: Path, no_delegate: Path, tiny_model: Path
) -> None:
    (tmp_path / "text.so").write_text("not an ELF file, though it is long enough to hold the header of one\n")
    for path, message in (
        (tmp_path / "missing.so", r"missing\.so: the library cannot be loaded"),
        (tmp_path / "text.so", r"text\.so: the library cannot be loaded \(.*invalid ELF header\)"),
        (no_delegate, "has no tflite_plugin_create_delegate; use a TFLite external delegate"),
    ):
        with pytest.raises(DelegateUnavailable, match=message):
            open_session(tiny_model, delegate=str(path))
        assert open_session(tiny_model, delegate=str(path), fallback=True).delegation.applied == "xnnpack"


def test_a_damaged_model_is_not_reported_as_an_unavailable_delegate(library: Path, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"A text file.\n" * 9)
    for delegate in (str(library), "gpu", "cpu", "xnnpack", "auto"):
        with pytest.raises(ModelFileError, match="refuses the model"):
            open_session(tmp_path / "model.tflite", delegate=delegate, fallback=True)


# NNAPI and the Edge TPU


def test_nnapi_is_unavailable_outside_android(tiny_model: Path) -> None:
    with pytest.raises(DelegateUnavailable, match=r"available on Android only.*`osteolite bench --device adb`"):
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
    """Open pairs of model and delegate in a process that also searches a folder for libraries."""

    def run(folder: Path, *arguments: str) -> list[dict[str, Any]]:
        environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [sys.executable, "-c", OPEN, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    return run


@pytest.fixture
def for_edge_tpu(tmp_path: Path, tiny: Any) -> Path:
    """A model that Coral's compiler has replaced by a single operator of its own."""
    graph = tiny.graph()
    picture = graph.tensor((1, 8, 8, 1), np.int8, (2 / 255, -1))
    answer = graph.operator(tiny.operators.CUSTOM, [picture], graph.tensor((1, 1), np.int8, (0.1, 0)))
    graph.model.operatorCodes[-1].customCode = "edgetpu-custom-op"
    (tmp_path / "edgetpu.tflite").write_bytes(graph.to_bytes([picture], [answer]))
    return tmp_path / "edgetpu.tflite"


@pytest.mark.skipif(sys.platform != "linux", reason="the library's name and search path are Linux's")
def test_edgetpu_and_auto_apply_the_edge_tpu_to_a_compiled_model(
    library: Path, tmp_path: Path, tiny_model: Path, for_edge_tpu: Path, open_with: Callable[..., list[dict[str, Any]]]
) -> None:
    (tmp_path / "lib").mkdir()
    shutil.copy(library, tmp_path / "lib" / "libedgetpu.so.1")
    compiled, not_compiled, auto = open_with(
        tmp_path / "lib", str(for_edge_tpu), "edgetpu", str(tiny_model), "edgetpu", str(for_edge_tpu), "auto"
    )
    assert (compiled["applied"], compiled["taken"], compiled["of"]) == ("edgetpu", 1, 1)
    assert not_compiled["error"] == "DelegateUnavailable"
    assert "not compiled for the Edge TPU" in not_compiled["message"]
    assert (auto["asked"], auto["applied"]) == ("auto", "edgetpu")


def test_without_the_edge_tpu_library_the_message_says_what_to_install(tiny_int8_model: Path) -> None:
    if ctypes.util.find_library("edgetpu"):
        pytest.skip("needs a machine without Coral's Edge TPU runtime")
    with pytest.raises(DelegateUnavailable, match=r"edgetpu.* cannot be loaded .*; install Coral's Edge TPU"):
        open_session(tiny_int8_model, delegate="edgetpu")
