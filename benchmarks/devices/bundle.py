"""What travels to a machine that has none of this package: its code, the model files and the images."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from osteolite import benchmarks, edge
from osteolite.edge.errors import InputError

from ..harness.records import Plan

_CHUNK = 2**20


@dataclass(frozen=True)
class Bundle:
    """Files, and the plan that measures them where they arrive."""

    files: dict[str, str]  # name, relative to one folder there: path here
    sizes: dict[str, int]  # bytes, by name
    plan: Plan  # with the names that its files have there

    @property
    def megabytes(self) -> float:
        return sum(self.sizes.values()) / 1e6

    def chunks(self) -> Iterator[bytes]:
        """The content of all files, one after another.

        Raises:
            InputError: a file cannot be read, or is not as long as it was.
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
                raise InputError(f"{path} changed while it was sent; run it again once nobody writes to it")

    def named_here(self, text: str) -> str:
        """A message from there, with the paths that the user knows."""
        for name in (*self.plan.files, *(image for image, _ in self.plan.images)):
            if name in text:
                text = text.replace(name, self.files[name])
        return text


def pack(plan: Plan) -> Bundle:
    """All that a plan needs on another machine.

    Each model and image gets a folder of its own, as files of several folders may have one name.

    Raises:
        InputError: a file is not there.
    """
    models = {f"models/{index}/{os.path.basename(path)}": path for index, path in enumerate(plan.files)}
    images = {f"images/{index}/{os.path.basename(path)}": path for index, (path, _) in enumerate(plan.images)}
    files = {**_code(), **models, **images}
    labels = (label for _, label in plan.images)
    there = replace(plan, files=tuple(models), images=tuple(zip(images, labels, strict=True)))
    return Bundle(files, {name: _size(path) for name, path in files.items()}, there)


def _code() -> dict[str, str]:
    found = {}
    for package in (edge, benchmarks):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            found[f"{package.__name__.replace('.', '/')}/{path.relative_to(root).as_posix()}"] = str(path)
    return found


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
