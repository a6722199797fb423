"""The one-way street between the rooms, and what each room may ask of a user's machine."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("edge", "train", "convert", "benchmarks", "demo")
MAY_IMPORT = {room: {room, "edge"} for room in ROOMS} | {"convert": {"convert", "edge", "train"}}
EDGE_PACKAGES = {"numpy", "PIL", "click", "ai_edge_litert", "tflite_runtime", "pydicom"}
A_MODULE = re.compile(rf"osteolite\.({'|'.join(ROOMS)})(\.\w+)*")  # what `import_module` may be given
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imported_modules(source: str, package: str) -> Iterator[str]:
    """Full names of what a module of `package` imports anywhere, and of our own modules that it names in a string."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            # `from osteolite import train` names a room only together with what it imports.
            yield from (f"{base}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and A_MODULE.fullmatch(node.value):
            yield node.value


def rooms_of(modules: Iterator[str]) -> set[str]:
    return {module.split(".")[1] for module in modules if re.match(r"osteolite\.\w", module)}


def packages_of(modules: Iterator[str]) -> set[str]:
    return {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"osteolite"}


@pytest.mark.parametrize(
    ("source", "rooms", "packages"),
    [
        ("import osteolite.train.fit", {"train"}, set()),
        ("from osteolite.train import fit", {"train"}, set()),
        ("from osteolite import train", {"train"}, set()),
        ("from ..train import fit", {"train"}, set()),
        ("from .. import train", {"train"}, set()),
        ("from .errors import ImageError\nfrom . import errors", {"edge"}, set()),
        ("def f():\n    import tensorflow.lite as tfl", set(), {"tensorflow"}),
        ("from scipy.special import expit\nimport os.path, json", set(), {"scipy"}),
        ("from importlib import import_module\nimport_module('osteolite.demo.page')", {"demo"}, set()),
        ("'a text that speaks of osteolite.train in passing'", set(), set()),
    ],
)
def test_the_reader_of_imports_sees(source: str, rooms: set[str], packages: set[str]) -> None:
    assert rooms_of(imported_modules(source, "osteolite.edge")) == rooms
    assert packages_of(imported_modules(source, "osteolite.edge")) == packages


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    package = ".".join(["osteolite", *path.relative_to(ROOT).parent.parts])
    rooms = rooms_of(imported_modules(path.read_text(encoding="utf-8"), package))
    if path == ROOT / "edge" / "cli.py":
        # The table of commands names every room; a room is imported when its command is called.
        assert rooms <= set(ROOMS)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        rooms = rooms_of(imported_modules(ast.unparse(ast.Module(statements, [])), "osteolite.edge"))
    assert rooms <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", [p for p in SOURCES if ROOT / "edge" in p.parents], ids=lambda path: path.name)
def test_the_device_needs_few_packages(path: Path) -> None:
    assert packages_of(imported_modules(path.read_text(encoding="utf-8"), "osteolite.edge")) <= EDGE_PACKAGES


def test_importing_the_edge_room_leaves_tensorflow_out() -> None:
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "edge").rglob("*.py")]
    modules = [".".join(["osteolite", *path.parts]) for path in paths if path.name != "__init__"]
    assert "osteolite.edge.prediction.classifier" in modules
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "import osteolite.edge\n"
        "for name in osteolite.edge.__all__: getattr(osteolite.edge, name)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script, *modules], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"osteolite", "numpy", "PIL"} <= loaded
    assert not loaded & {"tensorflow", "tf_keras", "keras", "sklearn", "gradio", "rich", "matplotlib", "pydicom"}
