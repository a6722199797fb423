"""Measures a plan on the machine it runs on; numpy and the edge runtime are all it needs.

Every lane is launched several times, each time as a process of its own, as two processes of one file differ
by more than two runs of one process do. Within a launch the lanes take turns, so that a slow spell of the
machine falls on all alike and ratios hold.
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

from .conditions import Processors, available_mb, machine, state, yardstick
from .energy import Joules, energy_meter
from .peers import PEERS, another_network
from .process import Lost, Worker
from .profile import NoProfile, profile
from .records import OSTEOLITE, Lane, Launch, Measured, Plan, Task

_TURN_MS, _TURNS = 100.0, 10  # a turn takes about so long; turns of a launch
_WARM_FIRST, _WARM_MS, _WARM_TURNS, _STEADY = 3, 500.0, 50, 0.05  # half a second as LiteRT's own program
_CHUNK = 50  # images sent to a process at once
_PROCESS_MB = 150.0  # of a worker, beside three times its model's size
_ENERGY_MS = 2000.0

Tell = Callable[[str], None]


@dataclass
class _Running:
    """A lane with its process in this launch."""

    lane: Lane
    launch: Launch
    worker: Worker
    runs: int = 1  # of a turn
    wall: float = 0.0  # seconds of its turns
    foreign: float = 0.0  # processor seconds of others during them
    stolen: float = 0.0
    total: float = 0.0


def measure(plan: Plan, tell: Tell) -> Measured:
    """Measure every lane of a plan on this machine.

    A lane that cannot be measured says why in its `error`; the others go on.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    conditions = {**machine(), "started": started.isoformat(timespec="seconds"), "before": state()}
    lanes, tasks = _lanes(plan)
    meter, during = energy_meter(), list[dict[str, Any]]()
    for number in range(1, plan.launches + 1):
        once = partial(_once, plan=plan, meter=meter, tell=tell) if number == plan.launches else None
        for group in _groups(tasks):
            tell(f"launch {number} of {plan.launches}")
            _launch([(lanes[index], tasks[index]) for index in group], plan, during, once)
    conditions |= {"seconds": round(time.monotonic() - clock, 1), "during": _while_busy(during), "after": state()}
    left_out = _without_profile(lanes, tasks, tell) if plan.profile else {}
    for peer in (lane for lane in lanes if lane.engine != OSTEOLITE):
        if reason := peer.error or _strangeness(peer, lanes):
            left_out[f"{peer.engine}, {peer.file}"] = reason
            lanes = [lane for lane in lanes if lane is not peer]
    return Measured("local", conditions, lanes, [label for _, label in plan.images], left_out)


def _lanes(plan: Plan) -> tuple[list[Lane], list[Task]]:
    tasks = [Task(*one) for one in product(plan.files, plan.threads, plan.delegates)]
    tasks += [Task(file, threads, "", peer) for file, threads, peer in product(plan.files, plan.threads, plan.peers)]
    lanes = [
        Lane(
            file=os.path.basename(task.file),
            variant="",
            bytes=Path(task.file).stat().st_size if Path(task.file).is_file() else 0,
            threads=task.threads,
            engine=task.engine,
            asked=task.delegate,
        )
        for task in tasks
    ]
    return lanes, tasks


def _groups(tasks: list[Task]) -> list[list[int]]:
    """Indices of tasks whose processes fit into half of the free memory together."""
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
    chosen: list[tuple[Lane, Task]], plan: Plan, seen: list[dict[str, Any]], once: Callable[[_Running], None] | None
) -> None:
    """Start the processes and let them take turns; `once` is done after the turns of the last launch."""
    with ExitStack() as stack:
        running = [one for lane, task in chosen if not lane.error and (one := _start(lane, task, stack))]
        timed = [one for one in running if one.worker.takes_tensors]
        for _ in range(_TURNS):
            timed = [one for one in timed if _done(one, _turn)]
            seen.append({**state(), "yardstick_ms": yardstick()})
        if once:
            _score(running, plan.images)
        for one in running:
            if not one.lane.error and _done(one, _finish):
                one.lane.launches.append(one.launch)
        if once:  # after memory was read, as batches and copies take more of it
            for one in timed:
                _done(one, once)


def _start(lane: Lane, task: Task, stack: ExitStack) -> _Running | None:
    try:
        worker = Worker(task)
    except Lost as lost:
        lane.error = str(lost)
        return None
    stack.callback(worker.close)
    for name, value in worker.about.items():
        setattr(lane, name, value)
    one = _Running(lane, Launch(cold_start=worker.cold_start), worker)
    return one if not worker.takes_tensors or _done(one, _warm_up) else None


