"""The measurement that a visitor may start: `osteolite bench` on the page's model files, and its figures."""

import atexit
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from osteolite.edge.atomic import atomic_path
from osteolite.edge.errors import OsteoliteError

SECONDS = 60.0  # about which a measurement takes ...
LAUNCHES = (1, 9)  # ... with so many launches, at least and at most
_LANE_SECONDS = 2.5  # of a launch, of each file at each number of threads
_THREADS = (1, 2)
_MOST_SECONDS = 900.0  # after which it is given up
_STEP = 0.5  # seconds between two looks
_SCHEMA = 2  # of benchmark.json
_RESULTS, _REPORT = "benchmark.json", "benchmark.html"
_PROGRAM = "from osteolite.edge.cli import main; main()"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # with which a terminal's text is drawn
_LAUNCH = re.compile(r"launch (\d+) of (\d+)")

_under_way = threading.Lock()  # one measurement at a time: two would slow each other


@dataclass(frozen=True)
class Progress:
    """How far a measurement is."""

    launch: int  # the one under way, from 1; 0 while it starts
    of: int  # launches
    seconds: float  # since it began


def is_measuring() -> bool:
    """Whether a measurement is under way, whoever started it."""
    return _under_way.locked()


def measure(files: Iterable[Path]) -> Iterator[Progress]:
    """Measure model files on this machine and keep the figures; close the iterator to end it early.

    The figures are there for `kept_results` once the iterator ends.

    Yields:
        Every half a second, how far it is.

    Raises:
        OsteoliteError: another measurement is under way, this one failed, or its figures cannot be kept.
    """
    if not _under_way.acquire(blocking=False):
        raise OsteoliteError("a measurement is under way on this machine; look again in a minute")
    try:
        chosen = _chosen(files)
        folder = _folder(chosen)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".measuring-", dir=folder) as out:
                yield from _run(chosen, Path(out))
                _keep(Path(out), folder)
        except OSError as error:
            raise OsteoliteError(
                f"the figures cannot be kept ({error.strerror or error}); let XDG_CACHE_HOME name a folder with room"
            ) from error
    finally:
        _under_way.release()


def kept_results(files: Iterable[Path]) -> dict[str, Any] | None:
    """What `osteolite bench` last said of these very files on this machine, or None."""
    try:
        found = json.loads((_folder(_chosen(files)) / _RESULTS).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("schema") == _SCHEMA else None


def kept_report(files: Iterable[Path]) -> str | None:
    """The page that `osteolite bench report` drew of them, or None."""
    try:
        return (_folder(_chosen(files)) / _REPORT).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _chosen(files: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(Path(file).resolve() for file in files))


def _folder(files: list[Path]) -> Path:
    """Where the figures of these files are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "osteolite", "demo", _digest(tuple(files)))


@lru_cache  # for every visitor the same, and files of some MB each
def _digest(files: tuple[Path, ...]) -> str:
    each = (hashlib.sha256(file.read_bytes()).digest() for file in files)
    return hashlib.sha256(b"".join(each)).hexdigest()[:16]


def _run(files: list[Path], out: Path) -> Iterator[Progress]:
    least, most = LAUNCHES
    launches = max(least, min(most, int(SECONDS / (_LANE_SECONDS * len(files) * len(_THREADS)))))
    threads = ",".join(map(str, _THREADS))
    named = [str(file) for file in files]
    yield from _watch(["bench", *named, "--threads", threads, "--launches", str(launches), "--out", str(out)], launches)
    for progress in _watch(["bench", "report", str(out), "--out", str(out / _REPORT)], launches):
        yield Progress(launches, launches, progress.seconds)


def _watch(arguments: list[str], launches: int) -> Iterator[Progress]:
    """Run one command of `osteolite` to its end; closing ends it with all that it started."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            # It says how far it is only where it takes its standard error for a terminal.
            env={**os.environ, "FORCE_COLOR": "1"},
            start_new_session=True,
        )
        atexit.register(_end, process)  # where the server ends meanwhile
        try:
            while not _ended(process):
                spent = time.monotonic() - start
                if spent > _MOST_SECONDS:
                    raise OsteoliteError(f"the measurement did not end within {_MOST_SECONDS:.0f} seconds")
                found = _LAUNCH.findall(_text(said))
                yield Progress(int(found[-1][0]) if found else 0, launches, spent)
        finally:
            atexit.unregister(_end)
            _end(process)
        if process.returncode:
            lines = _text(said).splitlines()
            reason = next((line for line in reversed(lines) if line.startswith("osteolite: ")), "")
            raise OsteoliteError(reason.removeprefix("osteolite: ") or f"it ended with code {process.returncode}")


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_STEP)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:  # its workers end once they can no longer read from it
            process.kill()
    process.wait()


def _text(said: Any) -> str:
    """The end of what a command said, as lines."""
    end = said.seek(0, os.SEEK_END)
    said.seek(max(0, end - 8192))
    text = said.read().decode(errors="replace")
    return _CONTROL.sub("", text).replace("\r", "\n")


def _keep(out: Path, folder: Path) -> None:
    for name in (_REPORT, _RESULTS):
        with atomic_path(folder / name) as part:
            part.write_bytes((out / name).read_bytes())
