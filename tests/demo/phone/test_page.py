"""Scoring on the page in a real browser, with the real runtime and models."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.classifier import FractureClassifier
from tests.demo.phone.conftest import Host
from tests.demo.phone.phone_page import (
    INT8_STEP,
    TOLERANCE,
    choose,
    expect,
    open_page,
    probability_in_python,
    score,
    shown_probability,
)

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page


@pytest.fixture(scope="module")
def radiograph(shared_data: Path) -> Path:
    return min((shared_data / "fracatlas" / "images" / "Fractured").glob("*.jpg"))


def test_prediction_is_that_of_python(
    context: "BrowserContext", problems: list[str], radiograph: Path, host: Host
) -> None:
    requests: list[tuple[str, str]] = []
    context.on("request", lambda request: requests.append((request.method, request.url)))
    page = open_page(context, host.url)
    expected = FractureClassifier(shipped_model()).predict(radiograph, heatmap=True)
    assert score(page, radiograph) == pytest.approx(expected.fracture_probability, abs=INT8_STEP)
    expect(page.locator("#label")).to_have_text(expected.label.capitalize())
    assert page.locator("#threshold").text_content() == f"{expected.threshold:.3f}"
    assert page.locator("#heat").is_visible()
    assert expected.heatmap is not None
    assert page.locator("#radiograph").evaluate("(canvas) => canvas.width / canvas.height") == pytest.approx(
        expected.heatmap.width / expected.heatmap.height, rel=0.01
    )
    assert len(requests) > 20
    assert {method for method, _ in requests} == {"GET"}
    assert all(address.startswith((host.url, "blob:", "data:")) for _, address in requests)
    assert {method for method, _ in host.requests} == {"GET"}
    assert problems == []


def test_another_model_or_accelerator_scores_the_same_image(
    context: "BrowserContext", problems: list[str], radiograph: Path, tiny_model: Path, host: Host
) -> None:
    page = open_page(context, host.url)
    score(page, radiograph)
    expected = pytest.approx(probability_in_python(tiny_model, radiograph), abs=TOLERANCE)
    choose(page, "tiny_float32.tflite")
    expect(page.locator("#facts")).to_contain_text("float32")
    assert shown_probability(page) == expected
    expect(page.locator("#no-heat")).to_have_text("This model gives no heatmap.")
    page.select_option("#accelerator", "webgpu")
    expect(page.locator("#facts")).to_contain_text("GPU (WebGPU)")
    assert shown_probability(page) == expected
    page.select_option("#accelerator", "wasm")
    choose(page, "tiny_router.tflite")
    expect(page.locator("#facts")).to_contain_text("hand, probability 0.500")
    assert shown_probability(page) == expected
    assert problems == []


def test_bad_file_is_reported_in_one_line_and_the_next_one_is_scored(
    page: "Page", noise_png: Path, encode: Callable[..., bytes], hollow_png: Callable[[int, int], bytes], tmp_path: Path
) -> None:
    with Image.open(noise_png) as image:
        whole = encode(image, "JPEG")
        tiff = encode(image, "TIFF")
    bad = {
        "text.jpg": b"this is no image at all",
        "empty.png": b"",
        "short.jpg": whole[: len(whole) // 2],
        "bomb.png": hollow_png(30_000, 30_000),
        "knee.dcm": bytes(128) + b"DICM" + bytes(400),
        "knee.tif": tiff,
    }
    messages = {}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#file", tmp_path / name)
        expect(page.locator("#problem")).to_be_visible()
        messages[name] = page.locator("#problem").inner_text()
        assert "\n" not in messages[name]
        assert len(messages[name]) < 300
        assert not page.locator("#answer").is_visible()
        score(page, noise_png)
        assert not page.locator("#problem").is_visible()
    assert "DICOM" in messages["knee.dcm"]
    assert "TIFF" in messages["knee.tif"]
    assert "pixels" in messages["bomb.png"]


def test_two_files_at_once_are_refused(page: "Page", noise_png: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator("#choose").click()
    assert not chooser.value.is_multiple()
    page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            for (const name of ["a.png", "b.png"]) transfer.items.add(new File(["x"], name, {type: "image/png"}));
            document.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, cancelable: true}));
        }"""
    )
    expect(page.locator("#problem")).to_have_text("2 files were given; choose one radiograph at a time")


def test_image_can_be_dropped_and_pasted(page: "Page", noise_png: Path) -> None:
    for way in ("drop", "paste"):
        page.evaluate(
            """([way, bytes]) => {
                const transfer = new DataTransfer();
                const content = Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
                transfer.items.add(new File([content], `${way}.png`, {type: "image/png"}));
                const event = way === "drop" ? new DragEvent("drop", {dataTransfer: transfer, cancelable: true})
                    : new ClipboardEvent("paste", {clipboardData: transfer});
                document.dispatchEvent(event);
            }""",
            [way, base64.b64encode(noise_png.read_bytes()).decode()],
        )
        expect(page.locator("#state")).to_have_text(f"Scored {way}.png")
        assert shown_probability(page) == pytest.approx(
            probability_in_python(shipped_model(), noise_png), abs=INT8_STEP
        )
