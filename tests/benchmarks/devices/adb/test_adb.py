"""Measuring a phone through the real adb client; the daemon on the phone and `benchmark_model` are stand-ins."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from osteolite.benchmarks.devices.adb import BINARY
from osteolite.benchmarks.harness.records import Measured

from .adbd import Phone
from .calls import BATTERY, case, left_on, printing, run

pytestmark = pytest.mark.skipif(not shutil.which("adb"), reason="needs adb (on Debian: apt install adb)")


@pytest.mark.parametrize("features", ["shell_v2,cmd", ""], ids=["android 7 and later", "before android 7"])
def test_cpu_gpu_and_nnapi_take_turns(
    connect: Callable[..., Phone], tiny_model: Path, benchmark_model: Callable[..., Path], tmp_path: Path, features: str
) -> None:
    benchmark_model()
    phone = connect(features=features)
    measured = run(phone, tiny_model)
    cases = [(one.requested, one.threads, one.applied, one.operators_taken, one.operators) for one in measured.cases]
    assert cases == [
        ("", 1, "xnnpack", 64, 66),
        ("", 4, "xnnpack", 64, 66),
        ("gpu", 4, "gpu", 49, 49),
        ("nnapi", 4, "nnapi", 66, 66),
    ]
    assert [(one.file, one.variant, one.bytes) for one in measured.cases] == [
        (tiny_model.name, "float32", tiny_model.stat().st_size)
    ] * 4
    assert measured.conditions["machine"] == "Acme Phone 5"
    assert case(measured, "").runtime.startswith("benchmark_model sha256:")
    assert [launch.quantiles["p50"] for launch in case(measured, "gpu").launches] == [307.968] * 2
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


def test_conditions_describe_the_phone(phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]) -> None:
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


def test_temperature_is_the_cpus_if_readable(
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


def test_values_that_a_phone_does_not_report_are_none(
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
    ("requested", "recorded", "why"),
    [
        ("gpu", "gpu_failed; exit 1", "Batch size mismatch"),
        ("gpu", "gpu_unsupported", "was not applied"),
        ("gpu", "kill -SEGV $$", "crashed with code 139"),
        ("gpu", "echo INFO: STARTING!; exit 1", "failed with code 1"),
        ("nnapi", "nnapi_reference", "no driver"),
        ("nnapi", "nnapi_not_applied", "the CPU ran the whole model"),
        ("nnapi", "kill -KILL $$", "stopped after 300 s, or because memory ran out"),
    ],
)
def test_a_delegate_that_was_not_applied_has_no_time(
    phone: Phone,
    tiny_model: Path,
    benchmark_model: Callable[..., Path],
    requested: str,
    recorded: str,
    why: str,
    tmp_path: Path,
) -> None:
    text, _, then = recorded.partition("; exit")
    script = f"{printing(text)}; exit{then}" if then else printing(text)
    benchmark_model(**{f"use_{requested}": script})
    measured = run(phone, tiny_model, delegates=(requested, ""), threads=(1,), profile=True)
    failed = case(measured, requested, threads=1)
    assert why in failed.error
    assert (failed.launches, failed.profile, failed.applied) == ([], [], "")
    assert (measured.cases[1].error, len(measured.cases[1].launches)) == ("", 2)
    assert (tmp_path / "started").read_text().count(f"--use_{requested}=true") == 1  # not tried again


def test_options_without_support_on_phones_are_left_out(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model()
    unsupported: dict[str, Any] = {
        "images": (("a.png", 1),),
        "peers": ("onnxruntime",),
        "batch": 8,
        "mlperf_seconds": 5.0,
    }
    measured = run(phone, tiny_model, delegates=("cpu",), threads=(1,), launches=1, **unsupported)
    assert set(measured.left_out) == set(unsupported)
    assert not run(phone, tiny_model, delegates=("cpu",), threads=(1,), launches=1).left_out


def test_profile_gives_the_time_by_operator(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path], tmp_path: Path
) -> None:
    benchmark_model()
    measured = run(phone, tiny_model, delegates=("cpu",), threads=(1,), profile=True)
    assert measured.cases[0].profile[0]["operator"] == "CONV_2D"
    started = (tmp_path / "started").read_text().splitlines()
    assert ["--enable_op_profiling=true" in line for line in started] == [False, False, True]
    benchmark_model(enable_op_profiling="cpu")
    measured = run(phone, tiny_model, delegates=("cpu",), threads=(1,), profile=True)
    assert (measured.cases[0].profile, len(measured.cases[0].launches)) == ([], 2)
    assert list(measured.left_out) == [f"profile of {tiny_model.name} on cpu with 1 thread"]


def test_an_old_build_without_a_median_is_noted(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path]
) -> None:
    benchmark_model(otherwise="cpu_2020")
    found = case(run(phone, tiny_model, delegates=("gpu", "")), "")
    assert found.launches[0].quantiles == {"mean": 33.2094}
    assert "no median" in found.reason


def test_named_delegates_run_on_files_of_other_tools(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path], tmp_path: Path, tiny: Any
) -> None:
    benchmark_model(use_xnnpack="xnnpack_full")
    foreign = tmp_path / "-it's $(touch hacked) a file.tflite"
    foreign.write_bytes(tiny.mean())
    measured = run(phone, tiny_model, foreign, delegates=("xnnpack", "cpu", "cpu"), threads=(2,), launches=1)
    found = [(one.file, one.requested, one.variant, one.error) for one in measured.cases]
    assert found == [
        (tiny_model.name, "xnnpack", "float32", ""),
        (tiny_model.name, "cpu", "float32", ""),
        (foreign.name, "xnnpack", "unknown", ""),
        (foreign.name, "cpu", "unknown", ""),
    ]
    assert not list(tmp_path.rglob("hacked"))
    assert not any("$(touch" in command for command in phone.commands)


def test_a_benchmark_model_on_the_phone_is_used(
    phone: Phone, tiny_model: Path, benchmark_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = benchmark_model().read_text()
    monkeypatch.delenv(BINARY)
    own = phone.storage / "android_aarch64_benchmark_model_plus_flex"
    own.write_text(script)  # without the right to execute it, which adb push may have lost
    assert case(run(phone, tiny_model), "gpu").launches
    assert left_on(phone) == [own.name]