def _done(one: _Running, step: Callable[[_Running], None]) -> bool:
    """Take a step of a lane; a lane that is lost there keeps the reason."""
    try:
        step(one)
    except Lost as lost:
        one.lane.error = str(lost)
    return not one.lane.error


def _warm_up(one: _Running) -> None:
    """Invoke in turns for half a second at least, and until the median of a turn is within 5 % of the turn before."""
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
    """Invocations of a turn."""
    return max(1, min(most, round(_TURN_MS / median)))


def _turn(one: _Running) -> None:
    """One turn, and what other processes used of the processors meanwhile."""
    before, own, clock = Processors.now(), time.process_time(), time.perf_counter()
    answer = one.worker.ask("invoke", runs=one.runs)
    one.wall += time.perf_counter() - clock
    after, own = Processors.now(), time.process_time() - own
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


def _once(one: _Running, plan: Plan, meter: Joules | None, tell: Tell) -> None:
    """What is measured in one launch alone: batch, MLPerf's scenarios, energy."""
    if plan.batch > 1:
        runs = max(3, one.runs // plan.batch)
        try:
            spent = one.worker.ask("batch", size=plan.batch, runs=runs)["milliseconds"]
            one.lane.batch = {"size": plan.batch, "milliseconds": float(np.median(spent)) / plan.batch}
        except Lost as lost:
            one.lane.batch = {"size": plan.batch, "reason": str(lost)}
    if plan.mlperf_seconds:
        for scenario in ("single_stream", "offline"):
            tell(f"{scenario} of {one.lane.file}")
            one.lane.scenarios[scenario] = one.worker.ask(scenario, seconds=plan.mlperf_seconds)
    if meter:
        median = float(np.median([spent for turn in one.launch.invoke for spent in turn]))
        runs = max(1, round(_ENERGY_MS / median))
        one.launch.joules = meter(lambda: one.worker.ask("invoke", runs=runs)) / runs


def _score(running: list[_Running], images: tuple[tuple[str, int], ...]) -> None:
    """From files to answers, the lanes taking turns."""
    for start in range(0, len(images), _CHUNK):
        files = [path for path, _ in images[start : start + _CHUNK]]
        for one in running:
            if not one.lane.error:
                _done(one, partial(_score_some, files=files))


def _score_some(one: _Running, files: list[str]) -> None:
    answer = one.worker.ask("score", files=files)
    one.lane.probabilities += answer["probabilities"]
    one.lane.answers += answer["answers"]
    for steps in answer["steps"]:
        for step, spent in steps.items():
            one.lane.steps.setdefault(step, []).append(round(spent, 4))


def _without_profile(lanes: list[Lane], tasks: list[Task], tell: Tell) -> dict[str, str]:
    """Profile our lanes on the processor; those that have no profile, and why."""
    left_out = {}
    for lane, task in zip(lanes, tasks, strict=True):
        if task.engine == OSTEOLITE and not task.delegate and not lane.error:
            tell(f"profile of {lane.file}")
            try:
                lane.operators = profile(task.file, task.threads)
            except NoProfile as reason:
                left_out[f"profile, {lane.file}, {lane.threads} threads"] = str(reason)
    return left_out


def _strangeness(peer: Lane, lanes: list[Lane]) -> str | None:
    """Why a peer computes another network than ours, where it saw the same pixels."""
    ours = next(
        (lane for lane in lanes if (lane.engine, lane.file) == (OSTEOLITE, peer.file) and lane.probabilities), None
    )
    if ours is None or not PEERS[peer.engine].plain_pixels:
        return None
    return another_network(peer.probabilities, ours.probabilities)


def _while_busy(states: list[dict[str, Any]]) -> dict[str, Any]:
    """What was seen between turns: the hottest moment, the clock at first and at last, all that the board said."""
    known = {name: [one[name] for one in states if one[name] is not None] for name in states[0]} if states else {}
    clocks, third = known.get("frequency_mhz", []), max(1, len(states) // 3)
    return {
        "temperature_c": max(known.get("temperature_c", []), default=None),
        "first_mhz": round(float(np.median(clocks[:third]))) if clocks else None,
        "last_mhz": round(float(np.median(clocks[-third:]))) if clocks else None,
        "throttled": sorted({word for said in known.get("throttled", []) for word in said}) or None,
        "yardstick_ms": round(float(np.median(known["yardstick_ms"])), 3) if known else None,
    }
