"""Time `osteolite predict` as a whole process, against the shortest script with the same prediction.

    python -m osteolite.benchmarks.studies.startup IMAGE [--rounds 15] [--model FILE] [--out DIR]

writes startup.json:

{"schema": 1, "conditions", "model", "pixels": width and height, "rounds",
 "processes": {contender: {"p50", "p90" in milliseconds from start to end of the process, "peak_mb",
                           "ratio": of its time to Osteolite's, median of the pairs, with a 95 % interval}}}

`bare` imports numpy, Pillow and LiteRT, and decodes the whole image, as most scripts do. `bare_reduced` decodes the
JPEG at a lower scale, as Osteolite does (see `osteolite.benchmarks.harness.minimal`). Memory is measured separately, in
one more run of each.
"""

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import click

from osteolite.edge.commands.options import MODEL, MODEL_HELP
from osteolite.edge.errors import OsteoliteError
from osteolite.edge.machine import default_threads
from osteolite.edge.modelfile.shipped import shipped_model

from ..harness import minimal
from ..harness.peers import Setup
from ..harness.records import OSTEOLITE
from ..options import run
from .record import opening, save
from .selection import size_of
from .turns import interleaved, paired, times

# The child reports its own peak, because the system's count for a child includes the parent's memory before `exec`.
_WATCHED = """
import atexit, runpy, sys
def tell():
    with open("/proc/self/status") as status:
        print(next(line.split()[1] for line in status if line.startswith("VmHWM")), file=sys.stderr)
atexit.register(tell)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def commands(image: str, model: str) -> dict[str, list[str]]:
    """The command-line arguments of each contender, after the Python interpreter."""
    script = [str(Path(minimal.__file__)), image, model, str(default_threads())]
    return {
        OSTEOLITE: [str(Path(sysconfig.get_path("scripts"), "osteolite")), "predict", image, "--model", model],
        "bare": script,
        "bare_reduced": [*script, "reduced"],
    }


def finish(arguments: list[str]) -> str:
    """Run a Python process to its end; its standard error.

    Raises:
        OsteoliteError: the process failed.
    """
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OsteoliteError(f"{Path(arguments[0]).name} failed: {(done.stderr.strip() or 'no reason')[-500:]}")
    return done.stderr


def _process(arguments: list[str]) -> Callable[[str], str]:
    return lambda _: finish(arguments)


def _peak_mb(arguments: list[str]) -> float:
    return round(int(finish(["-c", _WATCHED, *arguments]).split()[-1]) / 1024, 1)


@click.command()
@click.argument("image", metavar="IMAGE")
@click.option("--rounds", metavar="N", type=click.IntRange(1), default=15, show_default=True)
@click.option("--model", type=MODEL, metavar="FILE|NAME", help=MODEL_HELP)
@click.option("--out", metavar="DIR", help="Write startup.json there instead of printing it.")
def main(image: str, rounds: int, model: str | None, out: str | None) -> None:
    """Time whole processes that predict one image, in turns."""
    model = model or str(shipped_model())
    assert Setup(model, default_threads()).description  # raises for models that the bare script cannot run
    found = opening(model)
    found |= {"pixels": list(size_of(image)), "rounds": rounds}
    contenders = commands(image, model)
    spent = interleaved({name: _process(arguments) for name, arguments in contenders.items()}, [image], rounds)
    found["processes"] = {
        name: {**times(spent[name]), "peak_mb": _peak_mb(arguments), "ratio": paired(spent[name] / spent[OSTEOLITE])}
        for name, arguments in contenders.items()
    }
    for name, one in found["processes"].items():
        click.echo(
            f"{name:<14} {one['p50']:8.0f} ms  {one['peak_mb']:6.0f} MB  ratio {one['ratio']['median']:.2f}", err=True
        )
    save(found, out, "startup.json")


if __name__ == "__main__":
    run(main)
