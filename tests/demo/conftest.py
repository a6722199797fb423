"""Run a real server of the page in a separate process."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osteolite.demo.service.batch import Upload
from osteolite.demo.service.model_set import ModelSet

# The command line; at the end it prints which packages are loaded that a small device must do without.
SERVER = """
import sys
from osteolite.edge.cli import main
try:
    main()
finally:
    print("heavy:", sorted({"tensorflow", "tf_keras", "keras"} & set(sys.modules)))
"""
_TIMEOUT = 120  # seconds, for a busy machine


@dataclass
class Server:
    """A running `osteolite demo`."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path  # standard output and error
    temporary: Path  # folder of its temporary files

    def wait_for(self, text: str) -> str:
        """Wait until the log contains `text`, and return the log."""
        deadline = time.monotonic() + _TIMEOUT
        while text not in (content := self.log.read_text()):
            assert self.process.poll() is None, f"the server ended: {content}"
            assert time.monotonic() < deadline, f"no {text!r} in: {content}"
            time.sleep(0.05)
        return content

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Stop the server by a signal and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(_TIMEOUT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path, *arguments: str | Path, code: str = "", **environment: str) -> Iterator[Server]:
    """Run `code` and then `osteolite demo` with these arguments on a free port, with its files in `folder`."""
    port, log, temporary = free_port(), folder / "server.log", folder / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-c", code + SERVER, "demo", "--port", str(port), *map(str, arguments)]
    variables = {**os.environ, "TMPDIR": str(temporary), "HF_HOME": str(folder / "hf"), **environment}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=folder,
            # A shell without job control starts background processes with SIGINT ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    host = environment.get("GRADIO_SERVER_NAME", "127.0.0.1")
    server = Server(f"http://{host}:{port}/", process, log, temporary)
    try:
        server.wait_for(server.url)
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def run_demo() -> Callable[..., AbstractContextManager[Server]]:
    return running


@pytest.fixture(scope="module")
def batch_models(tiny_model: Path, tiny_router: Path) -> ModelSet:
    return ModelSet([str(tiny_model), str(tiny_router)])


@pytest.fixture(scope="module")
def batch_images(encode: Callable[..., bytes]) -> list[bytes]:
    """Images of decreasing brightness, each with a different prediction."""
    ramp = np.linspace(0, 1, 1200).reshape(40, 30)
    return [encode(Image.fromarray((level + 9 * ramp).astype(np.uint8)), "PNG") for level in (240, 220, 60, 0)]


@pytest.fixture
def upload(tmp_path: Path) -> Callable[[str, bytes], Upload]:
    def upload(name: str, content: bytes) -> Upload:
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        path.write_bytes(content)
        return Upload(name, path)

    return upload
