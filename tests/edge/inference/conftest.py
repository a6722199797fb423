"""Fixtures: delegates that gcc builds, and a memory of the fastest one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from osteolite.edge.inference import gpu


def build(source: Path, target: Path) -> Path:
    if not shutil.which("gcc"):
        pytest.skip("needs gcc, to build delegates of its own")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(target), str(source)], check=True)
    return target


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delegate that claims what its options say and computes nothing."""
    return build(Path(__file__).with_name("delegate.c"), tmp_path_factory.mktemp("delegate") / "delegate.so")


@pytest.fixture(scope="session")
def no_delegate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that has nothing to do with TFLite."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "other.c").write_text("int other(void) { return 1; }\n")
    return build(folder / "other.c", folder / "other.so")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `auto` remembers what it found on a machine without a GPU."""
    monkeypatch.setattr(gpu, "_LOADER", "libvulkan-absent.so.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "osteolite" / "fastest"
