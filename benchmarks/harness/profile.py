"""Time by operator, from LiteRT's own profiler.

    python -m osteolite.benchmarks.harness.profile MODEL THREADS RUNS

prints {"operators": [{"operator", "count": calls per run, "milliseconds": total of all calls in a run, "share": of the
total of all operators}, ...]}, the slowest first, or {"reason": why there is no profile}. The runtime reports whole
microseconds per call. Operators that XNNPACK runs have XNNPACK's names, such as "Convolution (NHWC, QC8) DWConv"; all
others have TFLite's, such as AVERAGE_POOL_2D.

LiteRT's Python package does not expose its profiler, so this module calls the C interface of the library behind it. An
error there would end the process, so `profile` runs this module in a separate process.
"""

import ctypes
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

from osteolite.edge.errors import OsteoliteError
from osteolite.edge.inference.engine import runtime_name
from osteolite.edge.machine import installed
from osteolite.edge.modelfile.archive import read_description, read_flatbuffer, read_stage
from osteolite.edge.modelfile.description import MultiClassDescription

_PACKAGE, _OLDEST = "ai-edge-litert", (2, 1, 6)  # older ones load a model through a different signature
_WARM_UP = 5  # runs before the measured ones
_SECONDS = 600.0  # time limit; no model that fits a device takes this long
_PROCESSOR, _WRITE = 1, 1  # kLiteRtHwAcceleratorCpu, kLiteRtTensorBufferLockModeWrite
# OPERATOR_INVOKE_EVENT and DELEGATE_PROFILED_OPERATOR_INVOKE_EVENT. A delegate that reports its operators has no event
# of its own, so nothing is counted twice.
_OPERATORS = (2, 8)
_TYPE_BYTES = 4096  # larger than a LiteRtRankedTensorType, whose content is only passed on


class NoProfile(Exception):
    """There is no time by operator. The message says why."""


def profile(model: str, threads: int, runs: int = 50) -> list[dict[str, Any]]:
    """Measure the time by operator of a model on the CPU.

    Args:
        model: path of a model file. Of a router, the networks that an image of the first body part goes through.
        threads: CPU threads of the runtime.
        runs: number of invocations to measure, 1 or more, after a few for warm-up.

    Returns:
        The "operators" that the module describes; times are means of the middle half of the runs.

    Raises:
        NoProfile: the installed runtime has no supported profiler, or it fails on this model.
    """
    command = [sys.executable, "-m", f"{__package__}.profile", model, str(threads), str(runs)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise NoProfile(f"the profiler took longer than {_SECONDS:.0f} seconds") from error
    if done.returncode:
        raise NoProfile(f"the profiling process {_ending(done)}")
    found = json.loads(done.stdout)
    if "reason" in found:
        raise NoProfile(found["reason"])
    operators: list[dict[str, Any]] = found["operators"]
    return operators


def _ending(done: "subprocess.CompletedProcess[str]") -> str:
    if done.returncode < 0:
        return f"was ended by {signal.Signals(-done.returncode).name}; the runtime's interface may have changed"
    return f"failed: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}"


class _MemoryUsage(ctypes.Structure):
    """LiteRtMemoryUsage."""

    _fields_ = (("allocated", ctypes.c_size_t), ("in_use", ctypes.c_size_t), ("private", ctypes.c_size_t))


class Event(ctypes.Structure):
    """ProfiledEventData."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start", ctypes.c_uint64),
        ("elapsed", ctypes.c_uint64),  # microseconds
        ("memory_before", _MemoryUsage),
        ("memory_after", _MemoryUsage),
        ("metadata", ctypes.c_uint64 * 2),
        ("source", ctypes.c_int),
    )


_KEEP = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)  # does not free the options' text, which Python owns


class Library:
    """LiteRT's C interface."""

    def __init__(self) -> None:
        version = installed(_PACKAGE) or "0"
        if tuple(int(part) for part in version.split(".")[:3] if part.isdecimal()) < _OLDEST:
            oldest = ".".join(map(str, _OLDEST))
            raise NoProfile(f"{runtime_name()} has no time by operator; install {_PACKAGE} {oldest} or newer")
        self._named = f"{_PACKAGE} {version}"
        spec = find_spec("ai_edge_litert")
        assert spec is not None
        assert spec.origin is not None
        file = next(Path(spec.origin).parent.glob("libLiteRt.*"), None)
        if file is None:
            raise NoProfile(f"{self._named} is installed without its library libLiteRt; install it again")
        self._library = ctypes.CDLL(str(file))

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status.

        Raises:
            NoProfile: the library lacks it, or it fails.
        """
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise NoProfile(f"{self._named} has no {name}") from error
        if status := function(*arguments):
            raise NoProfile(f"{self._named} fails in {name} (status {status})")

    def make(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function that returns an object through its last argument."""
        made = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(made))
        return made


