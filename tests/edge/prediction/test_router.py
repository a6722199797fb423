"""A router of tiny models whose answer can be worked out by hand."""

import csv
import hashlib
import io
import json
import math
import subprocess
import sys
import zipfile
from collections.abc import Callable
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

SCRIPT = Path(sys.executable).with_name("osteolite")
TEMPERATURE = 2.0
WEIGHTS = {"hand": (3.0, 0.2), "leg": (-1.0, 0.1)}  # of the body-part network's outputs: weight, bias
FRACTURES = {"hand": (4.0, 0.5), "leg": (-2.0, 0.25)}
HEADER = "file body part probability label probability threshold milliseconds warnings"


def parts_flatbuffer(tiny: Any, weights: dict[str, tuple[float, float]] = WEIGHTS, side: int = 32) -> bytes:
    """One logit for each part: weight * mean of the input + bias."""
    graph, code = tiny.graph(), tiny.operators
    picture = graph.tensor((1, side, side, 1), np.float32)
    flat = graph.operator(
        code.RESHAPE, [picture, graph.constant([1, side * side], np.int32)], graph.tensor((1, side * side), np.float32)
    )
    kernel = graph.constant([[w / side**2] * side**2 for w, _ in weights.values()], np.float32)
    bias = graph.constant([b for _, b in weights.values()], np.float32)
    logits = graph.operator(code.FULLY_CONNECTED, [flat, kernel, bias], graph.tensor((1, len(weights)), np.float32))
    return graph.to_bytes([picture], [logits])


def stage_file(tiny: Any, folder: Path, part: str, side: int = 32) -> bytes:
    weight, bias = FRACTURES[part]
    changes = {"preprocessing": {"width": side, "height": side, "channels": "grey"}, "name": f"tiny_{part}"}
    write_model(folder / "stage", tiny.mean((1, side, side, 1), weight, bias), tiny.description(**changes))
    return (folder / "stage").read_bytes()


def router_description(tiny: Any, **changes: Any) -> dict[str, Any]:
    described = tiny.description(
        name="tiny_router", kind="router", labels=list(WEIGHTS), probability_calibration={"temperature": TEMPERATURE}
    )
    del described["threshold"]
    return {**described, **changes}


