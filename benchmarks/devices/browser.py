"""Measure in a browser: LiteRT.js in this machine's Chromium, on the CPU (wasm) and the GPU (webgpu).

The page of `edge/browser/bench` does the measuring, as on a phone. This module opens the page anew for every launch,
serves the tensors of the images, and reads the results.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
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
from ..harness.records import Case, Measured, Plan
from . import Progress
from .pageserver import Content, PageServer, page_contents, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ACCELERATORS = ("wasm", "webgpu")

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--enable-unsafe-webgpu", "--enable-features=Vulkan")  # without them, Chromium on Linux has no WebGPU
STEP_SECONDS = 300.0  # time limit of one step of the page
_OPENING = 60.0  # seconds; time limit of loading the page


@dataclass(frozen=True)
class _Model:
    """A model file of the plan. With an `error` it is not measured."""

    path: str
    variant: str = ""
    description: ModelDescription | None = None  # only of a fracture model, whose predictions can be scored
    error: str = ""


def measure(
    plan: Plan,
    name: str,
    tell: Progress,
    *,
    flags: Sequence[str] = FLAGS,
    step_seconds: float = STEP_SECONDS,
    page: Callable[[], dict[str, Content]] = page_contents,
) -> Measured:
    """Measure a plan in this machine's Chromium. The runtime chooses the number of threads.

    Args:
        plan: what to measure; delegates are wasm and webgpu.
        name: "browser".
        tell: receives the current step.
        flags: command-line flags of Chromium.
        step_seconds: time limit of one step of the page.
        page: returns the files of the page and of its runtime, by path.

    Raises:
        UsageError: a delegate other than wasm and webgpu.
        MissingExtra: Playwright is not installed.
        DeviceError: Chromium is not installed, crashed, was closed, or did not respond.
        ImageError: an image cannot be read.
    """
    accelerators = _accelerators(plan.delegates)
    models = [read_model(path) for path in plan.files]
    good = [model for model in models if not model.error]
    started, clock = datetime.now(UTC), time.monotonic()
    conditions = {**machine(), "started": started.isoformat(timespec="seconds"), "before": state()}
    if good:
        with chromium(flags) as program, serving(page()) as server:
            measured = _measure(good, accelerators, plan, tell, _Page(program, server, step_seconds))
        conditions = {**measured.conditions, **conditions, "system": measured.conditions["system"]}
        found = iter(measured.cases)
    else:
        found = iter(())
    cases = [_failed(model, one) if model.error else next(found) for model in models for one in accelerators]
    conditions |= {"seconds": round(time.monotonic() - clock, 1), "after": state()}
    labels = [label for _, label in plan.images]
    return Measured(name, conditions, cases, labels, _left_out(plan, models))


def _accelerators(delegates: tuple[str, ...]) -> tuple[str, ...]:
    if delegates == ("",):
        return ACCELERATORS
    if unknown := sorted(set(delegates) - set(ACCELERATORS)):
        raise UsageError(f"--delegate {unknown[0]}: a browser has {' and '.join(ACCELERATORS)}")
    return delegates


def read_model(path: str) -> _Model:
    try:
        description = read_description(path)
    except OsteoliteError as error:
        return _Model(path, error=str(error))
    if description.details.get("kind") == ROUTER:
        return _Model(
            path,
            description.variant,
            error="a router cannot run in a browser; measure the models of its stages one by one",
        )
    return _Model(path, description.variant, description if isinstance(description, ModelDescription) else None)


def _failed(model: _Model, accelerator: str) -> Case:
    path = Path(model.path)
    return Case(
        file=path.name,
        variant=model.variant,
        bytes=path.stat().st_size if path.is_file() else 0,
        threads=1,
        engine="litert.js",
        requested=accelerator,
        error=model.error,
    )


def _left_out(plan: Plan, models: list[_Model]) -> dict[str, str]:
    usual = Plan(plan.files)
    found = {
        "threads": "a browser's runtime chooses its number of threads" if plan.threads != usual.threads else "",
        "peers": "a browser runs only LiteRT.js" if plan.peers else "",
        "batch": "LiteRT.js runs only the batch size of the file" if plan.batch > 1 else "",
        "mlperf_seconds": "the benchmark page has no scenarios" if plan.mlperf_seconds else "",
        "profile": "LiteRT.js reports no time by operator" if plan.profile else "",
    }
    if plan.images and (others := [model.path for model in models if not (model.error or model.description)]):
        found["images"] = f"{', '.join(map(os.path.basename, others))} gives no fracture probability"
    return {what: why for what, why in found.items() if why}


def _measure(
    models: list[_Model], accelerators: tuple[str, ...], plan: Plan, tell: Progress, page: "_Page"
) -> Measured:
    """Run all launches, each in a new browser context, which keeps nothing from the one before."""
    task = page_task(models, accelerators)
    contents = page.server.contents
    contents |= {f"/bench/models/{index}.tflite": Path(model.path) for index, model in enumerate(models)}
    contents |= {
        f"/bench/tensors/{number}/{image}": partial(_tensor, path, spec)
        for number, spec in enumerate(_specs(models))
        for image, (path, _) in enumerate(plan.images)
    }
    parts: list[Measured] = []
    scored: list[dict[str, Any]] = []
    for launch in range(1, plan.launches + 1):
        images = len(plan.images) if launch == 1 else 0
        contents["/bench/bench.json"] = json.dumps({**task, "launches": 1, "images": images}).encode()
        answer = page.run(partial(_tell, tell, f"launch {launch} of {plan.launches}: "))
        parts.append(measured_of(answer["measured"]))
        scored = scored or answer["scored"]
    for part in parts[1:]:
        for case, again in zip(parts[0].cases, part.cases, strict=True):
            case.launches += again.launches
            case.error = case.error or again.error
    _score(parts[0].cases, scored, [model for model in models for _ in accelerators])
    return parts[0]


def _tell(tell: Progress, where: str, step: str) -> None:
    tell(where + step)


def page_task(models: list[_Model], accelerators: tuple[str, ...]) -> dict[str, Any]:
    """The content of the page's bench.json, without "launches" and "images"."""
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
    """The different preprocessing specifications of the models."""
    return list(dict.fromkeys(model.description.preprocessing for model in models if model.description))


