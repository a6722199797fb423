"""This machine: CPU, cores, and the versions of installed packages."""

import os
import platform
from pathlib import Path
from typing import Any


def installed(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    from importlib.metadata import PackageNotFoundError, version  # slow: a tenth of the start-up time of `predict`

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cpu_model() -> str:
    """Return the name of the board or CPU as the operating system reports it."""
    board = Path("/proc/device-tree/model")
    if board.is_file():
        return board.read_text(errors="replace").strip("\0 \n")
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def conditions() -> dict[str, Any]:
    """Return machine, system and versions, as result files record them."""
    return {
        "machine": cpu_model(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "osteolite": installed("osteolite"),
        "numpy": installed("numpy"),
        "pillow": installed("pillow"),
    }


def default_threads() -> int:
    """Return one thread per core of this process, at most 4: more do not help models this small."""
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, min(4, len(affinity(0)) if affinity else os.cpu_count() or 1))
