"""The page as its clients use it: a real server, real uploads."""

import io
import json
import signal
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
from osteolite.demo.service.model_set import LIMITS, ModelSet
from osteolite.edge.prediction.classifier import FractureClassifier


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
def test_the_chosen_model_answers_as_the_classifier_does(predict: Any, models: Any, png: bytes, name: str) -> None:
    expected = FractureClassifier(models[name]).predict(png).to_dict()
    found = predict(png, model=name)
    assert (
        set(found.pop("milliseconds")) == set(expected.pop("milliseconds")) == {"read", "preprocess", "invoke", "check"}
    )
    assert found == expected
    assert found["model"] == name


def test_without_a_choice_the_first_model_answers(predict: Any, png: bytes) -> None:
    assert predict(png)["model"] == "tiny_float32"


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("depth", [8, 12, 16])
def test_what_is_scored_is_what_was_uploaded(
    predict: Any, models: Any, encode: Any, image_format: str, depth: int
) -> None:
    samples = np.random.default_rng(depth).integers(0, 1 << depth, (90, 120))
    content = encode(Image.fromarray(samples.astype(np.uint8 if depth == 8 else np.uint16)), image_format)
    expected = FractureClassifier(models["tiny_float32"]).predict(content)
    # The name lies: content decides.
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


def test_a_bad_upload_says_what_is_wrong_and_the_next_one_is_scored(
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


def test_no_image_is_an_error_and_not_an_answer(client: Client) -> None:
    with pytest.raises(AppError, match="no image"):
        client.predict(image=None, api_name="/predict")


def test_a_file_over_the_limit_is_refused_before_it_is_stored(server: Any) -> None:
    large = io.BytesIO(bytes(LIMITS.max_bytes + 1))
    answer = httpx.post(f"{server.url}gradio_api/upload", files={"files": ("large.png", large)}, timeout=120)
    assert answer.status_code == 413
    assert "maximum allowed size" in answer.text
    assert not any(file.stat().st_size > LIMITS.max_bytes / 2 for file in server.temporary.rglob("*"))


def test_the_server_fetches_no_address(client: Client, server: Any) -> None:
    elsewhere = {"path": f"{server.url}theme.css", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="fetches no addresses"):
        client.predict(image=elsewhere, api_name="/predict")


def test_the_page_asks_for_nothing_from_elsewhere_and_says_what_it_is_for(server: Any) -> None:
    html = httpx.get(server.url).text
    config = httpx.get(f"{server.url}config").json()
    assert answer_card.NOTE in html
    assert config["analytics_enabled"] is False
    assert config["max_file_size"] == LIMITS.max_bytes
    assert [e["api_name"] for e in config["dependencies"] if e["api_visibility"] == "public"] == ["predict"]


class Visitor:
    """A person's browser, without the browser: the events of the page that API clients cannot call."""

    def __init__(self, url: str, name: str) -> None:
        self.api, self.name = f"{url}gradio_api", name
        config = httpx.get(f"{url}config").json()
        labels = {one["id"]: one["props"].get("label") or one["props"].get("value") for one in config["components"]}
        self.events: dict[tuple[str, str], int] = {}
        for event in config["dependencies"]:
            for component, trigger in event["targets"]:
                self.events.setdefault((str(labels.get(component)), trigger), event["id"])

    def upload(self, content: bytes, model: str) -> str:
        """Return the answer on the page."""
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


def test_the_page_keeps_each_persons_upload_apart(server: Any, models: Any, png: bytes, encode: Any) -> None:
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
    assert ben.choose("tiny_float32") == answer_card.waiting()
    assert "no radiograph is held here" in ben.compare()
    assert "The model says" in ada.choose("tiny_float32")


def test_twenty_people_at_once_all_get_their_own_answers(server: Any, models: Any, encode: Any) -> None:
    classifier, found = FractureClassifier(models["tiny_float32"]), dict[int, list[str]]()
    images = {level: encode(Image.new("L", (64, 64), level), "PNG") for level in range(5, 245, 12)}
    assert len(images) == 20

    def visit(level: int) -> None:
        person = Visitor(server.url, f"person{level}")
        found[level] = [person.upload(images[level], "tiny_float32"), person.choose("tiny_int8"), person.compare()]

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


def test_a_closed_page_is_forgotten(server: Any, png: bytes) -> None:
    eve = Visitor(server.url, "eve")
    with httpx.stream("GET", f"{eve.api}/heartbeat/{eve.name}", timeout=60) as heartbeat:
        lines = heartbeat.iter_lines()
        next(lines)
        eve.upload(png, "tiny_float32")
        assert eve.choose("tiny_float32") != answer_card.waiting()
    for _ in range(100):
        if eve.choose("tiny_float32") == answer_card.waiting():
            return
        time.sleep(0.1)
    raise AssertionError("the upload of a closed page is still held")


def test_it_ends_cleanly_with_the_uploads_and_without_tensorflow(
    run_demo: Any, tiny_model: Path, tmp_path: Path, png: bytes
) -> None:
    with run_demo(tmp_path, "--model", tiny_model) as server:
        answer = httpx.post(f"{server.url}gradio_api/upload", files={"files": ("image.png", png)})
        assert answer.status_code == 200
        (folder,) = server.temporary.glob("osteolite-demo-*")
        assert folder.stat().st_mode & 0o077 == 0
        assert any(path.read_bytes() == png for path in folder.rglob("image.png"))
        assert server.stop(signal.SIGTERM) == 0
        assert list(server.temporary.iterdir()) == []
        assert server.log.read_text().endswith("heavy: []\n")


@pytest.fixture(scope="module")
def scorer(models: dict[str, Path]) -> ModelSet:
    return ModelSet(map(str, models.values()))


def test_the_radiograph_to_show_is_the_one_that_was_scored(scorer: ModelSet, png: bytes) -> None:
    prediction, shown = scorer.predict_with_image(png, "tiny_float32")
    assert (shown.mode, shown.size) == ("L", (200, 300))
    assert FractureClassifier(scorer.path("tiny_float32")).predict(shown).fracture_probability == pytest.approx(
        prediction.fracture_probability
    )


def test_models_of_one_name_stay_apart(tiny_model: Path) -> None:
    assert ModelSet([str(tiny_model)] * 3).names == ["tiny_float32", "tiny_float32 #2", "tiny_float32 #3"]


def test_scoring_is_safe_between_threads(scorer: ModelSet, encode: Any) -> None:
    images = [encode(Image.new("L", (64, 64), level), "PNG") for level in range(0, 256, 32)]
    expected = [scorer.score(image, "tiny_float32").fracture_probability for image in images]
    found: dict[int, set[float]] = {number: set() for number in range(len(images))}

    def score(number: int) -> None:
        for _ in range(50):
            found[number].add(scorer.score(images[number], "tiny_float32").fracture_probability)

    threads = [threading.Thread(target=score, args=(number,)) for number in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in found] == [{probability} for probability in expected]