class ProfiledNetwork:
    """A network that is compiled for profiling on the CPU."""

    def __init__(self, library: Library, environment: ctypes.c_void_p, content: bytes, threads: int) -> None:
        self._library, self._content = library, content  # the model refers to `content`
        size = ctypes.c_size_t(len(content))
        model = library.make("LiteRtCreateModelFromBuffer", environment, content, size)
        options = library.make("LiteRtCreateOptions")
        library.call("LiteRtSetOptionsHardwareAccelerators", options, _PROCESSOR)
        self._texts = {
            b"runtime_options_string": b"enable_profiling = true\n",
            b"xnnpack": b"num_threads = %d\n" % threads,
        }
        for kind, text in self._texts.items():
            option = library.make("LiteRtCreateOpaqueOptions", kind, text, _KEEP)
            library.call("LiteRtAddOpaqueOptions", options, option)
        self._compiled = library.make("LiteRtCreateCompiledModel", environment, model, options)
        self._signature = library.make("LiteRtGetModelSignature", model, ctypes.c_size_t(0))
        self._buffers = [self._make_buffers(environment, end) for end in ("Input", "Output")]
        self._profiler = library.make("LiteRtCompiledModelGetProfiler", self._compiled)

    def _make_buffers(self, environment: ctypes.c_void_p, end: str) -> "ctypes.Array[ctypes.c_void_p]":
        """Allocate buffers for all inputs or all outputs, filled with zeros."""
        library, count, first = self._library, ctypes.c_size_t(), ctypes.c_size_t(0)
        library.call(f"LiteRtGetNumSignature{end}s", self._signature, ctypes.byref(count))
        buffers = (ctypes.c_void_p * count.value)()
        for index in range(count.value):
            place = ctypes.c_size_t(index)
            tensor = library.make(f"LiteRtGetSignature{end}TensorByIndex", self._signature, place)
            kind = ctypes.create_string_buffer(_TYPE_BYTES)
            library.call("LiteRtGetRankedTensorType", tensor, kind)
            needs = library.make(f"LiteRtGetCompiledModel{end}BufferRequirements", self._compiled, first, place)
            buffer = library.make("LiteRtCreateManagedTensorBufferFromRequirements", environment, kind, needs)
            bytes_, address = ctypes.c_size_t(), ctypes.c_void_p()
            library.call("LiteRtGetTensorBufferSize", buffer, ctypes.byref(bytes_))
            library.call("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), _WRITE)
            assert address.value is not None
            ctypes.memset(address.value, 0, bytes_.value)
            library.call("LiteRtUnlockTensorBuffer", buffer)
            buffers[index] = buffer.value
        return buffers

    def run(self) -> list[tuple[str, float]]:
        """Run the network once; the name and the microseconds of each operator call."""
        inputs, outputs = self._buffers
        numbers = [ctypes.c_size_t(number) for number in (0, len(inputs), len(outputs))]
        self._library.call("LiteRtStartProfiler", self._profiler)
        start = time.perf_counter()
        self._library.call(
            "LiteRtRunCompiledModel", self._compiled, numbers[0], numbers[1], inputs, numbers[2], outputs
        )
        whole = 1e6 * (time.perf_counter() - start)
        self._library.call("LiteRtStopProfiler", self._profiler)
        return operator_times(self.events(), whole)

    def events(self) -> "ctypes.Array[Event]":
        count = ctypes.c_int()
        self._library.call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (Event * count.value)()
        self._library.call("LiteRtGetProfilerEvents", self._profiler, count, events)
        return events


def operator_times(events: "Iterable[Event]", whole: float) -> list[tuple[str, float]]:
    """Select the operators among a profiler's events.

    Args:
        events: of one run.
        whole: duration of the run, microseconds.

    Returns:
        The name and the microseconds of each operator call.

    Raises:
        NoProfile: the operators add up to more than the run. The layout of the events in memory may have changed.
    """
    operators = [(event.tag.decode(), float(event.elapsed)) for event in events if event.kind in _OPERATORS]
    if sum(spent for _, spent in operators) > whole:
        raise NoProfile("the profiler's times of the operators add up to more than the run took")
    return operators


def _measure(model: str, threads: int, runs: int) -> list[dict[str, Any]]:
    """Measure the profile in this process."""
    contents, library, environment = _contents(model), Library(), ctypes.c_void_p()
    library.call("LiteRtCreateEnvironment", 0, None, ctypes.byref(environment))
    networks = [ProfiledNetwork(library, environment, content, threads) for content in contents]
    for _ in range(_WARM_UP):
        for network in networks:
            network.run()
    return summary([[event for network in networks for event in network.run()] for _ in range(runs)])


def _contents(model: str) -> list[bytes]:
    """The flatbuffers of the networks that an image goes through."""
    description = read_description(model)
    contents = [read_flatbuffer(model)]
    if isinstance(description, MultiClassDescription) and description.stages:
        part = description.labels[0]
        contents.append(read_stage(model, part, description.stages[part]))
    return contents


def summary(runs: list[list[tuple[str, float]]]) -> list[dict[str, Any]]:
    """Sum up the runs by operator.

    Args:
        runs: for each run, the name and the microseconds of every operator call.

    Returns:
        The "operators" that the module describes.

    Raises:
        NoProfile: there are no operators, or all of them are too fast for the clock.
    """
    spent: dict[str, list[float]] = {name: [0.0] * len(runs) for run in runs for name, _ in run}
    calls = Counter(name for run in runs for name, _ in run)
    for index, run in enumerate(runs):
        for name, microseconds in run:
            spent[name][index] += microseconds
    means = {name: _middle_mean(found) for name, found in spent.items()}
    whole = sum(means.values())
    if not whole:
        raise NoProfile("its operators take less than a microsecond, the resolution of the runtime's clock")
    return [
        {
            "operator": name,
            "count": calls[name] / len(runs),
            "milliseconds": round(mean / 1e3, 6),
            "share": mean / whole,
        }
        for name, mean in sorted(means.items(), key=lambda item: -item[1])
    ]


def _middle_mean(values: list[float]) -> float:
    """The mean of the middle half: a median of whole microseconds would jump, and slow runs distort a plain mean."""
    quarter = len(values) // 4
    return fmean(sorted(values)[quarter : len(values) - quarter])


def main(model: str, threads: int, runs: int) -> None:
    """Print the profile, or the reason why there is none."""
    found: dict[str, Any]
    try:
        found = {"operators": _measure(model, threads, runs)}
    except (NoProfile, OsteoliteError) as error:
        found = {"reason": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
