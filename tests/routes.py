"""Writes the route of each main command into CONTRIBUTING.md: `python -m tests.routes`, or `make routes`.

A route is the list of modules in the order in which calls first enter them. It is traced, on drawn radiographs: a
`sitecustomize` module sets a profile function in the command's process and in each Python process that it starts.
Calls made while a module is imported are left out.
"""

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill, shorten

from osteolite.edge.atomic import write_text
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.train.data.phantoms import write_phantoms

ROOT = Path(__file__).parents[1]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PHANTOMS = 120  # too few to learn from: the gate refuses the variants, which ends `convert` with exit code 3

TRACER = """
import os, sys, threading

entered = []


def module_of(frame):
    name = frame.f_globals.get("__name__")
    if name == "__main__":
        name = getattr(frame.f_globals.get("__spec__"), "name", None)
    return name if isinstance(name, str) and name.startswith("osteolite.") else ""  # None as the interpreter ends


def trace(frame, event, argument):
    if event != "call" or frame.f_code.co_name.startswith("<"):
        return
    name = module_of(frame)
    if not name or entered and entered[-1] == name:
        return
    above = frame.f_back
    while above is not None:
        if above.f_code.co_name == "<module>" and above.f_globals.get("__name__") != "__main__" and module_of(above):
            return
        above = above.f_back
    entered.append(name)
    with open(os.path.join(os.environ["ROUTES"], str(os.getpid())), "a") as stream:
        stream.write(name + "\\n")


threading.setprofile(trace)
sys.setprofile(trace)
"""


@dataclass(frozen=True)
class Route:
    """The modules that a command's calls enter."""

    modules: tuple[str, ...]  # in the order of the first call
    again: tuple[str, ...]  # those that the command's own process leaves and enters again

    def to_markdown(self) -> str:
        width = max(map(len, self.modules))
        lines = [
            f"{number:2}  {name:{width}}  {shorten(caption(name), 114 - width, placeholder=' ...')}"
            for number, name in enumerate(self.modules, 1)
        ]
        again = fill(f"{len(self.again)} of them are entered again later: {', '.join(self.again) or 'none'}.", 120)
        return f"{len(self.modules)} modules.\n\n```\n" + "\n".join(lines) + f"\n```\n\n{again}"


def caption(name: str) -> str:
    """The first line of a module's docstring."""
    spec = find_spec(f"osteolite.{name}")
    assert spec is not None and spec.origin is not None
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def trace(command: list[str], folder: Path) -> Route:
    """Run an `osteolite` command and follow its calls, then those of the processes that it started."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(TRACER, encoding="utf-8")
    traces = folder / "traces"
    traces.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(folder), "ROUTES": str(traces), "OMP_NUM_THREADS": "1"}
    program = Path(sys.executable).with_name("osteolite")
    process = subprocess.Popen([program, *command], env=environment, stdout=subprocess.DEVNULL)
    if process.wait(3000) not in (0, 3):
        raise SystemExit(f"osteolite {' '.join(command)} failed")
    own = (traces / str(process.pid)).read_text().split()
    others = sorted((path for path in traces.iterdir() if path.name != str(process.pid)), key=os.path.getmtime)
    everything = [*own, *(name for path in others for name in path.read_text().split())]
    short = [name.removeprefix("osteolite.") for name in everything]
    modules = tuple(dict.fromkeys(short))
    counts = {name: own.count(f"osteolite.{name}") for name in modules}
    return Route(modules, tuple(name for name in modules if counts[name] > 1))


def routes(work: Path) -> dict[str, Route]:
    """Trace the four commands; `convert` and `bench` use what `train` left."""
    data, run = write_phantoms(work / "data", PHANTOMS, 1), work / "run"
    image = next(data.rglob("*.png"))
    model = shipped_model("tiny")
    commands = {
        "predict": ["predict", str(image)],
        "train": ["train", str(data), "--recipe", str(ROOT / "tests" / "tiny.toml"), "--out", str(run)],
        "convert": ["convert", str(run), "--variants", "float32,int8"],
        "bench": ["bench", str(model), "--data", str(run / "test.csv"), "--launches", "2", "--out", str(work / "out")],
    }
    return {name: trace(command, work / f"trace-{name}") for name, command in commands.items()}


def put(text: str, name: str, route: Route) -> str:
    """The text with a route between its two comments."""
    marks = re.compile(rf"(<!-- route: {name} -->\n).*?(<!-- end of route -->)", re.DOTALL)
    written, count = marks.subn(lambda found: f"{found[1]}{route.to_markdown()}\n{found[2]}", text)
    if count != 1:
        raise SystemExit(f"{CONTRIBUTING.name} has no place for the route of {name}")
    return written


def main() -> None:
    text = CONTRIBUTING.read_text(encoding="utf-8")
    with TemporaryDirectory() as folder:
        for name, route in routes(Path(folder)).items():
            print(f"{name}: {len(route.modules)} modules, {len(route.again)} entered again")
            text = put(text, name, route)
    write_text(CONTRIBUTING, text)


if __name__ == "__main__":
    main()
