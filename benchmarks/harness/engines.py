"""What a lane's process loads: Osteolite's runtime, or a peer's, behind the same few calls."""

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

    Network = tuple[InferenceSession, Tensor]  # with what it is given


class Unavailable(Exception):
    """What was asked for cannot be measured here; the message says why."""


@dataclass(frozen=True)
class TimedAnswer:
    """For one image."""

    probability: float
    label: int  # 0 normal, 1 fractured
    milliseconds: dict[str, float]  # by step, and "whole"


class Loaded(Protocol):
    """A model that is ready to be measured; every call returns with its outputs in this process's memory."""

    about: dict[str, Any]  # fields of `Lane`: variant, runtime, applied, taken, of, reason
    takes_tensors: bool  # else it takes images alone, and has no time of its network

    def invoke(self) -> object: ...

    def answer(self, file: str) -> TimedAnswer: ...

    def side_by_side(self, seconds: float) -> tuple[int, float]:
        """How many samples were answered in how many seconds, on all threads side by side."""

    def batch(self, size: int) -> Callable[[], object]:
        """What invokes the network on so many images at once."""


def prepare(task: "Task") -> None:
    """Import what the task needs, as the start of a process does."""
    if task.engine == OSTEOLITE:
        import osteolite.edge.prediction.router  # noqa: F401
    else:
        from . import peers  # noqa: F401


def load(task: "Task", stack: ExitStack) -> Loaded:
    """Load the model of a task; the stack closes it.

    Raises:
        OsteoliteError: the file cannot be loaded, or the delegate is unavailable.
        Unavailable: the peer is not installed, or cannot run this file.
    """
    if task.engine == OSTEOLITE:
        return _Ours(task)
    from osteolite.edge.silence import quiet_stderr

    from .peers import PEERS, LeftOut, Setup

    try:
        with quiet_stderr():
            setup = Setup(task.file, task.threads)
            return _Theirs(task, setup.description, stack.enter_context(PEERS[task.engine].open(setup)))
    except LeftOut as error:
        raise Unavailable(str(error)) from error


class _Ours:
    """Osteolite's own runtime: one network, or the two stages of a router."""

    takes_tensors = True

    def __init__(self, task: "Task") -> None:
        from osteolite.edge.prediction.router import open_classifier

        self._task = task
        self._classifier: FractureClassifier | Router = open_classifier(task.file, task.threads, delegate=_asked(task))
        self._networks = _with_noise(self._classifier.sessions())
        delegation = self._classifier.session.delegation
        self.about = {
            "variant": self._classifier.description.variant,
            "runtime": self._classifier.session.name,
            "applied": delegation.applied,
            "taken": delegation.operators_taken,
            "of": delegation.operators,
            "reason": delegation.reason,
        }

    def invoke(self) -> None:
        """Each network with its tensor, as one image goes through them."""
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
        if self._task.threads > 1 and not _asked(self._task):  # an accelerator is one for all
            single = (open_classifier(self._task.file, 1) for _ in range(self._task.threads))
            copies = [_with_noise(one.sessions()) for one in single]
        return _race([partial(_run, networks) for networks in copies], seconds)

    def batch(self, size: int) -> Callable[[], object]:
        if len(self._networks) > 1:
            raise Unavailable("a router answers one image at a time")
        if _asked(self._task):
            raise Unavailable("only the processor's networks are resized")
        return _resized(self._task.file, self._task.threads, size)


class _Theirs:
    """A peer's runtime on the same file, behind Pillow where it takes tensors."""

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


def _asked(task: "Task") -> str | None:
    return task.delegate or None


def _noise(shape: tuple[int, ...]) -> "Tensor":
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def _race(actions: list[Callable[[], object]], seconds: float) -> tuple[int, float]:
    """Repeat each action in a thread of its own until the time is over; how often in all, and the true seconds."""
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
    """The bare interpreter on a batch: the edge runtime itself answers one image at a time.

    Raises:
        Unavailable: the network's operators hold the size of its input.
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
