"""What runs first on another machine: it takes in what is sent, starts the agent there, and leaves nothing behind.

It travels as text ahead of everything else, so that it stands on Python's own library alone. It is told
{"files": [[name, bytes], ...]} in a line, answers {"ready": "files"}, takes the files' bytes one after another,
answers {"ready": "plan"}, and leaves the rest of its input to the agent. {"error": why} ends it.
"""

import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

_AGENT = "osteolite.benchmarks.devices.agent"
_CHUNK = 2**20
_BLOCK = 4096  # of a file system, at most this much of which a file's end leaves unused
_BESIDE = 2**24  # bytes for Python's compiled files
_BOARDS_OF_32_BITS = ("armv6l", "armv7l")  # ai-edge-litert has no wheel for them


class Unable(Exception):
    """This machine cannot measure; the message says why and what to do."""


def main() -> None:
    """Take in the files, run the agent on them, remove them."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _leave)
    order = sys.stdin.buffer.readline()
    if not order:
        return
    try:
        files: list[tuple[str, int]] = json.loads(order)["files"]
        _check_packages()
        folder = _make_folder(files)
        try:
            _say({"ready": "files"})
            _take_in(folder, files)
            _say({"ready": "plan"})
            _run_agent(folder)
        finally:
            _remove(folder)
    except Unable as reason:
        _say({"error": str(reason)})


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _say(message: dict[str, Any]) -> None:
    with suppress(OSError):  # nobody listens any more
        print(json.dumps(message), flush=True)


def _check_packages() -> None:
    small = platform.machine() in _BOARDS_OF_32_BITS
    runtime = "tflite-runtime" if small else "ai-edge-litert"
    needed = {"numpy<2" if small else "numpy": ["numpy"], "pillow": ["PIL"]}
    needed[runtime] = ["ai_edge_litert", "tflite_runtime"]
    missing = [name for name, modules in needed.items() if not any(map(importlib.util.find_spec, modules))]
    if missing:
        raise Unable(
            f"{sys.executable} lacks {' and '.join(missing)}; run there `{sys.executable} -m pip install "
            f"{' '.join(repr(name) if '<' in name else name for name in missing)}`, or name another Python that has "
            "them in OSTEOLITE_REMOTE_PYTHON"
        )


def _make_folder(files: list[tuple[str, int]]) -> str:
    """A new folder with room for the files."""
    needed = sum(size + _BLOCK for _, size in files) + _BESIDE
    try:
        parent = tempfile.gettempdir()
        free = shutil.disk_usage(parent).free
        if free >= needed:
            return tempfile.mkdtemp(prefix="osteolite-")
    except OSError as error:
        raise Unable(f"no temporary folder can be made there ({error}); {_elsewhere()}") from error
    raise Unable(f"{parent} has {_mb(free)} free of the {_mb(needed)} that are needed there; {_elsewhere()}")


def _elsewhere() -> str:
    return "free some, or set OSTEOLITE_REMOTE_PYTHON to 'env TMPDIR=FOLDER python3' for another folder"


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _take_in(folder: str, files: list[tuple[str, int]]) -> None:
    """Write the files from the input, each under its name in the folder."""
    name = ""
    try:
        for name, size in files:
            path = Path(folder, name)
            if ".." in path.parts or not path.is_relative_to(folder):
                raise Unable(f"{name} does not lie in one folder with the others")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:
                _copy(size, stream)
        # An Osteolite that is installed here must not mix with this one: a package with this file stands alone.
        Path(folder, "osteolite", "__init__.py").touch()
    except OSError as error:
        needed, free = _mb(sum(size for _, size in files)), _mb(shutil.disk_usage(folder).free)
        raise Unable(
            f"{name} of {needed} in all cannot be written there ({error.strerror}; {free} free); {_elsewhere()}"
        ) from error


def _copy(size: int, stream: BinaryIO) -> None:
    while size:
        chunk = sys.stdin.buffer.read(min(size, _CHUNK))
        if not chunk:
            sys.exit(1)  # the connection is gone
        stream.write(chunk)
        size -= len(chunk)


def _run_agent(folder: str) -> None:
    """Run the agent to its end; nothing that it started outlives it."""
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    agent = subprocess.Popen(
        [sys.executable, "-m", _AGENT],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
    )
    try:
        code = agent.wait()
    finally:
        with suppress(OSError):  # none of its group is left
            os.killpg(agent.pid, signal.SIGKILL)
        agent.wait()
    if code < 0:
        name = signal.Signals(-code).name
        raise Unable(f"the process that measures was ended by {name}; if nobody ended it, memory may have run out")
    if code:
        raise Unable(f"the process that measures ended with code {code}")


def _remove(folder: str) -> None:
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    for _ in range(50):  # a process that was just ended may still write
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main()
