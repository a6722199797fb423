"""A stand-in phone with properties, and measuring on it."""

import subprocess
from pathlib import Path
from shlex import quote

from osteolite.benchmarks.devices.adb import measure
from osteolite.benchmarks.harness.records import Case, Measured, Plan

from .adbd import Phone

RECORDED = Path(__file__).parents[2] / "recorded"
BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: {}
  Wireless powered: false
  status: 2
  level: 84
  temperature: 326
  technology: Li-ion"""
PROPERTIES = {
    "ro.product.manufacturer": "Acme",
    "ro.product.model": "Phone 5",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
}


def adb(*arguments: str) -> str:
    """Run the adb client; its output."""
    done = subprocess.run(["adb", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def furnish(phone: Phone) -> Phone:
    cases = "\n".join(f"{name}) echo {quote(value)} ;;" for name, value in PROPERTIES.items())
    phone.install("getprop", f'case "$1" in\n{cases}\nesac')
    phone.install("dumpsys", f'case "$1" in\nbattery) echo "{BATTERY.format("true")}" ;;\nesac')
    cpuinfo = "".join(f"processor\t: {core}\nBogoMIPS\t: 38.40\n\n" for core in range(8))
    (phone.root / "proc/cpuinfo").write_text(cpuinfo)
    (phone.root / "proc/loadavg").write_text("1.25 0.75 0.50 2/3456 7890\n")
    for core, clock in enumerate((1_800_000, 2_400_000)):
        folder = phone.root / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text("schedutil\n")
        (folder / "scaling_cur_freq").write_text(f"{clock}\n")
    return phone


def printing(what: str) -> str:
    path = RECORDED / f"{what}.txt"
    return f"cat {quote(str(path))}" if path.is_file() else what


def run(phone: Phone, *files: Path, messages: list[str] | None = None, **plan: object) -> Measured:
    values: dict[str, object] = {"files": tuple(map(str, files)), "launches": 2, "threads": (1, 4), **plan}
    return measure(Plan.from_dict(values), f"adb:{phone.serial}", (messages if messages is not None else []).append)


def quiet(step: str) -> None:
    """Ignore progress."""


def case(measured: Measured, requested: str, threads: int = 4) -> Case:
    return next(one for one in measured.cases if (one.requested, one.threads) == (requested, threads))


def left_on(phone: Phone) -> list[str]:
    return sorted(path.name for path in phone.storage.iterdir())
