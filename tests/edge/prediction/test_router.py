"""A router of tiny models whose outputs can be computed by hand."""

import csv
import io
import json
import math
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osteolite.edge import FractureClassifier, Limits, Router, open_classifier, read_description
from osteolite.edge.errors import ImageTooLarge, ModelFileError, UnreadableImage
from osteolite.edge.modelfile.archive import write_model

from .tiny_routers import FRACTURES, TEMPERATURE, WEIGHTS, body_part_flatbuffer, router_description, stage_file

SCRIPT = Path(sys.executable).with_name("osteolite")
HEADER = "file body part probability label probability threshold milliseconds warnings"


@pytest.fixture(scope="module")
def router(router_file: Path) -> Router:
    return Router(router_file)


def expected(level: float) -> tuple[str, float, float]:
    """Compute body part, its probability and the fracture probability of an image of one grey level."""
    mean = (level - 127.5) / 127.5
    powers = {part: math.exp((w * mean + b) / TEMPERATURE) for part, (w, b) in WEIGHTS.items()}
    part = max(powers, key=lambda name: powers[name])
    weight, bias = FRACTURES[part]
    logit = 1.5 * (weight * mean + bias) - 0.25
    return part, powers[part] / sum(powers.values()), 1 / (1 + math.exp(-logit))


@given(st.integers(0, 255))
def test_the_fracture_model_of_the_most_probable_body_part_is_used(router: Router, level: int) -> None:
    prediction = router.predict(Image.new("L", (40, 40), level))
    body_part, body_part_probability, probability = expected(level)
    assert prediction.body_part == body_part
    assert prediction.body_part_probability == pytest.approx(body_part_probability, abs=1e-5)
    assert prediction.fracture_probability == pytest.approx(probability, abs=1e-5)
    assert prediction.label == ("fractured" if probability >= 0.4 else "normal")
    assert (prediction.model, prediction.threshold) == ("tiny_router", 0.4)


def test_both_body_parts_occur(router: Router) -> None:
    assert {router.predict(Image.new("L", (40, 40), level)).body_part for level in (0, 255)} == {"hand", "leg"}


def test_to_dict_starts_with_the_body_part(router: Router) -> None:
    values = router.predict(Image.new("L", (40, 40), 255)).to_dict()
    assert list(values)[:3] == ["body_part", "body_part_probability", "label"]
    assert list(values["milliseconds"]) == ["read", "preprocess", "invoke", "load", "check"]
    assert json.loads(json.dumps(values)) == values


def test_a_stage_is_loaded_on_first_use_and_kept(router_file: Path) -> None:
    router = Router(router_file, threads=1)
    white = Image.new("L", (40, 40), 255)
    first = router.predict(white)
    hand = router.stage("hand")
    assert router.predict(white).milliseconds["load"] < first.milliseconds["load"]
    assert router.stage("hand") is hand
    assert hand.session.threads == router.session.threads == 1


def test_a_stage_with_its_own_preprocessing_gives_the_same_as_alone(
    tiny: Any, stages: dict[str, bytes], tmp_path: Path, encode: Any
) -> None:
    """The scale at which a large JPEG is decoded depends on the input size of the stage."""
    noise = np.random.default_rng(0).integers(0, 256, (900, 700), np.uint8)
    jpeg = encode(Image.fromarray(noise), "JPEG")
    own = stage_file(tiny, tmp_path, "hand", side=200)
    always_hand = {"hand": (0.0, 9.0), "leg": (0.0, 0.0)}
    path = tmp_path / "router.tflite"
    write_model(path, body_part_flatbuffer(tiny, always_hand), router_description(tiny), {**stages, "hand": own})
    prediction = Router(path).predict(jpeg)
    assert prediction.fracture_probability == FractureClassifier(own).predict(jpeg).fracture_probability


