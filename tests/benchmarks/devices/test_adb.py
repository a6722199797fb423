"""A phone measured through the real adb client; the daemon on the phone and `benchmark_model` are stand-ins."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote

import pytest

from osteolite.benchmarks.devices.adb import BINARY, measure
from osteolite.benchmarks.devices.phone import find_phone
from osteolite.benchmarks.harness.records import Lane, Measured, Plan
from osteolite.edge.errors import DeviceError, ModelFileError, UsageError

from .adbd import Phone

RECORDED = Path(__file__).parent / "recorded"
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

pytestmark = pytest.mark.skipif(not shutil.which("adb"), reason="needs adb (on Debian: apt install adb)")


def adb(*arguments: str) -> str:
    """The client's own words; its server logs to nowhere and has a port and a home of its own."""
    done = subprocess.run(["adb", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        with socket.create_server(("127.0.0.1", 0)) as free:
            patch.setenv("ANDROID_ADB_SERVER_PORT", str(free.getsockname()[1]))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv(BINARY, raising=False)
        adb("start-server")
        yield
        adb("kill-server")


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


@pytest.fixture
def connect(server: None, tmp_path: Path) -> Iterator[Callable[..., Phone]]:
    phones: list[Phone] = []

    def one(**options: str) -> Phone:
        phones.append(furnish(Phone(tmp_path / f"phone{len(phones)}", **options)))
        adb("connect", phones[-1].serial)
        return phones[-1]

    yield one
    for phone in phones:
        adb("disconnect", phone.serial)
        phone.unplug()


@pytest.fixture
def phone(connect: Callable[..., Phone]) -> Phone:
    return connect()


@pytest.fixture
def benchmark_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a stand-in that prints a recorded output, or does another thing, by the flag it is started with."""

    def write(**by_flag: str) -> Path:
        said = {"enable_op_profiling": "profile_kernels", "use_gpu": "gpu_full", "use_nnapi": "nnapi_full", **by_flag}
        cases = [f"*--{flag}=true*) {printing(what)} ;;" for flag, what in said.items() if flag != "otherwise"]
        script = ["#!/bin/sh", f'echo "$*" >> {tmp_path}/started', 'case "$*" in', *cases]
        binary = tmp_path / "android aarch64 benchmark_model"  # a name to be quoted
        binary.write_text("\n".join([*script, f"*) {printing(said.get('otherwise', 'cpu'))} ;;", "esac", ""]))
        monkeypatch.setenv(BINARY, str(binary))
        return binary

    return write


def printing(what: str) -> str:
    path = RECORDED / f"{what}.txt"
    return f"cat {quote(str(path))}" if path.is_file() else what


def run(phone: Phone, *files: Path, told: list[str] | None = None, **plan: object) -> Measured:
    values: dict[str, object] = {"files": tuple(map(str, files)), "launches": 2, "threads": (1, 4), **plan}
    return measure(Plan.from_dict(values), f"adb:{phone.serial}", (told if told is not None else []).append)


def lane(measured: Measured, asked: str, threads: int = 4) -> Lane:
    return next(one for one in measured.lanes if (one.asked, one.threads) == (asked, threads))


def left_on(phone: Phone) -> list[str]:
    return sorted(path.name for path in phone.storage.iterdir())


@pytest.mark.parametrize("features", ["shell_v2,cmd", ""], ids=["android 7 and later", "before android 7"])
def test_processor_gpu_and_nnapi_take_turns(
    connect: Callable[..., Phone], tiny_model: Path, benchmark_model: Callable[..., Path], tmp_path: Path, features: str
) -> None:
    benchmark_model()
    phone = connect(features=features)
    measured = run(phone, tiny_model)
    lanes = [(one.asked, one.threads, one.applied, one.taken, one.of) for one in measured.lanes]
    assert lanes == [
        ("", 1, "xnnpack", 64, 66),
        ("", 4, "xnnpack", 64, 66),
        ("gpu", 4, "gpu", 49, 49),
        ("nnapi", 4, "nnapi", 66, 66),
    ]
    assert [(one.file, one.variant, one.bytes) for one in measured.lanes] == [
        (tiny_model.name, "float32", tiny_model.stat().st_size)
    ] * 4
    assert measured.conditions["machine"] == "Acme Phone 5"
    assert lane(measured, "").runtime.startswith("benchmark_model sha256:")
    assert [launch.quantiles["p50"] for launch in lane(measured, "gpu").launches] == [307.968] * 2
    started = (tmp_path / "started").read_text().splitlines()
    turns = [[flag for flag in line.split() if flag.startswith(("--num_threads", "--use"))] for line in started]
    once = [
        ["--num_threads=1"],
        ["--num_threads=4"],
        ["--num_threads=4", "--use_gpu=true"],
        ["--num_threads=4", "--use_nnapi=true"],
    ]
    assert turns == once * 2
    assert left_on(phone) == []
    assert Measured.from_dict(measured.to_dict()) == measured


def test_conditions_are_the_phones(phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]) -> None:
    benchmark_model()
    phone.install("dumpsys", f'[ "$1" = battery ] && echo "{BATTERY.format("true")}" || echo "Thermal Status: 2"')
    conditions = run(phone, tiny_model, delegates=("cpu",), threads=(1,), launches=1).conditions
    assert {name: conditions[name] for name in ("machine", "architecture", "cores", "system", "load_average")} == {
        "machine": "Acme Phone 5",
        "architecture": "arm64-v8a",
        "cores": 8,
        "system": "Android 14 (SDK 34)",
        "load_average": [1.25, 0.75, 0.5],
    }
    assert (
        conditions["before"]
        == conditions["after"]
        == {
            "governor": "schedutil",
            "frequency_mhz": 2100,
            "temperature_c": 32.6,
            "throttled": ["thermal status 2"],
            "throttle_count": None,
            "on_battery": False,
        }
    )
    assert conditions["started"].endswith("+00:00")
    assert conditions["seconds"] > 0


def test_heat_is_the_processors_where_it_can_be_read(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model()
    for number, (kind, heat) in enumerate(
        [("cpu-0-0", "41000"), ("CPU1", "43"), ("cpu-broken", "999000"), ("modem", "55000")]
    ):
        zone = phone.root / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{heat}\n")
    assert (
        run(phone, tiny_model, delegates=("cpu",), threads=(1,), launches=1).conditions["after"]["temperature_c"]
        == 43.0
    )


def test_what_a_phone_does_not_tell_is_none(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model()
    for name in ("getprop", "dumpsys"):
        phone.install(name, "echo 'not for you' >&2; exit 1")
    shutil.rmtree(phone.root / "sys")
    shutil.rmtree(phone.root / "proc")
    conditions = run(phone, tiny_model, delegates=("cpu",), threads=(1,), launches=1).conditions
    named = ("machine", "architecture", "cores", "system", "load_average")
    assert {conditions[name] for name in named} | set(conditions["before"].values()) == {None}


@pytest.mark.parametrize(
    ("asked", "recorded", "why"),
    [
        ("gpu", "gpu_failed; exit 1", "Batch size mismatch"),
        ("gpu", "gpu_unsupported", "was not applied"),
        ("gpu", "kill -SEGV $$", "crashed with code 139"),
        ("gpu", "echo INFO: STARTING!; exit 1", "failed with code 1"),
        ("nnapi", "nnapi_reference", "no driver"),
        ("nnapi", "nnapi_not_applied", "the processor ran the whole model"),
        ("nnapi", "kill -KILL $$", "stopped after 300 s, or for want of memory"),
    ],
)
def test_a_delegate_that_was_not_applied_has_no_time(
    phone: Phone,
    tiny_model: Path,
    benchmark_model: Callable[..., Path],
    asked: str,
    recorded: str,
    why: str,
    tmp_path: Path,
) -> None:
    text, _, then = recorded.partition("; exit")
    script = f"{printing(text)}; exit{then}" if then else printing(text)
    benchmark_model(**{f"use_{asked}": script})
    measured = run(phone, tiny_model, delegates=(asked, ""), threads=(1,), profile=True)
    failed = lane(measured, asked, threads=1)
    assert why in failed.error
    assert (failed.launches, failed.operators, failed.applied) == ([], [], "")
    assert (measured.lanes[1].error, len(measured.lanes[1].launches)) == ("", 2)
    assert (tmp_path / "started").read_text().count(f"--use_{asked}=true") == 1  # it is not tried again


def test_what_is_not_done_on_a_phone_is_left_out(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model()
    asked = {"images": (("a.png", 1),), "peers": ("onnxruntime",), "batch": 8, "mlperf_seconds": 5.0}
    measured = run(phone, tiny_model, delegates=("cpu",), threads=(1,), launches=1, **asked)
    assert set(measured.left_out) == set(asked)
    assert not run(phone, tiny_model, delegates=("cpu",), threads=(1,), launches=1).left_out


def test_time_by_operator(phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path], tmp_path: Path) -> None:
    benchmark_model()
    measured = run(phone, tiny_model, delegates=("cpu",), threads=(1,), profile=True)
    assert measured.lanes[0].operators[0]["operator"] == "CONV_2D"
    started = (tmp_path / "started").read_text().splitlines()
    assert ["--enable_op_profiling=true" in line for line in started] == [False, False, True]
    benchmark_model(enable_op_profiling="cpu")
    measured = run(phone, tiny_model, delegates=("cpu",), threads=(1,), profile=True)
    assert (measured.lanes[0].operators, len(measured.lanes[0].launches)) == ([], 2)
    assert list(measured.left_out) == [f"profile of {tiny_model.name} on cpu with 1 thread"]


def test_an_old_build_says_that_its_mean_is_no_median(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model(otherwise="cpu_2020")
    found = lane(run(phone, tiny_model, delegates=("gpu", "")), "")
    assert found.launches[0].quantiles == {"mean": 33.2094}
    assert "no median" in found.reason


def test_named_delegates_and_files_of_other_tools(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path], tmp_path: Path, tiny: type
) -> None:
    benchmark_model(use_xnnpack="xnnpack_full")
    foreign = tmp_path / "-it's $(touch hacked) a file.tflite"
    foreign.write_bytes(tiny.mean())
    measured = run(phone, tiny_model, foreign, delegates=("xnnpack", "cpu", "cpu"), threads=(2,), launches=1)
    found = [(one.file, one.asked, one.variant, one.error) for one in measured.lanes]
    assert found == [
        (tiny_model.name, "xnnpack", "float32", ""),
        (tiny_model.name, "cpu", "float32", ""),
        (foreign.name, "xnnpack", "unknown", ""),
        (foreign.name, "cpu", "unknown", ""),
    ]
    assert not list(tmp_path.rglob("hacked"))
    assert not any("$(touch" in command for command in phone.commands)


def test_the_phones_own_benchmark_model(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = benchmark_model().read_text()
    monkeypatch.delenv(BINARY)
    own = phone.storage / "android_aarch64_benchmark_model_plus_flex"
    own.write_text(script)  # without the right to execute it, which adb push may have lost
    assert lane(run(phone, tiny_model), "gpu").launches
    assert left_on(phone) == [own.name]


def test_wrong_calls(
    phone: Phone,
    tiny_model: Path,
    benchmark_model: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(
        UsageError, match=r"no benchmark_model in /data/local/tmp on the phone; take .* OSTEOLITE_BENCHMARK_MODEL"
    ):
        run(phone, tiny_model)
    monkeypatch.setenv(BINARY, str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="gone: no such file"):
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
def test_a_benchmark_model_that_cannot_run_there(
    phone: Phone, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / "binary").write_bytes(content)
    monkeypatch.setenv(BINARY, str(tmp_path / "binary"))
    with pytest.raises(UsageError, match="does not run on arm64-v8a"):
        run(phone, tiny_model)
    assert left_on(phone) == []


def test_full_storage(phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]) -> None:
    phone.install(
        "df", "echo 'Filesystem Size Used Avail Use% Mounted on'; echo '/dev/block/dm-1  108G 107G  12K 100% /data'"
    )
    phone.room = benchmark_model().stat().st_size + 10
    with pytest.raises(DeviceError, match=f"storage is full, 12K is free; {tiny_model} has") as raised:
        run(phone, tiny_model)
    assert "\n" not in str(raised.value)
    assert left_on(phone) == []


@pytest.mark.parametrize("features", ["shell_v2,cmd", ""], ids=["android 7 and later", "before android 7"])
def test_the_cable_is_pulled(
    connect: Callable[..., Phone], tiny_model: Path, benchmark_model: Callable[..., Path], features: str
) -> None:
    benchmark_model()
    phone = connect(features=features)
    phone.unplug_at = "--use_gpu=true"
    with pytest.raises(DeviceError, match="connection to the phone was lost") as raised:
        run(phone, tiny_model)
    assert f"that was while {tiny_model.name} on gpu with 4 threads, launch 1 of 2: nothing of this run is kept" in str(
        raised.value
    )
    assert "\n" not in str(raised.value)
    assert left_on(phone)[0].startswith("osteolite-bench-")
    with pytest.raises(DeviceError, match=r"offline|no phone"):
        run(phone, tiny_model)


def test_what_a_lost_connection_left_is_removed_but_not_a_run_beside(
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


def test_a_run_that_is_broken_off_cleans_up(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model()

    def tell(what: str) -> None:
        if "launch 2" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(Plan((str(tiny_model),)), f"adb:{phone.serial}", tell)
    assert left_on(phone) == []


def test_a_driver_that_hangs_is_stopped(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark_model(use_gpu="exec sleep 600")
    monkeypatch.setattr("osteolite.benchmarks.devices.adb._SECONDS", 1)
    assert "stopped after 1 s" in lane(run(phone, tiny_model, delegates=("gpu",)), "gpu").error


def test_a_phone_that_does_not_answer(phone: Phone) -> None:
    with pytest.raises(DeviceError, match="no answer within 1 s"):
        find_phone(phone.serial).shell("sleep 5", seconds=1)


def test_which_phone(connect: Callable[..., Phone], tiny_model: Path, benchmark_model: Callable[..., Path]) -> None:
    benchmark_model()
    if (listed := adb("devices").strip()) != "List of devices attached":
        pytest.skip(f"needs a computer without a phone of its own; {listed}")
    plan = Plan((str(tiny_model),), delegates=("cpu",), threads=(1,), launches=1)
    with pytest.raises(DeviceError, match="no phone: connect one with USB debugging"):
        measure(plan, "adb", [].append)
    first = connect()
    assert measure(plan, "adb", [].append).lanes[0].launches
    second = connect()
    with pytest.raises(
        UsageError, match=rf"several phones: .*{second.serial} \(device\).*; name one, as in adb:"
    ) as raised:
        measure(plan, "adb", [].append)
    assert first.serial in str(raised.value)
    assert measure(plan, f"adb:{second.serial}", [].append).device == f"adb:{second.serial}"
    with pytest.raises(DeviceError, match=f"no phone 0123456789: give one of .*{first.serial}"):
        measure(plan, "adb:0123456789", [].append)


def test_a_phone_that_does_not_trust_the_computer(server: None, tmp_path: Path, tiny_model: Path) -> None:
    phone = Phone(tmp_path / "phone")
    phone.trusts = False
    adb("connect", phone.serial)
    try:
        with pytest.raises(DeviceError, match="unlock it and accept its dialog"):
            run(phone, tiny_model)
    finally:
        adb("disconnect", phone.serial)
        phone.unplug()


def test_without_adb(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"adb cannot be started \(No such file or directory\); install .*platform-tools"
    ):
        measure(Plan((str(tiny_model),)), "adb", [].append)
