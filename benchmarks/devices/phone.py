"""An Android phone at the end of `adb`: its commands, a folder of ours on it, and what it is like.

The phone's shell gets one string, so that whatever stands in it is quoted. How a command ended is printed
behind its output: phones before Android 7 do not tell, and a pulled cable ends `adb shell` like a success.
What a phone does not tell is None.
"""

import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from osteolite.edge.errors import DeviceError, UsageError

FOLDER = "/data/local/tmp"  # where Android lets the shell's user write and execute

_PREFIX = f"{FOLDER}/osteolite-bench-"
_END = "osteolite-ended-with:"
_SECONDS = 60  # for what takes moments
_SECONDS_PUSH = 600
_STALE = 3600  # seconds; a younger folder may be another run's
_PROPERTIES = (
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.product.cpu.abi",
    "ro.build.version.release",
    "ro.build.version.sdk",
)
_SUPPLIES = re.compile(r"^\s*(?:AC|USB|Wireless|Dock) powered: (true|false)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Phone:
    """A phone by its serial number, as `adb devices` lists it."""

    serial: str

    def shell(self, command: str, seconds: float = _SECONDS) -> tuple[int, str]:
        """Run a command of the phone's shell; how it ended, and all that it printed.

        Raises:
            DeviceError: the phone is gone, or does not answer.
        """
        answer = self._adb("shell", f"{{ {command}\n}} 2>&1; echo {_END}$?", seconds=seconds)
        output, _, code = answer.stdout.rpartition(_END)
        if not code.strip().isdecimal():
            raise DeviceError(self._lost(answer.stderr or answer.stdout))
        return int(code), output

    def told(self, command: str) -> str | None:
        """What a command prints, or None where it fails or prints nothing."""
        code, output = self.shell(command)
        return output.strip() or None if code == 0 else None

    def push(self, local: str, remote: str) -> None:
        """Copy a file to the phone.

        Raises:
            DeviceError: the phone is gone, or its storage is full.
        """
        answer = self._adb("push", str(Path(local).resolve()), remote, seconds=_SECONDS_PUSH)
        if answer.returncode == 0:
            return
        said = answer.stdout + answer.stderr
        if "No space left on device" in said:
            free = self.told(f"df -h {FOLDER} | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4")
            raise DeviceError(
                f"{self.serial}: the phone's storage is full, {free or 'too little'} is free; "
                f"{local} has {Path(local).stat().st_size / 1e6:.1f} MB: make room and run again"
            )
        raise DeviceError(self._lost(said))

    def _adb(self, *arguments: str, seconds: float) -> "subprocess.CompletedProcess[str]":
        try:
            return _adb("-s", self.serial, *arguments, seconds=seconds)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"{self.serial}: no answer within {seconds:.0f} s; is its screen locked, or its cable loose?"
            ) from error

    def _lost(self, said: str) -> str:
        lines = [line.strip() for line in said.splitlines() if "error" in line]
        return (
            f"{self.serial}: the connection to the phone was lost ({lines[-1] if lines else 'it just ended'}); "
            "plug it in and run again (what is left on it is removed by the first run an hour later)"
        )


def _adb(*arguments: str, seconds: float) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["adb", *arguments],  # noqa: S607 - found through the user's PATH
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except OSError as error:
        raise UsageError(
            f"adb cannot be started ({error.strerror}); install Android's platform-tools (on Debian: apt install adb)"
        ) from error


