"""An Android phone, measured with TensorFlow Lite's `benchmark_model`: on the processor, the GPU, and NNAPI."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from osteolite.edge.errors import DelegateUnavailable, DeviceError, UndescribedModel, UsageError
from osteolite.edge.machine import installed
from osteolite.edge.modelfile.archive import read_description

from ..harness.records import Lane, Measured, Plan
from . import Progress
from .benchmark_model import complaint, read_launch, read_operators, read_verdict
from .phone import FOLDER, Phone, find_phone, folder_on, machine, quoted, state

Job = tuple[Lane, list[str]]  # and the words that start the tool for it

BINARY = "OSTEOLITE_BENCHMARK_MODEL"  # environment variable: the file to push

_FLAGS = {
    "": (),  # the runtime's own choice on the processor
    "cpu": ("--use_xnnpack=false",),  # the runtime's kernels alone
    "xnnpack": ("--use_xnnpack=true",),
    "gpu": ("--use_gpu=true",),
    "nnapi": ("--use_nnapi=true", "--disable_nnapi_cpu=true"),
}
_EVERYTHING = ("", "gpu", "nnapi")
_ACCELERATORS = ("gpu", "nnapi")  # measured at one number of threads: those are for what is left to the processor
# Looking at its memory seldom does not disturb the times; the largest stays as long as the tool runs.
_ALWAYS = ("--max_secs=60", "--report_peak_memory_footprint=true", "--memory_footprint_check_interval_ms=500")
_SECONDS = 300  # of one start of the tool; it warms up and runs for 60 seconds at most
_CANNOT_START = (126, 127)  # exit codes of a shell: not executable here, and not found or without its linker
_KILLED = (124, 137)  # by `timeout`, or by a phone that wants memory
_SIGNAL = 128  # above it: ended by a signal
_HINT = (
    "take TensorFlow Lite's nightly benchmark_model of the phone's architecture (android_aarch64 for most) "
    f"and name the file in {BINARY}"
)
_LEFT_OUT = {
    "images": "benchmark_model reads no images and tells no answers",
    "peers": "benchmark_model runs nothing but TensorFlow Lite",
    "batch": "benchmark_model runs the batch that the file has",
    "mlperf_seconds": "benchmark_model knows no scenarios",
}


def measure(plan: Plan, name: str, tell: Progress) -> Measured:
    """Measure model files on a phone.

    Every lane is launched `plan.launches` times and the lanes take turns. A delegate that the phone does
    not apply leaves a lane with an error and without times.

    Args:
        plan: what to measure; delegates are of "cpu", "xnnpack", "gpu" and "nnapi", and the plan's
            default stands for the processor, the GPU and NNAPI.
        name: "adb", or "adb:" and a serial number.
        tell: told what is being done.

    Raises:
        UsageError: an unknown delegate, no adb, several phones, or no `benchmark_model` that it can run.
        DeviceError: no phone, or it was lost in the middle.
        ModelFileError: a file that is no model.
    """
    asked = _asked(plan)
    variants = [_variant(file) for file in plan.files]
    phone = find_phone(name.partition(":")[2])
    started, clock = datetime.now(UTC), time.perf_counter()
    with _told_where(tell, "asking the phone what it is"):
        conditions = {**machine(phone), "osteolite": installed("osteolite"), "before": state(phone)}
    left_out = {what: why for what, why in _LEFT_OUT.items() if getattr(plan, what) != getattr(Plan(()), what)}
    with folder_on(phone) as folder:
        with _told_where(tell, "putting benchmark_model on the phone"):
            runtime = _install(phone, folder)
        jobs: list[Job] = []
        for number, (file, variant) in enumerate(zip(plan.files, variants, strict=True)):
            with _told_where(tell, f"pushing {Path(file).name}"):
                phone.push(file, remote := f"{folder}/{number}.tflite")
            lane = Lane(Path(file).name, variant, Path(file).stat().st_size, 0, runtime=runtime)
            jobs += _jobs(lane, [f"{folder}/benchmark_model", f"--graph={remote}"], asked, plan.threads)
        _launch_all(phone, folder, jobs, plan.launches, tell)
        if plan.profile:
            left_out |= _profile_all(phone, folder, jobs, tell)
        with _told_where(tell, "asking the phone how it is"):
            conditions["after"] = state(phone)
    conditions |= {"started": started.isoformat(timespec="seconds"), "seconds": round(time.perf_counter() - clock, 1)}
    return Measured(name, conditions, [lane for lane, _ in jobs], left_out=left_out)


def _asked(plan: Plan) -> tuple[str, ...]:
    asked = _EVERYTHING if plan.delegates == ("",) else tuple(dict.fromkeys(plan.delegates))
    if unknown := [one for one in asked if one not in _FLAGS]:
        raise UsageError(f"delegate {unknown[0]}: on a phone give cpu, xnnpack, gpu or nnapi")
    return asked


@contextmanager
def _told_where(tell: Progress, where: str) -> Iterator[None]:
    """Tell what is being done, also where the phone is lost while it is."""
    tell(where)
    try:
        yield
    except DeviceError as error:
        raise DeviceError(f"{error}; that was while {where}: nothing of this run is kept") from error


def _install(phone: Phone, folder: str) -> str:
    """Put the tool into our folder; its name and the beginning of its SHA-256."""
    binary = f"{folder}/benchmark_model"
    if local := os.environ.get(BINARY):
        if not Path(local).is_file():
            raise UsageError(f"{BINARY}={local}: no such file; {_HINT}")
        phone.push(local, binary)
    else:
        names = ("benchmark_model", "*benchmark_model", "*benchmark_model_plus_flex")
        found = phone.told(
            f'for one in {" ".join(f"{FOLDER}/{name}" for name in names)}; do [ -f "$one" ] && echo "$one"; done; true'
        )
        if not found:
            raise UsageError(f"{phone.serial}: no benchmark_model in {FOLDER} on the phone; {_HINT}")
        code, said = phone.shell(f"cp {quoted(found.splitlines()[0])} {binary}")
        if code != 0:
            raise DeviceError(f"{phone.serial}: benchmark_model cannot be copied on the phone ({said.strip()})")
    phone.shell(f"chmod 755 {binary}")
    digest = (phone.told(f"sha256sum {binary}") or "")[:12]
    return f"benchmark_model sha256:{digest}" if digest else "benchmark_model"


def _variant(file: str) -> str:
    try:
        return str(read_description(file).details.get("variant", "unknown"))
    except UndescribedModel:
        return "unknown"


def _jobs(file: Lane, words: list[str], asked: tuple[str, ...], threads: tuple[int, ...]) -> list[Job]:
    """The lanes of a file: at each number of threads, but accelerators only at the largest."""
    return [
        (
            replace(file, asked=one, threads=count, launches=[]),
            [*words, f"--num_threads={count}", *_FLAGS[one], *_ALWAYS],
        )
        for one, count in product(asked, threads)
        if one not in _ACCELERATORS or count == max(threads)
    ]


def _named(lane: Lane) -> str:
    threads = f"{lane.threads} thread{'s' if lane.threads > 1 else ''}"
    return f"{lane.file} on {lane.asked or 'the processor'} with {threads}"


def _launch_all(phone: Phone, folder: str, jobs: list[Job], launches: int, tell: Progress) -> None:
    for launch, (lane, words) in product(range(launches), jobs):
        if not lane.error:
            with _told_where(tell, f"{_named(lane)}, launch {launch + 1} of {launches}"):
                _launch(phone, folder, lane, words)


def _launch(phone: Phone, folder: str, lane: Lane, words: list[str]) -> None:
    """Start the tool once for a lane, which is in error from then on where it gives no time to rely on."""
    code, text = _start(phone, folder, words)
    try:
        if code in _KILLED:
            raise DeviceError(f"benchmark_model was stopped after {_SECONDS} s, or for want of memory")
        if code != 0 and not complaint(text):
            raise DeviceError(f"benchmark_model {'crashed' if code > _SIGNAL else 'failed'} with code {code}")
        verdict = read_verdict(text, lane.asked)
        if code != 0:
            raise DeviceError(f"benchmark_model failed{complaint(text)}")
        launch = read_launch(text)
    except (DelegateUnavailable, DeviceError) as error:
        lane.error = str(error)
        return
    lane.applied, lane.taken, lane.of, lane.reason = verdict.applied, verdict.taken, verdict.of, verdict.reason
    if "p50" not in launch.quantiles:
        lane.reason = "; ".join(filter(None, [lane.reason, "this benchmark_model prints no median, only the mean"]))
    lane.launches.append(launch)


def _start(phone: Phone, folder: str, words: list[str]) -> tuple[int, str]:
    """Run the tool, but not for ever; the folder is touched, as runs beside this one remove old ones."""
    limit = f"$(command -v timeout >/dev/null && echo timeout -s KILL {_SECONDS})"
    code, text = phone.shell(f"touch {folder}; {limit} {quoted(*words)}", seconds=_SECONDS + 60)
    if code in _CANNOT_START or "CANNOT LINK EXECUTABLE" in text:
        said = " ".join(text.split())[:200]
        abi = phone.told("getprop ro.product.cpu.abi") or "an unknown architecture"
        raise UsageError(f"{phone.serial}: this benchmark_model does not run on {abi} ({said}); {_HINT}")
    return code, text


def _profile_all(phone: Phone, folder: str, jobs: list[Job], tell: Progress) -> dict[str, str]:
    """Time by operator of every lane without an error, from a start of its own; what could not be had, and why."""
    missing = {}
    for lane, words in jobs:
        if lane.error:
            continue
        with _told_where(tell, f"{_named(lane)}, by operator"):
            _, text = _start(phone, folder, [*words, "--enable_op_profiling=true"])
        try:
            lane.operators = read_operators(text)
        except DeviceError as error:
            missing[f"profile of {_named(lane)}"] = str(error)
    return missing
