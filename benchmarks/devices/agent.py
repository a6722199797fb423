"""Measure a plan for a program on another machine, which talks to this process through its input and output.

The agent reads one line, the plan as JSON, and writes lines of JSON: {"telling": the current step}, and at the end
{"measured": fields of `Measured`} or {"error": why, "exit_code": number}. When its input ends, nobody waits for the
result any more; the agent then ends with all processes that it started.
"""

import json
import os
import signal
import sys
import textwrap
import threading
from typing import Any

from osteolite.edge.errors import OsteoliteError

from ..harness.records import Plan

_LENGTH = 400  # characters of an error; some libraries write pages


def main() -> None:
    """Measure, and stop if the input ends first."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()  # a process group of its own, so that killing it ends only this process and its children
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of libraries must not appear between the lines of JSON
    plan = sys.stdin.buffer.readline()
    if not plan:
        return

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    threading.Thread(target=_end_with_the_input, daemon=True).start()
    try:
        from ..harness.measure import measure  # here: a broken numpy must also be reported

        say({"measured": measure(Plan.from_dict(json.loads(plan)), lambda text: say({"telling": text})).to_dict()})
    except OsteoliteError as error:
        say({"error": str(error), "exit_code": error.exit_code})
    except Exception as error:
        text = textwrap.shorten(f"{type(error).__name__}: {error}", _LENGTH)
        say({"error": f"the benchmark failed on that machine ({text})", "exit_code": 1})


def _end_with_the_input() -> None:
    # Unbuffered: a thread that holds the lock of `sys.stdin` would prevent Python from ending.
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
