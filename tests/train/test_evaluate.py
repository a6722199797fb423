import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from osteolite.edge.cli import cli
from osteolite.edge.errors import DatasetError
from osteolite.train.evaluate import evaluate
from osteolite.train.evaluation import FIGURES


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    """Radiographs of one grey each: the tiny model's probability rises with it."""
    random = np.random.default_rng(0)
    for label, folder in enumerate(("normal", "fractured")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(15):
            level = int(random.integers(0, 160)) + 90 * label
            Image.fromarray(np.full((40, 40), level, np.uint8)).save(tmp_path / "data" / folder / f"{number}.png")
    return tmp_path / "data"


def test_a_file_gets_all_figures(greys: Path, tiny_model: Path) -> None:
    found = evaluate(tiny_model, greys, None)
    assert set(FIGURES) <= set(found)
    assert (found["unit"], found["count"], found["fractured"]) == ("image", 30, 15)
    assert found["auroc"]["value"] > 0.7
    assert found["subgroups"] == []


def test_studies_of_a_manifest_are_judged_as_one(greys: Path, tiny_model: Path) -> None:
    lines = [
        f"{path.relative_to(greys)},{path.parent.name},{path.parent.name}{int(path.stem) // 3}"
        for path in sorted(greys.rglob("*.png"))
    ]
    (greys / "manifest.csv").write_text("\n".join(["file,label,study", *lines]) + "\n")
    found = evaluate(tiny_model, greys / "manifest.csv", None)
    assert (found["unit"], found["count"], found["images"]) == ("study", 10, 30)


def test_unreadable_files_are_named_and_left_out(greys: Path, tiny_model: Path) -> None:
    (greys / "normal" / "bad.png").write_bytes(b"no image")
    result = CliRunner().invoke(cli, ["evaluate", str(tiny_model), str(greys), "--json"])
    found = json.loads(result.stdout)
    assert list(found["unreadable"]) == ["normal/bad.png"]
    assert found["images"] == 30


def test_a_part_that_is_not_there(greys: Path, tiny_model: Path) -> None:
    with pytest.raises(DatasetError, match="both classes are needed in its test part"):
        evaluate(tiny_model, greys, "test")
