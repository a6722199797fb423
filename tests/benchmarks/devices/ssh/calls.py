"""Measuring in the tests of ssh, and checks of what is left afterwards."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from osteolite.benchmarks.devices import ssh
from osteolite.benchmarks.harness.records import Plan
from osteolite.edge.errors import DeviceError

from .processes import children, processes_with

PATIENCE = 30.0  # seconds for what ends by itself


def plan_of(*files: Path, **values: Any) -> Plan:
    """A plan with one thread and one launch by default."""
    return Plan(tuple(map(str, files)), **{"threads": (1,), "launches": 1, **values})


def quiet(_: str) -> None:
    """Ignore progress."""


def refused(plan: Plan, name: str, kind: type[Exception] = DeviceError) -> str:
    """The error of a measurement, which must be one line."""
    with pytest.raises(kind) as caught:
        ssh.measure(plan, name, quiet)
    message = str(caught.value)
    assert message.isprintable()
    assert not ssh_clients()
    return message


def gone(there: Path) -> bool:
    """Wait until no file or process of a benchmark is left on the other machine."""
    end = time.monotonic() + PATIENCE
    while any(there.iterdir()) or processes_with(f"PYTHONPATH={there}/osteolite-"):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def ssh_clients() -> list[int]:
    """Running ssh clients that this process started."""
    return [pid for pid in children(os.getpid()) if b"BatchMode" in Path(f"/proc/{pid}/cmdline").read_bytes()]
