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


def test_chatter_is_held_back_and_later_lines_are_not() -> None:
    assert run("pass").stderr == "after\n"


def test_an_exception_lets_it_out() -> None:
    assert run("fail").stderr == "from C++from Python\nafter\n"


def test_a_closed_standard_error_is_no_obstacle() -> None:
    result = run("pass", "2>&-")
    assert "quiet" not in result.stderr