@pytest.fixture(scope="module")
def stages(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("stages")
    return {part: stage_file(tiny, folder, part) for part in FRACTURES}


@pytest.fixture(scope="module")
def router_file(tiny: Any, stages: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("router") / "router.tflite"
    write_model(path, parts_flatbuffer(tiny), router_description(tiny), stages)
    return path


@pytest.fixture(scope="module")
def router(router_file: Path) -> Router:
    return Router(router_file)


def expected(level: float) -> tuple[str, float, float]:
    """Body part, its probability and the fracture probability of an image of one grey level."""
    mean = (level - 127.5) / 127.5
    powers = {part: math.exp((w * mean + b) / TEMPERATURE) for part, (w, b) in WEIGHTS.items()}
    part = max(powers, key=lambda name: powers[name])
    weight, bias = FRACTURES[part]
    logit = 1.5 * (weight * mean + bias) - 0.25
    return part, powers[part] / sum(powers.values()), 1 / (1 + math.exp(-logit))


@given(st.integers(0, 255))
def test_the_part_is_the_most_probable_one_and_its_model_answers(router: Router, level: int) -> None:
    prediction = router.predict(Image.new("L", (40, 40), level))
    part, share, probability = expected(level)
    assert prediction.body_part == part
    assert prediction.body_part_probability == pytest.approx(share, abs=1e-5)
    assert prediction.fracture_probability == pytest.approx(probability, abs=1e-5)
    assert prediction.label == ("fractured" if probability >= 0.4 else "normal")
    assert (prediction.model, prediction.threshold) == ("tiny_router", 0.4)


def test_both_parts_occur(router: Router) -> None:
    assert {router.predict(Image.new("L", (40, 40), level)).body_part for level in (0, 255)} == {"hand", "leg"}


def test_a_routers_prediction_names_the_part_first(router: Router) -> None:
    values = router.predict(Image.new("L", (40, 40), 255)).to_dict()
    assert list(values)[:3] == ["body_part", "body_part_probability", "label"]
    assert list(values["milliseconds"]) == ["read", "preprocess", "invoke", "load", "check"]
    assert json.loads(json.dumps(values)) == values


def test_a_stage_is_loaded_when_it_is_first_needed_and_kept(router_file: Path) -> None:
    router = Router(router_file, threads=1)
    white = Image.new("L", (40, 40), 255)
    first = router.predict(white)
    hand = router.stage("hand")
    assert router.predict(white).milliseconds["load"] < first.milliseconds["load"]
    assert router.stage("hand") is hand
    assert hand.session.threads == router.session.threads == 1


def test_a_stage_with_its_own_preprocessing_sees_what_it_would_see_alone(
    tiny: Any, stages: dict[str, bytes], tmp_path: Path, encode: Any
) -> None:
    """A large JPEG is decoded at a scale that the input's size decides: each stage needs its own."""
    noise = np.random.default_rng(0).integers(0, 256, (900, 700), np.uint8)
    jpeg = encode(Image.fromarray(noise), "JPEG")
    own = stage_file(tiny, tmp_path, "hand", side=200)
    always_hand = {"hand": (0.0, 9.0), "leg": (0.0, 0.0)}
    path = tmp_path / "router.tflite"
    write_model(path, parts_flatbuffer(tiny, always_hand), router_description(tiny), {**stages, "hand": own})
    prediction = Router(path).predict(jpeg)
    assert prediction.fracture_probability == FractureClassifier(own).predict(jpeg).fracture_probability


def test_open_classifier_tells_the_kinds_apart(router_file: Path, tiny_model: Path) -> None:
    assert isinstance(open_classifier(router_file), Router)
    assert isinstance(open_classifier(tiny_model), FractureClassifier)
    assert open_classifier(tiny_model).predict(Image.new("L", (9, 9))).body_part is None
    with pytest.raises(ModelFileError, match="no router"):
        Router(tiny_model)
    with pytest.raises(ModelFileError, match="kind router"):
        FractureClassifier(router_file)


def test_a_body_part_network_alone_is_no_classifier(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "parts.tflite"
    write_model(path, parts_flatbuffer(tiny), router_description(tiny, kind="body_part"))
    assert read_description(path).details["labels"] == ["hand", "leg"]
    with pytest.raises(ModelFileError, match="kind body_part"):
        open_classifier(path)


def test_images_that_cannot_be_scored(router: Router, router_file: Path) -> None:
    with pytest.raises(UnreadableImage):
        router.predict(b"no image")
    with pytest.raises(ImageTooLarge):
        Router(router_file, limits=Limits(max_pixels=99)).predict(Image.new("L", (10, 10)))


def test_the_same_input_gives_the_same_bytes(
    tiny: Any, router_file: Path, stages: dict[str, bytes], tmp_path: Path
) -> None:
    write_model(tmp_path / "again", parts_flatbuffer(tiny), router_description(tiny), stages)
    assert (tmp_path / "again").read_bytes() == router_file.read_bytes()


def test_other_tools_find_whole_models_in_it(router_file: Path, stages: dict[str, bytes]) -> None:
    with zipfile.ZipFile(router_file) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist() if name.startswith("stages/")} == {
            f"stages/{part}.tflite": content for part, content in stages.items()
        }


# Damage


def rebuild(
    source: Path,
    target: Path,
    change: Callable[[dict[str, Any], dict[str, bytes]], None],
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """A router's file as another tool might write it, with description and stages changed."""
    with zipfile.ZipFile(source) as archive:
        values = json.loads(archive.read("osteolite.json"))
        stages = {name: archive.read(name) for name in archive.namelist() if name.startswith("stages/")}
    change(values, stages)
    target.write_bytes(source.read_bytes()[: values["flatbuffer"]["bytes"]])
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in stages.items():
            archive.writestr(name, content, compression)
        archive.writestr("osteolite.json", json.dumps(values))
    return target


def nothing(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    """Without this, a mistake in `rebuild` could refuse everything below."""


def flip_a_byte(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    content = bytearray(stages["stages/hand.tflite"])
    content[100] ^= 1
    stages["stages/hand.tflite"] = bytes(content)


def take_away(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    del stages["stages/hand.tflite"]


def grow(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    stages["stages/hand.tflite"] += bytes(1000)


def list_another(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    values["stages"]["hand"]["sha256"] = "0" * 64


def no_model(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    content = b"\x20\0\0\0TFL3" + bytes(1000)
    stages["stages/hand.tflite"] = content
    values["stages"]["hand"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_a_rebuilt_router_answers(router_file: Path, tmp_path: Path) -> None:
    router = Router(rebuild(router_file, tmp_path / "same.tflite", nothing))
    assert router.predict(Image.new("L", (40, 40), 255)).body_part == "hand"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flip_a_byte, "stage hand is damaged"),
        (take_away, "stage hand is missing"),
        (grow, "not of the .* bytes listed"),
        (list_another, "stage hand is damaged"),
        (no_model, "stage hand: the model: a TFLite model without osteolite.json"),
    ],
)
def test_a_damaged_stage_is_refused_and_the_others_answer(
    change: Any, message: str, router_file: Path, tmp_path: Path
) -> None:
    router = Router(rebuild(router_file, tmp_path / "bad.tflite", change))
    assert router.predict(Image.new("L", (40, 40), 0)).body_part == "leg"
    with pytest.raises(ModelFileError, match=message):
        router.predict(Image.new("L", (40, 40), 255))


def test_a_stage_that_would_unpack_to_gigabytes_is_never_unpacked(router_file: Path, tmp_path: Path) -> None:
    def bomb(values: dict[str, Any], stages: dict[str, bytes]) -> None:
        content = bytes(64 << 20)
        stages["stages/hand.tflite"] = content
        values["stages"]["hand"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    path = rebuild(router_file, tmp_path / "bomb.tflite", bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelFileError, match="packed"):
        Router(path).stage("hand")


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("kind", "oracle"),
        ("kind", "body_part"),
        ("kind", None),
        ("kind", ["router"]),
        ("labels", ["hand"]),
        ("labels", ["hand", "hand"]),
        ("labels", ["hand", "foot"]),
        ("labels", ["hand", "leg", "hip"]),
        ("labels", ["hand", 7]),
        ("labels", None),
        ("probability_calibration", {"temperature": 0}),
        ("probability_calibration", {"temperature": -1}),
        ("probability_calibration", {"temperature": 1e9}),
        ("probability_calibration", {"slope": 1, "intercept": 0}),
        ("stages", {}),
        ("stages", []),
        ("stages", {"hand": {}, "leg": {}}),
        ("stages", {"hand": None, "leg": None}),
        ("stages", {p: {"bytes": 10**12, "sha256": "0" * 64} for p in WEIGHTS}),
        ("stages", {p: {"bytes": -1, "sha256": "0" * 64} for p in WEIGHTS}),
        ("stages", {p: {"bytes": 100.5, "sha256": "0" * 64} for p in WEIGHTS}),
        ("stages", {p: {"bytes": 100, "sha256": "short"} for p in WEIGHTS}),
        ("stages", {p: {"bytes": 100, "sha256": 7} for p in WEIGHTS}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_description_that_fits_no_router(field: str, bad: Any, router_file: Path, tmp_path: Path) -> None:
    def spoil(values: dict[str, Any], stages: dict[str, bytes]) -> None:
        values[field] = bad

    with pytest.raises(ModelFileError):
        Router(rebuild(router_file, tmp_path / "bad.tflite", spoil))


def test_every_truncation_is_noticed(router_file: Path, tmp_path: Path) -> None:
    content, path = router_file.read_bytes(), tmp_path / "cut.tflite"
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            Router(path)


def test_a_body_part_network_of_other_outputs_than_described(
    tiny: Any, stages: dict[str, bytes], tmp_path: Path
) -> None:
    three = {**WEIGHTS, "hip": (0.0, 0.0)}
    write_model(tmp_path / "bad", parts_flatbuffer(tiny, three), router_description(tiny), stages)
    with pytest.raises(ModelFileError, match=r"to \(1, 3\) but its description says"):
        Router(tmp_path / "bad")


@pytest.mark.parametrize("bias", [math.nan, math.inf, -math.inf])
def test_an_answer_that_is_no_finite_number(bias: float, tiny: Any, stages: dict[str, bytes], tmp_path: Path) -> None:
    broken = {**WEIGHTS, "leg": (0.0, bias)}
    write_model(tmp_path / "bad", parts_flatbuffer(tiny, broken), router_description(tiny), stages)
    with pytest.raises(ModelFileError, match="the model's output is"):
        Router(tmp_path / "bad").predict(Image.new("L", (9, 9)))


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


def test_predict_prints_the_part_in_every_format(scans: Path, router_file: Path) -> None:
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


def test_a_stages_content_is_a_model_file(stages: dict[str, bytes], tiny_model: Path) -> None:
    assert FractureClassifier(stages["hand"]).description.name == "tiny_hand"
    white = Image.new("L", (40, 40), 255)
    stream = io.BytesIO()
    white.save(stream, "PNG")
    by_content, by_path = (
        FractureClassifier(m).predict(stream.getvalue()) for m in (tiny_model.read_bytes(), tiny_model)
    )
    assert by_content.fracture_probability == by_path.fracture_probability


def test_the_radiograph_comes_with_the_answer(tiny_router: Path) -> None:
    array = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30)
    with Router(tiny_router) as router:
        answer, radiograph = router.predict_with_image(array)
        assert answer.fracture_probability == router.predict(array).fracture_probability
    assert (radiograph.mode, radiograph.size) == ("L", (30, 40))
