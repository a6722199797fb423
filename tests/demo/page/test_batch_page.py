"""The tab for several images as a person uses it: a real server and browser, good files, bad and hostile ones."""

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
    from playwright.sync_api import Browser, Page

MARKUP = "{{value}} ${alert(1)} <img src=x onerror=alert(1)>.png"
FORMULA = "=cmd.png"


@pytest.fixture(scope="module")
def server(run_demo: Any, tiny_model: Path, tiny_int8_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    options = ("--model", tiny_model, "--model", tiny_int8_model)
    with run_demo(tmp_path_factory.mktemp("server"), *options) as running:
        yield running


@pytest.fixture
def page(server: Any, chromium: "Browser") -> Iterator["Page"]:
    """The tab on a phone's screen, without a word in the browser's log."""
    with chromium.new_context(viewport={"width": 390, "height": 844}) as context:
        page, said = context.new_page(), list[str]()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}") or dialog.dismiss())
        page.goto(server.url)
        page.get_by_role("tab", name="Several images").click()
        yield page
        assert said == []


@pytest.fixture(scope="module")
def images(encode: Callable[..., bytes]) -> dict[str, bytes]:
    ramp = np.linspace(0, 10, 1200).reshape(40, 30)
    levels = {"a.png": 120, MARKUP: 240, "c.png": 0, "d.png": 200}
    return {name: encode(Image.fromarray((level + ramp).astype(np.uint8)), "PNG") for name, level in levels.items()}


def upload(page: "Page", files: dict[str, bytes]) -> None:
    chosen = [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files.items()]
    page.locator("input[type=file][multiple]").set_input_files(chosen)  # type: ignore[arg-type]
    page.get_by_role("button", name="Score the images").click()


def cells(page: "Page", column: str) -> list[str]:
    headings = [text.strip() for text in page.locator(".osteo-table th").filter(visible=True).all_text_contents()]
    return (
        page.locator(f".osteo-table td:nth-child({headings.index(column) + 1})")
        .filter(visible=True)
        .all_text_contents()
    )


@pytest.mark.slow
def test_files_and_a_zip_give_a_table_that_sorts_and_a_file(
    page: "Page", server: Any, images: dict[str, bytes], tiny_model: Path, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("ward/c.png", images["c.png"])
        archive.writestr("../PATIENT_NAME.png", images["a.png"])
        archive.writestr(MARKUP, images[MARKUP])
    files = {"a.png": images["a.png"], FORMULA: b"no image", "set.zip": stream.getvalue(), "d.png": images["d.png"]}
    upload(page, files)
    link = page.get_by_role("link", name="Download as CSV")
    link.wait_for()
    names = ["a.png", FORMULA, "set.zip/ward/c.png", "set.zip/../PATIENT_NAME.png", f"set.zip/{MARKUP}", "d.png"]
    assert cells(page, "File") == names
    scorer = ModelSet([str(tiny_model)])
    answers = [scorer.score(images[name], "tiny_float32") for name in ("a.png", "c.png", MARKUP, "d.png")]
    expected = [f"{one.fracture_probability:.3f}" for one in answers]
    assert cells(page, "Probability") == [expected[0], "", expected[1], "", *expected[2:]]
    assert page.locator(".osteo-summary").filter(visible=True).inner_text().startswith("6 images: ")

    press = page.get_by_role("button", name="Probability").click
    press()
    assert cells(page, "Probability") == [*sorted(expected), "", ""]
    assert page.locator(".osteo-table th[aria-sort=ascending]").inner_text().strip() == "Probability"
    press()
    assert cells(page, "Probability") == [*sorted(expected, reverse=True), "", ""]
    page.get_by_role("button", name="No.").press("Enter")
    assert cells(page, "File") == names

    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "osteolite-results.csv"
    download.value.save_as(tmp_path / "results.csv")
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text("utf-8-sig").splitlines()))
    assert [row["file"] for row in rows] == [f"'{FORMULA}" if name == FORMULA else name for name in names]
    found = [float(row["fracture_probability"]) for row in rows if not row["error"]]
    assert found == [round(one.fracture_probability, 6) for one in answers]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    log = server.log.read_text()
    assert "PATIENT_NAME" not in log
    assert "Traceback" not in log


@pytest.mark.slow
def test_too_many_images_and_none_are_one_line_each(page: "Page", images: dict[str, bytes]) -> None:
    page.get_by_role("button", name="Score the images").click()
    page.get_by_text("no images; choose files first").wait_for()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(300):
            archive.writestr(f"{number}.png", images["a.png"])
    upload(page, {"many.zip": stream.getvalue()})
    page.get_by_text("more than 200 images; upload at most so many at once").wait_for()


@pytest.mark.slow
def test_a_batch_can_be_cancelled_and_what_was_scored_stays(page: "Page", encode: Callable[..., bytes]) -> None:
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


def test_the_events_of_the_tab_are_no_api(server: Any) -> None:
    told = httpx.get(f"{server.url}gradio_api/info").json()["named_endpoints"]
    assert not {name for name in told if "score" in name or "cancel" in name or "measure" in name or "show" in name}
