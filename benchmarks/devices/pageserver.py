"""Serves the benchmark's page to a browser on this machine: what is listed, and nothing else."""

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

WEB = Path(__file__).parents[1] / "web"

Content = Path | bytes | Callable[[], bytes]  # a file, what it would hold, or what makes that when it is asked for

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
}


class PageServer(ThreadingHTTPServer):
    """Answers GET on 127.0.0.1 for the paths of `contents` alone; they may change while it runs.

    Attributes:
        failure: what a content raised while it was made.
    """

    daemon_threads = True

    def __init__(self, contents: dict[str, Content]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.contents = contents
        self.headers = _headers()
        self.failure: Exception | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is no error of this server."""


@contextmanager
def serving(contents: dict[str, Content]) -> Iterator[PageServer]:
    """Serve in the background until the block ends."""
    server = PageServer(contents)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def page_contents(runtime: Path) -> dict[str, Content]:
    """The page's own files and the runtime's, by path."""
    contents: dict[str, Content] = {f"/{path.name}": path for path in WEB.iterdir() if path.suffix in _TYPES}
    contents |= {
        f"/runtime/{path.relative_to(runtime).as_posix()}": path
        for path in sorted(runtime.rglob("*"))
        if path.suffix in (".js", ".wasm") and path.is_file()
    }
    return contents


def _headers() -> dict[str, str]:
    """Isolated, so that clocks are fine and threads may run; and shut in, so that nothing leaves the page."""
    inline = re.search(r'<script type="importmap">(.*?)</script>', (WEB / "launch.html").read_text("utf-8"), re.DOTALL)
    assert inline
    digest = base64.b64encode(hashlib.sha256(inline[1].encode()).digest()).decode()
    policy = {
        "default-src": "'none'",
        "script-src": f"'self' 'wasm-unsafe-eval' 'sha256-{digest}'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "worker-src": "'self'",
        "frame-src": "'self'",
        "img-src": "data:",  # the empty icon
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self'",
    }
    return {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
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
        """Nothing: the terminal is the benchmark's."""


def _bytes_of(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    return content.read_bytes() if isinstance(content, Path) else content()
