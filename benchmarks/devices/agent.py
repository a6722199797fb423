"""Measures a plan for a program on another machine, as a process that is spoken to through its input and output.

It reads one line, the plan as JSON, and writes lines of JSON: {"telling": what is being done}, and at last
{"measured": fields of `Measured`} or {"error": why, "exit_code": number}. The end of its input means that nobody
waits any longer: it then ends with all processes that it started.
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

_LENGTH = 400  # characters of an error; some libraries explain themselves on pages


def main() -> None:
    """Measure, unless the input ends first."""
    if os.getpgrp() != os.getpid():
        os.setpgrp()  # the group that is ended is this process and its children, and nobody else
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print must not do so between our lines
    plan = sys.stdin.buffer.readline()
    if not plan:
        return

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    threading.Thread(target=_end_with_the_input, daemon=True).start()
    try:
        from ..harness.measure import measure  # numpy may be broken here, which is an answer too

        say({"measured": measure(Plan.from_dict(json.loads(plan)), lambda text: say({"telling": text})).to_dict()})
    except OsteoliteError as error:
        say({"error": str(error), "exit_code": error.exit_code})
    except Exception as error:
        text = textwrap.shorten(f"{type(error).__name__}: {error}", _LENGTH)
        say({"error": f"the benchmark failed there ({text})", "exit_code": 1})


def _end_with_the_input() -> None:
    # Unbuffered: a thread that holds the lock of `sys.stdin` would stop Python from ending.
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
