"""Measure a plan on this machine. Needs only numpy and the edge runtime.

Every case is launched several times, each time in a new process, because two processes of one file differ more than
two runs of one process. Within a launch the cases take turns, so that a slow phase of the machine affects all cases
alike and ratios stay valid.
"""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from .conditions import CpuTime, available_mb, machine, state, yardstick
from .energy import Joules, energy_meter
from .peers import PEERS, different_network
from .process import Lost, Worker
from .profile import NoProfile, profile
from .records import OSTEOLITE, Case, Launch, Measured, Plan, Task

_TURN_MS, _TURNS = 100.0, 10  # approximate duration of a turn; turns per launch
_WARM_FIRST, _WARM_MS, _WARM_TURNS, _STEADY = 3, 500.0, 50, 0.05  # half a second, as LiteRT's own benchmark
_CHUNK = 50  # images per request
_PROCESS_MB = 150.0  # memory of a worker, in addition to three times its model's size
_ENERGY_MS = 2000.0  # duration of an energy measurement

Tell = Callable[[str], None]


@dataclass
class _Running:
    """A case and its process in the current launch."""

    case: Case
    launch: Launch
    worker: Worker
    runs: int = 1  # invocations per turn
    wall: float = 0.0  # seconds of all its turns; the next three are CPU seconds during them
    foreign: float = 0.0  # used by other processes
    stolen: float = 0.0  # given to others by the hypervisor
    total: float = 0.0


def measure(plan: Plan, tell: Tell) -> Measured:
    """Measure every case of a plan on this machine.

    A case that cannot be measured holds the reason in its `error`; the others continue.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    conditions = {**machine(), "started": started.isoformat(timespec="seconds"), "before": state()}
    cases, tasks = _cases(plan)
    meter, during = energy_meter(), list[dict[str, Any]]()
    for number in range(1, plan.launches + 1):
        once = partial(_measure_once, plan=plan, meter=meter, tell=tell) if number == plan.launches else None
        for group in _groups(tasks):
            tell(f"launch {number} of {plan.launches}")
            _launch([(cases[index], tasks[index]) for index in group], plan, during, once)
    conditions |= {"seconds": round(time.monotonic() - clock, 1), "during": _while_busy(during), "after": state()}
    left_out = _profile_all(cases, tasks, tell) if plan.profile else {}
    for peer in (case for case in cases if case.engine != OSTEOLITE):
        if reason := peer.error or _mismatch(peer, cases):
            left_out[f"{peer.engine}, {peer.file}"] = reason
            cases = [case for case in cases if case is not peer]
    return Measured("local", conditions, cases, [label for _, label in plan.images], left_out)


def _cases(plan: Plan) -> tuple[list[Case], list[Task]]:
    tasks = [Task(*one) for one in product(plan.files, plan.threads, plan.delegates)]
    tasks += [Task(file, threads, "", peer) for file, threads, peer in product(plan.files, plan.threads, plan.peers)]
    cases = [
        Case(
            file=os.path.basename(task.file),
            variant="",
            bytes=Path(task.file).stat().st_size if Path(task.file).is_file() else 0,
            threads=task.threads,
            engine=task.engine,
            requested=task.delegate,
        )
        for task in tasks
    ]
    return cases, tasks


def _groups(tasks: list[Task]) -> list[list[int]]:
    """Group the indices of tasks so that the processes of a group fit into half of the free memory."""
    room = (available_mb() or 8 * 2 * _PROCESS_MB) / 2
    groups: list[list[int]] = []
    left = 0.0
    for index, task in enumerate(tasks):
        file = Path(task.file)
        needed = _PROCESS_MB + 3 * (file.stat().st_size / 2**20 if file.is_file() else 0)
        if not groups or needed > left:
            groups.append([])
            left = room
        groups[-1].append(index)
        left -= needed
    return groups


def _launch(
    chosen: list[tuple[Case, Task]], plan: Plan, seen: list[dict[str, Any]], once: Callable[[_Running], None] | None
) -> None:
    """Start the processes and let them take turns. In the last launch, `once` runs after the turns."""
    with ExitStack() as stack:
        running = [one for case, task in chosen if not case.error and (one := _start(case, task, stack))]
        timed = [one for one in running if one.worker.takes_tensors]
        for _ in range(_TURNS):
            timed = [one for one in timed if _succeeds(one, _turn)]
            seen.append({**state(), "yardstick_ms": yardstick()})
        if once:
            _score(running, plan.images)
        for one in running:
            if not one.case.error and _succeeds(one, _finish):
                one.case.launches.append(one.launch)
        if once:  # after `_finish` has read the memory use, which batches and copies would increase
            for one in timed:
                _succeeds(one, once)


def _start(case: Case, task: Task, stack: ExitStack) -> _Running | None:
    try:
        worker = Worker(task)
    except Lost as lost:
        case.error = str(lost)
        return None
    stack.callback(worker.close)
    for name, value in worker.about.items():
        setattr(case, name, value)
    one = _Running(case, Launch(cold_start=worker.cold_start), worker)
    return one if not worker.takes_tensors or _succeeds(one, _warm_up) else None


def _succeeds(one: _Running, step: Callable[[_Running], None]) -> bool:
    """Run a step of a case and return whether it succeeded; the case keeps the error."""
    try:
        step(one)
    except Lost as lost:
        one.case.error = str(lost)
    return not one.case.error


def _warm_up(one: _Running) -> None:
    """Invoke in turns for at least half a second, until the median of a turn is within 5 % of the previous turn's."""
    before, spent, runs = 0.0, 0.0, _WARM_FIRST
    for _ in range(_WARM_TURNS):
        times = one.worker.ask("invoke", runs=runs)["milliseconds"]
        median = max(float(np.median(times)), 1e-3)
        spent += sum(times)
        one.launch.warm_up += runs
        one.launch.steady = abs(median - before) <= _STEADY * before
        if one.launch.steady and spent >= _WARM_MS:
            break
        before, runs = median, _runs(median, 1000)
    one.runs = _runs(median, 100)


