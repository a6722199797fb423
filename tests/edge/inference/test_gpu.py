"""The GPU engine on SwiftShader, a software GPU in Debian's package chromium-common."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from osteolite.edge.errors import DelegateUnavailable
from osteolite.edge.inference.gpu import GpuEngine, software_only
from osteolite.edge.inference.opening import open_session
from osteolite.edge.modelfile.shipped import shipped_model

_LIBRARIES = ("libvk_swiftshader.so", "vk_swiftshader_icd.json", "libvulkan.so.1")

RUN = """
import json, sys
import numpy as np
from osteolite.edge.errors import OsteoliteError
from osteolite.edge.inference.opening import open_session

def numbers(array):
    return None if array is None else array.tolist()

found, fallback, count = [], sys.argv[1] == "fallback", int(sys.argv[2])
for path in sys.argv[3:]:
    try:
        gpu, cpu = open_session(path, 1, "gpu", fallback), open_session(path, 1)
    except OsteoliteError as error:
        found.append({"error": type(error).__name__, "message": str(error)})
        continue
    runs = []
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(0, 256, gpu.input_shape[1:3], np.uint8)
        levels = (np.arange(256, dtype=np.float32) - 127.5) / 127.5
        outputs = [session.run_pixels(pixels, levels) for session in (gpu, cpu)]
        runs.append([[numbers(one.values), numbers(one.activation_map), numbers(one.features)] for one in outputs])
    found.append({"delegation": gpu.delegation.to_dict(), "runs": runs})
    gpu.close()
print(json.dumps(found))
"""

TIME = """
import json, statistics, sys, time
import numpy as np
from osteolite.edge.inference.opening import open_session

gpu = open_session(sys.argv[1], 1, "gpu")
engine, tensor = gpu._engine, np.zeros(gpu.input_shape, np.float32)
whole, started = [], []
for _ in range(20):
    start = time.perf_counter()
    gpu.run(tensor)
    whole.append(time.perf_counter() - start)
    start = time.perf_counter()
    engine._input_buffers[0].write(tensor)
    engine._model.run_by_index(0, engine._input_buffers, engine._output_buffers)
    started.append(time.perf_counter() - start)
    gpu.run(tensor)  # waits for the run that was only started
print(json.dumps([statistics.median(whole), statistics.median(started)]))
"""


def unpacked_chromium(folder: Path) -> Path:
    """Download Debian's Chromium package once and return its unpacked files."""
    target = folder / "osteolite-tests" / "chromium"
    if not (target / "usr").is_dir():
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            pytest.skip("needs a software GPU: Chromium's, from Debian's apt-get and dpkg-deb")
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as fresh:
            fetched = subprocess.run(
                ["apt-get", "download", "chromium-common"], cwd=fresh, capture_output=True, check=False
            )
            packages = list(Path(fresh).glob("*.deb"))
            if fetched.returncode or not packages:
                pytest.skip("needs a software GPU: `apt-get download chromium-common` fails here")
            subprocess.run(["dpkg-deb", "-x", str(packages[0]), f"{fresh}/files"], check=True)
            (Path(fresh) / "files" / "usr").rename(target / "usr")
    return target / "usr" / "lib" / "chromium"


@pytest.fixture(scope="session")
def swiftshader() -> dict[str, str]:
    """The environment variables with which Vulkan finds the software GPU."""
    if sys.platform != "linux":
        pytest.skip("needs a software GPU, which is available on Linux only")
    folder = Path("/usr/lib/chromium")
    if not all((folder / name).is_file() for name in _LIBRARIES):
        folder = unpacked_chromium(Path(os.environ.get("XDG_CACHE_HOME") or tempfile.gettempdir()))
    if not all((folder / name).is_file() for name in _LIBRARIES):
        pytest.skip(f"needs a software GPU: {folder} does not hold {', '.join(_LIBRARIES)}")
    return {"LD_LIBRARY_PATH": str(folder), "VK_DRIVER_FILES": str(folder / "vk_swiftshader_icd.json")}


@pytest.fixture(scope="session")
def run(swiftshader: dict[str, str]) -> Callable[..., list[dict[str, Any]]]:
    """Run each model on GPU and CPU in a process with the software GPU."""

    def run_all(paths: list[Path], count: int = 3, fallback: bool = False, **changes: str) -> list[dict[str, Any]]:
        arguments = ["fallback" if fallback else "", str(count), *map(str, paths)]
        found: list[dict[str, Any]] = in_a_process(RUN, arguments, {**swiftshader, **changes})
        return found

    return run_all


