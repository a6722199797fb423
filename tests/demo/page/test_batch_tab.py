"""The "Several images" tab in a real browser, with good, bad and hostile files."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

from osteolite.demo.service.model_set import ModelSet

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, FilePayload, Page

MARKUP = "{{value}} ${alert(1)} <img src=x onerror=alert(1)>.png"
FORMULA = "=cmd.png"


@pytest.fixture(scope="module")
def server(run_demo: Any, tiny_model: Path, tiny_int8_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    options = ("--model", tiny_model, "--model", tiny_int8_model)
    with run_demo(tmp_path_factory.mktemp("server"), *options) as running:
        yield running


@pytest.fixture
def page(server: Any, chromium: "Browser") -> Iterator["Page"]:
    """The tab at the size of a phone; the browser must log no error."""
    with chromium.new_context(viewport={"width": 390, "height": 844}) as context:
        page, errors = context.new_page(), list[str]()

        def refuse(dialog: "Dialog") -> None:
            errors.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", refuse)
        page.goto(server.url)
        page.get_by_role("tab", name="Several images").click()
        yield page
        assert errors == []


@pytest.fixture(scope="module")
def images(encode: Callable[..., bytes]) -> dict[str, bytes]:
    ramp = np.linspace(0, 10, 1200).reshape(40, 30)
    levels = {"a.png": 120, MARKUP: 240, "c.png": 0, "d.png": 200}
    return {name: encode(Image.fromarray((level + ramp).astype(np.uint8)), "PNG") for name, level in levels.items()}


def upload(page: "Page", files: dict[str, bytes]) -> None:
    chosen: list[FilePayload] = [
        {"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files.items()
    ]
    page.locator("input[type=file][multiple]").set_input_files(chosen)
    page.get_by_role("button", name="Score the images").click()


def cells(page: "Page", column: str) -> list[str]:
    headings = [text.strip() for text in page.locator(".osteo-table th").filter(visible=True).all_text_contents()]
    return (
        page.locator(f".osteo-table td:nth-child({headings.index(column) + 1})")
        .filter(visible=True)
        .all_text_contents()
    )


NAMES = ["a.png", FORMULA, "set.zip/ward/c.png", "set.zip/../PATIENT_NAME.png", f"set.zip/{MARKUP}", "d.png"]


@pytest.fixture
def scored(page: "Page", images: dict[str, bytes]) -> "Page":
    """The tab after scoring images, a file that is no image, and a zip archive with a hostile name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("ward/c.png", images["c.png"])
        archive.writestr("../PATIENT_NAME.png", images["a.png"])
        archive.writestr(MARKUP, images[MARKUP])
    files = {"a.png": images["a.png"], FORMULA: b"no image", "set.zip": stream.getvalue(), "d.png": images["d.png"]}
    upload(page, files)
    page.get_by_role("link", name="Download as CSV").wait_for()
    return page


@pytest.fixture(scope="module")
def probabilities(images: dict[str, bytes], tiny_model: Path) -> list[float]:
    """The probabilities of the readable images, in the order of their rows."""
    models = ModelSet([str(tiny_model)])
    names = ("a.png", "c.png", MARKUP, "d.png")
    return [models.score(images[name], "tiny_float32").fracture_probability for name in names]


@pytest.mark.slow
def test_table_has_a_row_for_each_image_and_sorts(scored: "Page", probabilities: list[float]) -> None:
    assert cells(scored, "File") == NAMES
    expected = [f"{probability:.3f}" for probability in probabilities]
    assert cells(scored, "Probability") == [expected[0], "", expected[1], "", *expected[2:]]
    assert scored.locator(".osteo-summary").filter(visible=True).inner_text().startswith("6 images: ")
    press = scored.get_by_role("button", name="Probability").click
    press()
    assert cells(scored, "Probability") == [*sorted(expected), "", ""]
    assert scored.locator(".osteo-table th[aria-sort=ascending]").inner_text().strip() == "Probability"
    press()
    assert cells(scored, "Probability") == [*sorted(expected, reverse=True), "", ""]
    scored.get_by_role("button", name="No.").press("Enter")
    assert cells(scored, "File") == NAMES
    assert scored.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_csv_has_the_rows_of_the_table(scored: "Page", probabilities: list[float], server: Any, tmp_path: Path) -> None:
    with scored.expect_download() as download:
        scored.get_by_role("link", name="Download as CSV").click()
    assert download.value.suggested_filename == "osteolite-results.csv"
    download.value.save_as(tmp_path / "results.csv")
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text("utf-8-sig").splitlines()))
    assert [row["file"] for row in rows] == [f"'{FORMULA}" if name == FORMULA else name for name in NAMES]
    found = [float(row["fracture_probability"]) for row in rows if not row["error"]]
    assert found == [round(probability, 6) for probability in probabilities]
    log = server.log.read_text()
    assert "PATIENT_NAME" not in log
    assert "Traceback" not in log


@pytest.mark.slow
def test_no_images_and_too_many_are_reported_in_one_line(page: "Page", images: dict[str, bytes]) -> None:
    page.get_by_role("button", name="Score the images").click()
    page.get_by_text("no images; choose files first").wait_for()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(300):
            archive.writestr(f"{number}.png", images["a.png"])
    upload(page, {"many.zip": stream.getvalue()})
    page.get_by_text("more than 200 images; upload at most that many at once").wait_for()


@pytest.mark.slow
def test_cancelled_batch_keeps_the_scored_rows(page: "Page", encode: Callable[..., bytes]) -> None:
    large = encode(Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (2000, 10))), "PNG")  # a small file
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(60):
            archive.writestr(f"{number}.png", large)
    upload(page, {"large.zip": stream.getvalue()})
    page.get_by_role("button", name="Cancel").filter(visible=True).click()
    page.get_by_text("Cancelled after").wait_for()
    assert 0 < len(cells(page, "File")) < 60
    page.get_by_role("button", name="Score the images").click()
    page.get_by_text("60 images: ").wait_for()


def test_events_of_the_tab_are_not_in_the_api(server: Any) -> None:
    endpoints = httpx.get(f"{server.url}gradio_api/info").json()["named_endpoints"]
    assert not {
        name for name in endpoints if "score" in name or "cancel" in name or "measure" in name or "show" in name
    }
