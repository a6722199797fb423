"""Imports: between rooms, between the packages of a room, and of other packages on the device."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("edge", "train", "convert", "benchmarks", "demo")
MAY_IMPORT = {room: {room, "edge"} for room in ROOMS} | {"convert": {"convert", "edge", "train"}}
# The packages and root modules of each room, by floor: each imports only itself and earlier floors.
FLOORS: dict[str, list[set[str]]] = {
    "edge": [
        {"errors", "atomic", "labels", "silence", "machine"},
        {"preprocess"},
        {"inference", "modelfile", "imaging"},
        {"prediction"},
        {"watch"},
        {"cli"},
        {"browser", "commands"},
    ],
    "train": [
        {"recipe", "console", "keras", "html"},
        {"data"},
        {"networks", "metrics", "audit"},
        {"runs"},
        {"fitting", "evaluation", "report"},
        {"workflows"},
        {"commands"},
    ],
    "convert": [{"variants", "gate"}, {"sources"}, {"convert"}, {"router", "tuning"}, {"commands"}],
    "benchmarks": [
        {"harness", "labelled_images", "options"},
        {"analysis"},
        {"devices", "page", "studies", "published"},
        {"commands"},
    ],
    "demo": [{"service"}, {"page"}, {"server"}, {"space"}, {"commands"}, {"phone"}],
}
# The command line names every room in a table, and imports a room when its command is called.
COMMAND_TABLE = ROOT / "edge" / "cli.py"
PUBLIC_NAMES = ROOT / "edge" / "__init__.py"
EDGE_PACKAGES = {"numpy", "PIL", "click", "ai_edge_litert", "tflite_runtime", "pydicom"}
MODULE_NAME = re.compile(rf"osteolite\.({'|'.join(ROOMS)})(\.\w+)*")  # an argument of `import_module`
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def package_of(path: Path) -> str:
    return ".".join(["osteolite", *path.relative_to(ROOT).parent.parts])


def imported_modules(source: str, package: str) -> Iterator[str]:
    """Yield the full name of everything that a module of `package` imports, and of modules that it names in strings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*parents, *filter(None, [node.module])])
            # In `from osteolite import train`, the imported name is part of the room's name.
            yield from (f"{base}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE_NAME.fullmatch(node.value):
            yield node.value


def imports_of(path: Path) -> list[str]:
    """Return the modules that a file imports, without the strings of the command table."""
    source = path.read_text(encoding="utf-8")
    if path == COMMAND_TABLE:
        tree = ast.parse(source)
        statements: list[ast.stmt] = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        source = ast.unparse(ast.Module(statements, []))
    return list(imported_modules(source, package_of(path)))


def rooms_of(modules: list[str]) -> set[str]:
    return {module.split(".")[1] for module in modules if re.match(r"osteolite\.\w", module)}


def packages_of(modules: list[str]) -> set[str]:
    return {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"osteolite"}


def against_the_order(room: str, importer: str, modules: list[str]) -> list[str]:
    """Return the imports of a package, named as in `FLOORS`, from its own floor or a later one."""
    floors = FLOORS[room]
    own = next(number for number, floor in enumerate(floors) if importer in floor)
    allowed = {importer}.union(*floors[:own])
    found = (module.split(".") for module in modules if module.startswith(f"osteolite.{room}."))
    return [".".join(parts) for parts in found if parts[2] not in allowed]


@pytest.mark.parametrize(
    ("source", "rooms", "packages"),
    [
        ("import osteolite.train.fitting.fit", {"train"}, set()),
        ("from osteolite.train.fitting import fit", {"train"}, set()),
        ("from osteolite import train", {"train"}, set()),
        ("from ..train.fitting import fit", {"train"}, set()),
        ("from .. import train", {"train"}, set()),
        ("from .errors import ImageError\nfrom . import errors", {"edge"}, set()),
        ("def f():\n    import tensorflow.lite as tfl", set(), {"tensorflow"}),
        ("from scipy.special import expit\nimport os.path, json", set(), {"scipy"}),
        ("from importlib import import_module\nimport_module('osteolite.demo.page.page')", {"demo"}, set()),
        ("'a text that mentions osteolite.train'", set(), set()),
    ],
)
def test_imports_are_found(source: str, rooms: set[str], packages: set[str]) -> None:
    assert rooms_of(list(imported_modules(source, "osteolite.edge"))) == rooms
    assert packages_of(list(imported_modules(source, "osteolite.edge"))) == packages


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("from ..errors import ImageError\nfrom .engine import Engine", []),
        ("from ..prediction.scorer import Scorer", ["osteolite.edge.prediction.scorer.Scorer"]),
        ("from ..imaging.limits import Limits", ["osteolite.edge.imaging.limits.Limits"]),  # on the same floor
        ("def f():\n    from ..watch import journal", ["osteolite.edge.watch.journal"]),
        ("if TYPE_CHECKING:\n    from ..watch.journal import Journal", ["osteolite.edge.watch.journal.Journal"]),
    ],
)
def test_imports_against_the_order_are_found(source: str, refused: list[str]) -> None:
    modules = list(imported_modules(source, "osteolite.edge.inference"))
    assert against_the_order("edge", "inference", modules) == refused


def test_rooms_import_one_way() -> None:
    found = {name_of(path): rooms_of(imports_of(path)) - MAY_IMPORT[room_of(path)] for path in SOURCES}
    assert {name: rooms for name, rooms in found.items() if rooms} == {}


def test_packages_import_only_earlier_floors() -> None:
    found: dict[str, list[str]] = {}
    for path in SOURCES:
        room, *inner = path.relative_to(ROOT).with_suffix("").parts
        if inner == ["__init__"]:  # only a docstring, except for edge's public names
            found[name_of(path)] = [] if path == PUBLIC_NAMES else imports_of(path)
        else:
            found[name_of(path)] = against_the_order(room, inner[0], imports_of(path))
    assert {name: imports for name, imports in found.items() if imports} == {}


def test_a_package_has_a_docstring_and_few_modules() -> None:
    for folder in {path.parent for path in SOURCES}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert (folder / "__init__.py").read_text(encoding="utf-8").startswith('"""'), folder
        assert len(modules) <= 12 or folder == ROOT / "benchmarks" / "studies", folder


def test_edge_imports_few_other_packages() -> None:
    found = {
        name_of(path): packages_of(imports_of(path)) - EDGE_PACKAGES for path in SOURCES if room_of(path) == "edge"
    }
    assert {name: packages for name, packages in found.items() if packages} == {}


def test_importing_edge_does_not_load_tensorflow() -> None:
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


def test_a_prediction_starts_without_importlib_metadata() -> None:
    """It takes a tenth of the start-up time; what needs it imports it on use."""
    script = (
        "import sys, osteolite.edge.commands.predict\n"
        "import osteolite.edge.prediction.router, osteolite.edge.prediction.rows\n"
        "print('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
