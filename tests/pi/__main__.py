"""Run Python on an emulated Raspberry Pi with this version of Osteolite installed.

python -m tests.pi arm64 -m osteolite.benchmarks.studies.bit_identity --images FOLDER --against first.json
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from .board import arm64, armhf, install_project
from .cache import Unavailable

BOARDS = {"arm64": arm64, "armhf": armhf}


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] not in BOARDS:
        print("usage: python -m tests.pi {arm64,armhf} PYTHON-ARGUMENT...", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as site:
        try:
            board = BOARDS[arguments[0]]().with_package(Path(site))
            install_project(Path(site))
        except Unavailable as error:
            print(f"no emulated board: {error}", file=sys.stderr)
            return 1
        command, environment = board.command(*arguments[1:])
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
