"""Clocks, temperature, power and energy, read from folders like those of real machines."""

import os
import sys
import time
from pathlib import Path

import pytest

from osteolite.benchmarks.harness.conditions import CpuTime, available_mb, machine, state, words_of
from osteolite.benchmarks.harness.energy import energy_meter

CPU = "sys/devices/system/cpu"


def board(root: Path, **more: str) -> Path:
    """Write the files in which a Raspberry Pi's kernel reports its state."""
    for core in range(4):
        clock = root / CPU / f"cpu{core}" / "cpufreq"
        clock.mkdir(parents=True)
        (clock / "scaling_cur_freq").write_text("1800000\n" if core else "600000\n")
        (clock / "scaling_governor").write_text("ondemand\n")
    zone = root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("48312\n")
    firmware = root / "sys/devices/platform/soc/soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text(more.get("throttled", "0") + "\n")
    return root


def test_the_state_of_a_board_is_read(tmp_path: Path) -> None:
    assert state(board(tmp_path, throttled="50005")) == {
        "governor": "ondemand",
        "frequency_mhz": 1500,
        "temperature_c": 48.3,
        "throttled": ["under-voltage", "throttled", "under-voltage since boot", "throttled since boot"],
        "throttle_count": None,
        "on_battery": None,
    }


def test_values_that_a_machine_does_not_report_are_none(tmp_path: Path) -> None:
    assert set(state(tmp_path).values()) == {None}
    assert CpuTime.now(tmp_path) is None
    assert available_mb(tmp_path) is None


def test_the_state_of_this_machine_is_read() -> None:
    assert set(state()) == {"governor", "frequency_mhz", "temperature_c", "throttled", "throttle_count", "on_battery"}
    assert machine()["cores"] == os.cpu_count()


@pytest.mark.parametrize(
    ("bits", "words"), [(0, []), (0x2, ["clock capped"]), (0x80000, ["soft temperature limit since boot"])]
)
def test_the_firmwares_bits_are_translated(bits: int, words: list[str]) -> None:
    assert words_of(bits) == words


@pytest.mark.parametrize(
    ("supplies", "on_battery"),
    [({"AC/online": "1"}, False), ({"AC/online": "0"}, True), ({"BAT0/status": "Discharging"}, True), ({}, None)],
)
def test_battery_power_is_detected(tmp_path: Path, supplies: dict[str, str], on_battery: bool | None) -> None:
    for name, content in supplies.items():
        path = tmp_path / "sys/class/power_supply" / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
    assert state(tmp_path)["on_battery"] is on_battery


def test_slowdowns_by_heat_are_counted(tmp_path: Path) -> None:
    for core in range(2):
        counter = tmp_path / CPU / f"cpu{core}" / "thermal_throttle" / "core_throttle_count"
        counter.parent.mkdir(parents=True)
        counter.write_text("21\n")
    assert state(tmp_path)["throttle_count"] == 42


def test_cpu_time_is_read(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "stat").write_text("cpu  100 200 300 4000 50 60 70 80 5 0\ncpu0 1 2 3\n")
    found = CpuTime.now(tmp_path)
    assert found is not None
    ticks = os.sysconf("SC_CLK_TCK")
    assert (found.busy * ticks, found.stolen * ticks, found.total * ticks) == pytest.approx((730, 80, 4860))


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc/stat")
def test_cpu_time_grows_with_work() -> None:
    before = CpuTime.now()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    after = CpuTime.now()
    assert before is not None
    assert after is not None
    assert after.busy - before.busy >= 0.25


def rapl(root: Path, microjoules: int) -> Path:
    package = root / "sys/class/powercap/intel-rapl:0"
    package.mkdir(parents=True, exist_ok=True)
    (package / "energy_uj").write_text(f"{microjoules}\n")
    (package / "max_energy_range_uj").write_text("1000000\n")
    part = root / "sys/class/powercap/intel-rapl:0:0"
    part.mkdir(exist_ok=True)
    (part / "energy_uj").write_text("7\n")
    return root


@pytest.mark.parametrize(("first", "last", "joules"), [(100_000, 350_000, 0.25), (900_000, 100_000, 0.2)])
def test_energy_counter_of_a_cpu_wraps_around(tmp_path: Path, first: int, last: int, joules: float) -> None:
    meter = energy_meter(rapl(tmp_path, first))
    assert meter is not None
    assert meter(lambda: rapl(tmp_path, last)) == pytest.approx(joules)


def test_energy_of_a_board_is_read_from_its_power_chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 A at 0.8 V and 1 A at 1.1 V are 3.5 W; a rail without a voltage does not count."""
    said = "3V7_WL_SW_A current(0)=0.1A\\nVDD_CORE_A current(7)=3.0A\\nDDR_VDD2_A current(5)=1.0A"
    said += "\\nVDD_CORE_V volt(15)=0.8V\\nDDR_VDD2_V volt(13)=1.1V\\n"
    tool = tmp_path / "vcgencmd"
    tool.write_text(f"#!/bin/sh\nprintf '{said}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    meter = energy_meter(tmp_path)
    assert meter is not None
    start = time.monotonic()
    joules = meter(lambda: time.sleep(0.5))
    assert 3.5 * 0.5 <= joules <= 3.5 * (time.monotonic() - start)


def test_a_device_without_a_meter_has_no_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert energy_meter(tmp_path) is None
