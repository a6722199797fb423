"""The peers compute the same network, or are left out with a reason."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from osteolite.benchmarks.harness.peers import MEAN_DIFFERENCE, PEERS, Contender, LeftOut, Setup, different_network
from osteolite.edge.errors import UsageError
from osteolite.edge.modelfile.shipped import shipped_model

PACKAGES = ("mediapipe", "onnxruntime", "openvino", "tensorflow")
ON_THE_SAME_FILE = ("osteolite", "plain", "openvino", "tensorflow")


@pytest.fixture
def model(tiny: Any, save_model: Callable[..., Path]) -> str:
    """A model that peers support, with a second output beside the logit: logit = 4 * mean + 0.5."""
    return str(save_model(tiny.mean((1, 48, 32, 3), twice=True), preprocessing={"width": 32, "height": 48}))


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """Drawn bones of different sizes and brightness, intact or broken."""
    files = []
    for number, (width, height) in enumerate([(320, 384), (300, 200), (373, 454), (200, 400)]):
        picture = Image.new("L", (width, height), 20 + 10 * number)
        draw = ImageDraw.Draw(picture)
        draw.line((width // 2, 0, width // 2 + 20, height // 2), fill=200, width=40)
        draw.line((width // 2 + 20 + 25 * number, height // 2, width // 2, height), fill=230, width=40)
        files.append(str(tmp_path / f"{number}.png"))
        picture.save(files[-1])
    return files


def need(name: str) -> None:
    if name in PACKAGES and find_spec(name) is None:
        pytest.skip(f"needs the peer: pip install {name}")


def opened(stack: ExitStack, name: str, setup: Setup) -> Contender:
    return stack.enter_context(PEERS[name].open(setup))


def test_no_peer_is_imported_before_it_is_opened() -> None:
    code = (
        "import sys, osteolite.benchmarks.harness.peers; "
        f"print(*[name for name in {(*PACKAGES, 'sklearn', 'scipy', 'rich')!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


@pytest.mark.parametrize("name", ON_THE_SAME_FILE)
def test_a_tensor_gives_the_logit_of_the_network(name: str, model: str) -> None:
    need(name)
    tensor = np.random.default_rng(0).uniform(-1, 1, (1, 48, 32, 3)).astype(np.float32)
    with ExitStack() as stack:
        contender = opened(stack, name, Setup(model, 1))
        assert contender.invoke is not None
        for one in (tensor, -tensor, np.full_like(tensor, 0.25)):
            found = contender.invoke(one)
            assert type(found) is float
            assert found == pytest.approx(4 * float(one.mean()) + 0.5, abs=1e-4)
        assert contender.runtime.split()[0] in ("ai-edge-litert", "tflite-runtime", *PACKAGES)
        assert contender.runtime.split()[1][0].isdigit()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ON_THE_SAME_FILE)
def test_peers_predict_like_the_shipped_model(name: str, threads: int, shared_data: Path) -> None:
    need(name)
    originals = shared_data / "fracatlas" / "fullres"
    images = [str(one) for kind in ("Fractured", "Non_fractured") for one in sorted((originals / kind).iterdir())[:2]]
    setup = Setup(str(shipped_model()), threads)
    with ExitStack() as stack:
        plain, other = opened(stack, "plain", setup), opened(stack, name, setup)
        expected = [plain.answer(image) for image in images]
        assert max(expected) - min(expected) > MEAN_DIFFERENCE, "any network would do"
        assert different_network([other.answer(image) for image in images], expected) is None


def test_mediapipe_takes_images_only(images: list[str]) -> None:
    need("mediapipe")
    with ExitStack() as stack:
        contender = opened(stack, "mediapipe", Setup(str(shipped_model()), 1))
        assert contender.invoke is None
        assert all(0 <= contender.answer(image) <= 1 for image in images)


def test_an_onnx_network_beside_the_model_is_used(model: str, images: list[str]) -> None:
    need("onnxruntime")
    with (
        pytest.raises(LeftOut, match=r"no model0\.onnx beside .* tf2onnx\.convert --tflite model0\.tflite"),
        ExitStack() as stack,
    ):
        opened(stack, "onnxruntime", Setup(model, 1))
    onnx = pytest.importorskip("onnx", reason="needs onnx to make a network")
    onnx.save(mean_network(onnx), Path(model).with_suffix(".onnx"))
    shutil.copy(Path(model).with_suffix(".onnx"), Path(model).with_name("named.onnx"))
    for setup in (Setup(model, 1), Setup(model, 1, str(Path(model).with_name("named.onnx")))):
        with ExitStack() as stack:
            plain, other = opened(stack, "plain", setup), opened(stack, "onnxruntime", setup)
            for image in images:
                assert other.answer(image) == pytest.approx(plain.answer(image), abs=1e-5)


def mean_network(onnx: Any) -> Any:
    """The tiny model, with a map before the logit."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    four, half = helper.make_tensor("four", kind, [], [4.0]), helper.make_tensor("half", kind, [], [0.5])
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["map"], axes=[3], keepdims=1),
            helper.make_node("ReduceMean", ["map"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("Mul", ["mean", "four"], ["scaled"]),
            helper.make_node("Add", ["scaled", "half"], ["logit"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("image", kind, [1, 48, 32, 3])],
        [
            helper.make_tensor_value_info("map", kind, [1, 48, 32, 1]),
            helper.make_tensor_value_info("logit", kind, [1, 1]),
        ],
        [four, half],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_peer_is_left_out_with_its_install_command(
    name: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LeftOut, match=f"^not installed; pip install {name} "), PEERS[name].open(Setup(model, 1)):
        pass


def test_onnx_runtime_is_left_out_if_it_refuses_the_network(model: str) -> None:
    need("onnxruntime")
    Path(model).with_suffix(".onnx").write_bytes(b"no network")
    with pytest.raises(LeftOut, match=r"^onnxruntime refuses the model: "), ExitStack() as stack:
        opened(stack, "onnxruntime", Setup(model, 1))


@pytest.mark.parametrize("name", ["mediapipe", "openvino", "tensorflow"])
def test_a_peer_that_refuses_the_file_is_left_out(name: str, tmp_path: Path) -> None:
    need(name)
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(LeftOut, match=rf"^{name} refuses the model: "), ExitStack() as stack:
        opened(stack, name, Setup(str(tmp_path / "model.tflite"), 1))


@pytest.mark.parametrize("name", ["plain", "openvino", "tensorflow"])
def test_a_model_that_takes_integers_is_refused(name: str, tiny: Any, save_model: Callable[..., Path]) -> None:
    need(name)
    model = str(save_model(tiny.mean_int8(), preprocessing={"width": 32, "height": 32}))
    with pytest.raises(UsageError, match="take float32"), PEERS[name].open(Setup(model, 1)):
        pass


def test_only_the_warning_of_tensorflows_interpreter_is_silenced(model: str) -> None:
    need("tensorflow")
    with ExitStack() as stack:
        opened(stack, "tensorflow", Setup(model, 1))  # warnings are errors here
        interpreter = sys.modules["tensorflow"].lite.Interpreter
        with pytest.warns(UserWarning, match="scheduled for deletion"):
            interpreter(model_path=model)


def test_a_different_network_is_detected_by_the_mean_difference() -> None:
    plain = [0.1, 0.5, 0.9]
    assert different_network([0.1, 0.53, 0.9], plain) is None
    assert different_network([0.2, 0.5, 0.9], plain) == (
        "different network: its answers to the same pixels differ by 0.0333 on average"
    )
    assert different_network([float("nan"), 0.5, 0.9], plain) is not None
