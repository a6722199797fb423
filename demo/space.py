"""`osteolite demo --space`: the page as a folder that Hugging Face Spaces runs unchanged."""

import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
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

# Folders of the packages that the served page does not use, or that are copied to another place.
_LEFT_OUT = {"osteolite.edge": ("browser", "models", "commands"), "osteolite.demo": ("phone", "service/drawn")}
_PACKAGES = {"osteolite.edge": osteolite.edge, "osteolite.demo": osteolite.demo}
_TITLE, _SHORT = "Osteolite", "Fractures in radiographs, for research only"  # at most 60 characters

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

The program is under the Apache License 2.0 (LICENSE, NOTICE). Attribution of each model's training data:

{attributions}

To require a name and a password, give the Space a secret `{variable}` with USER:PASSWORD.
"""
_APP = '''\
"""The page on its own server."""

from pathlib import Path

from osteolite.demo.server.login import read_account
from osteolite.demo.server.server import serve

HERE = Path(__file__).resolve().parent
MODELS = {models!r}  # in the order of the page's list

if __name__ == "__main__":
    files = [str(HERE / "models" / name) for name in MODELS]
    serve(files, account=read_account(None, None), examples=HERE / "examples")
'''
_BINARY = ("models/*", "examples/*")  # the Hub refuses binary files outside LFS


def pinned_requirements() -> list[str]:
    """The requirements of the edge runtime and of DICOM, pinned to the versions installed here.

    Gradio is missing because its version is in the Space's header.
    """
    names = [
        re.match(r"[\w.-]+", line)
        for line in metadata.requires("osteolite") or ()
        if "extra ==" not in line or "extra == 'dicom'" in line.replace('"', "'")
    ]
    pinned = []
    for name in filter(None, names):
        try:
            pinned.append(f"{name[0]}=={metadata.version(name[0])}")
        except metadata.PackageNotFoundError:  # of another platform, or of an extra that is not installed
            continue
    return pinned


def write_space(
    target: Path,
    model_files: Iterable[str] = (),
    examples: Path | None = None,
    requirements: Callable[[], list[str]] = pinned_requirements,
) -> None:
    """Write the page, models, examples and the packages they need into a new folder, whole or not at all.

    Args:
        target: a folder that is empty or does not exist yet.
        model_files: .tflite files; none means the shipped model.
        examples: a folder of images; None means drawn phantoms.
        requirements: gives the lines of requirements.txt.

    Raises:
        ModelFileError: a model file cannot be used.
        UsageError: the folder is not empty or cannot be written, or the examples cannot be used.
    """
    target = target.absolute()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} is not a folder; give a new or empty folder to --space")
    try:
        if target.is_dir() and any(target.iterdir()):
            raise UsageError(f"{target} is not empty; give a new or empty folder to --space")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
            folder = Path(temporary) / "space"
            folder.mkdir()
            _fill(folder, list(model_files), examples, requirements)
            if target.exists():
                target.rmdir()
            folder.replace(target)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror}); give another folder to --space") from error
    click.echo(f"{target}: a Gradio Space. Upload the whole folder, for example with")
    click.echo(f"  hf upload USER/NAME {shlex.quote(str(target))} . --repo-type space")


def _fill(folder: Path, model_files: list[str], examples: Path | None, requirements: Callable[[], list[str]]) -> None:
    with quiet_stderr():
        models = ModelSet(model_files)
    (folder / "models").mkdir()
    (folder / "examples").mkdir()
    names: list[str] = []
    for name in models.names:
        file = _unique_name(models.path(name).name, names)
        shutil.copyfile(models.path(name), folder / "models" / file)
        names.append(file)
    example_files(examples, folder / "examples")
    for package in _PACKAGES:
        _copy(package, folder)
    _licences(folder)
    texts = {
        "README.md": _readme(models),
        "app.py": _APP.format(models=names),
        "requirements.txt": "".join(f"{line}\n" for line in requirements()),
        ".gitattributes": "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in _BINARY),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _unique_name(name: str, used: list[str]) -> str:
    unique, number = name, 1
    while unique in used:
        number += 1
        unique = f"{Path(name).stem}_{number}.tflite"
    return unique


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


def _readme(models: ModelSet) -> str:
    header = _HEADER.format(
        title=_TITLE,
        short=_SHORT,
        gradio=metadata.version("gradio"),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
    )
    attributions = {name: models.description(name).details.get("attribution") for name in models.names}
    lines = ["- " + " ".join(f"{name}: {text or 'not stated.'}".split()) for name, text in attributions.items()]
    return header + _README.format(title=_TITLE, note=NOTE, attributions="\n".join(lines), variable=VARIABLE)
