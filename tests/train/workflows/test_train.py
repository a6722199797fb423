"""Training from the command line, in separate processes."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from osteolite.train.data.phantoms import write_phantoms

TINY, PHANTOMS = (Path(__file__).parents[2] / name for name in ("tiny.toml", "phantoms.toml"))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), 120, 3)


def command(data: Path, out: Path, *more: str) -> list[str]:
    name = str(Path(sys.executable).with_name("osteolite"))
    return [name, "train", str(data), "--recipe", str(TINY), "--out", str(out), *more]


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(arguments), capture_output=True, text=True, timeout=300, check=False)


def history(run: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run / "progress.json").read_text())["history"]
    return found


@pytest.mark.slow
def test_a_killed_run_is_resumed(phantoms: Path, tmp_path: Path) -> None:
    uninterrupted = call(*command(phantoms, tmp_path / "uninterrupted"))
    assert uninterrupted.returncode == 0, uninterrupted.stderr
    killed = 0
    while killed < 2:  # once in each phase
        process = subprocess.Popen(command(phantoms, tmp_path / "killed"), stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        wanted = ("first 1/2", "second 1/3")[killed]
        for line in process.stderr:
            if line.startswith(wanted):
                break
        else:
            pytest.fail(f"never got to {wanted}")
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.stderr.close()
        process.wait()
        killed += 1
        assert not (tmp_path / "killed" / "evaluation.json").exists()
    resumed = call(*command(phantoms, tmp_path / "killed"))
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after" in resumed.stderr
    epochs = [(entry["phase"], entry["epoch"]) for entry in history(tmp_path / "killed")]
    assert epochs == [("first", 1), ("first", 2), ("second", 1), ("second", 2), ("second", 3)]
    for entry, expected in zip(history(tmp_path / "killed"), history(tmp_path / "uninterrupted"), strict=True):
        assert entry["loss"] == pytest.approx(expected["loss"], abs=0.02)


def test_a_run_folder_accepts_only_its_own_run(phantom_run: Path) -> None:
    run = json.loads((phantom_run / "run.json").read_text())
    base = ["train", run["data"], "--recipe", str(PHANTOMS), "--out", str(phantom_run)]
    name = str(Path(sys.executable).with_name("osteolite"))
    other = call(name, *base, "--seed", "2")
    assert other.returncode == 2
    assert "another recipe, data, seed or starting weights" in other.stderr
    again = call(name, *base, "--json")
    assert again.returncode == 0
    assert "already trained" in again.stderr
    assert json.loads(again.stdout)["test"]["auroc"]["value"] >= 0.9


def test_a_folder_with_other_files_is_left_unchanged(phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    refused = call(*command(phantoms, tmp_path))
    assert refused.returncode == 2
    assert "not empty" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "--recipe", "phantoms"), "neither a folder nor a .csv file"),
        (("DATA", "--recipe", "nothing"), "no recipe 'nothing'"),
        (("DATA", "--recipe", "phantoms", "--weights", "missing.h5"), "no such file"),
    ],
)
def test_an_invalid_call_is_an_error_in_one_line(
    phantoms: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    name = str(Path(sys.executable).with_name("osteolite"))
    filled = [str(phantoms) if a == "DATA" else a for a in arguments]
    result = call(name, "train", *filled, "--out", str(tmp_path / "run"))
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run" / "evaluation.json").exists()


def test_parts_share_no_group(phantom_run: Path) -> None:
    with (phantom_run / "catalogue.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    parts: dict[str, set[str]] = {}
    for line in lines:
        parts.setdefault(line["group"], set()).add(line["part"])
    assert {len(found) for found in parts.values()} == {1}
