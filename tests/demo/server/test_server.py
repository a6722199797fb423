"""What the server keeps to itself, and what becomes of an upload."""

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


# What is served


def get(url: str, path: str) -> tuple[int, bytes]:
    """Ask for a path as it is written, which clients that tidy it up do not."""
    connection = http.client.HTTPConnection(httpx.URL(url).host, httpx.URL(url).port)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_no_file_is_served_neither_of_this_machine_nor_of_another_person(
    server: Any, tiny_model: Path, png: bytes
) -> None:
    theirs = upload(server.url, png, "theirs.png")
    assert Path(theirs).read_bytes() == png
    secret = server.log.parent / "secret.txt"
    examples = next(server.temporary.glob("osteolite-demo-*/examples/*.png"))
    for path in map(str, ("/etc/passwd", secret, tiny_model, theirs, examples, Path(page.__file__))):
        asked = [
            path,
            quote(path, safe=""),
            f"../../../../../..{path}",
            f"..%2f..%2f..%2f..%2f..{quote(path, safe='')}",
        ]
        for form in asked:
            for way in ("gradio_api/file=", "gradio_api/file/", "file=", "file/", "static/", "assets/", "svelte/"):
                status, content = get(server.url, f"/{way}{form.replace(' ', '%20')}")
                assert status in (400, 403, 404), (way, form)
                assert not any(text in content for text in (b"the secret", b"root:", png[:20], b"TFL3"))


def test_it_fetches_nothing_for_anybody(server: Any) -> None:
    for way in ("gradio_api/file=", "gradio_api/proxy=", "gradio_api/file%3D"):
        answer = httpx.get(f"{server.url}{way}https://example.com/")
        assert (answer.status_code, answer.text) == (404, "there is nothing here\n")


def test_what_the_page_is_made_of_is_served(server: Any) -> None:
    html = httpx.get(server.url).text
    parts = set(re.findall(r'(?:src|href)="\.?/?((?:static|assets|theme|gradio_api)[^"]*)"', html))
    assert any(part.endswith(".js") for part in parts)
    for part in parts:
        assert httpx.get(f"{server.url}{part}").status_code == 200, part


def test_an_image_is_scored_by_its_upload_alone(server: Any, png: bytes) -> None:
    """An API client cannot have the server read a file of its own."""
    client = Client(server.url, verbose=False)
    assert client.predict(image=file_data(upload(server.url, png, "a.png")), api_name="/predict")["label"]
    for path in ("/etc/passwd", str(server.log), f"{server.temporary}/../server.log"):
        with pytest.raises(Exception, match=r".") as caught:
            client.predict(image=file_data(path), api_name="/predict")
        assert "label" not in str(caught.value)
    client.close()


# Name and password


def test_with_an_account_nobody_else_gets_in(
    run_demo: Any, tiny_model: Path, tmp_path: Path, png: bytes, encode: Any
) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(png)
    with run_demo(tmp_path, "--model", tiny_model, OSTEOLITE_AUTH="ada:se:cret") as server:
        assert "it asks for name and password" in server.log.read_text()
        assert "cret" not in server.log.read_text()
        for way in ("config", "gradio_api/info", "gradio_api/queue/data?session_hash=a", "gradio_api/openapi.json"):
            assert httpx.get(f"{server.url}{way}").status_code == 401, way
        files = {"files": ("image.png", png)}
        assert httpx.post(f"{server.url}gradio_api/upload", files=files).status_code == 401
        for way in ("gradio_api/call/predict", "gradio_api/queue/join"):
            body = {"data": [None, "tiny_float32"], "fn_index": 0, "session_hash": "a"}
            assert httpx.post(f"{server.url}{way}", json=body).status_code == 401, way
        assert '"components":[],"dependencies":[]' in httpx.get(server.url).text
        for user, password in (("ada", "secret"), ("ada", ""), ("eve", "se:cret"), ("", "")):
            form = {"username": user, "password": password}
            assert httpx.post(f"{server.url}login", data=form).status_code >= 400
        client = Client(server.url, verbose=False, auth=("ada", "se:cret"))
        assert client.predict(image=handle_file(image), api_name="/predict")["label"] == "fractured"
        client.close()
        assert server.stop() == 0


# What becomes of an upload


HURRIED = """
from osteolite.demo import server
launch = server._launch
def hurried(page, *rest):
    print("delete_cache:", page.delete_cache)
    page.delete_cache = (1, 1)
    launch(page, *rest)
server._launch = hurried
"""
WAITING = """
import pathlib, time
from osteolite.demo.service.model_set import Scorer
score = Scorer.score
def waiting(self, *rest, **options):
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    return score(self, *rest, **options)
Scorer.score = waiting
"""


def test_an_upload_is_deleted_after_the_time_stated(
    run_demo: Any, tiny_model: Path, tmp_path: Path, png: bytes
) -> None:
    with run_demo(tmp_path, "--model", tiny_model, code=HURRIED) as server:
        found = re.search(r"delete_cache: \((\d+), (\d+)\)", server.log.read_text())
        assert found
        assert int(found[1]) + int(found[2]) == page.UPLOAD_SECONDS
        path = Path(upload(server.url, png, "image.png"))
        deadline = time.monotonic() + 60
        while path.exists():
            assert time.monotonic() < deadline, "the upload is still there"
            time.sleep(0.1)


def test_a_full_queue_says_so_and_those_in_it_are_answered(
    run_demo: Any, tiny_model: Path, tmp_path: Path, png: bytes
) -> None:
    with run_demo(tmp_path, "--model", tiny_model, code=WAITING) as server:
        way = f"{server.url}gradio_api/call/predict"
        body = {"data": [file_data(upload(server.url, png, "image.png")), "tiny_float32"]}
        with httpx.Client(timeout=60) as client:
            answers = [client.post(way, json=body) for _ in range(page.QUEUE + 10)]
            waiting = [answer.json()["event_id"] for answer in answers if answer.status_code == 200]
            assert len(waiting) >= 20  # people at once
            assert answers[-1].status_code == 503
            assert "Queue is full" in answers[-1].text
            (tmp_path / "go").touch()
            for event in waiting:
                found = client.get(f"{way}/{event}").text.partition("data: ")[2]
                assert json.loads(found)[0]["label"] == "fractured"


# The log


def test_nothing_of_an_upload_is_in_the_log_whatever_goes_wrong(server: Any, png: bytes) -> None:
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


def test_a_traceback_says_where_and_not_what(capsys: pytest.CaptureFixture[str]) -> None:
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
        said = capsys.readouterr().err
        assert "in fail" in said
        assert "FileNotFoundError" in said
        assert (f"No such file: {NAME}" in said) == (not inside)
        assert (f"'{NAME}'" in said) == (not inside)


# Where it listens


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the one address of the loopback")
def test_it_listens_where_a_space_asks_and_says_so(run_demo: Any, tiny_model: Path, tmp_path: Path) -> None:
    with run_demo(tmp_path, "--model", tiny_model, GRADIO_SERVER_NAME="127.0.0.2") as server:
        assert "for all who reach 127.0.0.2" in server.log.read_text()
        assert httpx.get(server.url).status_code == 200
        assert server.stop() == 0
        assert list(server.temporary.iterdir()) == []
