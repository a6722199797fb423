"""What the page's folder holds, and how it is written: whole or not at all."""

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

Contents = dict[str, bytes]  # what a file holds, by its path in the folder with "/" between the parts

_WEB = Path(__file__).parent / "web"
_INDEX, _WORKER = "index.html", "sw.js"
_LISTED = "const CONTENTS = "  # how the service worker's file begins; the list of files follows
_SHOWN = 3  # names in a message


def page_contents(models: Iterable[str] = ()) -> Contents:
    """All that the page needs, and nothing from elsewhere.

    The same models give the same bytes, and other contents another version of the page.

    Args:
        models: paths of .tflite files; none for the model that ships with the package.

    Raises:
        ModelFileError: a file is missing, damaged, or none that a browser runs.
        UsageError: two files would have one name.
    """
    found = page_models(models)
    contents = {name: path.read_bytes() for name, path in browser.page_files().items()}
    contents |= {path.name: path.read_bytes() for path in sorted(_WEB.iterdir()) if path.is_file()}
    contents |= {_place(model): model.content for model in found}
    contents |= {
        "constants.json": _json(browser.constants()),
        "models.json": _json([_listed(model, _place(model)) for model in found]),
        "bench/bench.json": _json(_task(found, contents["third_party/litertjs/litertjs.json"])),
    }
    contents[_INDEX] = _with_policy(contents[_INDEX])
    files = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    version = hashlib.sha256(_json(files) + contents[_WORKER]).hexdigest()[:16]
    del files[_WORKER]  # it is no part of what it keeps
    listed = _LISTED.encode() + json.dumps({"version": version, "files": files}).encode() + b";\n"
    contents[_WORKER] = listed + contents[_WORKER]
    return contents


def write_folder(contents: Contents, out: str) -> None:
    """Write the folder, or leave everything as it was.

    An earlier folder of this kind is replaced as a whole, so that no file of it stays.

    Raises:
        UsageError: `out` is a file or a folder with other things in it, or cannot be written.
    """
    target = Path(out).resolve()
    _check_replaceable(target, out)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".part", dir=target.parent) as temporary:
            fresh, former = Path(temporary) / "fresh", Path(temporary) / "former"
            _write(contents, fresh)
            if target.exists():
                target.rename(former)
            try:
                fresh.rename(target)
            except OSError:
                if former.exists():
                    former.rename(target)
                raise
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror or error}); name another folder") from error


def _place(model: PageModel) -> str:
    return f"models/{model.file}"


def _listed(model: PageModel, url: str) -> dict[str, Any]:
    return {"url": url, "file": model.file, "variant": model.variant, "bytes": len(model.content)}


def _task(models: list[PageModel], about: bytes) -> dict[str, Any]:
    """What the page that measures reads: each network once, so no routers, which are several."""
    runtime = json.loads(about)
    return {
        "runtime": f"{runtime['name']} {runtime['version']}",
        "accelerators": ["wasm", "webgpu"],
        "models": [
            _listed(model, f"../{_place(model)}") | {"spec": None} for model in models if model.kind == FRACTURE
        ],
        "launches": 3,
        "images": 0,
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def _with_policy(index: bytes) -> bytes:
    """A <meta> has no say in who frames the page; all else of the policy holds there too."""
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
        raise UsageError(f"{out}: a file, no folder; name another")
    ours = _earlier_files(target)
    there = (path.relative_to(target).as_posix() for path in sorted(target.rglob("*")) if not path.is_dir())
    if foreign := [name for name in there if name not in ours]:
        more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
        raise UsageError(
            f"{out}: holds {', '.join(foreign[:_SHOWN])}{more}, which `osteolite phone` did not write; "
            "name a new or empty folder"
        )


def _earlier_files(folder: Path) -> set[str]:
    """The files that an earlier page says it has; none where it is no such page."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        first = (folder / _WORKER).read_text("utf-8").partition("\n")[0]
        if match := re.fullmatch(f"{_LISTED}(.*);", first):
            return {_WORKER, *json.loads(match[1])["files"]}
    return set()
