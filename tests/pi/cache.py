"""What takes minutes to fetch and build is kept between runs."""

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
    """This machine cannot have an emulated board, and why."""


def cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "osteolite-tests"


def cached(name: str, needs: str, build: Callable[[Path], None]) -> Path:
    """The folder that `build` fills, built anew when `needs` or the code that builds has changed.

    It is built aside and renamed when it is whole, by one process at a time. What nobody has used
    for a month goes then.
    """
    home = cache_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"no cache can be kept in {home}: {error.strerror}") from error
    code = "".join((Path(__file__).parent / module).read_text() for module in _BUILDERS)
    key = hashlib.sha256(f"{needs}\n{code}".encode()).hexdigest()[:12]
    folder = home / f"{name}-{key}"
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            aside = home / f"{name}.part"
            shutil.rmtree(aside, ignore_errors=True)  # of a build that was cut short
            aside.mkdir()
            build(aside)
            aside.rename(folder)
            for other in home.glob(f"{name}-*"):
                if time.time() - other.stat().st_mtime > _KEPT:
                    shutil.rmtree(other, ignore_errors=True)
        os.utime(folder)
    return folder
