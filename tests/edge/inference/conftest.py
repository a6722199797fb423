"""Fixtures: delegate libraries built with gcc, and the cache of `auto`."""

import shutil
import subprocess
from pathlib import Path

import pytest


def build(source: Path, target: Path) -> Path:
    if not shutil.which("gcc"):
        pytest.skip("needs gcc, to build delegate libraries")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(target), str(source)], check=True)
    return target


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delegate that takes the operators its options name and computes nothing."""
    return build(Path(__file__).with_name("delegate.c"), tmp_path_factory.mktemp("delegate") / "delegate.so")


@pytest.fixture(scope="session")
def no_delegate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that is not a TFLite delegate."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "other.c").write_text("int other(void) { return 1; }\n")
    return build(folder / "other.c", folder / "other.so")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_gpu: None) -> Path:
    """The folder in which `auto` stores its results, on a machine without a GPU."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "osteolite" / "fastest"
