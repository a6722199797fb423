"""The examples in docstrings run, from any folder."""

import doctest
import importlib
import re
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("edge", "train", "convert", "benchmarks", "demo")


def examples_in(path: Path) -> int:
    """How many examples the source of a module holds."""
    return len(re.findall(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("osteolite", *parts)).removesuffix(".__init__")


MODULES = {
    module_name(path): examples
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
    if (examples := examples_in(path))
}


def test_every_room_has_examples() -> None:
    assert {name.split(".")[1] for name in MODULES} == set(ROOMS)
    assert sum(MODULES.values()) > 50


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("osteolite"):
            raise
        pytest.skip(f"needs {error.name}, which an extra installs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what an example writes goes there
    results = doctest.testmod(module)
    assert results.failed == 0
    # An example that doctest overlooks, or one marked +SKIP, would prove nothing.
    assert results.attempted == MODULES[name]