def find_phone(serial: str) -> Phone:
    """The phone of that serial number, or with "" the only one.

    Raises:
        UsageError: no adb, or several phones to choose from.
        DeviceError: no such phone, or it does not let this computer in.
    """
    try:
        listed = _adb("devices", seconds=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DeviceError("adb does not answer; run `adb kill-server` and try again") from error
    if listed.returncode != 0:
        raise DeviceError(f"adb cannot list the phones ({listed.stderr.strip().rpartition(chr(10))[2]})")
    states = dict(re.findall(r"^(\S+)\t(.+?)\s*$", listed.stdout, re.MULTILINE))
    names = ", ".join(f"{name} ({state})" for name, state in states.items())
    if not states:
        raise DeviceError("no phone: connect one with USB debugging switched on, or by `adb connect HOST:PORT`")
    if serial and serial not in states:
        raise DeviceError(f"no phone {serial}: give one of {names}, or connect it")
    if not serial and len(states) > 1:
        raise UsageError(f"several phones: {names}; name one, as in adb:{next(iter(states))}")
    chosen = serial or next(iter(states))
    if states[chosen].startswith("unauthorized"):
        raise DeviceError(f"{chosen}: the phone does not trust this computer; unlock it and accept its dialog")
    if states[chosen] != "device":
        raise DeviceError(f"{chosen}: the phone is {states[chosen]}; unplug it, plug it in again, and unlock it")
    return Phone(chosen)


@contextmanager
def folder_on(phone: Phone) -> Iterator[str]:
    """A new folder on the phone, which is removed at the end; also what lost connections left an hour ago.

    Raises:
        DeviceError: the phone is gone, or its storage is full.
    """
    phone.shell(
        f"now=$(date +%s); for old in {_PREFIX}*; do "
        f'[ -d "$old" ] && [ $((now - $(stat -c %Y "$old"))) -gt {_STALE} ] && rm -rf "$old"; done'
    )
    folder = f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        code, said = phone.shell(f"mkdir {folder}")
        if code != 0:
            raise DeviceError(f"{phone.serial}: no folder can be made in {FOLDER} ({said.strip()}); make room there")
        yield folder
    finally:
        with suppress(DeviceError):  # without a connection the next run removes it
            phone.shell(f"rm -rf {folder}")


def machine(phone: Phone) -> dict[str, Any]:
    """What the phone is: "machine", "architecture", "cores", "system", "load_average"."""
    said = phone.told(f'for name in {" ".join(_PROPERTIES)}; do echo "$name=$(getprop $name)"; done')
    told = dict(re.findall(r"^([\w.]+)=(.+)$", said or "", re.MULTILINE))
    maker, model, abi, release, sdk = (told.get(name) for name in _PROPERTIES)
    cores = re.findall(r"^processor\s*:", phone.told("cat /proc/cpuinfo") or "", re.MULTILINE)
    load = re.match(r"([\d.]+) ([\d.]+) ([\d.]+) ", phone.told("cat /proc/loadavg") or "")
    return {
        "machine": " ".join(name for name in (maker, model) if name) or None,
        "architecture": abi,
        "cores": len(cores) or None,
        "system": f"Android {release}{f' (SDK {sdk})' if sdk else ''}" if release else None,
        "load_average": [float(value) for value in load.groups()] if load else None,
    }


def state(phone: Phone) -> dict[str, Any]:
    """Clocks, heat and power at this moment, with the keys of `conditions.state`.

    "temperature_c" is that of the hottest zone of the processor where Android lets it be read, else the battery's.
    """
    cpu = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq"
    clocks = re.findall(r"^\d+$", phone.told(f"cat {cpu}/scaling_cur_freq 2>/dev/null; true") or "", re.MULTILINE)
    battery = phone.told("dumpsys battery") or ""
    powered = _SUPPLIES.findall(battery)
    heat = re.search(r"^\s*temperature: (\d+)", battery, re.MULTILINE)
    thermal = re.search(r"Thermal Status: (\d+)", phone.told("dumpsys thermalservice") or "")
    throttled = [f"thermal status {thermal[1]}"] if thermal and int(thermal[1]) else []
    return {
        "governor": phone.told("cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "frequency_mhz": round(sum(map(int, clocks)) / len(clocks) / 1e3) if clocks else None,
        "temperature_c": _processor_heat(phone) or (int(heat[1]) / 10 if heat else None),
        "throttled": throttled if thermal else None,
        "throttle_count": None,
        "on_battery": "true" not in powered if powered else None,
    }


def _processor_heat(phone: Phone) -> float | None:
    """The hottest of the zones named for processors; some makers give degrees, some thousandths of them."""
    zones = phone.told(
        "for zone in /sys/class/thermal/thermal_zone*; "
        'do echo "$(cat "$zone/type") $(cat "$zone/temp")"; done 2>/dev/null; true'
    )
    found = [int(value) for value in re.findall(r"^\S*cpu\S* (\d{1,6})$", zones or "", re.MULTILINE | re.IGNORECASE)]
    degrees = [value / 1e3 if value > 1000 else float(value) for value in found]
    return max((round(value, 1) for value in degrees if 0 < value < 150), default=None)


def quoted(*words: str) -> str:
    """Words as the phone's shell takes them."""
    return " ".join(map(quote, words))