def in_a_process(script: str, arguments: list[str], environment: dict[str, str]) -> Any:
    """Run a script and parse the last line that it prints as JSON."""
    command = [sys.executable, "-c", script, *arguments]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


class SmallNetwork:
    """Two convolutions and a depthwise one, with a logit, a class activation map and features as outputs."""

    def __init__(self, tiny: Any, half: bool, signed: bool) -> None:
        self.graph, self.codes, self.half = tiny.graph(), tiny.operators, half
        self.random = np.random.default_rng(7)
        picture = self.graph.tensor((1, 48, 40, 3), np.float32)
        first = self.convolution(picture, (8, 3, 3, 3), (1, 24, 20, 8), stride=2)
        deep = self.convolution(first, (1, 3, 3, 8), (1, 24, 20, 8), stride=1, by_depth=True)
        last = self.convolution(deep, (16, 3, 3, 8), (1, 12, 10, 16), stride=2)
        places = self.convolution(last, (1, 1, 1, 16), (1, 12, 10, 1), stride=1, relu=False)
        features = self.mean(last, (1, 16))
        logit = self.graph.tensor((1, 1), np.float32)
        dense = (schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT())
        self.graph.operator(self.codes.FULLY_CONNECTED, [features, self.weights((1, 16)), self.bias(1)], logit, dense)
        self.outputs = {"logit": logit, "features": features, "activation_map": places}
        if signed:
            self.sign(picture)
        self.content = bytes(self.graph.to_bytes([picture], list(self.outputs.values())))

    def weights(self, shape: tuple[int, ...]) -> int:
        values = self.random.normal(0, 1.4 / np.sqrt(np.prod(shape[1:])), shape)
        if not self.half:
            return int(self.graph.constant(values, np.float32))
        packed = self.graph.constant(values.astype(np.float16).view(np.int16), np.int16)
        self.graph.subgraph.tensors[packed].type = schema.TensorType.FLOAT16
        return int(self.graph.operator(self.codes.DEQUANTIZE, [packed], self.graph.tensor(shape, np.float32)))

    def bias(self, count: int) -> int:
        return int(self.graph.constant(self.random.normal(0, 0.1, count), np.float32))

    def convolution(
        self,
        taken: int,
        kernel: tuple[int, ...],
        shape: tuple[int, ...],
        stride: int,
        by_depth: bool = False,
        relu: bool = True,
    ) -> int:
        options = schema.DepthwiseConv2DOptionsT() if by_depth else schema.Conv2DOptionsT()
        options.padding, options.strideW, options.strideH = schema.Padding.SAME, stride, stride
        options.dilationWFactor = options.dilationHFactor = 1
        names = schema.ActivationFunctionType
        options.fusedActivationFunction = names.RELU6 if relu else names.NONE
        kind = schema.BuiltinOptions.Conv2DOptions
        if by_depth:
            options.depthMultiplier, kind = 1, schema.BuiltinOptions.DepthwiseConv2DOptions
        code = self.codes.DEPTHWISE_CONV_2D if by_depth else self.codes.CONV_2D
        operands = [taken, self.weights(kernel), self.bias(shape[3])]
        return int(self.graph.operator(code, operands, self.graph.tensor(shape, np.float32), (kind, options)))

    def mean(self, taken: int, shape: tuple[int, ...]) -> int:
        options = schema.ReducerOptionsT()
        options.keepDims = False
        axes = self.graph.constant([1, 2], np.int32)
        reducer = (schema.BuiltinOptions.ReducerOptions, options)
        return int(self.graph.operator(self.codes.MEAN, [taken, axes], self.graph.tensor(shape, np.float32), reducer))

    def sign(self, picture: int) -> None:
        """Add a signature, as converters do, with the outputs in another order than in the graph."""

        def named(name: str, tensor: int) -> Any:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, tensor
            return entry

        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs = [named("image", picture)]
        signature.outputs = [named(name, self.outputs[name]) for name in ("features", "activation_map", "logit")]
        self.graph.model.signatureDefs = [signature]


