"""The page and its API on a real server with real uploads."""

import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from osteolite.demo.page import answer_card
from osteolite.demo.service.model_set import LIMITS
from osteolite.demo.service.uploads import FILE_SECONDS
from osteolite.edge.prediction.classifier import FractureClassifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tiny_model: Path, tiny_int8_model: Path) -> dict[str, Path]:
    return {"tiny_float32": tiny_model, "tiny_int8": tiny_int8_model}


@pytest.fixture(scope="module")
def server(run_demo: Any, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = [part for path in models.values() for part in ("--model", path)]
    with run_demo(tmp_path_factory.mktemp("server"), *options) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Client]:
    client = Client(server.url, verbose=False)
    yield client
    client.close()


@pytest.fixture
def predict(client: Client, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def predict(content: bytes, name: str = "image.png", **options: Any) -> dict[str, Any]:
        file = tmp_path / name
        file.write_bytes(content)
        found: dict[str, Any] = client.predict(image=handle_file(file), api_name="/predict", **options)
        return found

    return predict


@pytest.fixture(scope="module")
def png(encode: Callable[..., bytes]) -> bytes:
    ramp = np.linspace(0, 255, 300 * 200).reshape(300, 200).astype(np.uint8)
    return encode(Image.fromarray(ramp), "PNG")


@pytest.mark.parametrize("name", ["tiny_float32", "tiny_int8"])
def test_api_gives_the_prediction_of_the_classifier(predict: Any, models: Any, png: bytes, name: str) -> None:
    expected = FractureClassifier(models[name]).predict(png).to_dict()
    found = predict(png, model=name)
    assert (
        set(found.pop("milliseconds")) == set(expected.pop("milliseconds")) == {"read", "preprocess", "invoke", "check"}
    )
    assert found == expected
    assert found["model"] == name


def test_api_uses_the_first_model_by_default(predict: Any, png: bytes) -> None:
    assert predict(png)["model"] == "tiny_float32"


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("depth", [8, 12, 16])
def test_uploaded_bytes_are_scored_unchanged(
    predict: Any, models: Any, encode: Any, image_format: str, depth: int
) -> None:
    samples = np.random.default_rng(depth).integers(0, 1 << depth, (90, 120))
    content = encode(Image.fromarray(samples.astype(np.uint8 if depth == 8 else np.uint16)), image_format)
    expected = FractureClassifier(models["tiny_float32"]).predict(content)
    # The suffix is wrong: the content decides the format.
    assert predict(content, "image.jpg")["fracture_probability"] == expected.to_dict()["fracture_probability"]


def bad_uploads(png: bytes, encode: Callable[..., bytes], hollow: Callable[[int, int], bytes]) -> dict[str, bytes]:
    frame = Image.new("L", (20, 20))
    return {
        "not an image of a known format": b"PATIENT_NAME has no fracture\n",
        "damaged image": png[: len(png) // 2],
        "the file is empty": b"",
        "several frames": encode(frame, "TIFF", save_all=True, append_images=[frame]),
        "at most 64,000,000 pixels are read": hollow(9000, 9000),
    }


def test_bad_upload_is_an_error_and_the_next_one_is_scored(
    predict: Any, server: Any, png: bytes, encode: Any, hollow_png: Any
) -> None:
    good = predict(png)["fracture_probability"]
    for message, content in bad_uploads(png, encode, hollow_png).items():
        with pytest.raises(AppError) as caught:
            predict(content, "PATIENT_NAME.png")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert predict(png, "PATIENT_NAME.png")["fracture_probability"] == good
    assert "PATIENT_NAME" not in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def test_missing_image_is_an_error(client: Client) -> None:
    with pytest.raises(AppError, match="no image"):
        client.predict(image=None, api_name="/predict")


def test_file_over_the_limit_is_refused_before_it_is_stored(server: Any) -> None:
    large = io.BytesIO(bytes(LIMITS.max_bytes + 1))
    answer = httpx.post(f"{server.url}gradio_api/upload", files={"files": ("large.png", large)}, timeout=120)
    assert answer.status_code == 413
    assert "maximum allowed size" in answer.text
    assert not any(file.stat().st_size > LIMITS.max_bytes / 2 for file in server.temporary.rglob("*"))


def test_server_downloads_no_url(client: Client, server: Any) -> None:
    elsewhere = {"path": f"{server.url}theme.css", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="this page downloads nothing"):
        client.predict(image=elsewhere, api_name="/predict")


def test_page_configuration_is_private_and_states_the_use(server: Any) -> None:
    html = httpx.get(server.url).text
    config = httpx.get(f"{server.url}config").json()
    assert answer_card.NOTE in html
    assert config["analytics_enabled"] is False
    assert config["max_file_size"] == LIMITS.max_bytes
    assert [event["api_name"] for event in config["dependencies"] if event["api_visibility"] == "public"] == ["predict"]


class Visitor:
    """Sends the page's events as a browser does; API clients cannot call them."""

    def __init__(self, url: str, name: str) -> None:
        self.api, self.name = f"{url}gradio_api", name
        config = httpx.get(f"{url}config").json()
        labels = {part["id"]: part["props"].get("label") or part["props"].get("value") for part in config["components"]}
        self.events: dict[tuple[str, str], int] = {}
        for event in config["dependencies"]:
            for component, trigger in event["targets"]:
                self.events.setdefault((str(labels.get(component)), trigger), event["id"])

    def upload(self, content: bytes, model: str) -> str:
        """Upload an image and return the HTML of the answer."""
        (path,) = httpx.post(f"{self.api}/upload", files={"files": ("image.png", content)}).json()
        emptied, answer, compared = self._fire(
            ("Radiograph", "upload"), {"path": path, "meta": {"_type": "gradio.FileData"}}, model
        )
        assert (emptied, compared) == (None, "")
        return str(answer)

    def choose(self, model: str) -> str:
        return str(self._fire(("Model", "input"), model)[0])

    def compare(self) -> str:
        return str(self._fire(("Compare all models", "click"))[0])

    def _fire(self, event: tuple[str, str], *data: Any) -> list[Any]:
        call = {"data": data, "fn_index": self.events[event], "session_hash": self.name}
        httpx.post(f"{self.api}/queue/join", json=call).raise_for_status()
        with httpx.stream("GET", f"{self.api}/queue/data?session_hash={self.name}", timeout=60) as stream:
            for line in filter(None, stream.iter_lines()):
                message = json.loads(line.removeprefix("data: "))
                if message["msg"] == "process_completed":
                    assert message["success"], message
                    output: list[Any] = message["output"]["data"]
                    return output
        raise AssertionError("the server ended the stream without an answer")


def test_each_session_has_its_own_upload(server: Any, models: Any, png: bytes, encode: Any) -> None:
    black = encode(Image.new("L", (40, 40)), "PNG")
    ada, ben = Visitor(server.url, "ada"), Visitor(server.url, "ben")
    first = ada.upload(png, "tiny_float32")
    assert "data:image/jpeg" in first
    other = ben.upload(black, "tiny_float32")
    assert first != other
    for visitor, image in ((ada, png), (ben, black)):
        probability = FractureClassifier(models["tiny_int8"]).predict(image).fracture_probability
        assert f"<b>{probability:.3f}</b>" in visitor.choose("tiny_int8")
        assert f"<b>{probability:.3f}</b>" in visitor.compare()
    assert "not an image" in ben.upload(b"no image", "tiny_float32")
    assert ben.choose("tiny_float32") == answer_card.placeholder()
    assert "there is no radiograph to compare" in ben.compare()
    assert "The model says" in ada.choose("tiny_float32")


def test_twenty_simultaneous_visitors_get_their_own_predictions(server: Any, models: Any, encode: Any) -> None:
    classifier, found = FractureClassifier(models["tiny_float32"]), dict[int, list[str]]()
    images = {level: encode(Image.new("L", (64, 64), level), "PNG") for level in range(5, 245, 12)}
    assert len(images) == 20

    def visit(level: int) -> None:
        visitor = Visitor(server.url, f"visitor{level}")
        found[level] = [visitor.upload(images[level], "tiny_float32"), visitor.choose("tiny_int8"), visitor.compare()]

    threads = [threading.Thread(target=visit, args=(level,)) for level in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for level, image in images.items():
        expected = f"<b>{classifier.predict(image).fracture_probability:.3f}</b>"
        answer, again, compared = found[level]
        assert expected in answer
        assert "<dd>int8</dd>" in again
        assert expected in compared


def test_closing_the_page_drops_its_upload(server: Any, png: bytes) -> None:
    eve = Visitor(server.url, "eve")
    with httpx.stream("GET", f"{eve.api}/heartbeat/{eve.name}", timeout=60) as heartbeat:
        lines = heartbeat.iter_lines()
        next(lines)
        eve.upload(png, "tiny_float32")
        assert eve.choose("tiny_float32") != answer_card.placeholder()
    for _ in range(100):
        if eve.choose("tiny_float32") == answer_card.placeholder():
            return
        time.sleep(0.1)
    raise AssertionError("the upload of a closed page is still kept")


def test_server_ends_cleanly_and_deletes_uploads(run_demo: Any, tiny_model: Path, tmp_path: Path, png: bytes) -> None:
    with run_demo(tmp_path, "--model", tiny_model) as server:
        answer = httpx.post(f"{server.url}gradio_api/upload", files={"files": ("image.png", png)})
        assert answer.status_code == 200
        (folder,) = server.temporary.glob("osteolite-demo-*")
        assert folder.stat().st_mode & 0o077 == 0
        assert any(path.read_bytes() == png for path in folder.rglob("image.png"))
        assert server.stop(signal.SIGTERM) == 0
        assert list(server.temporary.iterdir()) == []
        assert server.log.read_text().endswith("heavy: []\n")


# Builds the page and prints when uploads are deleted, and Gradio's error for a URL. A separate process, because Gradio
# leaves event loops open.
BUILD = """
import asyncio, sys
import gradio
from osteolite.demo.page.page import build_page
from osteolite.demo.service.model_set import ModelSet
page = build_page(ModelSet(sys.argv[1:]), [], can_measure=False)
print(sum(page.delete_cache))
try:
    asyncio.run(gradio.File().async_move_resource_to_block_cache("https://example.org/image.png"))
except gradio.Error as error:
    print(error.message)
"""


@pytest.fixture(scope="module")
def built(tiny_model: Path) -> list[str]:
    command = [sys.executable, "-c", BUILD, str(tiny_model)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()


def test_gradio_downloads_through_the_function_that_the_page_replaces(built: list[str]) -> None:
    """A version of Gradio that downloads in another way must fail here."""
    assert built[1] == "this page downloads nothing; upload the file itself"


def test_uploaded_files_are_deleted_in_time(built: list[str]) -> None:
    assert int(built[0]) == FILE_SECONDS
