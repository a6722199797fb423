from pathlib import Path

import pytest

from osteolite.edge.errors import DatasetError
from osteolite.train.data.layouts import read_dataset


def test_rows_have_body_part_view_and_hardware(shared_data: Path) -> None:
    found = read_dataset(shared_data / "fracatlas")
    assert found.layout == "fracatlas"
    assert len(found.rows) == 3274
    assert sum(row.label for row in found.rows) == 599
    assert {"hand", "leg", "leg+hip", "shoulder"} <= {row.body_part for row in found.rows}
    assert {"frontal", "lateral", "oblique", "frontal+lateral"} <= {row.view for row in found.rows}
    implants = [row.label for row in found.rows if row.hardware == "yes"]
    assert (sum(implants), len(implants)) == (81, 83)
    assert {row.hardware for row in found.rows} == {"yes", "no"}


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images" / "Fractured").mkdir(parents=True)
    (tmp_path / "dataset.csv").write_text("image_id,hand,leg,hip,shoulder,hardware,frontal,lateral\n")
    with pytest.raises(DatasetError, match="no column oblique"):
        read_dataset(tmp_path)


def test_views_of_one_patient_are_one_group(shared_data: Path) -> None:
    """IMG0000013 and 14, IMG0002036 and 37 are views of one patient."""
    group = {row.file[-14:-4]: row.group for row in read_dataset(shared_data / "fracatlas").rows}
    for first, second in ((13, 14), (2036, 2037)):
        assert group[f"IMG{first:07d}"] == group[f"IMG{second:07d}"]
    assert len(set(group.values())) > 100
