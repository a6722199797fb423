import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from osteolite.benchmarks.studies.warned import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
    Image.fromarray(noise).save(tmp_path / "grey.png")
    Image.new("L", (40, 30), 7).save(tmp_path / "blank.png")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "one colour.png")
    coloured = np.random.default_rng(1).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(coloured).save(tmp_path / "coloured.png")
    (tmp_path / "text.png").write_text("no image")
    return tmp_path


def test_warnings_are_counted(folder: Path, tiny_model: Path) -> None:
    done = CliRunner().invoke(main, [str(folder), "--model", str(tiny_model)])
    found = json.loads(done.stdout)
    assert (found["images"], found["unreadable"], found["warned"], found["share"]) == (4, 1, 3, 0.75)
    assert found["kinds"] == {"blank": 2, "coloured": 1}
    assert found["unfamiliarity"] is None  # the tiny model has no features


def test_the_shipped_model_warns_of_inverted_radiographs(shared_data: Path, tmp_path: Path) -> None:
    files = [str(path) for path in sorted((shared_data / "fracatlas/images/Non_fractured").iterdir())[::300]]
    done = CliRunner().invoke(main, [*files, "--negatives", "--out", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, "")
    found = json.loads((tmp_path / "warned.json").read_text())
    assert found["images"] == len(files)
    assert found["share"] > 0.8