def _tensor(path: str, spec: PreprocessingSpec) -> bytes:
    """The tensor of an image as little-endian float32, the byte order of all browsers; (1, height, width, channels)."""
    try:
        return preprocess(read_radiograph(path, spec), spec).astype("<f4").tobytes()
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from error


def _score(cases: list[Case], scored: list[dict[str, Any]], models: list[_Model]) -> None:
    for case, found, model in zip(cases, scored, models, strict=True):
        described = model.description
        if described is None or case.error or not found["logits"]:
            continue
        if None in found["logits"]:  # NaN in JSON
            case.error = "the model's output is not finite; convert it again"
            continue
        case.probabilities = [sigmoid(described.slope * logit + described.intercept) for logit in found["logits"]]
        case.answers = [int(probability >= described.threshold) for probability in case.probabilities]
        case.steps = {"invoke": found["milliseconds"]}


@contextmanager
def chromium(flags: Sequence[str] = FLAGS) -> Iterator["Browser"]:
    """Start this machine's Chromium, without a window.

    Raises:
        MissingExtra: Playwright is not installed.
        DeviceError: Chromium is not installed, cannot be started, or was closed.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise MissingExtra("measuring in a browser needs Playwright; pip install 'osteolite[browser]'") from error
    path = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if path is None:
        raise DeviceError(f"no browser: none of {', '.join(_PROGRAMS)} is on the PATH; install Chromium")
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox does not start for root
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=list(flags), chromium_sandbox=not root)
        except Error as error:
            raise DeviceError(f"{path} cannot be started ({_line(error)}); start it by hand to see why") from error
        try:
            yield browser
        except Error as error:
            raise DeviceError(f"the browser failed or was closed ({_line(error)}); try again") from error
        finally:
            browser.close()


@dataclass(frozen=True)
class _Page:
    """The benchmark page on a local server, and the browser that opens it."""

    browser: "Browser"
    server: PageServer
    step_seconds: float

    def run(self, tell: Progress) -> dict[str, Any]:
        """Open the page in a new context, and wait for its results."""
        reported_steps: list[str] = []
        answered: list[str] = []
        failures: list[str] = []
        context = self.browser.new_context()
        page = context.new_page()
        page.expose_function(
            "reportStep", lambda step: reported_steps.append(step)
        )  # Playwright accepts no built-in method
        page.expose_function("reportResult", lambda text: answered.append(text))
        page.on("crash", lambda _: failures.append("the page crashed"))
        page.on("pageerror", lambda error: failures.append(_line(error)))
        page.goto(f"{self.server.address}/bench/index.html", timeout=1e3 * _OPENING)
        deadline = time.monotonic() + self.step_seconds
        while not (answered or failures):
            page.wait_for_timeout(50)
            if reported_steps:
                tell(reported_steps[-1])
                reported_steps.clear()
                deadline = time.monotonic() + self.step_seconds
            if time.monotonic() > deadline:
                failures.append(f"the page did not respond for {self.step_seconds:g} s")
        answer: dict[str, Any] = json.loads(answered[0]) if answered else {"error": failures[0]}
        if self.server.failure is not None:
            raise self.server.failure
        if "error" in answer:
            raise DeviceError(f"the browser could not measure ({answer['error']}); try again")
        context.close()
        return answer


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip()
