"""Damaged and invalid routers are refused."""

import hashlib
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from osteolite.edge import Router
from osteolite.edge.errors import ModelFileError
from osteolite.edge.modelfile.archive import write_model

from .tiny_routers import WEIGHTS, body_part_flatbuffer, router_description


def rebuild(
    source: Path,
    target: Path,
    change: Callable[[dict[str, Any], dict[str, bytes]], None],
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Write a router's file with changed description and stages, as another tool might do."""
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
    """Change nothing: an error in `rebuild` could otherwise be the reason of all refusals below."""


def flip_a_byte(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    content = bytearray(stages["stages/hand.tflite"])
    content[100] ^= 1
    stages["stages/hand.tflite"] = bytes(content)


def remove(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    del stages["stages/hand.tflite"]


def append_bytes(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    stages["stages/hand.tflite"] += bytes(1000)


def list_another_hash(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    values["stages"]["hand"]["sha256"] = "0" * 64


def replace_by_no_model(values: dict[str, Any], stages: dict[str, bytes]) -> None:
    content = b"\x20\0\0\0TFL3" + bytes(1000)
    stages["stages/hand.tflite"] = content
    values["stages"]["hand"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_a_rebuilt_router_predicts(router_file: Path, tmp_path: Path) -> None:
    router = Router(rebuild(router_file, tmp_path / "same.tflite", nothing))
    assert router.predict(Image.new("L", (40, 40), 255)).body_part == "hand"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flip_a_byte, "stage hand is damaged"),
        (remove, "stage hand is missing"),
        (append_bytes, "not .* bytes long"),
        (list_another_hash, "stage hand is damaged"),
        (replace_by_no_model, "stage hand: the model: a TFLite model without osteolite.json"),
    ],
)
def test_a_damaged_stage_is_refused_and_the_others_work(
    change: Any, message: str, router_file: Path, tmp_path: Path
) -> None:
    router = Router(rebuild(router_file, tmp_path / "bad.tflite", change))
    assert router.predict(Image.new("L", (40, 40), 0)).body_part == "leg"
    with pytest.raises(ModelFileError, match=message):
        router.predict(Image.new("L", (40, 40), 255))


def test_a_compressed_stage_is_refused(router_file: Path, tmp_path: Path) -> None:
    def bomb(values: dict[str, Any], stages: dict[str, bytes]) -> None:
        content = bytes(64 << 20)
        stages["stages/hand.tflite"] = content
        values["stages"]["hand"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    path = rebuild(router_file, tmp_path / "bomb.tflite", bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelFileError, match="compressed"):
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
def test_an_invalid_description_is_refused(field: str, bad: Any, router_file: Path, tmp_path: Path) -> None:
    def spoil(values: dict[str, Any], stages: dict[str, bytes]) -> None:
        values[field] = bad

    with pytest.raises(ModelFileError):
        Router(rebuild(router_file, tmp_path / "bad.tflite", spoil))


def test_every_truncation_is_detected(router_file: Path, tmp_path: Path) -> None:
    content, path = router_file.read_bytes(), tmp_path / "cut.tflite"
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            Router(path)


def test_a_body_part_network_with_other_outputs_than_described_is_refused(
    tiny: Any, stages: dict[str, bytes], tmp_path: Path
) -> None:
    three = {**WEIGHTS, "hip": (0.0, 0.0)}
    write_model(tmp_path / "bad", body_part_flatbuffer(tiny, three), router_description(tiny), stages)
    with pytest.raises(ModelFileError, match=r"output \(1, 3\), but its description says"):
        Router(tmp_path / "bad")


@pytest.mark.parametrize("bias", [math.nan, math.inf, -math.inf])
def test_an_output_that_is_not_finite_raises(bias: float, tiny: Any, stages: dict[str, bytes], tmp_path: Path) -> None:
    broken = {**WEIGHTS, "leg": (0.0, bias)}
    write_model(tmp_path / "bad", body_part_flatbuffer(tiny, broken), router_description(tiny), stages)
    with pytest.raises(ModelFileError, match="the model's output is"):
        Router(tmp_path / "bad").predict(Image.new("L", (9, 9)))
