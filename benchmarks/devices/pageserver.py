"""Serve the benchmark page to a browser on this machine: only the listed contents."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

from osteolite.edge.browser import POLICY, page_files

Content = Path | bytes | Callable[[], bytes]  # a file, its content, or a function that makes the content on request

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
}


class PageServer(ThreadingHTTPServer):
    """Answers GET on 127.0.0.1, only for the paths in `contents`, which may change while the server runs.

    Attributes:
        failure: the exception that making a content raised, or None.
    """

    daemon_threads = True

    def __init__(self, contents: dict[str, Content]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.contents = contents
        self.headers = _HEADERS
        self.failure: Exception | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a browser may close the connection during an answer."""


@contextmanager
def serving(contents: dict[str, Content]) -> Iterator[PageServer]:
    """Serve the contents in a background thread until the block ends."""
    server = PageServer(contents)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page_contents() -> dict[str, Content]:
    """The files of the page and of its runtime, by path."""
    return {f"/{name}": path for name, path in page_files().items()}


# Cross-origin isolation gives the page precise clocks and threads; the policy keeps it from sending anything elsewhere.
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        content = self.server.contents.get(path)
        try:
            body = _bytes_of(content) if content is not None else None
        except Exception as error:
            self.server.failure = error
            body = None
        self.send_response(404 if body is None else 200)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", _TYPES.get(PurePosixPath(path).suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *arguments: object) -> None:
        """Do nothing: the terminal belongs to the benchmark."""


def _bytes_of(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    return content.read_bytes() if isinstance(content, Path) else content()
