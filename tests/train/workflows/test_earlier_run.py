"""Training that starts from an earlier run: its training images must not be tested on."""

import csv
import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from osteolite.edge.cli import cli
from osteolite.train.data.phantoms import write_phantoms

SHORT = Path(__file__).parents[2] / "short.toml"


def train(data: Path, out: Path, *more: object) -> Result:
    arguments = ["train", data, "--recipe", SHORT, "--out", out, *more]
    return CliRunner().invoke(cli, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def earlier_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set, and a finished run on 60 of its images and 20 others."""
    folder = tmp_path_factory.mktemp("earlier_run")
    data = write_phantoms(folder / "data", 90, 3)
    larger = write_phantoms(folder / "larger", 20, 9)
    for number, path in enumerate(sorted(data.glob("*/*.png"))[::3] + sorted(data.glob("*/*.png"))[1::3]):
        shutil.copy(path, larger / path.parent.name / f"again{number}.png")
    result = train(larger, folder / "earlier", "--weights", "none")
    assert result.exit_code == 0, result.output
    return data, folder / "earlier"


def test_test_images_seen_by_the_earlier_run_are_refused_or_reported(
    earlier_run: tuple[Path, Path], tmp_path: Path
) -> None:
    data, earlier = earlier_run
    refused = train(data, tmp_path / "run", "--weights", earlier)
    assert refused.exit_code == 3
    assert "The run given by --weights was trained on" in refused.output
    assert not (tmp_path / "run" / "weights.h5").exists()

    allowed = train(data, tmp_path / "run", "--weights", earlier, "--allow-leaks")
    assert allowed.exit_code == 0, allowed.output
    seen = set((earlier / "seen.txt").read_text().split())
    with (tmp_path / "run" / "catalogue.csv").open(newline="") as stream:
        tested = [data / line["file"] for line in csv.DictReader(stream) if line["part"] == "test"]
    again = sum(sha256(path.read_bytes()).hexdigest() in seen for path in tested)
    assert again > 0
    leaks = json.loads((tmp_path / "run" / "run.json").read_text())["audit"]["leaks"]
    assert leaks["test"]["identical"] == again
    assert seen < set((tmp_path / "run" / "seen.txt").read_text().split())
    assert "Trained with --allow-leaks" in (tmp_path / "run" / "report.html").read_text()


def test_an_earlier_run_on_other_data_is_no_leak(earlier_run: tuple[Path, Path], tmp_path: Path) -> None:
    fresh = write_phantoms(tmp_path / "fresh", 60, 11)
    result = train(fresh, tmp_path / "run", "--weights", earlier_run[1])
    assert result.exit_code == 0, result.output
    leaks = json.loads((tmp_path / "run" / "run.json").read_text())["audit"]["leaks"]
    assert leaks["test"]["identical"] == 0
