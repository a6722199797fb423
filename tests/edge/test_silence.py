"""Standard error is held back by `quiet_stderr`."""

import subprocess
import sys

PROGRAM = """
import os, sys
from osteolite.edge.silence import quiet_stderr
try:
    with quiet_stderr():
        os.write(2, b"from C++")
        print("from Python", file=sys.stderr)
        if sys.argv[1] == "fail":
            raise KeyError("oops")
except KeyError:
    pass
print("after", file=sys.stderr)
"""


def run(mode: str, shell: str = "") -> subprocess.CompletedProcess[str]:
    command = f'exec "$0" -c "$1" {mode} {shell}'
    return subprocess.run(["sh", "-c", command, sys.executable, PROGRAM], capture_output=True, text=True, check=False)


def test_only_the_output_of_the_block_is_held_back() -> None:
    assert run("pass").stderr == "after\n"


def test_an_exception_prints_the_held_output() -> None:
    assert run("fail").stderr == "from C++from Python\nafter\n"


def test_a_closed_standard_error_is_allowed() -> None:
    result = run("pass", "2>&-")
    assert "quiet" not in result.stderr
