"""The files of the page's folder, and how they are written: all or none."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from osteolite.edge import browser
from osteolite.edge.errors import UsageError
from osteolite.edge.modelfile.description import FRACTURE

from .models import PageModel, page_models

Contents = dict[str, bytes]  # content of each file by its relative path with "/"

_WEB = Path(__file__).parent / "web"
_INDEX, _WORKER = "index.html", "sw.js"
_PREFIX = "const CONTENTS = "  # start of the service worker's file, before the list of files
_MAX_NAMES = 3  # file names in a message


def page_contents(models: Iterable[str] = ()) -> Contents:
    """All files that the page needs. The same models give the same bytes and the same version of the page.

    Args:
        models: .tflite files; none means the shipped model.

    Raises:
        ModelFileError: a file is missing, damaged, or cannot run in a browser.
        UsageError: two files have the same name.
    """
    page = page_models(models)
    contents = {name: path.read_bytes() for name, path in browser.page_files().items()}
    contents |= {path.name: path.read_bytes() for path in sorted(_WEB.iterdir()) if path.is_file()}
    contents |= {_model_path(model): model.content for model in page}
    contents |= {
        "constants.json": _json(browser.constants()),
        "models.json": _json([_model_entry(model, _model_path(model)) for model in page]),
        "bench/bench.json": _json(_benchmark_task(page, contents["third_party/litertjs/litertjs.json"])),
    }
    contents[_INDEX] = _with_policy(contents[_INDEX])
    files = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    version = hashlib.sha256(_json(files) + contents[_WORKER]).hexdigest()[:16]
    del files[_WORKER]  # the service worker does not cache itself
    first_line = _PREFIX.encode() + json.dumps({"version": version, "files": files}).encode() + b";\n"
    contents[_WORKER] = first_line + contents[_WORKER]
    return contents


def write_folder(contents: Contents, out: str) -> None:
    """Write the folder, or leave everything as it was. An earlier page in the folder is replaced as a whole.

    Raises:
        UsageError: `out` is a file, is a folder with files that are not the page's, or cannot be written.
    """
    target = Path(out).resolve()
    _check_replaceable(target, out)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".part", dir=target.parent) as temporary:
            new, old = Path(temporary) / "new", Path(temporary) / "old"
            _write(contents, new)
            if target.exists():
                target.rename(old)
            try:
                new.rename(target)
            except OSError:
                if old.exists():
                    old.rename(target)
                raise
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror or error}); give another folder") from error


def _model_path(model: PageModel) -> str:
    return f"models/{model.file}"


def _model_entry(model: PageModel, url: str) -> dict[str, Any]:
    return {"url": url, "file": model.file, "variant": model.variant, "bytes": len(model.content)}


def _benchmark_task(models: list[PageModel], about: bytes) -> dict[str, Any]:
    """The benchmark page's task. Routers are left out because each is several networks."""
    runtime = json.loads(about)
    return {
        "runtime": f"{runtime['name']} {runtime['version']}",
        "accelerators": ["wasm", "webgpu"],
        "models": [
            _model_entry(model, f"../{_model_path(model)}") | {"spec": None}
            for model in models
            if model.kind == FRACTURE
        ],
        "launches": 3,
        "images": 0,
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def _with_policy(index: bytes) -> bytes:
    """Insert the policy into the page's <meta>, without frame-ancestors, which browsers ignore there."""
    rules = (rule.strip() for rule in browser.POLICY.split(";"))
    policy = "; ".join(rule for rule in rules if rule and not rule.startswith("frame-ancestors"))
    return index.replace(b"{policy}", policy.encode())


def _write(contents: Contents, folder: Path) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())


def _check_replaceable(target: Path, out: str) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{out}: not a folder; give another path")
    ours = _earlier_files(target)
    existing = (path.relative_to(target).as_posix() for path in sorted(target.rglob("*")) if not path.is_dir())
    if foreign := [name for name in existing if name not in ours]:
        more = f" and {len(foreign) - _MAX_NAMES} more" if len(foreign) > _MAX_NAMES else ""
        raise UsageError(
            f"{out}: has {', '.join(foreign[:_MAX_NAMES])}{more}, which `osteolite phone` did not write; "
            "give a new or empty folder"
        )


def _earlier_files(folder: Path) -> set[str]:
    """The files that an earlier page in the folder lists; empty if there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        first = (folder / _WORKER).read_text("utf-8").partition("\n")[0]
        if match := re.fullmatch(f"{_PREFIX}(.*);", first):
            return {_WORKER, *json.loads(match[1])["files"]}
    return set()
