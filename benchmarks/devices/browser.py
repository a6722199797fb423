"""Figures of a browser: LiteRT.js in the Chromium of this machine, on its processor (wasm) and GPU (webgpu).

The page of `edge/browser/bench` measures by itself, as it does on a phone; here it is opened afresh for every launch,
handed the images' tensors, and its answers are read.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteolite.edge.browser import runtime_name
from osteolite.edge.errors import DeviceError, ImageError, MissingExtra, OsteoliteError, UsageError
from osteolite.edge.imaging.radiograph import read_radiograph
from osteolite.edge.inference.tensors import sigmoid
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.description import ROUTER, ModelDescription
from osteolite.edge.preprocess import PreprocessingSpec, preprocess

from ..analysis.phone_import import measured_of
from ..harness.conditions import machine, state
from ..harness.records import Lane, Measured, Plan
from . import Progress
from .pageserver import PageServer, page_contents, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ACCELERATORS = ("wasm", "webgpu")

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ("--enable-unsafe-webgpu", "--enable-features=Vulkan")  # Chromium on Linux gives no WebGPU without them
_SILENCE = 300.0  # seconds that the page may take for one step
_OPENING = 60.0  # seconds until it must be there


@dataclass(frozen=True)
class _Model:
    """A file of the plan; with an `error` the page never sees it."""

    path: str
    variant: str = ""
    description: ModelDescription | None = None  # of a fracture model, whose answers can be scored
    error: str = ""


def measure(plan: Plan, name: str, tell: Progress) -> Measured:
    """Measure a plan in this machine's Chromium; its threads are the runtime's own choice.

    Raises:
        UsageError: a delegate other than wasm and webgpu.
        MissingExtra: Playwright is not installed.
        DeviceError: no Chromium, or it crashed, was closed, or fell silent.
        ImageError: an image cannot be read.
    """
    accelerators = _accelerators(plan.delegates)
    models = [_model(path) for path in plan.files]
    good = [model for model in models if not model.error]
    started, clock = datetime.now(UTC), time.monotonic()
    conditions = {**machine(), "started": started.isoformat(timespec="seconds"), "before": state()}
    if good:
        page = _measure(good, accelerators, plan, tell)
        conditions = {**page.conditions, **conditions, "system": page.conditions["system"]}
        found = iter(page.lanes)
    else:
        found = iter(())
    lanes = [_failed(model, one) if model.error else next(found) for model in models for one in accelerators]
    conditions |= {"seconds": round(time.monotonic() - clock, 1), "after": state()}
    labels = [label for _, label in plan.images]
    return Measured(name, conditions, lanes, labels, _left_out(plan, models))


def _accelerators(delegates: tuple[str, ...]) -> tuple[str, ...]:
    if delegates == ("",):
        return ACCELERATORS
    if unknown := sorted(set(delegates) - set(ACCELERATORS)):
        raise UsageError(f"--delegate {unknown[0]}: a browser has {' and '.join(ACCELERATORS)}")
    return delegates


def _model(path: str) -> _Model:
    try:
        description = read_description(path)
    except OsteoliteError as error:
        return _Model(path, error=str(error))
    if description.details.get("kind") == ROUTER:
        return _Model(path, description.variant, error="a router; a browser runs the models of its stages one by one")
    return _Model(path, description.variant, description if isinstance(description, ModelDescription) else None)


def _failed(model: _Model, accelerator: str) -> Lane:
    path = Path(model.path)
    return Lane(
        file=path.name,
        variant=model.variant,
        bytes=path.stat().st_size if path.is_file() else 0,
        threads=1,
        engine="litert.js",
        asked=accelerator,
        error=model.error,
    )


def _left_out(plan: Plan, models: list[_Model]) -> dict[str, str]:
    usual = Plan(plan.files)
    found = {
        "threads": "a browser's runtime chooses its threads itself" if plan.threads != usual.threads else "",
        "peers": "a browser runs LiteRT.js alone" if plan.peers else "",
        "batch": "LiteRT.js takes the batch that a model was exported with" if plan.batch > 1 else "",
        "mlperf_seconds": "a browser's page has no load generator" if plan.mlperf_seconds else "",
        "profile": "LiteRT.js does not time by operator" if plan.profile else "",
    }
    if plan.images and (others := [model.path for model in models if not (model.error or model.description)]):
        found["images"] = f"{', '.join(map(os.path.basename, others))} gives no fracture probability"
    return {what: why for what, why in found.items() if why}


def _measure(models: list[_Model], accelerators: tuple[str, ...], plan: Plan, tell: Progress) -> Measured:
    """All launches, each in a context of its own: nothing is kept from one to the next."""
    contents = page_contents()
    task = _task(models, accelerators)
    specs = _specs(models)
    contents |= {f"/bench/models/{index}.tflite": Path(model.path) for index, model in enumerate(models)}
    contents |= {
        f"/bench/tensors/{number}/{image}": partial(_tensor, path, spec)
        for number, spec in enumerate(specs)
        for image, (path, _) in enumerate(plan.images)
    }
    parts: list[Measured] = []
    scored: list[dict[str, Any]] = []
    with _chromium() as browser, serving(contents) as server:
        for launch in range(1, plan.launches + 1):
            images = len(plan.images) if launch == 1 else 0
            server.contents["/bench/bench.json"] = json.dumps({**task, "launches": 1, "images": images}).encode()
            answer = _open(browser, server, partial(_tell, tell, f"launch {launch} of {plan.launches}: "))
            parts.append(measured_of(answer["measured"]))
            scored = scored or answer["scored"]
    for part in parts[1:]:
        for lane, again in zip(parts[0].lanes, part.lanes, strict=True):
            lane.launches += again.launches
            lane.error = lane.error or again.error
    _score(parts[0].lanes, scored, [model for model in models for _ in accelerators])
    return parts[0]


def _tell(tell: Progress, where: str, step: str) -> None:
    tell(where + step)


def _task(models: list[_Model], accelerators: tuple[str, ...]) -> dict[str, Any]:
    """What the page reads of bench.json, but launches and images."""
    specs = _specs(models)
    return {
        "runtime": runtime_name(),
        "accelerators": list(accelerators),
        "models": [
            {
                "url": f"models/{index}.tflite",
                "file": os.path.basename(model.path),
                "variant": model.variant,
                "bytes": os.path.getsize(model.path),
                "spec": specs.index(model.description.preprocessing) if model.description else None,
            }
            for index, model in enumerate(models)
        ],
    }


def _specs(models: list[_Model]) -> list[PreprocessingSpec]:
    """The different ways of preprocessing."""
    return list(dict.fromkeys(model.description.preprocessing for model in models if model.description))


def _tensor(path: str, spec: PreprocessingSpec) -> bytes:
    """Float32 of (1, height, width, channels), in the order of bytes that all browsers have."""
    try:
        return preprocess(read_radiograph(path, spec), spec).astype("<f4").tobytes()
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from error


def _score(lanes: list[Lane], scored: list[dict[str, Any]], models: list[_Model]) -> None:
    for lane, found, model in zip(lanes, scored, models, strict=True):
        described = model.description
        if described is None or lane.error or not found["logits"]:
            continue
        if None in found["logits"]:  # what JSON makes of NaN
            lane.error = "the model's output is not finite; convert it again"
            continue
        lane.probabilities = [sigmoid(described.slope * logit + described.intercept) for logit in found["logits"]]
        lane.answers = [int(probability >= described.threshold) for probability in lane.probabilities]
        lane.steps = {"invoke": found["milliseconds"]}


@contextmanager
def _chromium() -> Iterator["Browser"]:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise MissingExtra("measuring in a browser needs Playwright; pip install 'osteolite[browser]'") from error
    path = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if path is None:
        raise DeviceError(f"no browser: none of {', '.join(_PROGRAMS)} is on the PATH; install Chromium")
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # for whom Chromium's sandbox does not start
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS), chromium_sandbox=not root)
        except Error as error:
            raise DeviceError(f"{path} cannot be started ({_line(error)}); start it by hand to see why") from error
        try:
            yield browser
        except Error as error:
            raise DeviceError(f"the browser failed or was closed in the middle ({_line(error)}); try again") from error
        finally:
            browser.close()


def _open(browser: "Browser", server: PageServer, tell: Progress) -> dict[str, Any]:
    """Open the page in a context of its own, and wait for what it measures."""
    told: list[str] = []
    answered: list[str] = []
    failures: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.expose_function("told", lambda step: told.append(step))  # Playwright takes no built-in method
    page.expose_function("answered", lambda text: answered.append(text))
    page.on("crash", lambda _: failures.append("the page crashed"))
    page.on("pageerror", lambda error: failures.append(_line(error)))
    page.goto(f"{server.address}/bench/index.html", timeout=1e3 * _OPENING)
    deadline = time.monotonic() + _SILENCE
    while not (answered or failures):
        page.wait_for_timeout(50)
        if told:
            tell(told[-1])
            told.clear()
            deadline = time.monotonic() + _SILENCE
        if time.monotonic() > deadline:
            failures.append(f"the page said nothing for {_SILENCE:g} s")
    answer: dict[str, Any] = json.loads(answered[0]) if answered else {"error": failures[0]}
    if server.failure is not None:
        raise server.failure
    if "error" in answer:
        raise DeviceError(f"the browser could not measure ({answer['error']}); try again")
    context.close()
    return answer


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip()
