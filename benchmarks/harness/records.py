"""What to measure and what was measured: plain data that travels between this program and a device as JSON.

A case is one model file at one number of threads with one delegate, run by one engine. It is launched several
times, each time in a new process, because two launches of a file differ more than two runs of one launch.
`analysis.summary` computes the published numbers from these records.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

OSTEOLITE = "osteolite"  # this project's own engine

# Fields of `Case` whose key in JSON differs: files and pages of this format exist already.
_JSON_KEYS = {"requested": "asked", "operators_taken": "taken", "operators": "of", "profile": "operators"}


@dataclass(frozen=True)
class Plan:
    """What to measure. Paths are those of the machine that measures."""

    files: tuple[str, ...]
    threads: tuple[int, ...] = (1, 2)
    delegates: tuple[str, ...] = ("",)  # names in `edge.inference.delegates` or libraries; "": the runtime's choice
    launches: int = 9  # per case
    images: tuple[tuple[str, int], ...] = ()  # path and label: 0 normal, 1 fractured
    peers: tuple[str, ...] = ()  # names in `peers.PEERS` to run beside Osteolite's engine
    batch: int = 1  # images per invocation; above 1, measured in addition to single images
    mlperf_seconds: float = 0.0  # per MLPerf scenario; 0: no scenarios
    profile: bool = False  # whether to measure the time by operator

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Undo `to_dict`, also after a round trip through JSON.

        Raises:
            TypeError: an unknown field.
        """
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list | tuple)}
        lists["images"] = tuple((str(path), int(label)) for path, label in values.get("images", ()))
        return cls(**{**values, **lists})


@dataclass
class Launch:
    """One process of a case. Times are in milliseconds; None or empty where the device does not report a value."""

    cold_start: dict[str, float] = field(default_factory=dict)  # import, load, first_invoke; process: their total
    warm_up: int = 0  # invocations until the time was steady
    steady: bool = True  # whether the time was steady before the warm-up's limit
    invoke: list[list[float]] = field(default_factory=list)  # turns of consecutive invocations after the warm-up
    quantiles: dict[str, float] = field(default_factory=dict)  # p50, p90, ...; only from devices without single runs
    runs: int = 0  # number of invocations behind `quantiles`
    peak_mb: float | None = None  # peak resident memory of the process, MiB
    steady_mb: float | None = None  # resident memory after the last turn, MiB
    foreign_cores: float | None = None  # mean number of cores that other processes kept busy during its turns
    stolen: float | None = None  # share of CPU time that the hypervisor gave to others during its turns
    joules: float | None = None  # energy per invocation


@dataclass
class Case:
    """Everything that was measured of one file at one number of threads with one delegate."""

    file: str  # name without its folder
    variant: str
    bytes: int
    threads: int
    engine: str = OSTEOLITE  # or a name in `peers.PEERS`
    runtime: str = ""  # package and version
    requested: str = ""  # delegate; "": the runtime's own choice
    applied: str = ""  # delegate that ran the model
    operators_taken: int | None = None  # number of operators that the delegate runs
    operators: int | None = None  # number of operators in the model
    reason: str = ""  # why the delegate was not applied, or why it left operators to the CPU
    launches: list[Launch] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=dict)  # milliseconds per image: read, preprocess, ..., whole
    probabilities: list[float] = field(default_factory=list)  # one per image
    answers: list[int] = field(default_factory=list)  # one per image: 0 normal, 1 fractured
    batch: dict[str, Any] = field(default_factory=dict)  # size, and milliseconds (per image) or reason
    scenarios: dict[str, dict[str, Any]] = field(default_factory=dict)  # input of `analysis.mlperf`
    profile: list[dict[str, Any]] = field(default_factory=list)  # time by operator, see `harness.profile`
    error: str = ""  # why it could not be measured; the other results are void then

    @classmethod
    def json_keys(cls) -> set[str]:
        """The keys of a case in JSON."""
        return {_JSON_KEYS.get(one.name, one.name) for one in fields(cls)}

    def to_dict(self) -> dict[str, Any]:
        return {_JSON_KEYS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Undo `to_dict`.

        Raises:
            TypeError: an unknown field.
        """
        names = {key: name for name, key in _JSON_KEYS.items()}
        known = {names.get(key, key): value for key, value in values.items()}
        return cls(**{**known, "launches": [Launch(**launch) for launch in values["launches"]]})


@dataclass
class Measured:
    """One run of a benchmark on one device."""

    device: str  # as given on the command line: local, ssh://..., adb:..., browser
    conditions: dict[str, Any]
    cases: list[Case]  # in JSON: "lanes"
    labels: list[int] = field(default_factory=list)  # one per image: 0 normal, 1 fractured
    left_out: dict[str, str] = field(default_factory=dict)  # what was requested but not measured, and why

    def to_dict(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "conditions": self.conditions,
            "lanes": [case.to_dict() for case in self.cases],
            "labels": self.labels,
            "left_out": self.left_out,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Undo `to_dict`.

        Raises:
            TypeError: an unknown field.
        """
        others = {key: value for key, value in values.items() if key != "lanes"}
        return cls(cases=[Case.from_dict(case) for case in values["lanes"]], **others)


@dataclass(frozen=True)
class Task:
    """What one process measures."""

    file: str
    threads: int
    delegate: str = ""
    engine: str = OSTEOLITE

    def argument(self) -> str:
        return json.dumps(asdict(self))
