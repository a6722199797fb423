"""Two hosts for the page: a plain static server, and `osteolite phone --serve`."""

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
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from osteolite.demo.phone.folder import page_contents, write_folder
from osteolite.edge.modelfile.shipped import shipped_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

TIMEOUT = 60_000  # milliseconds that a browser waits, for a busy machine
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
_TIMEOUT = 60  # seconds, for a busy machine


@dataclass
class Host:
    """A static file server in a thread, without any special headers."""

    root: Path  # the served folder
    port: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)  # method and path of each request
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The address of the page, in a subfolder of the host."""
        return f"http://localhost:{self.port}/~user/xray/"

    @property
    def folder(self) -> Path:
        return self.root / "~user" / "xray"

    def start(self) -> None:
        requests = self.requests

        class Handler(SimpleHTTPRequestHandler):
            def send_response(self, code: int, message: str | None = None) -> None:
                requests.append((self.command, self.path))
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
    log: Path  # standard output and error

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Stop it by a signal and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(_TIMEOUT)


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
            # A shell without job control starts background processes with SIGINT ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        deadline = time.monotonic() + _TIMEOUT
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
    """A host with a page of three models: the shipped one, a tiny one and a tiny router."""
    server = Host(tmp_path_factory.mktemp("host"))
    write_folder(page_contents([str(shipped_model()), str(tiny_model), str(tiny_router)]), str(server.folder))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def noise_png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey image with a bright bar, larger than the input of any model."""
    pixels = np.random.default_rng(7).integers(0, 90, (620, 470), np.uint8)
    pixels[60:560, 200:280] += 120
    path = tmp_path_factory.mktemp("images") / "bar.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def context(chromium: "Browser") -> Iterator["BrowserContext"]:
    """A phone's browser that can store the page."""
    with chromium.new_context(**PHONE) as opened:
        opened.set_default_timeout(TIMEOUT)
        yield opened


@pytest.fixture
def problems(context: "BrowserContext") -> list[str]:
    """The errors that the browser reports."""
    found: list[str] = []
    context.on("weberror", lambda error: found.append(str(error.error)))
    context.on("console", lambda message: found.append(message.text) if _is_error(message) else None)
    return found


def _is_error(message: "ConsoleMessage") -> bool:
    """Whether a console message is an error; the runtime also logs information as errors."""
    return message.type == "error" and not message.text.startswith(("INFO: ", "WARNING: "))


@pytest.fixture
def page(chromium: "Browser", host: Host) -> Iterator["Page"]:
    """The page in a phone's browser that stores nothing."""
    from tests.demo.phone.phone_page import open_page  # needs Playwright

    with chromium.new_context(**PHONE, service_workers="block") as opened:
        opened.set_default_timeout(TIMEOUT)
        yield open_page(opened, host.url)
