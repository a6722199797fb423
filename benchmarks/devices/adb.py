"""Measure on an Android phone with TensorFlow Lite's `benchmark_model`: on the CPU, the GPU and NNAPI."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from osteolite.edge.errors import DelegateUnavailable, DeviceError, UndescribedModel, UsageError
from osteolite.edge.machine import installed
from osteolite.edge.modelfile.archive import read_description

from ..harness.records import Case, Measured, Plan
from . import Progress
from .benchmark_model import complaint, read_launch, read_operators, read_verdict
from .phone import FOLDER, Phone, find_phone, folder_on, machine, quoted, state

Job = tuple[Case, list[str]]  # a case and the command that starts the tool for it

BINARY = "OSTEOLITE_BENCHMARK_MODEL"  # environment variable: path of the file to push

_FLAGS = {
    "": (),  # the runtime's own choice on the CPU
    "cpu": ("--use_xnnpack=false",),  # only the runtime's kernels
    "xnnpack": ("--use_xnnpack=true",),
    "gpu": ("--use_gpu=true",),
    "nnapi": ("--use_nnapi=true", "--disable_nnapi_cpu=true"),
}
_EVERYTHING = ("", "gpu", "nnapi")
_ACCELERATORS = ("gpu", "nnapi")  # measured at one number of threads, which only the operators left to the CPU use
# Checking the memory rarely does not disturb the times, and the peak is kept as long as the tool runs.
_ALWAYS = ("--max_secs=60", "--report_peak_memory_footprint=true", "--memory_footprint_check_interval_ms=500")
SECONDS = 300  # time limit of one start of the tool, which warms up and runs for at most 60 seconds
_CANNOT_START = (126, 127)  # exit codes of a shell: not executable; not found, or without its linker
_KILLED = (124, 137)  # by `timeout`, or because memory ran out
_SIGNAL = 128  # higher exit codes: ended by a signal
_HINT = (
    "download TensorFlow Lite's nightly benchmark_model for the phone's architecture (mostly android_aarch64) "
    f"and set {BINARY} to its path"
)
_LEFT_OUT = {
    "images": "benchmark_model reads no images and makes no predictions",
    "peers": "benchmark_model runs only TensorFlow Lite",
    "batch": "benchmark_model runs only the batch size of the file",
    "mlperf_seconds": "benchmark_model has no scenarios",
}


def measure(plan: Plan, name: str, tell: Progress, *, seconds: float = SECONDS) -> Measured:
    """Measure model files on a phone.

    Every case is launched `plan.launches` times, and the cases take turns. If the phone does not apply a delegate,
    its case has an error and no times.

    Args:
        plan: what to measure. Delegates are "cpu", "xnnpack", "gpu" and "nnapi"; the plan's default stands for the
            CPU, the GPU and NNAPI.
        name: "adb", or "adb:" and a serial number.
        tell: receives the current step.
        seconds: time limit of one start of `benchmark_model`.

    Raises:
        UsageError: an unknown delegate, no adb, several phones, or no `benchmark_model` that the phone can run.
        DeviceError: there is no phone, or the connection was lost.
        ModelFileError: a file is not a model.
    """
    requested = _requested(plan)
    variants = [_variant(file) for file in plan.files]
    phone = find_phone(name.partition(":")[2])
    started, clock = datetime.now(UTC), time.perf_counter()
    with _step(tell, "reading the phone's properties"):
        conditions = {**machine(phone), "osteolite": installed("osteolite"), "before": state(phone)}
    left_out = {what: why for what, why in _LEFT_OUT.items() if getattr(plan, what) != getattr(Plan(()), what)}
    with folder_on(phone) as folder:
        with _step(tell, "putting benchmark_model on the phone"):
            runtime = _install(phone, folder)
        jobs: list[Job] = []
        for number, (file, variant) in enumerate(zip(plan.files, variants, strict=True)):
            with _step(tell, f"pushing {Path(file).name}"):
                phone.push(file, remote := f"{folder}/{number}.tflite")
            case = Case(Path(file).name, variant, Path(file).stat().st_size, 0, runtime=runtime)
            jobs += _jobs(case, [f"{folder}/benchmark_model", f"--graph={remote}"], requested, plan.threads)
        tool = _Tool(phone, folder, seconds)
        _launch_all(tool, jobs, plan.launches, tell)
        if plan.profile:
            left_out |= _profile_all(tool, jobs, tell)
        with _step(tell, "reading the phone's state"):
            conditions["after"] = state(phone)
    conditions |= {"started": started.isoformat(timespec="seconds"), "seconds": round(time.perf_counter() - clock, 1)}
    return Measured(name, conditions, [case for case, _ in jobs], left_out=left_out)


def _requested(plan: Plan) -> tuple[str, ...]:
    requested = _EVERYTHING if plan.delegates == ("",) else tuple(dict.fromkeys(plan.delegates))
    if unknown := [one for one in requested if one not in _FLAGS]:
        raise UsageError(f"delegate {unknown[0]}: on a phone give cpu, xnnpack, gpu or nnapi")
    return requested


@contextmanager
def _step(tell: Progress, what: str) -> Iterator[None]:
    """Report a step, and name it in the error if the phone is lost meanwhile."""
    tell(what)
    try:
        yield
    except DeviceError as error:
        raise DeviceError(f"{error}; this happened while {what}: no results of this run are kept") from error


def _install(phone: Phone, folder: str) -> str:
    """Put the tool into the folder; return its name and the first digits of its SHA-256."""
    binary = f"{folder}/benchmark_model"
    if local := os.environ.get(BINARY):
        if not Path(local).is_file():
            raise UsageError(f"{BINARY}={local}: file does not exist; {_HINT}")
        phone.push(local, binary)
    else:
        names = ("benchmark_model", "*benchmark_model", "*benchmark_model_plus_flex")
        found = phone.output_of(
            f'for one in {" ".join(f"{FOLDER}/{name}" for name in names)}; do [ -f "$one" ] && echo "$one"; done; true'
        )
        if not found:
            raise UsageError(f"{phone.serial}: no benchmark_model in {FOLDER} on the phone; {_HINT}")
        code, printed = phone.shell(f"cp {quoted(found.splitlines()[0])} {binary}")
        if code != 0:
            raise DeviceError(f"{phone.serial}: benchmark_model cannot be copied on the phone ({printed.strip()})")
    phone.shell(f"chmod 755 {binary}")
    digest = (phone.output_of(f"sha256sum {binary}") or "")[:12]
    return f"benchmark_model sha256:{digest}" if digest else "benchmark_model"


def _variant(file: str) -> str:
    try:
        return str(read_description(file).details.get("variant", "unknown"))
    except UndescribedModel:
        return "unknown"


def _jobs(file: Case, words: list[str], requested: tuple[str, ...], threads: tuple[int, ...]) -> list[Job]:
    """The cases of a file: every delegate at every number of threads, but accelerators only at the largest."""
    return [
        (
            replace(file, requested=one, threads=count, launches=[]),
            [*words, f"--num_threads={count}", *_FLAGS[one], *_ALWAYS],
        )
        for one, count in product(requested, threads)
        if one not in _ACCELERATORS or count == max(threads)
    ]


def _named(case: Case) -> str:
    threads = f"{case.threads} thread{'s' if case.threads > 1 else ''}"
    return f"{case.file} on {case.requested or 'the CPU'} with {threads}"


@dataclass(frozen=True)
class _Tool:
    """`benchmark_model` in a folder on a phone."""

    phone: Phone
    folder: str
    seconds: float  # time limit of one start

    def start(self, words: list[str]) -> tuple[int, str]:
        """Run the tool with a time limit; its exit code and output.

        The folder is touched first, because other runs remove old folders.
        """
        limit = f"$(command -v timeout >/dev/null && echo timeout -s KILL {self.seconds:g})"
        code, text = self.phone.shell(f"touch {self.folder}; {limit} {quoted(*words)}", seconds=self.seconds + 60)
        if code in _CANNOT_START or "CANNOT LINK EXECUTABLE" in text:
            printed = " ".join(text.split())[:200]
            abi = self.phone.output_of("getprop ro.product.cpu.abi") or "an unknown architecture"
            raise UsageError(f"{self.phone.serial}: this benchmark_model does not run on {abi} ({printed}); {_HINT}")
        return code, text


def _launch_all(tool: _Tool, jobs: list[Job], launches: int, tell: Progress) -> None:
    for launch, (case, words) in product(range(launches), jobs):
        if not case.error:
            with _step(tell, f"measuring {_named(case)}, launch {launch + 1} of {launches}"):
                _launch(tool, case, words)


def _launch(tool: _Tool, case: Case, words: list[str]) -> None:
    """Start the tool once for a case. If the result is not reliable, the case gets an error."""
    code, text = tool.start(words)
    try:
        if code in _KILLED:
            raise DeviceError(f"benchmark_model was stopped after {tool.seconds:g} s, or because memory ran out")
        if code != 0 and not complaint(text):
            raise DeviceError(f"benchmark_model {'crashed' if code > _SIGNAL else 'failed'} with code {code}")
        verdict = read_verdict(text, case.requested)
        if code != 0:
            raise DeviceError(f"benchmark_model failed{complaint(text)}")
        launch = read_launch(text)
    except (DelegateUnavailable, DeviceError) as error:
        case.error = str(error)
        return
    case.applied, case.reason = verdict.applied, verdict.reason
    case.operators_taken, case.operators = verdict.operators_taken, verdict.operators
    if "p50" not in launch.quantiles:
        case.reason = "; ".join(filter(None, [case.reason, "this benchmark_model prints only the mean, no median"]))
    case.launches.append(launch)


def _profile_all(tool: _Tool, jobs: list[Job], tell: Progress) -> dict[str, str]:
    """Profile every case without an error, in a separate start. Returns the cases without a profile, and why."""
    missing = {}
    for case, words in jobs:
        if case.error:
            continue
        with _step(tell, f"profiling {_named(case)}"):
            _, text = tool.start([*words, "--enable_op_profiling=true"])
        try:
            case.profile = read_operators(text)
        except DeviceError as error:
            missing[f"profile of {_named(case)}"] = str(error)
    return missing
