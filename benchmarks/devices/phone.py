"""An Android phone behind `adb`: its shell, a temporary folder on it, and its state.

The phone's shell gets one string, so every argument must be quoted. Each command also prints its own exit code, because
phones before Android 7 do not return it, and because a pulled cable ends `adb shell` like a success. Values that a
phone does not report are None.
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

FOLDER = "/data/local/tmp"  # the shell's user may write and execute here

_PREFIX = f"{FOLDER}/osteolite-bench-"
_END = "osteolite-ended-with:"
_SECONDS = 60  # time limit of a short command
_SECONDS_PUSH = 600  # time limit of copying a file
_STALE = 3600  # seconds; a younger folder may belong to another run
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
    """A phone with the serial number that `adb devices` lists."""

    serial: str

    def shell(self, command: str, seconds: float = _SECONDS) -> tuple[int, str]:
        """Run a command in the phone's shell; its exit code and its output.

        Raises:
            DeviceError: the phone is gone or does not answer.
        """
        answer = self._adb("shell", f"{{ {command}\n}} 2>&1; echo {_END}$?", seconds=seconds)
        output, _, code = answer.stdout.rpartition(_END)
        if not code.strip().isdecimal():
            raise DeviceError(self._lost(answer.stderr or answer.stdout))
        return int(code), output

    def output_of(self, command: str) -> str | None:
        """The output of a command; None if it fails or prints nothing."""
        code, output = self.shell(command)
        return output.strip() or None if code == 0 else None

    def push(self, local: str, remote: str) -> None:
        """Copy a file to the phone.

        Raises:
            DeviceError: the phone is gone or its storage is full.
        """
        answer = self._adb("push", str(Path(local).resolve()), remote, seconds=_SECONDS_PUSH)
        if answer.returncode == 0:
            return
        said = answer.stdout + answer.stderr
        if "No space left on device" in said:
            free = self.output_of(f"df -h {FOLDER} | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4")
            raise DeviceError(
                f"{self.serial}: the phone's storage is full, {free or 'too little'} is free; "
                f"{local} has {Path(local).stat().st_size / 1e6:.1f} MB: free some space and run again"
            )
        raise DeviceError(self._lost(said))

    def _adb(self, *arguments: str, seconds: float) -> "subprocess.CompletedProcess[str]":
        try:
            return _adb("-s", self.serial, *arguments, seconds=seconds)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"{self.serial}: no answer within {seconds:.0f} s; unlock its screen and check its cable"
            ) from error

    def _lost(self, said: str) -> str:
        lines = [line.strip() for line in said.splitlines() if "error" in line]
        return (
            f"{self.serial}: the connection to the phone was lost ({lines[-1] if lines else 'it just ended'}); "
            "connect it and run again (files left on it are removed by the first run after an hour)"
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
    """Find the phone with a serial number; with "", the only connected phone.

    Raises:
        UsageError: adb is missing, or there are several phones to choose from.
        DeviceError: there is no such phone, or it does not accept this computer.
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
        raise DeviceError("no phone: connect one with USB debugging enabled, or with `adb connect HOST:PORT`")
    if serial and serial not in states:
        raise DeviceError(f"no phone {serial}: give one of {names}, or connect it")
    if not serial and len(states) > 1:
        raise UsageError(f"several phones: {names}; choose one, for example --device adb:{next(iter(states))}")
    chosen = serial or next(iter(states))
    if states[chosen].startswith("unauthorized"):
        raise DeviceError(f"{chosen}: the phone does not trust this computer; unlock it and accept its dialog")
    if states[chosen] != "device":
        raise DeviceError(f"{chosen}: the phone is {states[chosen]}; unplug it, plug it in again, and unlock it")
    return Phone(chosen)


@contextmanager
def folder_on(phone: Phone) -> Iterator[str]:
    """Make a folder on the phone and remove it at the end. Folders that were left over an hour ago are removed too.

    Raises:
        DeviceError: the phone is gone or its storage is full.
    """
    phone.shell(
        f"now=$(date +%s); for old in {_PREFIX}*; do "
        f'[ -d "$old" ] && [ $((now - $(stat -c %Y "$old"))) -gt {_STALE} ] && rm -rf "$old"; done'
    )
    folder = f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        code, printed = phone.shell(f"mkdir {folder}")
        if code != 0:
            raise DeviceError(
                f"{phone.serial}: cannot create a folder in {FOLDER} ({printed.strip()}); free some space there"
            )
        yield folder
    finally:
        with suppress(DeviceError):  # without a connection a later run removes it
            phone.shell(f"rm -rf {folder}")


def machine(phone: Phone) -> dict[str, Any]:
    """The phone's properties: "machine", "architecture", "cores", "system", "load_average"."""
    output = phone.output_of(f'for name in {" ".join(_PROPERTIES)}; do echo "$name=$(getprop $name)"; done')
    properties = dict(re.findall(r"^([\w.]+)=(.+)$", output or "", re.MULTILINE))
    maker, model, abi, release, sdk = (properties.get(name) for name in _PROPERTIES)
    cores = re.findall(r"^processor\s*:", phone.output_of("cat /proc/cpuinfo") or "", re.MULTILINE)
    load = re.match(r"([\d.]+) ([\d.]+) ([\d.]+) ", phone.output_of("cat /proc/loadavg") or "")
    return {
        "machine": " ".join(name for name in (maker, model) if name) or None,
        "architecture": abi,
        "cores": len(cores) or None,
        "system": f"Android {release}{f' (SDK {sdk})' if sdk else ''}" if release else None,
        "load_average": [float(value) for value in load.groups()] if load else None,
    }


def state(phone: Phone) -> dict[str, Any]:
    """Clock, temperature and power at this moment, with the keys of `conditions.state`.

    "temperature_c" is that of the CPU's hottest zone if Android lets it be read, else the battery's.
    """
    cpu = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq"
    clocks = re.findall(r"^\d+$", phone.output_of(f"cat {cpu}/scaling_cur_freq 2>/dev/null; true") or "", re.MULTILINE)
    battery = phone.output_of("dumpsys battery") or ""
    powered = _SUPPLIES.findall(battery)
    heat = re.search(r"^\s*temperature: (\d+)", battery, re.MULTILINE)
    thermal = re.search(r"Thermal Status: (\d+)", phone.output_of("dumpsys thermalservice") or "")
    throttled = [f"thermal status {thermal[1]}"] if thermal and int(thermal[1]) else []
    return {
        "governor": phone.output_of("cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "frequency_mhz": round(sum(map(int, clocks)) / len(clocks) / 1e3) if clocks else None,
        "temperature_c": _cpu_temperature(phone) or (int(heat[1]) / 10 if heat else None),
        "throttled": throttled if thermal else None,
        "throttle_count": None,
        "on_battery": "true" not in powered if powered else None,
    }


def _cpu_temperature(phone: Phone) -> float | None:
    """The hottest of the zones named after CPUs. Some makers report degrees, some thousandths of a degree."""
    zones = phone.output_of(
        "for zone in /sys/class/thermal/thermal_zone*; "
        'do echo "$(cat "$zone/type") $(cat "$zone/temp")"; done 2>/dev/null; true'
    )
    found = [int(value) for value in re.findall(r"^\S*cpu\S* (\d{1,6})$", zones or "", re.MULTILINE | re.IGNORECASE)]
    degrees = [value / 1e3 if value > 1000 else float(value) for value in found]
    return max((round(value, 1) for value in degrees if 0 < value < 150), default=None)


def quoted(*words: str) -> str:
    """Quote words for the phone's shell."""
    return " ".join(map(quote, words))
