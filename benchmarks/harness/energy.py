"""The energy that a device reports: RAPL on Intel and AMD CPUs, the power chip on a Raspberry Pi 5.

Sources: the kernel's powercap documentation (energy_uj, max_energy_range_uj), and `vcgencmd pmic_read_adc`, which
prints the current and voltage of each rail. Their products exclude the losses of the regulators. The energy is that of
the whole CPU or board, not of one process.
"""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

_RAIL = re.compile(r"(\w+?)_(A|V) (?:current|volt)\(\d+\)=([\d.]+)[AV]")
_EVERY = 0.1  # seconds between readings of the power chip

Joules = Callable[[Callable[[], object]], float]  # runs an action and returns the joules that were used meanwhile


def energy_meter(root: Path = Path("/")) -> Joules | None:
    """An energy meter for this device; None where there is none, or this user may not read it."""
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
    packages = [zone for zone in zones if zone.name.count(":") == 1]  # names with two colons are parts of these
    if packages and all(_readable(package) for package in packages):
        return lambda action: _rapl(packages, action)
    tool = shutil.which("vcgencmd")
    if tool and _watts(tool) is not None:
        return lambda action: _sampled(tool, action)
    return None


def _readable(package: Path) -> bool:
    try:
        return _microjoules(package) >= 0
    except (OSError, ValueError):
        return False


def _microjoules(package: Path, name: str = "energy_uj") -> int:
    return int((package / name).read_text())


def _rapl(packages: list[Path], action: Callable[[], object]) -> float:
    before = [_microjoules(package) for package in packages]
    action()
    used = 0
    for package, first in zip(packages, before, strict=True):
        last = _microjoules(package)
        used += last - first if last >= first else last - first + _microjoules(package, "max_energy_range_uj")
    return used / 1e6


def _sampled(tool: str, action: Callable[[], object]) -> float:
    """The mean power while the action runs, times its duration."""
    watts: list[float] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(_EVERY):
            if (power := _watts(tool)) is not None:
                watts.append(power)

    sampler = threading.Thread(target=sample)
    sampler.start()
    start = time.monotonic()
    try:
        action()
    finally:
        seconds = time.monotonic() - start
        over.set()
        sampler.join()
    return seconds * sum(watts) / len(watts) if watts else 0.0


def _watts(tool: str) -> float | None:
    """The total power of all rails that report both current and voltage."""
    said = subprocess.run([tool, "pmic_read_adc"], capture_output=True, text=True, timeout=10, check=False).stdout
    rails: dict[str, dict[str, float]] = {}
    for rail, kind, value in _RAIL.findall(said):
        rails.setdefault(rail, {})[kind] = float(value)
    known = [rail["A"] * rail["V"] for rail in rails.values() if len(rail) == 2]
    return sum(known) if known else None
