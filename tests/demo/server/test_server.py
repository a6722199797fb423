"""The server: allowed paths, login, deletion of uploads, queue, log."""

import http.client
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from osteolite.demo.page import page
from osteolite.demo.server.log_privacy import without_messages

NAME = "PATIENT_NAME"


@pytest.fixture(scope="module")
def server(run_demo: Any, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "secret.txt").write_text("the secret")
    with run_demo(folder, "--model", tiny_model) as running:
        yield running


@pytest.fixture
def png(encode: Callable[..., bytes]) -> bytes:
    return encode(Image.new("L", (50, 50), 200), "PNG")


def upload(url: str, content: bytes, name: str) -> str:
    answer = httpx.post(f"{url}gradio_api/upload", files={"files": (name, content)})
    (path,) = answer.raise_for_status().json()
    return str(path)


def file_data(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


# Allowed paths


def get(url: str, path: str) -> tuple[int, bytes]:
    """Request a path unchanged; most clients normalise it."""
    connection = http.client.HTTPConnection(httpx.URL(url).host, httpx.URL(url).port)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_no_file_of_the_machine_or_of_other_visitors_is_served(server: Any, tiny_model: Path, png: bytes) -> None:
    theirs = upload(server.url, png, "theirs.png")
    assert Path(theirs).read_bytes() == png
    secret = server.log.parent / "secret.txt"
    examples = next(server.temporary.glob("osteolite-demo-*/examples/*.png"))
    for path in map(str, ("/etc/passwd", secret, tiny_model, theirs, examples, Path(page.__file__))):
        forms = [
            path,
            quote(path, safe=""),
            f"../../../../../..{path}",
            f"..%2f..%2f..%2f..%2f..{quote(path, safe='')}",
        ]
        for form in forms:
            for prefix in ("gradio_api/file=", "gradio_api/file/", "file=", "file/", "static/", "assets/", "svelte/"):
                status, content = get(server.url, f"/{prefix}{form.replace(' ', '%20')}")
                assert status in (400, 403, 404), (prefix, form)
                assert not any(text in content for text in (b"the secret", b"root:", png[:20], b"TFL3"))


def test_server_downloads_no_url(server: Any) -> None:
    for prefix in ("gradio_api/file=", "gradio_api/proxy=", "gradio_api/file%3D"):
        answer = httpx.get(f"{server.url}{prefix}https://example.com/")
        assert (answer.status_code, answer.text) == (404, "not found\n")


def test_files_of_the_page_are_served(server: Any) -> None:
    html = httpx.get(server.url).text
    parts = set(re.findall(r'(?:src|href)="\.?/?((?:static|assets|theme|gradio_api)[^"]*)"', html))
    assert any(part.endswith(".js") for part in parts)
    for part in parts:
        assert httpx.get(f"{server.url}{part}").status_code == 200, part


def test_only_uploads_are_scored(server: Any, png: bytes) -> None:
    """An API client cannot make the server read one of its files."""
    client = Client(server.url, verbose=False)
    assert client.predict(image=file_data(upload(server.url, png, "a.png")), api_name="/predict")["label"]
    for path in ("/etc/passwd", str(server.log), f"{server.temporary}/../server.log"):
        with pytest.raises(Exception, match=r".") as caught:
            client.predict(image=file_data(path), api_name="/predict")
        assert "label" not in str(caught.value)
    client.close()


# Login


def test_only_the_account_gets_in(run_demo: Any, tiny_model: Path, tmp_path: Path, png: bytes, encode: Any) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(png)
    with run_demo(tmp_path, "--model", tiny_model, OSTEOLITE_AUTH="ada:se:cret") as server:
        assert "name and password required" in server.log.read_text()
        assert "cret" not in server.log.read_text()
        for path in ("config", "gradio_api/info", "gradio_api/queue/data?session_hash=a", "gradio_api/openapi.json"):
            assert httpx.get(f"{server.url}{path}").status_code == 401, path
        files = {"files": ("image.png", png)}
        assert httpx.post(f"{server.url}gradio_api/upload", files=files).status_code == 401
        for path in ("gradio_api/call/predict", "gradio_api/queue/join"):
            body = {"data": [None, "tiny_float32"], "fn_index": 0, "session_hash": "a"}
            assert httpx.post(f"{server.url}{path}", json=body).status_code == 401, path
        assert '"components":[],"dependencies":[]' in httpx.get(server.url).text
        for user, password in (("ada", "secret"), ("ada", ""), ("eve", "se:cret"), ("", "")):
            form = {"username": user, "password": password}
            assert httpx.post(f"{server.url}login", data=form).status_code >= 400
        client = Client(server.url, verbose=False, auth=("ada", "se:cret"))
        assert client.predict(image=handle_file(image), api_name="/predict")["label"] == "fractured"
        client.close()
        assert server.stop() == 0


# Uploads and queue


# Serves the page with the options of the command line, and deletes uploads after 2 seconds.
SHORT_LIVED = """
import sys
from osteolite.demo.server.server import serve
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
serve([options["--model"]], int(options["--port"]), file_seconds=2)
"""
# Replaces the model by one that waits until the file `go` exists.
WAITING = """
import pathlib, time
from osteolite.demo.service.model_set import ModelSet
score = ModelSet.score
def wait_and_score(self, *rest, **options):
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    return score(self, *rest, **options)
ModelSet.score = wait_and_score
"""


def test_upload_is_deleted(run_demo: Any, tiny_model: Path, tmp_path: Path, png: bytes) -> None:
    with run_demo(tmp_path, "--model", tiny_model, code=SHORT_LIVED) as server:
        path = Path(upload(server.url, png, "image.png"))
        deadline = time.monotonic() + 60
        while path.exists():
            assert time.monotonic() < deadline, "the upload still exists"
            time.sleep(0.1)


def test_full_queue_refuses_requests_and_serves_the_waiting_ones(
    run_demo: Any, tiny_model: Path, tmp_path: Path, png: bytes
) -> None:
    with run_demo(tmp_path, "--model", tiny_model, code=WAITING) as server:
        address = f"{server.url}gradio_api/call/predict"
        body = {"data": [file_data(upload(server.url, png, "image.png")), "tiny_float32"]}
        with httpx.Client(timeout=60) as client:
            answers = [client.post(address, json=body) for _ in range(page.QUEUE_SIZE + 10)]
            waiting = [answer.json()["event_id"] for answer in answers if answer.status_code == 200]
            assert len(waiting) >= 20  # simultaneous visitors
            assert answers[-1].status_code == 503
            assert "Queue is full" in answers[-1].text
            (tmp_path / "go").touch()
            for event in waiting:
                found = client.get(f"{address}/{event}").text.partition("data: ")[2]
                assert json.loads(found)[0]["label"] == "fractured"


# The log


def test_log_never_names_an_upload(server: Any, png: bytes) -> None:
    client = Client(server.url, verbose=False)
    path = Path(upload(server.url, png, f"{NAME}.png"))
    assert NAME in path.name
    gone = [
        str(path.with_name(f"{NAME}_gone.png")),
        f"/{NAME}/x.png",
        f"{path}/{NAME}",
        f"{path}\0{NAME}",
        str(path.parent),
    ]
    for place in gone:
        with pytest.raises(Exception, match=r"."):
            client.predict(image=file_data(place), api_name="/predict")
    client.close()
    dependencies = httpx.get(f"{server.url}config").json()["dependencies"]
    joined = 0
    for number in (*(entry["id"] for entry in dependencies if entry["inputs"]), 999):
        for data in ([NAME], [file_data(gone[0]), NAME, NAME, NAME]):
            body = {"data": data, "fn_index": number, "session_hash": NAME}
            joined += httpx.post(f"{server.url}gradio_api/queue/join", json=body).status_code == 200
    completed = 0
    with httpx.stream("GET", f"{server.url}gradio_api/queue/data?session_hash={NAME}", timeout=60) as stream:
        for line in stream.iter_lines():
            completed += '"process_completed"' in line
            if completed == joined:
                break
    for name in (f"../../{NAME}.png", f"{NAME}\n.png", f"{NAME}" * 100, f"{NAME}\\..\\x", f".{NAME}"):
        httpx.post(f"{server.url}gradio_api/upload", files={"files": (name, b"no image")})
    httpx.post(f"{server.url}gradio_api/upload", content=f"--x\r\n{NAME}".encode(), headers={"content-type": NAME})
    httpx.post(f"{server.url}gradio_api/call/predict", content=NAME.encode())
    log = server.log.read_text()
    assert NAME not in log
    assert server.process.poll() is None


def test_traceback_has_the_place_but_not_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    import traceback

    def fail() -> None:
        try:
            raise KeyError(NAME)
        except KeyError as error:
            raise FileNotFoundError(f"No such file: {NAME}") from error

    for inside in (True, False):
        try:
            fail()
        except FileNotFoundError:
            if inside:
                with without_messages():
                    traceback.print_exc()
            else:
                traceback.print_exc()
        log = capsys.readouterr().err
        assert "in fail" in log
        assert "FileNotFoundError" in log
        assert (f"No such file: {NAME}" in log) == (not inside)
        assert (f"'{NAME}'" in log) == (not inside)


# Address


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the only loopback address")
def test_server_listens_on_the_address_of_the_variable(run_demo: Any, tiny_model: Path, tmp_path: Path) -> None:
    with run_demo(tmp_path, "--model", tiny_model, GRADIO_SERVER_NAME="127.0.0.2") as server:
        assert "everyone who reaches 127.0.0.2" in server.log.read_text()
        assert httpx.get(server.url).status_code == 200
        assert server.stop() == 0
        assert list(server.temporary.iterdir()) == []
