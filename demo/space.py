"""`osteolite demo --space`: the page as a folder that Hugging Face Spaces takes as it is."""

import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import click

import osteolite.demo
import osteolite.edge
from osteolite.edge.errors import UsageError
from osteolite.edge.silence import quiet_stderr

from .page.answer_card import NOTE
from .server.login import VARIABLE
from .service.examples import example_files
from .service.model_set import ModelSet

# Parts of the packages that the page on a server does not use, or that lie elsewhere in the folder.
_LEFT_OUT = {"osteolite.edge": ("browser", "models", "commands"), "osteolite.demo": ("phone", "service/drawn")}
_PACKAGES = {"osteolite.edge": osteolite.edge, "osteolite.demo": osteolite.demo}
_TITLE, _SHORT = "Osteolite", "Fractures in radiographs, for research only"  # a Space's short text has at most 60 signs

_HEADER = """\
---
title: {title}
emoji: 🦴
colorFrom: green
colorTo: gray
sdk: gradio
sdk_version: {gradio}
python_version: "{python}"
app_file: app.py
license: apache-2.0
short_description: {short}
pinned: false
---
"""
_README = """\
# {title}

Upload a radiograph of a bone: a small model gives the probability that it shows a fracture. **{note}**

The program is under the Apache License 2.0 (LICENSE, NOTICE). What each model says of the data behind it:

{attributions}

To ask for a name and a password, give the Space a secret `{variable}` that holds USER:PASSWORD.
"""
_APP = '''\
"""The page on its own server."""

from pathlib import Path

from osteolite.demo.server.login import account_of
from osteolite.demo.server.server import serve

HERE = Path(__file__).resolve().parent
MODELS = {models!r}  # in the order that the page lists them

if __name__ == "__main__":
    serve([str(HERE / "models" / name) for name in MODELS], account=account_of(None, None), examples=HERE / "examples")
'''
_BINARY = ("models/*", "examples/*")  # which the Hub's git refuses unless they go by way of LFS


def write_space(target: Path, models: Iterable[str] = (), examples: Path | None = None) -> None:
    """Write page, models, examples and the packages they run on into a new folder, whole or not at all.

    Args:
        target: a folder that is empty or not there yet.
        models: paths of .tflite files; none for the model that ships with the package.
        examples: a folder of images; None for drawn ones.

    Raises:
        ModelFileError: a model file cannot be used.
        UsageError: the folder is not empty or cannot be written, or the examples cannot be used.
    """
    target = target.absolute()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} is no folder; name a new or an empty one by --space")
    try:
        if target.is_dir() and any(target.iterdir()):
            raise UsageError(f"{target} is not empty; name a new or an empty folder by --space")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as beside:
            folder = Path(beside) / "space"
            folder.mkdir()
            _fill(folder, list(models), examples)
            if target.exists():
                target.rmdir()
            folder.replace(target)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror}); name another folder by --space") from error
    click.echo(f"{target}: a Gradio Space. Upload all of it, for example by")
    click.echo(f"  hf upload USER/NAME {shlex.quote(str(target))} . --repo-type space")


def _fill(folder: Path, models: list[str], examples: Path | None) -> None:
    with quiet_stderr():
        scorer = ModelSet(models)
    (folder / "models").mkdir()
    (folder / "examples").mkdir()
    names: list[str] = []
    for name in scorer.names:
        file = _unused(scorer.path(name).name, names)
        shutil.copyfile(scorer.path(name), folder / "models" / file)
        names.append(file)
    example_files(examples, folder / "examples")
    for package in _PACKAGES:
        _copy(package, folder)
    _licences(folder)
    texts = {
        "README.md": _readme(scorer),
        "app.py": _APP.format(models=names),
        "requirements.txt": "".join(f"{line}\n" for line in _requirements()),
        ".gitattributes": "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in _BINARY),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _unused(name: str, used: list[str]) -> str:
    unused, number = name, 1
    while unused in used:
        number += 1
        unused = f"{Path(name).stem}_{number}.tflite"
    return unused


def _copy(package: str, folder: Path) -> None:
    source = Path(str(_PACKAGES[package].__file__)).parent
    left_out = {source / name for name in _LEFT_OUT[package]}

    def ignored(where: str, names: list[str]) -> set[str]:
        return {name for name in names if name == "__pycache__" or Path(where) / name in left_out}

    shutil.copytree(source, folder / Path(*package.split(".")), ignore=ignored)


def _licences(folder: Path) -> None:
    for file in metadata.files("osteolite") or ():
        if file.name in ("LICENSE", "NOTICE"):
            shutil.copyfile(str(file.locate()), folder / file.name)


def _readme(scorer: ModelSet) -> str:
    header = _HEADER.format(
        title=_TITLE,
        short=_SHORT,
        gradio=metadata.version("gradio"),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
    )
    said = {name: scorer.description(name).details.get("attribution") for name in scorer.names}
    lines = ["- " + " ".join(f"{name}: {text or 'nothing.'}".split()) for name, text in said.items()]
    return header + _README.format(title=_TITLE, note=NOTE, attributions="\n".join(lines), variable=VARIABLE)


def _requirements() -> list[str]:
    """What the edge runtime and DICOM need, in the versions that are installed here; Gradio comes by the header."""
    wanted = [
        re.match(r"[\w.-]+", line)
        for line in metadata.requires("osteolite") or ()
        if "extra ==" not in line or "extra == 'dicom'" in line.replace('"', "'")
    ]
    pinned = []
    for name in filter(None, wanted):
        try:
            pinned.append(f"{name[0]}=={metadata.version(name[0])}")
        except metadata.PackageNotFoundError:  # of another platform, or an extra that is not installed
            continue
    return pinned
