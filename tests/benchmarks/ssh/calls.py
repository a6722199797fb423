"""How the tests of ssh measure, and what may be left of it."""

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
    """One thread and one launch, unless they are given."""
    return Plan(tuple(map(str, files)), **{"threads": (1,), "launches": 1, **values})


def quiet(_: str) -> None:
    """For who is told nothing."""


def refused(plan: Plan, name: str, kind: type[Exception] = DeviceError) -> str:
    """What a measurement fails with: one line."""
    with pytest.raises(kind) as caught:
        ssh.measure(plan, name, quiet)
    message = str(caught.value)
    assert message.isprintable()
    assert not ssh_clients()
    return message


def gone(there: Path) -> bool:
    """No file of a benchmark and no process of one is left there, at once or soon."""
    end = time.monotonic() + PATIENCE
    while any(there.iterdir()) or processes_with(f"PYTHONPATH={there}/osteolite-"):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def ssh_clients() -> list[int]:
    """Clients that this process started and that live."""
    return [pid for pid in children(os.getpid()) if b"BatchMode" in Path(f"/proc/{pid}/cmdline").read_bytes()]
