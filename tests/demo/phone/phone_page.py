"""Helpers to use the phone's page in a real browser."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.classifier import FractureClassifier
from tests.demo.phone.conftest import TIMEOUT

pytest.importorskip("playwright", reason="needs Playwright")

from playwright.sync_api import expect as expect

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

TOLERANCE = 1e-4  # of a probability
# One step of the shipped model's int8 logit, as a probability: its float operators round differently on threads.
INT8_STEP = 0.08 / 4

expect.set_options(timeout=TIMEOUT)


def open_page(context: "BrowserContext", address: str) -> "Page":
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#state")).to_have_text("Ready")
    return page


def score(page: "Page", path: Path) -> float:
    """Give the page an image and return the probability that it shows, unrounded."""
    page.set_input_files("#file", path)
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#state")).to_have_text(f"Scored {path.name}")
    return shown_probability(page)


def shown_probability(page: "Page") -> float:
    return float(page.locator("#probability").get_attribute("data-value") or "nan")


def choose(page: "Page", model: str) -> None:
    page.select_option("#model", index=[shipped_model().name, "tiny_float32.tflite", "tiny_router.tflite"].index(model))
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")


def wait_until_stored(page: "Page") -> None:
    """Wait until the service worker has stored the page."""
    page.evaluate(
        "new Promise((resolve) => navigator.serviceWorker.controller ? resolve(null) : "
        "navigator.serviceWorker.addEventListener('controllerchange', () => resolve(null)))"
    )


def probability_in_python(model: Path, image: Path) -> float:
    return FractureClassifier(model).predict(image).fracture_probability