@pytest.fixture(scope="session")
def networks(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The network in float32, in float16, and in float32 with a signature."""
    folder = tmp_path_factory.mktemp("networks")
    for name, half, signed in (("float32", False, False), ("float16", True, False), ("signed", False, True)):
        (folder / f"{name}.tflite").write_bytes(SmallNetwork(tiny, half, signed).content)
    return [folder / f"{name}.tflite" for name in ("float32", "float16", "signed")]


def test_the_gpu_gives_the_outputs_of_the_cpu(run: Callable[..., list[dict[str, Any]]], networks: list[Path]) -> None:
    """Within 1e-3 in float32 and float16, in the right order, and for every input anew."""
    for found in run(networks):
        delegation = found["delegation"]
        assert delegation["applied"] == "gpu"
        assert delegation["taken"] == delegation["of"] >= 6
        assert "SwiftShader" in delegation["reason"]  # a software GPU is named
        logits = set()
        for gpu, cpu in found["runs"]:
            for ours, theirs in zip(gpu, cpu, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-3, rtol=0)
            logits.add(gpu[0][0][0])
        assert len(logits) == 3


def test_a_run_waits_for_its_outputs(swiftshader: dict[str, str], networks: list[Path]) -> None:
    """The runtime only starts a run: without reading the outputs, the measured time would be too short."""
    whole, started = in_a_process(TIME, [str(networks[0])], swiftshader)
    assert whole > 2 * started


def test_a_model_with_int8_input_and_output_runs_on_the_gpu(
    run: Callable[..., list[dict[str, Any]]], tiny_int8_model: Path, tiny_model: Path
) -> None:
    for found in run([tiny_int8_model, tiny_model]):
        for (gpu, _, _), (cpu, _, _) in found["runs"]:
            np.testing.assert_allclose(gpu, cpu, atol=0.0376)  # one quantisation step of the output


def test_a_model_with_unsupported_operators_does_not_run_on_the_gpu(
    run: Callable[..., list[dict[str, Any]]], tmp_path: Path, tiny: Any
) -> None:
    graph, shape, steps = tiny.graph(), (1, 8, 8, 1), (0.01, 0)
    picture = graph.tensor(shape, np.float32)
    doubled = graph.operator(
        tiny.operators.MUL, [picture, graph.constant([2], np.float32)], graph.tensor(shape, np.float32)
    )
    rounded = graph.operator(tiny.operators.QUANTIZE, [doubled], graph.tensor(shape, np.int16, steps))
    answer = graph.operator(tiny.operators.DEQUANTIZE, [rounded], graph.tensor(shape, np.float32))
    path = tmp_path / "partly.tflite"
    path.write_bytes(graph.to_bytes([picture], [answer]))
    (found,) = run([path])
    assert found["error"] == "DelegateUnavailable"
    assert "it does not take every operator of this model" in found["message"]
    (found,) = run([path], fallback=True)
    assert found["delegation"]["applied"] != "gpu"
    assert "does not take every operator" in found["delegation"]["warning"]


def test_without_a_graphics_adapter_the_gpu_is_unavailable(
    run: Callable[..., list[dict[str, Any]]], networks: list[Path], tmp_path: Path
) -> None:
    nowhere = str(tmp_path / "no_driver.json")
    (found,) = run(networks[:1], VK_DRIVER_FILES=nowhere)
    assert found["error"] == "DelegateUnavailable"
    assert "Vulkan finds no graphics adapter; install the GPU's Vulkan driver" in found["message"]
    (found,) = run(networks[:1], fallback=True, VK_DRIVER_FILES=nowhere)
    delegation = found["delegation"]
    assert (delegation["asked"], delegation["applied"]) == ("gpu", "xnnpack")
    assert delegation["warning"].endswith("until then the CPU runs the model")
    for ours, theirs in found["runs"]:
        assert ours == theirs


@pytest.mark.skipif(sys.platform != "linux", reason="Vulkan is checked on Linux only")
def test_without_a_vulkan_loader_the_gpu_is_unavailable(tiny_model: Path) -> None:
    absent = "libvulkan-absent.so.1"
    with pytest.raises(DelegateUnavailable, match=r"there is no Vulkan loader \(libvulkan-absent\.so\.1\); install"):
        GpuEngine(tiny_model, loader=absent)
    assert software_only(absent) == ""


def test_without_litert_the_gpu_is_unavailable(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.compiled_model", None)
    with pytest.raises(DelegateUnavailable, match=r"LiteRT is not installed; pip install 'ai-edge-litert>=2\.1'"):
        open_session(tiny_model, delegate="gpu")


@pytest.mark.slow
def test_the_shipped_model_runs_on_the_gpu(run: Callable[..., list[dict[str, Any]]]) -> None:
    """The GPU computes integer operators in float, so it rounds differently."""
    (found,) = run([shipped_model()], count=1)
    assert found["delegation"]["taken"] == found["delegation"]["of"]
    for (gpu, _, _), (cpu, _, _) in found["runs"]:
        np.testing.assert_allclose(gpu, cpu, atol=0.25)
