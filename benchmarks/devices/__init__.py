"""Where a benchmark runs: this machine, another one by ssh, an Android phone by adb, or a browser."""

from collections.abc import Callable
from importlib import import_module

from osteolite.edge.errors import UsageError

from ..harness.records import Measured, Plan

Progress = Callable[[str], None]  # told what is being done, in a few words
Device = Callable[[Plan, str, Progress], Measured]  # the plan, the device as it was asked for, and whom to tell

# What begins the name of a device: the module whose `measure` knows it, and how its names look.
DEVICES = {
    "local": ("local", "local"),
    "ssh": ("ssh", "ssh://[USER@]HOST[:PORT]"),
    "adb": ("adb", "adb[:SERIAL]"),
    "browser": ("browser", "browser"),
}


def device(name: str) -> Device:
    """What measures a plan on that device.

    Raises:
        UsageError: no such device.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise UsageError(f"--device {name}: give one of {', '.join(form for _, form in DEVICES.values())}")
    measure: Device = import_module(f"{__name__}.{DEVICES[kind][0]}").measure
    return measure
