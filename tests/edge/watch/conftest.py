"""Fixtures: a watched folder, a results file, and a running watch."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .processes import SCRIPT, Start


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def start(folder: Path, out: Path, tiny_model: Path) -> Iterator[Start]:
    processes = []

    def start(*more: str | Path) -> "subprocess.Popen[bytes]":
        command = [SCRIPT, "watch", folder, "--out", out, "--model", tiny_model, "--interval", "0.1", *more]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()