def _runs(median: float, most: int) -> int:
    """The number of invocations in a turn."""
    return max(1, min(most, round(_TURN_MS / median)))


def _turn(one: _Running) -> None:
    """Run one turn, and record how much CPU time other processes used meanwhile."""
    before, own, clock = CpuTime.now(), time.process_time(), time.perf_counter()
    answer = one.worker.ask("invoke", runs=one.runs)
    one.wall += time.perf_counter() - clock
    after, own = CpuTime.now(), time.process_time() - own
    one.launch.invoke.append(answer["milliseconds"])
    if before and after:
        one.foreign += after.busy - before.busy - own - answer["cpu"]
        one.stolen += after.stolen - before.stolen
        one.total += after.total - before.total


def _finish(one: _Running) -> None:
    memory = one.worker.ask("memory")
    one.launch.peak_mb, one.launch.steady_mb = memory["peak_mb"], memory["steady_mb"]
    if one.total:
        one.launch.foreign_cores = max(0.0, one.foreign / one.wall)
        one.launch.stolen = max(0.0, one.stolen / one.total)


def _measure_once(one: _Running, plan: Plan, meter: Joules | None, tell: Tell) -> None:
    """Measure what needs only one launch: batch, MLPerf scenarios, energy."""
    if plan.batch > 1:
        runs = max(3, one.runs // plan.batch)
        try:
            spent = one.worker.ask("batch", size=plan.batch, runs=runs)["milliseconds"]
            one.case.batch = {"size": plan.batch, "milliseconds": float(np.median(spent)) / plan.batch}
        except Lost as lost:
            one.case.batch = {"size": plan.batch, "reason": str(lost)}
    if plan.mlperf_seconds:
        for scenario in ("single_stream", "offline"):
            tell(f"{scenario} of {one.case.file}")
            one.case.scenarios[scenario] = one.worker.ask(scenario, seconds=plan.mlperf_seconds)
    if meter:
        median = float(np.median([spent for turn in one.launch.invoke for spent in turn]))
        runs = max(1, round(_ENERGY_MS / median))
        one.launch.joules = meter(lambda: one.worker.ask("invoke", runs=runs)) / runs


def _score(running: list[_Running], images: tuple[tuple[str, int], ...]) -> None:
    """Predict all images from their files; the cases take turns."""
    for start in range(0, len(images), _CHUNK):
        files = [path for path, _ in images[start : start + _CHUNK]]
        for one in running:
            if not one.case.error:
                _succeeds(one, partial(_score_some, files=files))


def _score_some(one: _Running, files: list[str]) -> None:
    answer = one.worker.ask("score", files=files)
    one.case.probabilities += answer["probabilities"]
    one.case.answers += answer["answers"]
    for steps in answer["steps"]:
        for step, spent in steps.items():
            one.case.steps.setdefault(step, []).append(round(spent, 4))


def _profile_all(cases: list[Case], tasks: list[Task], tell: Tell) -> dict[str, str]:
    """Profile Osteolite's cases on the CPU. Returns the cases without a profile, and why."""
    left_out = {}
    for case, task in zip(cases, tasks, strict=True):
        if task.engine == OSTEOLITE and not task.delegate and not case.error:
            tell(f"profile of {case.file}")
            try:
                case.profile = profile(task.file, task.threads)
            except NoProfile as reason:
                left_out[f"profile, {case.file}, {case.threads} threads"] = str(reason)
    return left_out


def _mismatch(peer: Case, cases: list[Case]) -> str | None:
    """Why a peer that saw the same pixels must have computed a different network; None if it did not."""
    ours = next(
        (case for case in cases if (case.engine, case.file) == (OSTEOLITE, peer.file) and case.probabilities), None
    )
    if ours is None or not PEERS[peer.engine].plain_pixels:
        return None
    return different_network(peer.probabilities, ours.probabilities)


def _while_busy(states: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise the states between turns: highest temperature, first and last clock, all reports of throttling."""
    known = {name: [one[name] for one in states if one[name] is not None] for name in states[0]} if states else {}
    clocks, third = known.get("frequency_mhz", []), max(1, len(states) // 3)
    return {
        "temperature_c": max(known.get("temperature_c", []), default=None),
        "first_mhz": round(float(np.median(clocks[:third]))) if clocks else None,
        "last_mhz": round(float(np.median(clocks[-third:]))) if clocks else None,
        "throttled": sorted({word for said in known.get("throttled", []) for word in said}) or None,
        "yardstick_ms": round(float(np.median(known["yardstick_ms"])), 3) if known else None,
    }
