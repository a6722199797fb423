"""The files to send to another machine: the code that measures, the model files and the images."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from osteolite import benchmarks, edge
from osteolite.edge.errors import InputError

from .. import harness
from ..harness.records import Plan

_CHUNK = 2**20  # bytes
_MODULES = ("__init__.py", "devices/__init__.py", "devices/agent.py")  # in addition to the harness


@dataclass(frozen=True)
class Bundle:
    """Files to send, and the plan that measures them on the other machine."""

    files: dict[str, str]  # local path by name; names are relative to one folder on the other machine
    sizes: dict[str, int]  # bytes by name
    plan: Plan  # with the names of the files on the other machine

    @property
    def megabytes(self) -> float:
        return sum(self.sizes.values()) / 1e6

    def chunks(self) -> Iterator[bytes]:
        """The content of all files, one after another.

        Raises:
            InputError: a file cannot be read, or its length has changed.
        """
        for name, path in self.files.items():
            left = self.sizes[name]
            try:
                with Path(path).open("rb") as stream:
                    while chunk := stream.read(_CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            break
                        yield chunk
            except OSError as error:
                raise InputError(f"{path} cannot be read ({error.strerror})") from error
            if left:
                raise InputError(f"{path} changed while it was sent; run the benchmark again when nothing writes to it")

    def named_here(self, text: str) -> str:
        """Replace the other machine's paths in a message by local paths."""
        for name in (*self.plan.files, *(image for image, _ in self.plan.images)):
            if name in text:
                text = text.replace(name, self.files[name])
        return text


def pack(plan: Plan) -> Bundle:
    """Collect everything that a plan needs on another machine.

    Each model and image gets its own folder, because files from different folders may have the same name.

    Raises:
        InputError: a file cannot be read.
    """
    models = {f"models/{index}/{os.path.basename(path)}": path for index, path in enumerate(plan.files)}
    images = {f"images/{index}/{os.path.basename(path)}": path for index, (path, _) in enumerate(plan.images)}
    files = {**_code(), **models, **images}
    labels = (label for _, label in plan.images)
    there = replace(plan, files=tuple(models), images=tuple(zip(images, labels, strict=True)))
    return Bundle(files, {name: _size(path) for name, path in files.items()}, there)


def _code() -> dict[str, str]:
    """The edge package, the harness and the agent."""
    room = Path(benchmarks.__path__[0])
    found = {f"osteolite/benchmarks/{name}": str(room / name) for name in _MODULES}
    for package in (edge, harness):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            found[f"{package.__name__.replace('.', '/')}/{path.relative_to(root).as_posix()}"] = str(path)
    return found


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
