"""Measure on another machine through the system's ssh client, over one connection; nothing is left there.

The other machine needs Python 3.11 or newer, numpy, Pillow and a LiteRT runtime. The user's ssh configuration applies.
ssh cannot ask for a password here, so the login must work with a key.
"""

import inspect
import json
import os
import re
import shlex
import subprocess
import tempfile
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from osteolite.edge.errors import DeviceError, OsteoliteError, UsageError
from osteolite.edge.machine import installed

from ..harness.records import Measured, Plan
from . import DEVICES, Progress, bootstrap
from .bundle import pack

PYTHON = "OSTEOLITE_REMOTE_PYTHON"  # environment variable: the command that starts Python on the other machine
_OLDEST = [3, 11]
_NAME = re.compile(
    r"ssh://(?:(?P<user>(?!-)[\w.+-]+)(?::[^@/]*)?@)?"
    r"(?P<host>(?!-)[\w.-]+|\[[\da-f:.]+(?:%\w+)?\])(?::(?P<port>\d{1,5}))?/?",
    re.ASCII | re.IGNORECASE,
)
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",  # a dead host is noticed within 20 seconds
    "ServerAliveCountMax": "3",
    "LogLevel": "INFO",  # at lower levels it does not report a host that stopped responding
    "ControlMaster": "no",  # an existing master connection is used; none is left behind
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
}
# In double quotes, which all shells treat alike: print Python's version, then run the source that is sent.
_START = (
    '"import sys;print(list(sys.version_info[:3]),flush=True);'
    'exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"'
)
_PATIENCE = 5.0  # seconds that ssh gets to end by itself


class Host(NamedTuple):
    """The address of a machine. ssh's configuration replaces empty fields."""

    host: str
    user: str
    port: str

    def name(self) -> str:
        """The name as on the command line, without a password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{self.user + '@' if self.user else ''}{host}{':' + self.port if self.port else ''}"

    def arguments(self) -> list[str]:
        user, port = ["-l", self.user] if self.user else [], ["-p", self.port] if self.port else []
        return [*user, *port, "--", self.host]


def measure(plan: Plan, name: str, tell: Progress) -> Measured:
    """Measure a plan on another machine.

    Args:
        plan: with paths of this machine; the path of a delegate's library is one of the other machine.
        name: ssh://[USER@]HOST[:PORT].
        tell: receives the current step.

    Raises:
        UsageError: a malformed name, no ssh client here, or a plan that the other machine refuses.
        InputError: a file cannot be read.
        DeviceError: the machine cannot be reached, lacks something, or the connection was lost.
    """
    host = _host(name)
    python = _command_of_python()
    bundle = pack(plan)
    tell(f"connecting to {host.host}")
    with _Connection(host, python) as remote:
        remote.greet()
        files = [[name, size] for name, size in bundle.sizes.items()]
        source = inspect.getsource(bootstrap).encode()
        remote.send(b"%d\n%b%b\n" % (len(source), source, json.dumps({"files": files}).encode()))
        remote.wait_for("ready")
        tell(f"sending {bundle.megabytes:.1f} MB to {host.host}")
        remote.doing = "sending"
        for chunk in bundle.chunks():
            remote.send(chunk)
        remote.wait_for("ready")
        remote.doing = "measuring"
        remote.send(json.dumps(bundle.plan.to_dict()).encode() + b"\n")
        try:
            measured = Measured.from_dict(remote.wait_for("measured", tell))
        except OsteoliteError as error:
            raise type(error)(bundle.named_here(str(error))) from error
    for case in measured.cases:
        case.error = bundle.named_here(case.error)
    measured.left_out = {what: bundle.named_here(why) for what, why in measured.left_out.items()}
    measured.device = host.name()
    measured.conditions["osteolite"] = installed("osteolite")  # the version that was sent
    return measured


def _host(name: str) -> Host:
    found = _NAME.fullmatch(name)
    if not found or not 0 < int(found["port"] or 22) < 65536:
        shown = re.sub(r":[^/@]*@", "@", name)
        raise UsageError(f"--device {shown}: give {DEVICES['ssh'][1]}, with a port from 1 to 65535")
    return Host(found["host"].strip("[]"), found["user"] or "", found["port"] or "")


def _command_of_python() -> str:
    """The command that starts Python, quoted for the other machine's shell."""
    value = os.environ.get(PYTHON, "")
    try:
        words = shlex.split(value) or ["python3"]
    except ValueError as error:
        raise UsageError(f"{PYTHON}={value}: {error}; give a command in the syntax of a shell") from error
    return " ".join(f"~/{shlex.quote(word[2:])}" if word.startswith("~/") else shlex.quote(word) for word in words)


