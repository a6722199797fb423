"""Serve the page's files, and nothing else, to phones in the local network."""

import hashlib
import http
import io
import signal
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any

import click

from osteolite.edge import browser
from osteolite.edge.errors import UsageError

from .folder import Contents

PORT = 8080  # fixed, because a browser stores a page's data by its address

_MAX_CONNECTIONS = 64  # at the same time; a browser opens six
_SECONDS = 30  # until a silent connection is closed
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
_HEADERS = {
    # Cross-origin isolation gives the runtime threads and a precise clock. The policy lets no data leave the page.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": browser.POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # a browser keeps a copy and revalidates it
}


class PageServer(ThreadingHTTPServer):
    """Answers GET and HEAD for the paths in `contents`, on all addresses of this machine.

    Raises:
        UsageError: the port is taken, or this user may not use it.
    """

    daemon_threads = True
    request_queue_size = _MAX_CONNECTIONS
    block_on_close = False  # do not wait for phones that keep their connection open

    def __init__(self, contents: Contents, port: int) -> None:
        self.files = {f"/{name}": (content, _validator(content)) for name, content in contents.items()}
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        try:
            super().__init__(("", port), _Handler)
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used ({error.strerror or error}); choose another with --port"
            ) from error

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a new thread, or close the connection when too many are open."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error: a phone that disconnects during an answer is not a fault of this server."""


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = f"{path}index.html" if path.endswith("/") else path
        if name not in self.server.files:
            self.send_error(404)
            return
        content, validator = self.server.files[name]
        if self.headers.get("If-None-Match") == validator:
            self._answer(304, "", b"", validator)
        else:
            kind = _TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
            self._answer(200, kind, content, validator)

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse with the usual headers, without repeating any part of the request."""
        self.close_connection = True  # the rest, such as the body of a POST, is not read
        status = http.HTTPStatus(code)
        self._answer(status, _TYPES[".txt"], f"{status.value} {status.phrase}\n".encode(), "")

    def _answer(self, code: int, kind: str, content: bytes, validator: str) -> None:
        self.send_response(code)
        headers = dict(_HEADERS)
        if code != http.HTTPStatus.NOT_MODIFIED:
            headers |= {"Content-Type": kind, "Content-Length": str(len(content))}
        if validator:
            headers["ETag"] = validator
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if content and self.command != "HEAD":
            self.wfile.write(content)

    def version_string(self) -> str:
        """The Server header, without versions."""
        return "osteolite"

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: visits are private."""


def serve_page(contents: Contents, port: int) -> None:
    """Serve the page until Ctrl-C or SIGTERM. Call it from the main thread.

    Args:
        contents: the files of the page's folder.
        port: port on all addresses of this machine.

    Raises:
        UsageError: the port is taken.
        ModuleNotFoundError: segno, which draws the QR code, is not installed.
    """
    import segno  # first, because it may not be installed

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    try:
        with PageServer(contents, port) as server, suppress(KeyboardInterrupt):
            address = f"http://{_local_address()}:{port}/"
            code = io.StringIO()
            segno.make(address).terminal(out=code, compact=True)
            click.echo(f"{code.getvalue()}\n{_instructions(address, port)}")
            server.serve_forever()
    finally:
        signal.signal(signal.SIGTERM, before)


def _instructions(address: str, port: int) -> str:
    return (
        f"The page for phones: {address}  (open to the whole local network; Ctrl-C ends it)\n"
        "Over plain http, browsers allow no installation, offline use, WebGPU or threads: the page works, but slower. "
        "To get all of them:\n"
        f"  on an Android phone with a cable: adb reverse tcp:{port} tcp:{port}, then open http://localhost:{port}/\n"
        "  on any phone: osteolite phone --out DIR, then copy DIR to any https server\n"
        "Research use only: no diagnosis."
    )


def _local_address() -> str:
    """This machine's address in the local network, or the loopback address without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved by RFC 5737; connecting a UDP socket sends nothing
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _validator(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
