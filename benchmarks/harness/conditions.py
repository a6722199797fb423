"""The state of a machine while it is measured: clock, temperature, throttling, and CPU use by other programs.

Sources: Linux's sysfs and procfs (kernel documentation: cpufreq, thermal, power_supply, proc.rst), and on a
Raspberry Pi `vcgencmd get_throttled` (Raspberry Pi documentation, vcgencmd). Values that a machine does not report
are None.
"""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osteolite.edge.machine import conditions, installed

_PI_BITS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
_SINCE_BOOT = 16  # the same conditions since boot, shifted up by this many bits
_PI_SYSFS = "sys/devices/platform/soc/soc:firmware/get_throttled"
_RUNTIMES = ("ai-edge-litert", "tflite-runtime", "mediapipe", "onnxruntime", "openvino", "tensorflow")
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

ROOT = Path("/")
_SUM = 50_000  # additions


def machine() -> dict[str, Any]:
    """Machine, system, versions of the runtimes, and the load average of the last 1, 5 and 15 minutes."""
    versions = {package: found for package in _RUNTIMES if (found := installed(package))}
    load = [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return {**conditions(), **versions, "load_average": load}


def state(root: Path = ROOT) -> dict[str, Any]:
    """Clock, temperature and power at this moment.

    Returns:
        "governor": of the first core. "frequency_mhz": mean over the cores. "temperature_c": of the hottest zone.
        "throttled": the board's reports of low voltage and heat, "... since boot" for past ones.
        "throttle_count": how often CPU cores were slowed down by heat since boot. "on_battery".
    """
    cores = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*"))
    clocks = [value for core in cores if (value := _number(core / "cpufreq/scaling_cur_freq")) is not None]
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    heat = [value / 1e3 for zone in zones if (value := _number(zone)) is not None]
    counts = [value for core in cores if (value := _number(core / "thermal_throttle/core_throttle_count")) is not None]
    return {
        "governor": _text(cores[0] / "cpufreq/scaling_governor") if cores else None,
        "frequency_mhz": round(sum(clocks) / len(clocks) / 1e3) if clocks else None,
        "temperature_c": round(max(heat), 1) if heat else None,
        "throttled": _throttled(root),
        "throttle_count": round(sum(counts)) if counts else None,
        "on_battery": _on_battery(root),
    }


def yardstick() -> float:
    """Time a fixed sum, in milliseconds: on a shared machine this tells a slow hour from a slow network."""
    start, total = time.perf_counter(), 0.0
    for number in range(_SUM):
        total += 0.5 * number
    return 1e3 * (time.perf_counter() - start)


def words_of(bits: int) -> list[str]:
    """Translate the bits of `get_throttled`.

    >>> words_of(0x50005)
    ['under-voltage', 'throttled', 'under-voltage since boot', 'throttled since boot']
    """
    now = [word for bit, word in _PI_BITS.items() if bits >> bit & 1]
    return now + [f"{word} since boot" for bit, word in _PI_BITS.items() if bits >> (bit + _SINCE_BOOT) & 1]


def _throttled(root: Path) -> list[str] | None:
    said = _text(root / _PI_SYSFS)
    if said is None and root == ROOT and (tool := shutil.which("vcgencmd")):
        answer = subprocess.run([tool, "get_throttled"], capture_output=True, text=True, timeout=10, check=False)
        said = answer.stdout.strip().rpartition("=")[2]
    try:
        return None if not said else words_of(int(said, 16))
    except ValueError:
        return None


def _on_battery(root: Path) -> bool | None:
    supplies = root / "sys/class/power_supply"
    online = [value for supply in supplies.glob("*/online") if (value := _number(supply)) is not None]
    if online:
        return not any(online)
    return True if _text_of_first(supplies, "*/status") == "Discharging" else None


def _text_of_first(folder: Path, pattern: str) -> str | None:
    return next((_text(path) for path in sorted(folder.glob(pattern))), None)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> float | None:
    try:
        return float(_text(path) or "")
    except ValueError:
        return None


@dataclass(frozen=True)
class CpuTime:
    """CPU seconds since boot, summed over all cores: busy, stolen by the hypervisor, and total."""

    busy: float
    stolen: float
    total: float

    @classmethod
    def now(cls, root: Path = ROOT) -> "CpuTime | None":
        """The current values; None where the system does not report them."""
        line = (_text(root / "proc/stat") or "").partition("\n")[0].split()
        if line[:1] != ["cpu"] or len(line) < 9:
            return None
        user, nice, system, idle, waiting, interrupts, soft, stolen = (int(ticks) / _TICKS for ticks in line[1:9])
        busy = user + nice + system + interrupts + soft
        return cls(busy, stolen, busy + idle + waiting + stolen)


def available_mb(root: Path = ROOT) -> float | None:
    """Memory available to new processes, in MiB."""
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return None
