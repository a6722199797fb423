"""The engines that a worker can load: Osteolite's runtime or a peer's, behind one interface."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .records import OSTEOLITE

if TYPE_CHECKING:
    from osteolite.edge.inference.session import InferenceSession
    from osteolite.edge.inference.tensors import Tensor
    from osteolite.edge.prediction.classifier import FractureClassifier
    from osteolite.edge.prediction.router import Router

    from .peers import Contender
    from .records import Task

    Network = tuple[InferenceSession, Tensor]  # a session and its input


class Unavailable(Exception):
    """The request cannot be measured here. The message says why."""


@dataclass(frozen=True)
class TimedAnswer:
    """The prediction of one image and its times."""

    probability: float
    label: int  # 0 normal, 1 fractured
    milliseconds: dict[str, float]  # by step; "whole" is their total


class Loaded(Protocol):
    """A model that is ready to be measured. Every call returns with its outputs in this process's memory."""

    about: dict[str, Any]  # fields of `Case`: variant, runtime, applied, operators_taken, operators, reason
    takes_tensors: bool  # False: it takes images only, so its network cannot be timed alone

    def invoke(self) -> object: ...

    def answer(self, file: str) -> TimedAnswer: ...

    def side_by_side(self, seconds: float) -> tuple[int, float]:
        """Run on all threads in parallel; the number of samples and the seconds that they took."""

    def batch(self, size: int) -> Callable[[], object]:
        """A function that invokes the network on `size` images at once."""


def prepare(task: "Task") -> None:
    """Import what the task needs, so that the time of the imports can be measured."""
    if task.engine == OSTEOLITE:
        import osteolite.edge.prediction.router  # noqa: F401 - the import itself is measured
    else:
        from . import peers  # noqa: F401 - the import itself is measured


def load(task: "Task", stack: ExitStack) -> Loaded:
    """Load the model of a task. The stack closes it.

    Raises:
        OsteoliteError: the file cannot be loaded, or the delegate is unavailable.
        Unavailable: the peer is not installed or cannot run this file.
    """
    if task.engine == OSTEOLITE:
        return _OsteoliteEngine(task)
    from osteolite.edge.silence import quiet_stderr

    from .peers import PEERS, LeftOut, Setup

    try:
        with quiet_stderr():
            setup = Setup(task.file, task.threads)
            return _PeerEngine(task, setup.description, stack.enter_context(PEERS[task.engine].open(setup)))
    except LeftOut as error:
        raise Unavailable(str(error)) from error


class _OsteoliteEngine:
    """Osteolite's runtime: one network, or the two stages of a router."""

    takes_tensors = True

    def __init__(self, task: "Task") -> None:
        from osteolite.edge.prediction.router import open_classifier

        self._task = task
        self._classifier: FractureClassifier | Router = open_classifier(
            task.file, task.threads, delegate=_delegate(task)
        )
        self._networks = _with_noise(self._classifier.sessions())
        delegation = self._classifier.session.delegation
        self.about = {
            "variant": self._classifier.description.variant,
            "runtime": self._classifier.session.name,
            "applied": delegation.applied,
            "operators_taken": delegation.operators_taken,
            "operators": delegation.operators,
            "reason": delegation.reason,
        }

    def invoke(self) -> None:
        """Run each network once, as for one image."""
        _run(self._networks)

    def answer(self, file: str) -> TimedAnswer:
        from osteolite.edge.labels import LABELS

        found = self._classifier.predict(file)
        steps = {step: found.milliseconds[step] for step in ("read", "preprocess", "invoke")}
        whole = sum(found.milliseconds.values())
        return TimedAnswer(found.fracture_probability, LABELS.index(found.label), {**steps, "whole": whole})

    def side_by_side(self, seconds: float) -> tuple[int, float]:
        from osteolite.edge.prediction.router import open_classifier

        copies = [self._networks]
        if self._task.threads > 1 and not _delegate(self._task):  # an accelerator is shared by all threads
            single = (open_classifier(self._task.file, 1) for _ in range(self._task.threads))
            copies = [_with_noise(one.sessions()) for one in single]
        return _race([partial(_run, networks) for networks in copies], seconds)

    def batch(self, size: int) -> Callable[[], object]:
        if len(self._networks) > 1:
            raise Unavailable("a router answers one image at a time")
        if _delegate(self._task):
            raise Unavailable("batches are measured on the CPU only")
        return _resized(self._task.file, self._task.threads, size)


class _PeerEngine:
    """A peer's runtime on the same file. Where it takes tensors, Pillow reads the images."""

    def __init__(self, task: "Task", description: Any, contender: "Contender") -> None:
        self._contender, self._threshold = contender, description.threshold
        shape = (1, *description.preprocessing.shape)
        self._tensor = _noise(shape)
        self.takes_tensors = contender.invoke is not None
        self.about = {"variant": description.variant, "runtime": contender.runtime, "applied": "cpu"}

    def invoke(self) -> None:
        assert self._contender.invoke is not None, "a peer that takes images alone"
        self._contender.invoke(self._tensor)

    def answer(self, file: str) -> TimedAnswer:
        start = time.perf_counter()
        probability = self._contender.answer(file)
        whole = 1e3 * (time.perf_counter() - start)
        return TimedAnswer(probability, int(probability >= self._threshold), {"whole": whole})

    def side_by_side(self, seconds: float) -> tuple[int, float]:
        return _race([self.invoke], seconds)

    def batch(self, size: int) -> Callable[[], object]:
        raise Unavailable("peers are measured one image at a time")


def _with_noise(sessions: "list[InferenceSession]") -> "list[Network]":
    return [(session, _noise(session.input_shape)) for session in sessions]


def _run(networks: "list[Network]") -> None:
    for session, tensor in networks:
        session.run(tensor)


def _delegate(task: "Task") -> str | None:
    return task.delegate or None


def _noise(shape: tuple[int, ...]) -> "Tensor":
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def _race(actions: list[Callable[[], object]], seconds: float) -> tuple[int, float]:
    """Repeat each action in its own thread for `seconds`; the total number of calls and the actual duration."""
    counts = [0] * len(actions)
    start = time.perf_counter()

    def repeat(index: int) -> None:
        while time.perf_counter() < start + seconds:
            actions[index]()
            counts[index] += 1

    threads = [threading.Thread(target=repeat, args=(index,)) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts), time.perf_counter() - start


def _resized(file: str, threads: int, size: int) -> Callable[[], object]:
    """Run a batch in the bare interpreter, because the edge runtime takes one image at a time.

    Raises:
        Unavailable: the network has a fixed input size.
    """
    from osteolite.edge.inference.engine import one_line, parse_model

    interpreter = parse_model(os.fspath(file), num_threads=threads)
    given = interpreter.get_input_details()[0]
    try:
        interpreter.resize_tensor_input(given["index"], [size, *given["shape"][1:]])
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise Unavailable(f"it cannot be resized to {size} images at once ({one_line(error)})") from error
    pixels = np.random.default_rng(0).uniform(-1, 1, (size, *given["shape"][1:])).astype(given["dtype"])
    answer = interpreter.get_output_details()[0]["index"]

    def invoke() -> object:
        interpreter.set_tensor(given["index"], pixels)
        interpreter.invoke()
        return interpreter.get_tensor(answer)

    return invoke
