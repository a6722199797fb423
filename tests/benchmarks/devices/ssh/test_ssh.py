"""Measuring on another machine: a real OpenSSH server on this machine's loopback."""

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
from osteolite.benchmarks.devices.bundle import pack
from osteolite.edge import FractureClassifier

from .calls import gone, plan_of, quiet, ssh_clients
from .sshd import Sshd

# The packages of a board that runs the edge package; nothing else but the standard library may be imported there.
BOARD_PACKAGES = (
    *("numpy", "numpy.libs", "PIL", "pillow.libs"),
    *("ai_edge_litert", "flatbuffers", "backports", "typing_extensions.py", "tqdm"),
)


@pytest.fixture
def images(tmp_path: Path) -> tuple[tuple[str, int], ...]:
    """Two images with the same non-ASCII name in two folders, with different predictions."""
    found = []
    for folder, level, label in (("fractured ä", 250, 1), ("normal", 5, 0)):
        (tmp_path / folder).mkdir()
        Image.new("L", (40, 40), level).save(tmp_path / folder / "hand ü.png")
        found.append((str(tmp_path / folder / "hand ü.png"), label))
    return tuple(found)


def test_files_and_images_are_measured_on_the_other_machine(
    sshd: Sshd, there: Path, tiny_model: Path, tiny_int8_model: Path, images: tuple[tuple[str, int], ...]
) -> None:
    messages: list[str] = []
    here = {str(path) for path in there.parent.rglob("*")}
    measured = ssh.measure(plan_of(tiny_model, tiny_int8_model, images=images), sshd.url(), messages.append)
    assert measured.device == sshd.url()
    assert [(case.file, case.variant, case.error) for case in measured.cases] == [
        ("tiny_float32.tflite", "float32", ""),
        ("tiny_int8.tflite", "int8", ""),
    ]
    assert measured.labels == [1, 0]
    classifier = FractureClassifier(tiny_model)
    answers = [classifier.predict(path).fracture_probability for path, _ in images]
    assert measured.cases[0].probabilities == pytest.approx(answers, abs=1e-6)
    assert all(case.launches[0].invoke and case.bytes for case in measured.cases)
    assert measured.conditions["cores"] == os.cpu_count()
    assert any("MB" in text for text in messages)
    assert messages[0] == "connecting to 127.0.0.1"
    assert any(text.startswith("launch 1") for text in messages), "progress of the other machine is passed on"
    assert gone(there)
    assert {str(path) for path in there.parent.rglob("*")} == here
    assert not ssh_clients()


def test_a_board_with_only_the_edge_packages_is_enough(
    sshd: Sshd, there: Path, board: Callable[..., Path], tiny_model: Path
) -> None:
    """The board has no Osteolite, click or scikit-learn: the code and its version come from here."""
    python = board(*BOARD_PACKAGES)
    with_click = subprocess.run([str(python), "-c", "import click"], stderr=subprocess.DEVNULL, check=False)
    assert with_click.returncode != 0
    measured = ssh.measure(plan_of(tiny_model), sshd.url(), quiet)
    assert measured.cases[0].error == ""
    assert measured.conditions["osteolite"]
    assert gone(there)


def test_an_osteolite_that_is_installed_there_is_not_used(
    sshd: Sshd, board: Callable[..., Path], tiny_model: Path
) -> None:
    """Not even as a regular package, which Python prefers to a namespace package."""
    python = board(*BOARD_PACKAGES)
    (installed,) = python.parents[1].glob("lib/python*/site-packages")
    for name in ("", "edge", "benchmarks"):
        (installed / "osteolite" / name).mkdir(parents=True, exist_ok=True)
        (installed / "osteolite" / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    assert ssh.measure(plan_of(tiny_model), sshd.url(), quiet).cases[0].error == ""


def test_files_with_the_same_name_do_not_collide(
    sshd: Sshd, tiny_model: Path, tiny_int8_model: Path, tmp_path: Path
) -> None:
    files = []
    for source in (tiny_model, tiny_int8_model):
        (tmp_path / source.stem).mkdir()
        files.append(tmp_path / source.stem / "model.tflite")
        shutil.copy(source, files[-1])
    measured = ssh.measure(plan_of(*files), sshd.url(), quiet)
    assert [case.file for case in measured.cases] == ["model.tflite"] * 2
    assert [case.variant for case in measured.cases] == ["float32", "int8"]


def test_only_edge_the_harness_and_the_agent_are_sent(tiny_model: Path) -> None:
    sent = set(pack(plan_of(tiny_model)).files)
    own = ("osteolite/edge/", "osteolite/benchmarks/harness/", "models/")
    others = {name for name in sent if not name.startswith(own)}
    folder = "osteolite/benchmarks"
    assert others == {f"{folder}/__init__.py", f"{folder}/devices/__init__.py", f"{folder}/devices/agent.py"}


def test_the_users_ssh_configuration_applies(sshd: Sshd, tiny_model: Path) -> None:
    measured = ssh.measure(plan_of(tiny_model), "ssh://board", quiet)
    assert measured.device == "ssh://board"
    assert measured.cases[0].launches


def test_a_password_in_the_name_is_not_reported(sshd: Sshd, tiny_model: Path) -> None:
    messages: list[str] = []
    name = sshd.url().replace("@", ":secret@")
    measured = ssh.measure(plan_of(tiny_model), name, messages.append)
    assert measured.device == sshd.url()
    assert "secret" not in json.dumps(measured.to_dict()) + "".join(messages)


def test_errors_name_the_local_file(sshd: Sshd, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    measured = ssh.measure(plan_of(broken), sshd.url(), quiet)
    assert str(broken) in measured.cases[0].error


def test_output_of_the_remote_shell_is_ignored(
    sshd: Sshd, tmp_path: Path, tiny_model: Path, set_python: Callable[[str], None]
) -> None:
    set_python(f'echo "Welcome to the board"\necho \'{{"a": 1}}\'\nexec {sys.executable} "$@"\n')
    assert ssh.measure(plan_of(tiny_model), sshd.url(), quiet).cases[0].launches
