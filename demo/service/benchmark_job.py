"""The measurement that a visitor can start: run `osteolite bench` on the page's models and save its results."""

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
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from osteolite.edge.atomic import atomic_path
from osteolite.edge.errors import OsteoliteError

SECONDS = 60.0  # approximate duration of a measurement
LAUNCHES = (1, 9)  # minimum and maximum number of launches
POLL_SECONDS = 0.5  # interval between two progress reports
MAX_SECONDS = 900.0  # time limit of a measurement
_CASE_SECONDS = 2.5  # approximate time of one launch of one file at one number of threads
_THREADS = (1, 2)
_SCHEMA = 2  # version of benchmark.json
_RESULTS, _REPORT = "benchmark.json", "benchmark.html"
_PROGRAM = "from osteolite.edge.cli import main; main()"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # control sequences of a terminal
_LAUNCH = re.compile(r"launch (\d+) of (\d+)")

_running = threading.Lock()  # one measurement at a time: two would slow each other down


@dataclass(frozen=True)
class Progress:
    """How far a measurement is."""

    launch: int  # current launch, from 1; 0 during the start
    launches: int  # total number
    seconds: float  # elapsed time


def is_measuring() -> bool:
    """Whether a measurement is running, whoever started it."""
    return _running.locked()


def launch_count(files: int, launches: tuple[int, int] = LAUNCHES) -> int:
    """The number of launches with which a measurement takes about a minute.

    Args:
        files: number of model files.
        launches: minimum and maximum.

    >>> [launch_count(files) for files in (1, 2, 5, 40)]
    [9, 6, 2, 1]
    """
    least, most = launches
    return max(least, min(most, int(SECONDS / (_CASE_SECONDS * files * len(_THREADS)))))


def measure(
    files: Iterable[Path],
    launches: tuple[int, int] = LAUNCHES,
    poll_seconds: float = POLL_SECONDS,
    max_seconds: float = MAX_SECONDS,
) -> Generator[Progress, None, None]:
    """Measure model files on this machine and save the results; closing the iterator cancels the measurement.

    `saved_results` and `saved_report` give the results once the iterator has ended.

    Args:
        files: model files.
        launches: minimum and maximum number of launches.
        poll_seconds: interval between two progress reports.
        max_seconds: time limit.

    Yields:
        The progress.

    Raises:
        OsteoliteError: another measurement is running, this one failed, or its results cannot be saved.
    """
    if not _running.acquire(blocking=False):
        raise OsteoliteError("a measurement is running on this machine; try again in a minute")
    try:
        resolved = _resolved(files)
        folder = results_folder(resolved)
        count = launch_count(len(resolved), launches)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".measuring-", dir=folder) as temporary:
                out = Path(temporary)
                for arguments in _commands(resolved, count, out):
                    yield from _run(arguments, count, poll_seconds, max_seconds)
                _save(out, folder)
        except OSError as error:
            raise OsteoliteError(
                f"the results cannot be saved ({error.strerror or error}); set XDG_CACHE_HOME to a writable folder"
            ) from error
    finally:
        _running.release()


def saved_results(files: Iterable[Path]) -> dict[str, Any] | None:
    """The content of benchmark.json for these files on this machine, or None."""
    try:
        found = json.loads((results_folder(files) / _RESULTS).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("schema") == _SCHEMA else None


def saved_report(files: Iterable[Path]) -> str | None:
    """The HTML report of `osteolite bench report` for these files, or None."""
    try:
        return (results_folder(files) / _REPORT).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def results_folder(files: Iterable[Path]) -> Path:
    """The folder in which the results of these files are saved.

    Raises:
        OSError: a file cannot be read.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "osteolite", "demo", _digest(tuple(_resolved(files))))


def _resolved(files: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(Path(file).resolve() for file in files))


@lru_cache  # the same for every visitor, and the files have several MB
def _digest(files: tuple[Path, ...]) -> str:
    digests = (hashlib.sha256(file.read_bytes()).digest() for file in files)
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


def _commands(files: list[Path], launches: int, out: Path) -> list[list[str]]:
    """The arguments of the two commands: measure, then write the report."""
    threads = ",".join(map(str, _THREADS))
    options = ["--threads", threads, "--launches", str(launches), "--out", str(out)]
    return [["bench", *map(str, files), *options], ["bench", "report", str(out), "--out", str(out / _REPORT)]]


def _run(
    arguments: list[str], launches: int, poll_seconds: float, max_seconds: float
) -> Generator[Progress, None, None]:
    """Run one command of `osteolite` to its end. Closing the iterator kills it with all processes it started."""
    start = time.monotonic()
    is_report = arguments[1] == "report"
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            # The command reports its progress only to a terminal.
            env={**os.environ, "FORCE_COLOR": "1"},
            start_new_session=True,
        )
        atexit.register(_kill, process)  # in case the server ends first
        try:
            while not _has_ended(process, poll_seconds):
                seconds = time.monotonic() - start
                if seconds > max_seconds:
                    raise OsteoliteError(f"the measurement did not end within {max_seconds:.0f} seconds")
                found = _LAUNCH.findall(_last_lines(output))
                launch = int(found[-1][0]) if found else 0
                yield Progress(launches if is_report else launch, launches, seconds)
        finally:
            atexit.unregister(_kill)
            _kill(process)
        if process.returncode:
            lines = _last_lines(output).splitlines()
            reason = next((line for line in reversed(lines) if line.startswith("osteolite: ")), "")
            raise OsteoliteError(
                reason.removeprefix("osteolite: ") or f"the measurement ended with code {process.returncode}"
            )


def _has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:  # its workers end when they can no longer read from it
            process.kill()
    process.wait()


def _last_lines(output: IO[bytes]) -> str:
    """The end of a command's output, without control sequences."""
    end = output.seek(0, os.SEEK_END)
    output.seek(max(0, end - 8192))
    text = output.read().decode(errors="replace")
    return _CONTROL.sub("", text).replace("\r", "\n")


def _save(out: Path, folder: Path) -> None:
    for name in (_REPORT, _RESULTS):
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes((out / name).read_bytes())