def test_open_classifier_opens_both_kinds(router_file: Path, tiny_model: Path) -> None:
    assert isinstance(open_classifier(router_file), Router)
    assert isinstance(open_classifier(tiny_model), FractureClassifier)
    assert open_classifier(tiny_model).predict(Image.new("L", (9, 9))).body_part is None
    with pytest.raises(ModelFileError, match="not a router"):
        Router(tiny_model)
    with pytest.raises(ModelFileError, match="kind router"):
        FractureClassifier(router_file)


def test_a_body_part_network_alone_is_refused(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "parts.tflite"
    write_model(path, body_part_flatbuffer(tiny), router_description(tiny, kind="body_part"))
    assert read_description(path).details["labels"] == ["hand", "leg"]
    with pytest.raises(ModelFileError, match="kind body_part"):
        open_classifier(path)


def test_images_that_cannot_be_read_are_refused(router: Router, router_file: Path) -> None:
    with pytest.raises(UnreadableImage):
        router.predict(b"no image")
    with pytest.raises(ImageTooLarge):
        Router(router_file, limits=Limits(max_pixels=99)).predict(Image.new("L", (10, 10)))


def test_the_same_input_gives_the_same_bytes(
    tiny: Any, router_file: Path, stages: dict[str, bytes], tmp_path: Path
) -> None:
    write_model(tmp_path / "again", body_part_flatbuffer(tiny), router_description(tiny), stages)
    assert (tmp_path / "again").read_bytes() == router_file.read_bytes()


def test_zipfile_can_read_the_stages(router_file: Path, stages: dict[str, bytes]) -> None:
    with zipfile.ZipFile(router_file) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist() if name.startswith("stages/")} == {
            f"stages/{part}.tflite": content for part, content in stages.items()
        }


# The command


def osteolite(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, level in (("a.png", 255), ("b.png", 0)):
        Image.new("L", (40, 40), level).save(folder / name)
    (folder / "c.png").write_bytes(b"no image")
    return folder


def test_predict_prints_the_body_part_in_every_format(scans: Path, router_file: Path) -> None:
    found = [osteolite("predict", scans, "--model", router_file, "--format", s) for s in ("table", "jsonl", "csv")]
    assert [done.returncode for done in found] == [1, 1, 1]
    table, jsonl, lines = (done.stdout.splitlines() for done in found)
    assert table[0].split() == HEADER.split()
    assert table[1].split()[1:3] == ["hand", f"{expected(255)[1]:.3f}"]
    assert [json.loads(line).get("body_part") for line in jsonl] == ["hand", "leg", None]
    columns, *rows = csv.reader(lines)
    assert columns[:4] == ["file", "body_part", "body_part_probability", "label"]
    assert columns[-6:] == ["read_ms", "preprocess_ms", "invoke_ms", "check_ms", "load_ms", "error"]
    assert [row[1] for row in rows] == ["hand", "leg", ""]
    assert {len(row) for row in rows} == {len(columns)}


def test_inspect_shows_a_router(router_file: Path) -> None:
    values = json.loads(osteolite("inspect", router_file, "--json").stdout)
    assert (values["kind"], set(values["stages"])) == ("router", {"hand", "leg"})


def test_the_content_of_a_stage_is_a_model_file(stages: dict[str, bytes], tiny_model: Path) -> None:
    assert FractureClassifier(stages["hand"]).description.name == "tiny_hand"
    white = Image.new("L", (40, 40), 255)
    stream = io.BytesIO()
    white.save(stream, "PNG")
    by_content, by_path = (
        FractureClassifier(m).predict(stream.getvalue()) for m in (tiny_model.read_bytes(), tiny_model)
    )
    assert by_content.fracture_probability == by_path.fracture_probability


def test_predict_with_image_returns_the_radiograph(tiny_router: Path) -> None:
    array = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30)
    with Router(tiny_router) as router:
        answer, radiograph = router.predict_with_image(array)
        assert answer.fracture_probability == router.predict(array).fracture_probability
    assert (radiograph.mode, radiograph.size) == ("L", (30, 40))
