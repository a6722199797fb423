"""The audit of planted faults, its page and its refusal, through the command line."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.audit.audit import audit
from osteolite.train.audit.page import choose_pairs
from osteolite.train.data import pixel_cache

from .textures import draw_texture

OSTEOLITE = str(Path(sys.executable).with_name("osteolite"))
TINY = Path(__file__).parents[2] / "tiny.toml"
LABELS = ("normal", "fractured")


def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([OSTEOLITE, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


def draw_splits(root: Path, train: int, held_out: int) -> Path:
    random = np.random.default_rng(5)
    for split, count in (("train", train), ("val", held_out), ("test", held_out)):
        for index in range(count):
            path = root / split / LABELS[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_texture(random).save(path)
    return root


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 20 test images, 3 are copies of training images and 2 rotated copies, one with the other label."""
    root = draw_splits(tmp_path_factory.mktemp("data") / "planted", 60, 20)
    for index in (0, 1, 2):
        label = LABELS[index % 2]
        shutil.copy(root / "train" / label / f"{index}.png", root / "test" / label / f"{index}.png")
    for index, label in ((3, "fractured"), (5, "normal")):
        image = Image.open(root / "train" / "fractured" / f"{index}.png")
        image.rotate(17 * index).save(root / "test" / label / f"{index + (label == 'normal')}.png")
    (root / "val" / "normal" / "broken.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def found(planted: Path) -> dict[str, Any]:
    result = call("audit", planted, "--json")
    assert result.returncode == 0, result.stderr
    findings: dict[str, Any] = json.loads(result.stdout)
    return findings


@pytest.mark.slow
def test_planted_copies_are_counted(found: dict[str, Any]) -> None:
    test, val = found["leaks"]["test"], found["leaks"]["val"]
    assert (test["images"], test["identical"], test["near_duplicate"]) == (20, 3, 5)
    assert (test["identical_share"], test["near_duplicate_share"]) == (0.15, 0.25)
    assert (val["images"], val["identical_share"], val["near_duplicate_share"]) == (20, 0.0, 0.0)
    assert found["conflicting_groups"] == 1
    assert found["duplicates"]["identical"] == {"pairs": 3, "groups_inside": 0, "groups_across": 3}
    assert found["duplicates"]["identical_or_near"] == {"pairs": 5, "groups_inside": 0, "groups_across": 5}


def test_layout_splits_and_unreadable_files_are_reported(found: dict[str, Any]) -> None:
    assert found["layout"] == "parts"
    assert list(found["unreadable"]) == ["val/normal/broken.png"]
    assert found["counts"] == {"images": 101, "readable": 100, "different_files": 97, "groups": 95}
    assert {name: (split["images"], split["fractured"]) for name, split in found["parts"].items()} == {
        "train": (60, 30),
        "val": (20, 10),
        "test": (20, 10),
    }


def test_the_table_and_the_page_agree(planted: Path, tmp_path: Path) -> None:
    result = call("audit", planted, "--html", tmp_path / "audit.html")
    assert result.returncode == 0, result.stderr
    assert re.search(r"test .* 3 .* 15\.0 % .* 5 .* 25\.0 %", result.stdout)
    page = (tmp_path / "audit.html").read_text()
    assert "25.0 %" in page
    assert "val/normal/broken.png" in page
    assert page.count('src="data:image/jpeg;base64,') == 10  # five pairs
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    headers = re.findall(r"<header[^>]*>([^<]+)</header>", page)
    assert headers[0] == "near-duplicates, labels differ"
    assert sorted(headers[1:]) == ["identical files across splits"] * 3 + ["near-duplicates across splits"]


def test_each_file_is_decoded_once(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Path] = []

    def read(path: Path, spec: PreprocessingSpec) -> Image.Image:
        decoded.append(path)
        return read_radiograph(path, spec)

    monkeypatch.setattr(pixel_cache, "read_radiograph", read)
    result = audit(planted, tmp_path, 1)
    assert len(choose_pairs(result)) == 5
    assert len(decoded) == len(set(decoded)) == 101


def test_data_without_splits_has_no_leaks(tmp_path: Path) -> None:
    draw_splits(tmp_path, 10, 0)
    result = audit(tmp_path / "train", tmp_path / "cache", 1).findings
    assert result["parts"] == {"all": {"images": 10, "fractured": 5, "fractured_share": 0.5}}
    assert result["leaks"]["test"] == result["leaks"]["val"]
    assert result["leaks"]["test"]["identical_share"] == 0.0


@pytest.mark.slow
def test_a_published_data_set_leaks_as_known(shared_data: Path) -> None:
    """97 % of its readable test files (485 of 500) and 88 % of its validation files are training files."""
    result = call("audit", shared_data / "kaggle_multiregion" / "manifest.csv", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["counts"]["groups"] == 577
    leaks = json.loads(result.stdout)["leaks"]
    assert leaks["test"]["identical_share"] == pytest.approx(0.97, abs=0.01)
    assert leaks["val"]["identical_share"] == pytest.approx(0.88, abs=0.01)
    assert leaks["test"]["near_duplicate_share"] >= leaks["test"]["identical_share"]


@pytest.mark.slow
def test_fracatlas_has_four_sets_of_conflicting_duplicates(shared_data: Path, tmp_path: Path) -> None:
    result = audit(shared_data / "fracatlas", tmp_path, 1)
    assert result.findings["conflicting_groups"] == 4
    assert {kind for kind, _, _ in choose_pairs(result)[:4]} == {"near-duplicates, labels differ"}
    assert "near-duplicates, labels differ" not in {kind for kind, _, _ in choose_pairs(result)[4:]}
    assert len(choose_pairs(result)) == 40
    assert {"body part", "view", "hardware"} <= set(result.findings["confounders"])


@pytest.mark.slow
def test_training_on_a_leaking_split_is_refused(planted: Path, tmp_path: Path) -> None:
    result = call("train", planted, "--recipe", TINY, "--out", tmp_path / "run")
    assert result.returncode == 3
    message = result.stderr.splitlines()[-1]
    assert "25.0 % of its test images" in message
    assert "--repair" in message
    assert "--allow-leaks" in message
    assert "audit" not in json.loads((tmp_path / "run" / "run.json").read_text())


@pytest.mark.slow
def test_an_allowed_leak_is_recorded_and_the_split_stays(planted: Path, tmp_path: Path) -> None:
    result = call("train", planted, "--recipe", TINY, "--out", tmp_path / "run", "--allow-leaks")
    assert result.returncode == 0, result.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())["audit"]
    assert record["leaks"]["test"]["near_duplicate_share"] == 0.25
    assert (record["conflicting_groups"], record["allow_leaks"]) == (1, True)
    lines = (tmp_path / "run" / "catalogue.csv").read_text().splitlines()[1:]
    splits = {"train": "train", "val": "validation", "test": "test"}
    assert all(splits[line.split("/")[0]] == line.split(",")[4] for line in lines)