class _Connection:
    """A Python process on the other machine. ssh always ends with the block."""

    def __init__(self, host: Host, python: str) -> None:
        self.doing = "preparing"
        self._host, self._python, self._met, self._done = host, python, False, False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - a file never fills up, and `__exit__` closes it
        options = [word for name, value in _OPTIONS.items() for word in ("-o", f"{name}={value}")]
        command = ["ssh", *options, *host.arguments(), f"{python} -c {_START}"]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
            )
        except OSError as error:
            self._errors.close()
            raise UsageError(f"cannot run ssh here ({error.strerror}); install OpenSSH's client") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._close()
        self._errors.close()

    def greet(self) -> None:
        """Wait for Python's version, and check it."""
        version: Any = None
        while not (isinstance(version, list) and len(version) == 3):
            version = self._read()
        self._met = True
        if version < _OLDEST:
            raise DeviceError(
                f"{self._host.host}: {self._python} is Python {'.'.join(map(str, version))}, 3.11 or newer is needed; "
                f"install one there, or set {PYTHON} to its command"
            )

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError:
            self.wait_for("")  # the other side ended, and may have reported why

    def wait_for(self, word: str, tell: Progress | None = None) -> Any:
        """Wait for the message with the key `word`, and return its value. Progress before it goes to `tell`.

        Raises:
            UsageError: the other side refuses the plan.
            DeviceError: the other side failed or ended.
        """
        while True:
            message = self._read()
            if not isinstance(message, dict):
                continue
            if "error" in message:
                self._done = True
                kind = UsageError if message.get("exit_code") == UsageError.exit_code else DeviceError
                raise kind(f"{self._host.host}: {_plain(str(message['error']))}")
            if word in message:
                self._done = word == "measured"
                return message[word]
            if tell and "telling" in message:
                tell(_plain(str(message["telling"])))

    def _read(self) -> Any:
        """The next line of JSON. Other lines, as printed by the other side's shell at its start, are skipped."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            with suppress(ValueError):
                return json.loads(line)
        raise self._lost()

    def _lost(self) -> DeviceError:
        self._done = True
        code = self._close()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        said = _plain(next((line for line in reversed(lines) if line.strip()), f"ssh ended with code {code}"))
        host = self._host.host
        by_ssh = code == 255 or code < 0
        if self._met and by_ssh:
            return DeviceError(
                f"the connection to {host} was lost while {self.doing} ({said}); its files are removed when its sshd "
                "notices; run the benchmark again"
            )
        if self._met:
            return DeviceError(
                f"{host}: Python ended with code {code} while {self.doing} ({said}); run the benchmark again"
            )
        if by_ssh:
            tried = shlex.join(["ssh", *(word for word in self._host.arguments() if word != "--"), "true"])
            return DeviceError(f"{host} cannot be reached ({said}); `{tried}` must work without a prompt")
        return DeviceError(
            f"{host}: cannot start {self._python} there ({said}); install Python 3.11 or newer, or set {PYTHON} to its "
            "command"
        )

    def _close(self) -> int:
        """End ssh, which also ends the processes on the other side. Returns ssh's exit code."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        if not self._done:
            process.terminate()
        try:
            with suppress(OSError):
                process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
        finally:
            process.kill()
            code = process.wait()
            process.stdout.close()
        return code


def _plain(text: str) -> str:
    """Text as one line without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
