from pathlib import Path

import numpy as np

from osteolite.train.data.layouts import read_dataset
from osteolite.train.data.phantoms import draw_phantom, write_phantoms


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def test_files_depend_on_the_seed_alone(tmp_path: Path) -> None:
    first, again, other = (write_phantoms(tmp_path / n, 20, s) for n, s in (("a", 1), ("b", 1), ("c", 2)))
    assert contents(first) == contents(again)
    assert not set(contents(first).values()) & set(contents(other).values())


def test_half_are_fractured(tmp_path: Path) -> None:
    rows = read_dataset(write_phantoms(tmp_path, 20, 1)).rows
    assert len(rows) == 20
    assert sum(row.label for row in rows) == 10


def test_the_classes_do_not_differ_in_brightness() -> None:
    """A network must not be able to separate the classes by brightness."""
    means = [[np.asarray(draw_phantom(f, np.random.default_rng(s))).mean() for s in range(80)] for f in (False, True)]
    assert abs(np.mean(means[0]) - np.mean(means[1])) < np.std(means[0]) / 2
