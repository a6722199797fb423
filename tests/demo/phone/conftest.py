"""The page's folder as the command writes it, and hosts for it: a plain one, and `osteolite phone --serve`."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osteolite.demo.phone.folder import page_contents, write_folder
from osteolite.edge.modelfile.shipped import shipped_model

_PATIENCE = 60  # seconds, for a machine that is busy with something else


@dataclass
class Host:
    """A static host in a thread, as it comes: nothing in it knows of this page."""

    root: Path  # what it serves
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)  # method and path of each request
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The address of the page, below the host's root."""
        return f"http://localhost:{self.port}/~user/xray/"

    @property
    def folder(self) -> Path:
        return self.root / "~user" / "xray"

    def start(self) -> None:
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def send_response(self, code: int, message: str | None = None) -> None:
                asked.append((self.command, self.path))
                super().send_response(code, message)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), partial(Handler, directory=str(self.root)))
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


@dataclass
class Serving:
    """A running `osteolite phone --serve`."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path  # its standard output and error

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """End it as a person or a service manager does; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(_PATIENCE)


@contextmanager
def _serving(folder: Path, *arguments: str | Path) -> Iterator[Serving]:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = int(probe.getsockname()[1])
    log = folder / "server.log"
    command = [str(Path(sys.executable).with_name("osteolite")), "phone", "--serve", "--port", str(port)]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            # A shell without job control starts what runs in the background with SIGINT ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        deadline = time.monotonic() + _PATIENCE
        while "no diagnosis" not in log.read_text("utf-8"):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, log.read_text("utf-8")
            time.sleep(0.05)
        yield Serving(port, process, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def serve_phone() -> Callable[..., AbstractContextManager[Serving]]:
    return _serving


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_router: Path) -> Iterator[Host]:
    """A host with the page of three models: the one that ships, a tiny one and a tiny router."""
    found = Host(tmp_path_factory.mktemp("host"))
    write_folder(page_contents([str(shipped_model()), str(tiny_model), str(tiny_router)]), str(found.folder))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def noise_png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey image with a bright bar, larger than any model's input."""
    pixels = np.random.default_rng(7).integers(0, 90, (620, 470), np.uint8)
    pixels[60:560, 200:280] += 120
    path = tmp_path_factory.mktemp("images") / "bar.png"
    Image.fromarray(pixels).save(path)
    return path
