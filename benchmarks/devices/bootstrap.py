"""The program that runs first on another machine: it receives the files, runs the agent, and removes everything.

It is sent as source text before anything else, so it uses only Python's standard library. It reads one line,
{"files": [[name, bytes], ...]}, answers {"ready": "files"}, reads the contents of the files one after another, answers
{"ready": "plan"}, and leaves the rest of its input to the agent. On failure it writes {"error": why} and ends.
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
_CHUNK = 2**20  # bytes
_BLOCK = 4096  # bytes of a file system's block, the most that one file can waste
_COMPILED = 2**24  # bytes for Python's compiled files
_BOARDS_OF_32_BITS = ("armv6l", "armv7l")  # there is no wheel of ai-edge-litert for them


class Unable(Exception):
    """This machine cannot measure. The message says why and what to do."""


def main() -> None:
    """Receive the files, run the agent on them, and remove them."""
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
            _receive(folder, files)
            _say({"ready": "plan"})
            _run_agent(folder)
        finally:
            _remove(folder)
    except Unable as reason:
        _say({"error": str(reason)})


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _say(message: dict[str, Any]) -> None:
    with suppress(OSError):  # the connection is gone
        print(json.dumps(message), flush=True)


def _check_packages() -> None:
    small = platform.machine() in _BOARDS_OF_32_BITS
    runtime = "tflite-runtime" if small else "ai-edge-litert"
    needed = {"numpy<2" if small else "numpy": ["numpy"], "pillow": ["PIL"]}
    needed[runtime] = ["ai_edge_litert", "tflite_runtime"]
    missing = [name for name, modules in needed.items() if not any(map(importlib.util.find_spec, modules))]
    if missing:
        raise Unable(
            f"{sys.executable} lacks {' and '.join(missing)}; run `{sys.executable} -m pip install "
            f"{' '.join(repr(name) if '<' in name else name for name in missing)}` there, or set "
            "OSTEOLITE_REMOTE_PYTHON to another Python that has them"
        )


def _make_folder(files: list[tuple[str, int]]) -> str:
    """Make a temporary folder with enough space for the files."""
    needed = sum(size + _BLOCK for _, size in files) + _COMPILED
    try:
        parent = tempfile.gettempdir()
        free = shutil.disk_usage(parent).free
        if free >= needed:
            return tempfile.mkdtemp(prefix="osteolite-")
    except OSError as error:
        raise Unable(f"cannot create a temporary folder there ({error}); {_remedy()}") from error
    raise Unable(f"{parent} has {_mb(free)} free there, {_mb(needed)} are needed; {_remedy()}")


def _remedy() -> str:
    return "free some space, or set OSTEOLITE_REMOTE_PYTHON to 'env TMPDIR=FOLDER python3' to use another folder"


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _receive(folder: str, files: list[tuple[str, int]]) -> None:
    """Write each file from the input under its name in the folder."""
    name = ""
    try:
        for name, size in files:
            path = Path(folder, name)
            if ".." in path.parts or not path.is_relative_to(folder):
                raise Unable(f"{name} is outside the folder of the files")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:
                _copy(size, stream)
        # This file makes it a regular package, so it does not mix with an Osteolite that is installed here.
        Path(folder, "osteolite", "__init__.py").touch()
    except OSError as error:
        needed, free = _mb(sum(size for _, size in files)), _mb(shutil.disk_usage(folder).free)
        raise Unable(
            f"cannot write {name} there ({error.strerror}; {needed} needed in all, {free} free); {_remedy()}"
        ) from error


def _copy(size: int, stream: BinaryIO) -> None:
    while size:
        chunk = sys.stdin.buffer.read(min(size, _CHUNK))
        if not chunk:
            sys.exit(1)  # the connection is gone
        stream.write(chunk)
        size -= len(chunk)


def _run_agent(folder: str) -> None:
    """Run the agent to its end, then end all processes that it started."""
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
        with suppress(OSError):  # no process of its group is left
            os.killpg(agent.pid, signal.SIGKILL)
        agent.wait()
    if code < 0:
        name = signal.Signals(-code).name
        raise Unable(f"the measuring process was ended by {name}; unless somebody ended it, memory may have run out")
    if code:
        raise Unable(f"the measuring process ended with code {code}")


def _remove(folder: str) -> None:
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    for _ in range(50):  # a process that has just been killed may still write
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main()
