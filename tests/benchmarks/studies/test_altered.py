import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from osteolite.benchmarks.studies.altered import ALTERATIONS, main
from osteolite.edge import FractureClassifier


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for label, mean in (("normal", 60), ("fractured", 120)):
        (tmp_path / label).mkdir()
        for number in range(6):
            grey = random.normal(mean, 40, (48, 40)).clip(0, 255).astype(np.uint8)
            Image.fromarray(grey).save(tmp_path / label / f"{number}.png")
    return tmp_path


def test_each_alteration_is_scored(folder: Path, tiny_model: Path) -> None:
    done = CliRunner().invoke(main, [str(folder), "--model", str(tiny_model)])
    found = json.loads(done.stdout)
    assert found["images"] == 12
    assert set(found["alterations"]) == set(ALTERATIONS)
    with FractureClassifier(tiny_model) as classifier:
        label = {path: classifier.predict(path).label for path in folder.rglob("*.png")}
    sensitivity = np.mean([label[path] == "fractured" for path in (folder / "fractured").iterdir()])
    assert found["alterations"]["as it is"]["sensitivity"] == pytest.approx(sensitivity, abs=1e-5)


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_alteration_changes_the_image_as_named(name: str) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(40, 200, (60, 48), np.uint8))
    image.paste(230, (0, 0, 10, 60))  # at the left edge
    altered = ALTERATIONS[name](image)
    grey, before = np.asarray(altered, float), np.asarray(image, float)
    assert altered.mode == "L"
    if name == "as it is":
        np.testing.assert_array_equal(grey, before)
    elif "turned" in name or "side" in name:
        assert altered.height != image.height
    elif "head" in name:
        np.testing.assert_array_equal(grey, before[::-1, ::-1])
    elif "size" in name:
        assert altered.size in ((24, 30), (16, 20))
    else:
        assert altered.size == image.size
        assert np.abs(grey - before).mean() > 2
        assert (grey.mean() > before.mean() + 5) == name.startswith("brighter")
        assert (grey.mean() < before.mean() - 5) == name.startswith("darker")


def test_an_unreadable_image_is_named(folder: Path, tiny_model: Path) -> None:
    (folder / "normal" / "bad.png").write_text("no image")
    done = CliRunner().invoke(main, [str(folder), "--model", str(tiny_model)])
    assert "bad.png" in str(done.exception)
