import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from osteolite.benchmarks.devices import ssh
from osteolite.edge import FractureClassifier

from .calls import gone, plan_of, quiet, ssh_clients
from .sshd import Sshd

# What a board has that runs the edge package: all that may be imported there beside Python's own library.
BOARD_PACKAGES = (
    *("numpy", "numpy.libs", "PIL", "pillow.libs"),
    *("ai_edge_litert", "flatbuffers", "backports", "typing_extensions.py", "tqdm"),
)


@pytest.fixture
def images(tmp_path: Path) -> tuple[tuple[str, int], ...]:
    """Two files of one name in two folders, one of them in letters of another language, that differ in answer."""
    found = []
    for folder, level, label in (("fractured ä", 250, 1), ("normal", 5, 0)):
        (tmp_path / folder).mkdir()
        Image.new("L", (40, 40), level).save(tmp_path / folder / "hand ü.png")
        found.append((str(tmp_path / folder / "hand ü.png"), label))
    return tuple(found)


def test_files_and_images_are_measured_on_the_other_machine(
    sshd: Sshd, there: Path, tiny_model: Path, tiny_int8_model: Path, images: tuple[tuple[str, int], ...]
) -> None:
    told: list[str] = []
    here = {str(path) for path in there.parent.rglob("*")}
    measured = ssh.measure(plan_of(tiny_model, tiny_int8_model, images=images), sshd.url(), told.append)
    assert measured.device == sshd.url()
    assert [(lane.file, lane.variant, lane.error) for lane in measured.lanes] == [
        ("tiny_float32.tflite", "float32", ""),
        ("tiny_int8.tflite", "int8", ""),
    ]
    assert measured.labels == [1, 0]
    classifier = FractureClassifier(tiny_model)
    answers = [classifier.predict(path).fracture_probability for path, _ in images]
    assert measured.lanes[0].probabilities == pytest.approx(answers, abs=1e-6)
    assert all(lane.launches[0].invoke and lane.bytes for lane in measured.lanes)
    assert measured.conditions["cores"] == os.cpu_count()
    assert any("MB" in text for text in told)
    assert told[0] == "connecting to 127.0.0.1"
    assert any(text.startswith("launch 1") for text in told), "what the other machine tells is passed on"
    assert gone(there)
    assert {str(path) for path in there.parent.rglob("*")} == here
    assert not ssh_clients()


def test_a_board_with_the_edge_packages_alone_will_do(
    sshd: Sshd, there: Path, board: Callable[..., Path], tiny_model: Path
) -> None:
    """No Osteolite is there, and neither click nor scikit-learn; the code comes from here, and so its version."""
    python = board(*BOARD_PACKAGES)
    with_click = subprocess.run([str(python), "-c", "import click"], stderr=subprocess.DEVNULL, check=False)
    assert with_click.returncode != 0
    measured = ssh.measure(plan_of(tiny_model), sshd.url(), quiet)
    assert measured.lanes[0].error == ""
    assert measured.conditions["osteolite"]
    assert gone(there)


def test_an_osteolite_that_is_installed_there_stays_out(
    sshd: Sshd, board: Callable[..., Path], tiny_model: Path
) -> None:
    """Even a package of that name with a file of its own, which Python prefers to a namespace."""
    python = board(*BOARD_PACKAGES)
    (installed,) = python.parents[1].glob("lib/python*/site-packages")
    for name in ("", "edge", "benchmarks"):
        (installed / "osteolite" / name).mkdir(parents=True, exist_ok=True)
        (installed / "osteolite" / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    assert ssh.measure(plan_of(tiny_model), sshd.url(), quiet).lanes[0].error == ""


def test_files_of_one_name_do_not_collide(sshd: Sshd, tiny_model: Path, tiny_int8_model: Path, tmp_path: Path) -> None:
    files = []
    for source in (tiny_model, tiny_int8_model):
        (tmp_path / source.stem).mkdir()
        files.append(tmp_path / source.stem / "model.tflite")
        shutil.copy(source, files[-1])
    measured = ssh.measure(plan_of(*files), sshd.url(), quiet)
    assert [lane.file for lane in measured.lanes] == ["model.tflite"] * 2
    assert [lane.variant for lane in measured.lanes] == ["float32", "int8"]


def test_the_users_ssh_configuration_applies(sshd: Sshd, tiny_model: Path) -> None:
    measured = ssh.measure(plan_of(tiny_model), "ssh://board", quiet)
    assert measured.device == "ssh://board"
    assert measured.lanes[0].launches


def test_a_password_in_the_name_is_told_to_nobody(sshd: Sshd, tiny_model: Path) -> None:
    told: list[str] = []
    name = sshd.url().replace("@", ":secret@")
    measured = ssh.measure(plan_of(tiny_model), name, told.append)
    assert measured.device == sshd.url()
    assert "secret" not in json.dumps(measured.to_dict()) + "".join(told)


def test_errors_name_the_file_that_is_here(sshd: Sshd, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    measured = ssh.measure(plan_of(broken), sshd.url(), quiet)
    assert str(broken) in measured.lanes[0].error


def test_what_the_shell_there_prints_is_no_answer(
    sshd: Sshd, tmp_path: Path, tiny_model: Path, set_python: Callable[[str], None]
) -> None:
    set_python(f'echo "Welcome to the board"\necho \'{{"a": 1}}\'\nexec {sys.executable} "$@"\n')
    assert ssh.measure(plan_of(tiny_model), sshd.url(), quiet).lanes[0].launches
