"""Keep what takes minutes to download and build between test runs."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

_BUILDERS = ("board.py", "debian.py", "pillow.py")
_KEPT = 30 * 24 * 3600  # seconds


class Unavailable(Exception):
    """An emulated board cannot be built on this machine; the message says why."""


def cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "osteolite-tests"


def cached(name: str, needs: str, build: Callable[[Path], None]) -> Path:
    """Return a folder that `build` fills, built again if `needs` or the building code has changed.

    One process at a time builds the folder under another name and renames it when it is complete. Folders that have
    not been used for a month are then removed.
    """
    home = cache_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"{home} cannot be used as a cache: {error.strerror}") from error
    code = "".join((Path(__file__).parent / module).read_text() for module in _BUILDERS)
    key = hashlib.sha256(f"{needs}\n{code}".encode()).hexdigest()[:12]
    folder = home / f"{name}-{key}"
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            temporary = home / f"{name}.part"
            shutil.rmtree(temporary, ignore_errors=True)  # from an interrupted build
            temporary.mkdir()
            build(temporary)
            temporary.rename(folder)
            for other in home.glob(f"{name}-*"):
                if time.time() - other.stat().st_mtime > _KEPT:
                    shutil.rmtree(other, ignore_errors=True)
        os.utime(folder)
    return folder
