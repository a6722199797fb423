"""LiteRT.js, the runtime of browsers: made by npm once, and kept in the cache folder of the user."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from osteolite.edge.errors import DeviceError, MissingExtra

VERSION = "2.5.3"
NAME = f"@litertjs/core {VERSION}"

_PACKAGES = ("@litertjs/core", "@litertjs/wasm-utils")
_SECONDS = 300


def runtime_folder() -> Path:
    """The folder that holds the runtime's packages, `core` and `wasm-utils`.

    Raises:
        MissingExtra: it was not fetched yet, and npm, which fetches it, is not installed.
        DeviceError: npm cannot fetch it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "osteolite"
    made = cache / f"litertjs-{VERSION}"
    if not made.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".litertjs-", dir=cache) as fresh:
            _fetch(Path(fresh))
            _move(Path(fresh) / "node_modules" / "@litertjs", made)
    return made


def _fetch(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingExtra(
            f"measuring in a browser needs {NAME}, which Node's npm fetches once; install npm, of which nothing "
            "is needed afterwards"
        )
    packages = [f"{package}@{VERSION}" for package in _PACKAGES]
    command = [npm, "install", "--prefix", str(folder), "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            [*command, *packages], capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"npm did not fetch {NAME} in {_SECONDS} s; look at the network, and try again") from error
    if done.returncode or not (folder / "node_modules" / "@litertjs" / "core" / "dist" / "index.js").is_file():
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = said[0] if said else f"code {done.returncode}"
        raise DeviceError(f"npm cannot fetch {NAME} ({reason}); look at the network, and try again")


def _move(fresh: Path, made: Path) -> None:
    """Put the folder in its place at once; where another process was first, its is as good."""
    try:
        fresh.rename(made)
    except OSError:
        if not made.is_dir():
            raise
