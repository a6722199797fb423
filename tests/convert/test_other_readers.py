"""The variants in other runtimes: LiteRT.js in a browser, and tflite-runtime, the older runtime of boards."""

import json
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.convert.variants.variants import VARIANTS, Source
from osteolite.edge.browser import page_files
from osteolite.edge.inference.opening import open_session

_PAGE = """<!doctype html>
<body><script type="module">
import {loadRuntime} from "/js/runtime.js";
const answers = {};
try {
  const {files, shape} = await (await fetch("task.json")).json();
  const pixels = new Float32Array(await (await fetch("image.bin")).arrayBuffer());
  const {library} = await loadRuntime("wasm");
  for (const name of files) {
    try {
      const model = await library.loadAndCompile(`${name}.tflite`, {accelerator: "wasm"});
      const outputs = await model.run(new library.Tensor(pixels, shape));
      answers[name] = {outputs: outputs.map(one => Array.from(one.toTypedArray()))};
    } catch (error) { answers[name] = {error: String(error)}; }
  }
} catch (error) { answers.error = String(error); }
await fetch("answers", {method: "POST", body: JSON.stringify(answers)});
</script>
"""


class Server(ThreadingHTTPServer):
    """Serves a folder and stores what the page sends back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.answers: dict[str, Any] = {}
        self.answered = threading.Event()


class Handler(SimpleHTTPRequestHandler):
    def guess_type(self, path: Any) -> str:
        return {".wasm": "application/wasm", ".js": "text/javascript"}.get(Path(path).suffix) or super().guess_type(
            path
        )

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        self.server.answers = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.answered.set()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def browser_answers(
    files: dict[str, bytes], source: Source, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    folder = tmp_path_factory.mktemp("browser")
    for name, path in page_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / name)
    tensor = source.calibration[0]
    (folder / "image.bin").write_bytes(tensor.tobytes())
    (folder / "task.json").write_text(json.dumps({"files": list(files), "shape": list(tensor.shape)}))
    (folder / "index.html").write_text(_PAGE)
    for name, content in files.items():
        (folder / f"{name}.tflite").write_bytes(content)
    server = Server(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/index.html"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    profile = f"--user-data-dir={folder / 'profile'}"
    with subprocess.Popen(
        [chromium, *flags, profile, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert server.answered.wait(300), "the page did not answer"
        finally:
            process.kill()
            server.shutdown()
            server.server_close()
    assert "error" not in server.answers, server.answers
    return server.answers


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_litert_js_gives_the_logits_of_python(
    browser_answers: dict[str, Any], files: dict[str, bytes], source: Source, variant: str
) -> None:
    """LiteRT.js refuses to fill integer inputs with floats, so variants with integer ends fail."""
    answer = browser_answers[variant]
    if variant in ("int8_int8", "int8_uint8"):
        assert "error" in answer
        return
    session = open_session(files[variant])
    outputs = session.run(source.calibration[0])
    assert outputs.activation_map is not None
    logit = float(outputs.values[0, 0])
    found = {len(values): values for values in answer["outputs"]}
    near = 0.2 if variant == "dynamic" else 1e-3  # activations quantised at run time are rounded in another order
    assert found[1][0] == pytest.approx(logit, abs=near)
    assert np.abs(np.array(found[16]) - outputs.activation_map.ravel()).max() < near
    assert session.feature_count in found


_BOARD = """
import json, sys
import numpy as np
from tflite_runtime.interpreter import Interpreter
pixels = np.load(sys.argv[1])
for name in sys.argv[2:]:
    try:
        interpreter = Interpreter(model_path=name)
        interpreter.allocate_tensors()
        given, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        image = pixels
        if given["dtype"] != np.float32:
            scale, zero = given["quantization"]
            image = np.round(pixels / scale + zero).astype(given["dtype"])
        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        value = float(interpreter.get_tensor(answer["index"]).ravel()[0])
        if answer["dtype"] != np.float32:
            value = (value - answer["quantization"][1]) * answer["quantization"][0]
        print(json.dumps({"logit": value}))
    except Exception as error:
        print(json.dumps({"error": str(error)}))
"""


@pytest.fixture(scope="module")
def board_answers(files: dict[str, bytes], source: Source, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no build for Python 3.12")
    folder = tmp_path_factory.mktemp("board")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True, timeout=300)
    python = str(folder / "env" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "tflite-runtime==2.14.0", "numpy<2"]
    subprocess.run(install, check=True, timeout=500)
    np.save(folder / "image.npy", source.calibration[0])
    for name, content in files.items():
        (folder / f"{name}.tflite").write_bytes(content)
    arguments = [str(folder / "image.npy"), *(str(folder / f"{name}.tflite") for name in files)]
    done = subprocess.run([python, "-c", _BOARD, *arguments], capture_output=True, text=True, timeout=300, check=True)
    return dict(zip(files, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_tflite_runtime_gives_similar_logits(
    board_answers: dict[str, Any], files: dict[str, bytes], source: Source, variant: str
) -> None:
    """Its kernels round differently: by at most a tenth of the range of the logits of a few images."""
    if variant == "weight_only_int4":
        assert "error" in board_answers[variant]  # it has no 4-bit type
        return
    session = open_session(files[variant])
    logits = [float(session.invoke(tensor)[0, 0]) for tensor in source.calibration[::4]]
    assert board_answers[variant].get("logit") == pytest.approx(logits[0], abs=0.1 * np.ptp(logits))
