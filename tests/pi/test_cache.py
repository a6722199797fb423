"""The cache of built boards."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .cache import Unavailable, cached

_BUILD = """
import sys, time
from tests.pi.cache import cached
def build(folder):
    time.sleep(1)
    (folder / sys.argv[1]).touch()
print(*(path.name for path in cached("board", "needs", build).iterdir()))
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_same_needs_are_built_once() -> None:
    first = cached("board", "numpy==2", lambda folder: (folder / "a").touch())
    assert cached("board", "numpy==2", lambda folder: pytest.fail("built again")) == first
    assert cached("board", "numpy==3", lambda folder: (folder / "b").touch()) != first
    assert (first / "a").exists()


def test_an_interrupted_build_starts_again() -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise Unavailable("no network")

    with pytest.raises(Unavailable, match="no network"):
        cached("board", "", interrupted)
    folder = cached("board", "", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_one_of_two_processes_builds_and_both_use_the_result() -> None:
    root = Path(__file__).parents[2]
    both = [
        subprocess.Popen([sys.executable, "-c", _BUILD, name], cwd=root, stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0] == outputs[1]
    assert outputs[0].split() in (["one"], ["two"])


def test_unused_folders_are_removed(tmp_path: Path) -> None:
    old = cached("board", "old", lambda folder: None)
    recent = cached("board", "recent", lambda folder: None)
    past = time.time() - 365 * 24 * 3600
    os.utime(old, (past, past))
    cached("board", "new", lambda folder: None)
    assert not old.exists()
    assert recent.exists()
