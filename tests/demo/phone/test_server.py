"""`osteolite phone --serve`: it serves the listed files and nothing else."""

import http.client
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from osteolite.demo.phone.folder import page_contents
from osteolite.edge.browser import POLICY

segno = pytest.importorskip("segno", reason="needs segno")

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def serving(
    serve_phone: Callable[..., Any], tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    with serve_phone(tmp_path_factory.mktemp("serving"), "--model", tiny_model) as found:
        yield found


def ask(port: int, method: str, path: str, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    answer = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return answer


def test_files_of_the_folder_are_served(serving: Any, tiny_model: Path) -> None:
    contents = page_contents([str(tiny_model)])
    for name, content in contents.items():
        status, headers, body = ask(serving.port, "GET", f"/{name}")
        assert (status, body) == (200, content), name
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert ask(serving.port, "GET", "/")[2] == contents["index.html"]
    assert ask(serving.port, "GET", "/?from=qr")[2] == contents["index.html"]
    assert ask(serving.port, "GET", "/bench/")[2] == contents["bench/index.html"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/manifest.webmanifest", "application/manifest+json"),
        ("/icon.svg", "image/svg+xml"),
        ("/models/tiny_float32.tflite", "application/octet-stream"),
    ],
)
def test_content_type_and_headers(serving: Any, path: str, kind: str) -> None:
    _, headers, _ = ask(serving.port, "GET", path)
    expected = {
        "Content-Type": kind,
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "Server": "osteolite",
    }
    assert {name: headers[name] for name in expected} == expected


def test_unchanged_file_is_not_sent_again(serving: Any) -> None:
    _, headers, body = ask(serving.port, "GET", "/app.js")
    status, again, nothing = ask(serving.port, "GET", "/app.js", If_None_Match=headers["ETag"])
    assert (status, nothing, again["ETag"]) == (304, b"", headers["ETag"])
    status, _, whole = ask(serving.port, "GET", "/app.js", If_None_Match='"another"')
    assert (status, whole) == (200, body)


def test_head_has_the_headers_of_get(serving: Any) -> None:
    _, got, body = ask(serving.port, "GET", "/app.js")
    status, headers, nothing = ask(serving.port, "HEAD", "/app.js")
    assert (status, nothing, headers["Content-Length"]) == (200, b"", str(len(body)))
    assert headers["ETag"] == got["ETag"]
    assert ask(serving.port, "HEAD", "/none")[::2] == (404, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/../../../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/js/../../folder.py",
        "//etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://example.org/",
        "/models/",
        "/app.js/",
        "/app.js%00.html",
        "/" + 4000 * "a",
    ],
)
def test_other_paths_are_not_found(serving: Any, path: str) -> None:
    status, headers, body = ask(serving.port, "GET", path)
    assert (status, body) == (404, b"404 Not Found\n")
    assert headers["Content-Security-Policy"] == POLICY


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW"])
def test_other_methods_are_refused(serving: Any, method: str) -> None:
    status, headers, body = ask(serving.port, method, "/app.js")
    assert (status, body) == (501, b"501 Not Implemented\n")
    assert headers["Connection"] == "close"


@pytest.mark.parametrize(
    "content", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n"]
)
def test_server_survives_invalid_http(serving: Any, content: bytes) -> None:
    with socket.create_connection(("127.0.0.1", serving.port), 10) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in connection.makefile("rb").read()
    assert ask(serving.port, "GET", "/")[0] == 200


def test_excess_connections_are_closed_and_later_ones_served(serving: Any) -> None:
    held = [socket.create_connection(("127.0.0.1", serving.port), 10) for _ in range(80)]  # fewer than the backlog
    try:
        assert held[-1].recv(1) == b""  # closed at once; the first ones stay open
    finally:
        for connection in held:
            connection.close()
    for _ in range(200):
        try:
            assert ask(serving.port, "GET", "/")[0] == 200
            return
        except (ConnectionError, http.client.BadStatusLine):
            pass
    pytest.fail("the server does not serve any more")


def test_output_has_address_qr_code_and_instructions(serving: Any) -> None:
    log = serving.log.read_text("utf-8")
    (address,) = re.findall(r"The page for phones: (\S+)", log)
    assert re.fullmatch(rf"http://[\d.]+:{serving.port}/", address)
    assert f"adb reverse tcp:{serving.port} tcp:{serving.port}" in log
    assert "no installation, offline use, WebGPU or threads" in log
    # Convert the half blocks in the terminal back to modules. White modules are drawn, for dark terminals.
    lines = [line for line in log.splitlines() if line and not set(line) - set("█▀▄ ")]
    rows = [[(block in "█▀", block in "█▄") for block in line] for line in lines]
    matrix = [[not pair[half] for pair in row] for row in rows for half in (0, 1)]
    code = segno.make(address)
    expected = [[bool(module) for module in row] for row in code.matrix_iter(border=4)]
    assert matrix[: len(expected)] == expected


def test_visits_are_not_logged(serve_phone: Callable[..., Any], tiny_model: Path, tmp_path: Path) -> None:
    with serve_phone(tmp_path, "--model", tiny_model) as serving:
        before = serving.log.read_bytes()
        assert ask(serving.port, "GET", "/app.js?patient=Mustermann")[0] == 200
        assert ask(serving.port, "GET", "/none")[0] == 404
        assert serving.stop() == 0
        assert serving.log.read_bytes() == before


def test_server_ends_cleanly_with_an_open_connection(
    serve_phone: Callable[..., Any], tiny_model: Path, tmp_path: Path
) -> None:
    with serve_phone(tmp_path, "--model", tiny_model) as serving:
        with socket.create_connection(("127.0.0.1", serving.port), 10) as connection:
            connection.sendall(b"GET /app.js HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
            assert serving.stop(signal.SIGTERM) == 0
        assert "Traceback" not in serving.log.read_text("utf-8")


def test_taken_port_is_reported(serving: Any, tiny_model: Path) -> None:
    from click.testing import CliRunner

    from osteolite.edge.cli import cli

    answer = CliRunner().invoke(cli, ["phone", "--model", str(tiny_model), "--serve", "--port", str(serving.port)])
    assert answer.exit_code == 2
    assert answer.output.startswith(f"osteolite: port {serving.port} cannot be used (")
    assert "choose another with --port" in answer.output
