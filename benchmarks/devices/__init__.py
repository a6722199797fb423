"""Where a benchmark runs: this machine, another one by ssh, an Android phone by adb, or a browser."""

from collections.abc import Callable
from importlib import import_module

from osteolite.edge.errors import UsageError

from ..harness.records import Measured, Plan

Progress = Callable[[str], None]  # receives the current step as a short text
Device = Callable[[Plan, str, Progress], Measured]  # takes the plan, the device's name, and the progress callback

# By the first part of a device's name: the module with its `measure`, and the form of the name.
DEVICES = {
    "local": ("local", "local"),
    "ssh": ("ssh", "ssh://[USER@]HOST[:PORT]"),
    "adb": ("adb", "adb[:SERIAL]"),
    "browser": ("browser", "browser"),
}


def device(name: str) -> Device:
    """The function that measures a plan on a device.

    Raises:
        UsageError: an unknown device.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise UsageError(f"--device {name}: give one of {', '.join(form for _, form in DEVICES.values())}")
    measure: Device = import_module(f"{__name__}.{DEVICES[kind][0]}").measure
    return measure
