import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from osteolite.edge.errors import UsageError
from osteolite.train.audit.audit import audit
from osteolite.train.audit.repair import repair
from osteolite.train.data.layouts import read_dataset

from .textures import draw_texture

OSTEOLITE = str(Path(sys.executable).with_name("osteolite"))


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 images, 10 copies of training images in test, one with the other label, and a file that is not an image."""
    root, random = tmp_path_factory.mktemp("leaking") / "data", np.random.default_rng(7)
    for index in range(240):
        label = ("normal", "fractured")[index % 2]
        path = root / ("train" if index < 200 else "test") / label / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_texture(random).save(path)
    for index in range(9):
        shutil.copy(root / "train" / "normal" / f"{2 * index}.png", root / "test" / "normal" / f"copy{index}.png")
    shutil.copy(root / "train" / "normal" / "100.png", root / "test" / "fractured" / "wrong.png")
    (root / "train" / "normal" / "broken.png").write_bytes(b"no image")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("place", ["beside", "within", "elsewhere"])
def test_the_repaired_manifest_has_no_leak(leaking: Path, tmp_path: Path, place: str) -> None:
    folder = {"beside": leaking.parent, "within": leaking, "elsewhere": tmp_path}[place]
    file = folder / "clean.csv"
    command = [OSTEOLITE, "audit", str(leaking), "--repair", str(file), "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout)
    assert report["leaks"]["test"]["identical"] == 10
    assert report["repair"] == {
        "file": str(file),
        "kept": 239,
        "copies_left_out": 9,
        "conflicting_left_out": 2,
        "unreadable_left_out": 1,
        "parts": report["repair"]["parts"],
    }
    assert sum(report["repair"]["parts"].values()) == 239
    again = audit(file, tmp_path / "cache", 1).findings
    assert again["leaks"]["test"] == {**again["leaks"]["test"], "identical": 0, "near_duplicate": 0}
    assert again["leaks"]["val"] == {**again["leaks"]["val"], "identical": 0, "near_duplicate": 0}
    assert (again["conflicting_groups"], again["unreadable"]) == (0, {})
    assert {name: split["images"] for name, split in again["parts"].items()} == {
        "train": report["repair"]["parts"]["train"],
        "val": report["repair"]["parts"]["validation"],
        "test": report["repair"]["parts"]["test"],
    }
    assert ("root" in file.read_text().splitlines()[0]) == (place == "elsewhere")
    file.unlink()


def test_the_split_depends_on_the_seed_alone(leaking: Path, tmp_path: Path) -> None:
    found = audit(leaking, tmp_path / "cache", 1)
    files = [tmp_path / f"{name}.csv" for name in "abc"]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        repair(found, leaking, file, seed)
    one, same, other = (read_dataset(file).rows for file in files)
    assert one == same != other


@pytest.mark.slow
def test_groups_body_parts_and_views_are_kept(shared_data: Path, tmp_path: Path) -> None:
    data = shared_data / "fracatlas"
    repair(audit(data, tmp_path / "cache", 1), data, tmp_path / "clean.csv", 1)
    before = {row.file: row for row in read_dataset(data).rows}
    clean = read_dataset(tmp_path / "clean.csv")
    splits: dict[str, set[str]] = {}
    for row in clean.rows:
        known = before[row.file]
        assert (row.label, row.body_part, row.view, row.hardware) == (
            known.label,
            known.body_part,
            known.view,
            known.hardware,
        )
        splits.setdefault(known.group, set()).add(row.split)
    assert {len(found) for found in splits.values()} == {1}
    assert len(clean.rows) == 3274 - 12 - 9


def test_the_audited_manifest_is_never_overwritten(tmp_path: Path) -> None:
    draw_texture(np.random.default_rng(1)).save(tmp_path / "a.png")
    draw_texture(np.random.default_rng(2)).save(tmp_path / "b.png")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("file,label\na.png,1\nb.png,0\n")
    found = audit(manifest, tmp_path / "cache", 1)
    for data in (manifest, tmp_path):
        with pytest.raises(UsageError, match=r"name a new \.csv file"):
            repair(found, data, manifest, 1)
    assert manifest.read_text() == "file,label\na.png,1\nb.png,0\n"
    with pytest.raises(UsageError, match=r"name a new \.csv file"):
        repair(found, manifest, tmp_path / "clean.txt", 1)
