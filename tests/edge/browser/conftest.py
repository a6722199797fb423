"""Fixtures: a page with the modules of edge/browser, on a static server."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from osteolite.edge.browser import POLICY, constants, page_files

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_TYPES = {".js": "text/javascript", ".json": "application/json", ".html": "text/html"}
_ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


class Server(ThreadingHTTPServer):
    """Serves the page's files and the entries of `contents`, by path."""

    daemon_threads = True

    def __init__(self, isolated: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {f"/{name}": path for name, path in page_files().items()}
        self.contents = {
            "/test.html": b"<!doctype html><title>Test</title><body></body>",
            "/constants.json": json.dumps(constants()).encode(),
        }
        self.encoded: set[str] = set()  # suffixes of files sent with Content-Encoding: gzip
        self.isolated = isolated

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        file = self.server.files.get(path)
        body = file.read_bytes() if file else self.server.contents.get(path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Type", _TYPES.get(Path(path).suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(body or b"")))
        self.send_header("Content-Security-Policy", POLICY)
        if Path(path).suffix in self.server.encoded:
            self.send_header("Content-Encoding", "gzip")
        for name, value in _ISOLATED.items() if self.server.isolated else ():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def _serving(isolated: bool) -> Iterator[Server]:
    server = Server(isolated)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server whose pages may use threads."""
    with _serving(isolated=True) as server:
        yield server


@pytest.fixture(scope="module")
def page(chromium: "Browser", server: Server) -> Iterator["Page"]:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{server.address}/test.html")
    yield page
    context.close()


@pytest.fixture(scope="module")
def evaluate(page: "Page", server: Server) -> Callable[..., Any]:
    """Call a JavaScript function with the modules `js`, `bytes(name)` to read one of the files, and an argument."""

    def call(function: str, argument: Any = None, files: dict[str, bytes] | None = None) -> Any:
        server.contents |= {f"/files/{name}": content for name, content in (files or {}).items()}
        return page.evaluate(
            f"""async (argument) => {{
              const names = ["image", "preprocess", "classifier", "heatmap", "modelfile", "resize", "reduce"];
              const js = Object.assign({{}}, ...await Promise.all(names.map((name) => import(`/js/${{name}}.js`))));
              const bytes = async (name) => new Uint8Array(await (await fetch(`/files/${{name}}`)).arrayBuffer());
              const base64 = (array) => {{
                let [text, rest] = ["", new Uint8Array(array.buffer, array.byteOffset, array.byteLength)];
                for (; rest.length; rest = rest.subarray(9999)) text += String.fromCharCode(...rest.subarray(0, 9999));
                return btoa(text);
              }};
              return await ({function})(js, bytes, argument, base64);
            }}""",
            argument,
        )

    return call
