"""An ssh server, and Pythons with few or broken packages."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from osteolite.benchmarks.devices import ssh

from .sshd import Sshd, Unavailable, running


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The temporary folder of the other machine."""
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


@pytest.fixture
def sshd(tmp_path: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    folder = tmp_path / "sshd"
    folder.mkdir()
    try:
        with running(folder, {"TMPDIR": str(there)}) as server:
            monkeypatch.setenv("PATH", f"{server.programs}{os.pathsep}{os.environ['PATH']}")
            monkeypatch.setenv(ssh.PYTHON, sys.executable)
            yield server
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a Python with only these packages the other machine's Python."""

    def make(*packages: str) -> Path:
        folder = tmp_path / "board"
        command = [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(folder)]
        subprocess.run(command, check=True, timeout=120)
        (target,) = folder.glob("lib/python*/site-packages")
        source = Path(np.__file__).parents[1]
        for name in packages:
            (target / name).symlink_to(source / name)
        monkeypatch.setenv(ssh.PYTHON, str(folder / "bin" / "python"))
        return folder / "bin" / "python"

    return make


@pytest.fixture
def set_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a shell script the other machine's Python; its path has a blank and a quote in it."""

    def make(script: str) -> None:
        program = tmp_path / "a python's"
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)
        monkeypatch.setenv(ssh.PYTHON, f'"{program}"')

    return make
