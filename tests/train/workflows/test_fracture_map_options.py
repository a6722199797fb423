"""A recipe's options of the fracture map, checked before a training starts."""

from pathlib import Path

import pytest

from osteolite.edge.errors import UsageError
from osteolite.train.data.phantoms import write_phantoms
from osteolite.train.workflows.job import open_job


def test_without_boxes_no_map_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mapped.toml").write_text(
        'extends = "phantoms"\n[model]\nfracture_map = true\n[training]\nbox_weight = 10.0\n'
    )
    data = write_phantoms(tmp_path / "data", 8, 1)
    job = open_job(data, str(tmp_path / "mapped.toml"), tmp_path / "run", None, 1, False)
    assert not job.recipe.model.fracture_map
    assert "no fracture boxes" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[model]\nfracture_map = true\n", "[training]\nbox_weight = 1.0\n"])
def test_a_map_and_its_weight_need_each_other(tmp_path: Path, text: str) -> None:
    (tmp_path / "half.toml").write_text(f'extends = "phantoms"\n{text}')
    data = write_phantoms(tmp_path / "data", 8, 1)
    with pytest.raises(UsageError, match="a fracture map needs a weight above 0, and a weight needs a map"):
        open_job(data, str(tmp_path / "half.toml"), tmp_path / "run", None, 1, False)


@pytest.mark.parametrize(
    "text",
    [
        "[training]\npointing_weight = 0.1\n",
        "[model]\nfracture_map = true\n[training]\nbox_weight = 1.0\npointing_weight = -0.1\n",
    ],
)
def test_pointing_weight_needs_a_map_and_is_not_negative(tmp_path: Path, text: str) -> None:
    (tmp_path / "pointing.toml").write_text(f'extends = "phantoms"\n{text}')
    data = write_phantoms(tmp_path / "data", 8, 1)
    with pytest.raises(UsageError, match="the weight is 0 or more, and above 0 it needs a map"):
        open_job(data, str(tmp_path / "pointing.toml"), tmp_path / "run", None, 1, False)
