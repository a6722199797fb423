"""The process of a case, seen from the program that measures it."""

import json
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from .records import Task


class Lost(Exception):
    """The process of a case failed or ended. The message says why."""


class Worker:
    """A process that runs one case (see `worker`)."""

    def __init__(self, task: Task) -> None:
        command = [sys.executable, "-m", f"{__package__}.worker", task.argument()]
        start = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            hello = self._read()
        except Lost:
            self.close()
            raise
        self.about, self.takes_tensors = hello["about"], bool(hello["takes_tensors"])
        self.cold_start = {**hello["milliseconds"], "process": 1e3 * (time.perf_counter() - start)}

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises:
            Lost: the request failed, or the process ended. After a failed request the process goes on.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **values}) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # the process ended; `_read` reports that
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Lost(f"its process ended with code {self.process.wait()} while it was measured")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Lost(answer["error"])
        return answer

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):  # closing flushes what an ended process can no longer read
                    stream.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
