"""Run the command line in a process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(sys.executable).with_name("osteolite")
Process = subprocess.CompletedProcess[bytes]


def osteolite(*arguments: str | bytes | Path, **options: Any) -> Process:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, timeout=120, check=False, **options)


def rows_of(done: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def modules_loaded_by(*arguments: str | Path) -> set[str]:
    """Run a command and return the packages in memory at its end."""
    script = (
        "import sys; from osteolite.edge.cli import main\n"
        "try: main()\n"
        "finally: print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def one_line(done: Process) -> str:
    """Return the only line of standard error, which is not a traceback."""
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("osteolite: ")
    return lines[0]
