"""Wrong arguments, lost connections and failing phones, through the real adb client."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from osteolite.benchmarks.devices.adb import BINARY, measure
from osteolite.benchmarks.devices.phone import find_phone
from osteolite.benchmarks.harness.records import Plan
from osteolite.edge.errors import DeviceError, ModelFileError, UsageError

from .adbd import Phone
from .calls import adb, case, left_on, printing, quiet, run

pytestmark = pytest.mark.skipif(not shutil.which("adb"), reason="needs adb (on Debian: apt install adb)")


def test_wrong_arguments_are_refused(
    phone: Phone,
    tiny_model: Path,
    benchmark_model: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(
        UsageError, match=r"no benchmark_model in /data/local/tmp on the phone; download .* OSTEOLITE_BENCHMARK_MODEL"
    ):
        run(phone, tiny_model)
    monkeypatch.setenv(BINARY, str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="gone: file does not exist"):
        run(phone, tiny_model)
    benchmark_model()
    with pytest.raises(UsageError, match="delegate edgetpu: on a phone give cpu, xnnpack, gpu or nnapi"):
        run(phone, tiny_model, delegates=("edgetpu",))
    with pytest.raises(ModelFileError, match="not a TFLite model"):
        run(phone, Path(__file__))
    assert left_on(phone) == []


@pytest.mark.parametrize(
    "content",
    [
        b"\x7fELF\x02\x01\x01" + bytes(60),
        b"#!/system/bin/linker_of_another_phone\n",
        b"#!/bin/sh\necho CANNOT LINK EXECUTABLE; exit 1\n",
    ],
    ids=["another architecture", "no interpreter", "no library"],
)
def test_a_benchmark_model_for_another_phone_is_refused(
    phone: Phone, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / "binary").write_bytes(content)
    monkeypatch.setenv(BINARY, str(tmp_path / "binary"))
    with pytest.raises(UsageError, match="does not run on arm64-v8a"):
        run(phone, tiny_model)
    assert left_on(phone) == []


def test_full_storage_is_reported(phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]) -> None:
    phone.install(
        "df", "echo 'Filesystem Size Used Avail Use% Mounted on'; echo '/dev/block/dm-1  108G 107G  12K 100% /data'"
    )
    phone.room = benchmark_model().stat().st_size + 10
    with pytest.raises(DeviceError, match=f"storage is full, 12K is free; {tiny_model} has") as raised:
        run(phone, tiny_model)
    assert "\n" not in str(raised.value)
    assert left_on(phone) == []


@pytest.mark.parametrize("features", ["shell_v2,cmd", ""], ids=["android 7 and later", "before android 7"])
def test_a_lost_connection_is_reported(
    connect: Callable[..., Phone], tiny_model: Path, benchmark_model: Callable[..., Path], features: str
) -> None:
    benchmark_model()
    phone = connect(features=features)
    phone.unplug_at = "--use_gpu=true"
    with pytest.raises(DeviceError, match="connection to the phone was lost") as raised:
        run(phone, tiny_model)
    step = f"measuring {tiny_model.name} on gpu with 4 threads, launch 1 of 2"
    assert f"this happened while {step}: no results of this run are kept" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert left_on(phone)[0].startswith("osteolite-bench-")
    with pytest.raises(DeviceError, match=r"offline|no phone"):
        run(phone, tiny_model)


def test_folders_of_lost_runs_are_removed_but_not_of_running_ones(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model()
    for name, minutes in (("osteolite-bench-old", 61), ("osteolite-bench-beside", 50), ("other", 500)):
        (phone.storage / name / "inside").mkdir(parents=True)
        os.utime(phone.storage / name, (time.time() - 60 * minutes,) * 2)
    run(phone, tiny_model, delegates=("cpu",))
    assert left_on(phone) == ["osteolite-bench-beside", "other"]


def test_a_long_run_keeps_its_folder_young(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model(otherwise=f'touch -d "2 hours ago" "$(dirname "$0")"; {printing("cpu")}')
    phone.install("timeout", 'shift 3; stat -c %Y "$(dirname "$1")" >> "$HOME/ages"; exec "$@"')
    run(phone, tiny_model, delegates=("cpu",), threads=(1,), launches=3)
    ages = [time.time() - int(line) for line in (phone.root / "ages").read_text().split()]
    assert len(ages) == 3
    assert max(ages) < 3600


def test_an_interrupted_run_removes_its_folder(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model()

    def tell(what: str) -> None:
        if "launch 2" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(Plan((str(tiny_model),)), f"adb:{phone.serial}", tell)
    assert left_on(phone) == []


def test_a_driver_that_hangs_is_stopped(phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]) -> None:
    benchmark_model(use_gpu="exec sleep 600")
    plan = Plan((str(tiny_model),), delegates=("gpu",), launches=1)
    measured = measure(plan, f"adb:{phone.serial}", quiet, seconds=1)
    assert "stopped after 1 s" in case(measured, "gpu", threads=2).error


def test_a_phone_that_does_not_answer_is_reported(phone: Phone) -> None:
    with pytest.raises(DeviceError, match="no answer within 1 s"):
        find_phone(phone.serial).shell("sleep 5", seconds=1)


def test_a_phone_is_chosen_by_its_serial_number(
    connect: Callable[..., Phone], tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model()
    if (listed := adb("devices").strip()) != "List of devices attached":
        pytest.skip(f"needs a computer without a phone of its own; {listed}")
    plan = Plan((str(tiny_model),), delegates=("cpu",), threads=(1,), launches=1)
    with pytest.raises(DeviceError, match="no phone: connect one with USB debugging"):
        measure(plan, "adb", quiet)
    first = connect()
    assert measure(plan, "adb", quiet).cases[0].launches
    second = connect()
    with pytest.raises(
        UsageError, match=rf"several phones: .*{second.serial} \(device\).*; choose one, for example --device adb:"
    ) as raised:
        measure(plan, "adb", quiet)
    assert first.serial in str(raised.value)
    assert measure(plan, f"adb:{second.serial}", quiet).device == f"adb:{second.serial}"
    with pytest.raises(DeviceError, match=f"no phone 0123456789: give one of .*{first.serial}"):
        measure(plan, "adb:0123456789", quiet)


def test_a_phone_that_does_not_trust_this_computer_is_reported(server: None, tmp_path: Path, tiny_model: Path) -> None:
    phone = Phone(tmp_path / "phone")
    phone.trusts = False
    adb("connect", phone.serial)
    try:
        with pytest.raises(DeviceError, match="unlock it and accept its dialog"):
            run(phone, tiny_model)
    finally:
        adb("disconnect", phone.serial)
        phone.unplug()


def test_a_missing_adb_is_reported(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"adb cannot be started \(No such file or directory\); install .*platform-tools"
    ):
        measure(Plan((str(tiny_model),)), "adb", quiet)
