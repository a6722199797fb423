"""Latency, memory and accuracy of model files, each in its own process, all interleaved."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from sklearn.metrics import roc_auc_score

from osteolite.edge.errors import ModelFileError

_ROUNDS = 20  # in each of which every process has its turn
_RUNS = 10  # invocations a turn
_CHUNK = 50  # images sent to a process at once
_CONSOLE = Console(stderr=True)
_BAR: dict[str, Any] = {"console": _CONSOLE, "transient": True, "disable": not _CONSOLE.is_terminal}


@dataclass
class Measurement:
    """One file at one number of threads."""

    file: str
    threads: int
    variant: str
    runtime: str
    bytes: int  # of the file
    cold_start: dict[str, float]  # milliseconds of import, load, first_invoke, and process, from its start to that
    warm_up: int  # invocations until the time was steady
    invoke: list[float] = field(default_factory=list)  # milliseconds, after the warm-up
    whole: list[float] = field(default_factory=list)  # milliseconds from file to probability
    peak_mb: float = 0.0
    accuracy: float | None = None
    auroc: float | None = None


class Worker:
    """A process that runs one model file (see `worker`)."""

    def __init__(self, file: str, threads: int) -> None:
        self.file, self.threads = file, threads
        command = [sys.executable, "-m", "osteolite.benchmarks.worker", file, str(threads)]
        start = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.hello = self._read()
        self.hello["milliseconds"]["process"] = 1e3 * (time.perf_counter() - start)

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **values}) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise ModelFileError(f"{self.file}: its process ended with code {code} while it was measured")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ModelFileError(answer["error"])
        return answer

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()


def measure(files: list[str], threads: list[int], images: list[tuple[str, int]]) -> list[Measurement]:
    """Measure every file at every number of threads.

    The processes take turns, so that a slow spell of the machine falls on all alike and ratios hold.

    Args:
        files: model files.
        threads: numbers of interpreter threads.
        images: labelled images (path, 0 or 1) for accuracy and the time from file to answer; may be
            empty.

    Raises:
        ModelFileError: a file cannot be loaded.
    """
    workers: list[Worker] = []
    try:
        for file, count in product(files, threads):
            workers.append(Worker(file, count))
        measured = [_begin(worker) for worker in workers]
        for _ in track(range(_ROUNDS), "invoking", **_BAR):
            for worker, result in zip(workers, measured, strict=True):
                result.invoke += worker.ask("invoke", runs=_RUNS)["milliseconds"]
        if images:
            _score(workers, measured, images)
        for worker, result in zip(workers, measured, strict=True):
            result.peak_mb = worker.ask("memory")["peak_mb"]
        return measured
    finally:
        for worker in workers:
            worker.close()


def _begin(worker: Worker) -> Measurement:
    return Measurement(
        file=worker.file,
        threads=worker.threads,
        variant=worker.hello["variant"],
        runtime=worker.hello["runtime"],
        bytes=os.path.getsize(worker.file),
        cold_start=worker.hello["milliseconds"],
        warm_up=_warm_up(worker),
    )


def _warm_up(worker: Worker, most: int = 20) -> int:
    """Invoke in turns until the median of a turn is within 5 % of the turn before; the number of invocations."""
    before = float("inf")
    for turn in range(1, most + 1):
        median = float(np.median(worker.ask("invoke", runs=_RUNS)["milliseconds"]))
        if abs(median - before) <= 0.05 * before:
            return turn * _RUNS
        before = median
    return most * _RUNS


def _score(workers: list[Worker], measured: list[Measurement], images: list[tuple[str, int]]) -> None:
    labels = np.array([label for _, label in images])
    scores: list[list[float]] = [[] for _ in workers]
    correct = [0] * len(workers)
    for start in track(range(0, len(images), _CHUNK), "scoring", **_BAR):
        chunk = images[start : start + _CHUNK]
        for index, worker in enumerate(workers):
            answer = worker.ask("score", files=[path for path, _ in chunk])
            scores[index] += answer["probabilities"]
            measured[index].whole += answer["milliseconds"]
            correct[index] += sum(a == b for a, (_, b) in zip(answer["labels"], chunk, strict=True))
    for index, result in enumerate(measured):
        result.accuracy = correct[index] / len(images)
        result.auroc = float(roc_auc_score(labels, scores[index]))
