"""What is to be measured, and what was: plain data that travels between this program and a device as JSON.

A lane is one model file at one number of threads with one delegate, run by one engine. It is launched
several times, each time as a process of its own, as two launches of the same file differ more than two
runs of one launch. How the figures follow from it is told in `figures`.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

OSTEOLITE = "osteolite"  # the engine that is no peer


@dataclass(frozen=True)
class Plan:
    """What to measure; paths are those of the machine that measures."""

    files: tuple[str, ...]
    threads: tuple[int, ...] = (1, 2)
    delegates: tuple[str, ...] = ("",)  # names of `edge.delegates.DELEGATES` or libraries; "" leaves it to the runtime
    launches: int = 9  # of every lane
    images: tuple[tuple[str, int], ...] = ()  # path, 0 normal or 1 fractured
    peers: tuple[str, ...] = ()  # names of `peers.PEERS` to run beside our engine
    batch: int = 1  # measured too where it is above 1
    mlperf_seconds: float = 0.0  # of each scenario of MLPerf; 0 leaves them out
    profile: bool = False  # time by operator

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Undo `to_dict`, also after it went through JSON.

        Raises:
            TypeError: an unknown field.
        """
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list | tuple)}
        lists["images"] = tuple((str(path), int(label)) for path, label in values.get("images", ()))
        return cls(**{**values, **lists})


@dataclass
class Launch:
    """One start of a lane; milliseconds unless a name says otherwise, None or empty where a device cannot tell."""

    cold_start: dict[str, float] = field(default_factory=dict)  # import, load, first_invoke; process, all of it
    warm_up: int = 0  # invocations until the time was steady
    steady: bool = True  # it was, before the most that are tried
    invoke: list[list[float]] = field(default_factory=list)  # turns of consecutive invocations, after the warm-up
    quantiles: dict[str, float] = field(default_factory=dict)  # p50, p90, ... of devices that tell no more than these
    runs: int = 0  # invocations behind `quantiles`
    peak_mb: float | None = None  # the process's largest resident memory
    steady_mb: float | None = None  # its resident memory after the last turn
    foreign_cores: float | None = None  # cores that other processes kept busy during its turns, on average
    stolen: float | None = None  # share of the processors' time that a hypervisor gave to others meanwhile
    joules: float | None = None  # an invocation


@dataclass
class Lane:
    """All that was measured of one file at one number of threads with one delegate."""

    file: str  # without its folder
    variant: str
    bytes: int
    threads: int
    engine: str = OSTEOLITE  # or a name of `peers.PEERS`
    runtime: str = ""  # package and version
    asked: str = ""  # the delegate, "" for the runtime's own choice
    applied: str = ""  # what it came to
    taken: int | None = None  # operators that it took ...
    of: int | None = None  # ... of so many
    reason: str = ""  # why it was not applied, or what it left to others
    launches: list[Launch] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=dict)  # of each image: read, preprocess, invoke, whole
    probabilities: list[float] = field(default_factory=list)  # one an image
    answers: list[int] = field(default_factory=list)  # one an image: 0 normal, 1 fractured
    batch: dict[str, Any] = field(default_factory=dict)  # size, and milliseconds (an image) or reason
    scenarios: dict[str, dict[str, Any]] = field(default_factory=dict)  # see `scenarios`
    operators: list[dict[str, Any]] = field(default_factory=list)  # see `profile`
    error: str = ""  # why it could not be measured; nothing else of it counts then


@dataclass
class Measured:
    """One run of a benchmark on one device."""

    device: str  # as it was asked for: local, ssh://..., adb:..., browser
    conditions: dict[str, Any]
    lanes: list[Lane]
    labels: list[int] = field(default_factory=list)  # of the images
    left_out: dict[str, str] = field(default_factory=dict)  # what was asked for and not measured, and why

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Undo `to_dict`.

        Raises:
            TypeError: an unknown field.
        """
        lanes = [
            Lane(**{**lane, "launches": [Launch(**launch) for launch in lane["launches"]]}) for lane in values["lanes"]
        ]
        return cls(**{**values, "lanes": lanes})


@dataclass(frozen=True)
class Task:
    """What one process measures."""

    file: str
    threads: int
    delegate: str = ""
    engine: str = OSTEOLITE

    def argument(self) -> str:
        return json.dumps(asdict(self))
