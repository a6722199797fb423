"""The "One image" tab in a real browser, with the shipped model and drawn radiographs."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.modelfile.archive import read_description, write_model
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.classifier import FractureClassifier

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<img src=x onerror='window.hacked=1'>{{value}}${1+1}"
SHIPPED = read_description(shipped_model())
PHONE, DESK = (390, 844), (1280, 800)

OpenPage = Callable[..., AbstractContextManager["Page"]]


def bone(seed: int) -> Image.Image:
    """A bright shaft on a dark background, with a line across it."""
    grey = np.full((480, 360), 24.0)
    grey[40:440, 140:220] = 190
    grey[200 + 20 * seed : 206 + 20 * seed, 130:230] = 40
    return Image.fromarray((grey + np.random.default_rng(seed).normal(0, 6, grey.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def png(encode: Callable[..., bytes], shared_data: Path) -> bytes:
    """A fractured radiograph with a heatmap that is not empty."""
    with Image.open(sorted((shared_data / "fracatlas" / "fullres" / "Fractured").iterdir())[0]) as original:
        content = encode(original.convert("L").resize((360, 480)), "PNG")
    activation = FractureClassifier().predict(content).activation_map
    assert activation is not None and float(activation.max()) > 0
    return content


@pytest.fixture(scope="module")
def server(run_demo: Any, tiny: Any, tiny_int8_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("page")
    hostile, examples = folder / "hostile.tflite", folder / "examples"
    odd = {"name": HOSTILE, "evaluation": [HOSTILE], "training": {HOSTILE: HOSTILE}, "attribution": {"a": [HOSTILE]}}
    write_model(hostile, tiny.mean(), tiny.description(**odd))
    examples.mkdir()
    for seed in (2, 3):
        bone(seed).save(examples / f"bone{seed}.png")
    models = [part for path in (shipped_model(), tiny_int8_model, hostile) for part in ("--model", path)]
    with run_demo(folder, *models, "--examples", examples) as running:
        yield running


@pytest.fixture
def open_page(chromium: "Browser", server: Any) -> OpenPage:
    @contextmanager
    def opened(size: tuple[int, int] = DESK, scheme: Any = "light") -> Iterator["Page"]:
        viewport: Any = {"width": size[0], "height": size[1]}
        context = chromium.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        page = context.new_page()
        page.set_default_timeout(60_000)
        errors, requests = list[str](), list[str]()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(server.url)
        page.wait_for_selector(".osteo-waiting")
        try:
            yield page
            assert errors == []
            assert [url for url in requests if not url.startswith((server.url, "data:", "blob:"))] == []
            assert page.evaluate("window.hacked") is None
        finally:
            context.close()

    return opened


def upload(page: "Page", content: bytes, name: str = "image.png") -> None:
    page.locator("input[type=file]").first.set_input_files({"name": name, "mimeType": "image/png", "buffer": content})


def answer(page: "Page", content: bytes) -> None:
    upload(page, content)
    page.wait_for_selector(".osteo-result")


def choose(page: "Page", model: str) -> None:
    page.get_by_label("Model").locator("visible=true").click()
    page.get_by_role("option", name=model, exact=True).click()


def widest(page: "Page") -> int:
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width


def test_upload_is_scored_and_heatmap_opacity_needs_no_request(open_page: OpenPage, png: bytes) -> None:
    expected = FractureClassifier().predict(png)
    with open_page() as page:
        answer(page, png)
        assert page.locator(".osteo-answer h2").inner_text() == expected.label.capitalize()
        assert f"{expected.fracture_probability:.3f}" in page.locator(".osteo-answer").inner_text()
        assert "Research use only" in page.locator(".osteo-answer").inner_text()
        assert "invoke" in page.locator(".osteo-facts").inner_text()
        heat = page.locator(".osteo-heat")
        boxes = ".osteo-layers, .osteo-layers img"
        measured = "nodes => new Set(nodes.map(node => JSON.stringify(node.getBoundingClientRect()))).size"
        assert page.locator(boxes).count() == 3
        assert page.locator(boxes).evaluate_all(measured) == 1  # the heatmap covers the whole radiograph
        requests = list[str]()
        page.on("request", lambda request: requests.append(request.url))
        slider = page.get_by_label("Heatmap opacity")
        slider.focus()
        slider.press("Home")
        assert heat.evaluate("node => getComputedStyle(node).opacity") == "0"
        clear = page.locator(".osteo-layers").screenshot()
        slider.press("End")
        assert heat.evaluate("node => getComputedStyle(node).opacity") == "1"
        coloured = np.asarray(Image.open(io.BytesIO(page.locator(".osteo-layers").screenshot())).convert("RGB"))
        before = np.asarray(Image.open(io.BytesIO(clear)).convert("RGB"))
        assert np.ptp(before.astype(int), axis=2).max() < 8  # only grey
        assert np.ptp(coloured.astype(int), axis=2).max() > 40
        assert [url for url in requests if not url.startswith("data:")] == []


def test_threshold_slider_shows_label_and_stated_metrics(open_page: OpenPage, png: bytes) -> None:
    evaluation = SHIPPED.details["evaluation"]
    stated = {round(point[0], 2): point[1:] for point in evaluation["operating_points"]}
    probability = FractureClassifier().predict(png).fracture_probability
    own = SHIPPED.details["threshold"]["value"]
    with open_page() as page:
        answer(page, png)
        outcome, slider = page.locator(".osteo-outcome"), page.get_by_label("Another threshold")
        assert f"{own:.3f} (the model's own)" in outcome.inner_text()
        assert f"({evaluation['count']} images, {evaluation['fractured']} fractured)" in outcome.inner_text()
        for threshold in (0.01, 0.6, 0.99):
            slider.fill(str(threshold))
            label = "Fractured" if probability >= threshold else "Normal"
            assert f"At {threshold:.2f} the label is {label}." in outcome.inner_text()
            sensitivity, specificity = stated[threshold]
            assert f"sensitivity {sensitivity:.3f} and specificity {specificity:.3f}" in outcome.inner_text()
        slider.press("ArrowLeft")
        assert "At 0.98 " in outcome.inner_text()
        page.get_by_role("button", name="Back to the model's own").press("Enter")
        assert f"{own:.3f} (the model's own)" in outcome.inner_text()
        assert float(slider.input_value()) == pytest.approx(own, abs=0.005)
        assert page.evaluate("document.activeElement.className") == "osteo-threshold-input"


def test_another_model_scores_the_same_upload(open_page: OpenPage, png: bytes, tiny_int8_model: Path) -> None:
    probability = FractureClassifier(tiny_int8_model).predict(png).fracture_probability
    with open_page() as page:
        answer(page, png)
        choose(page, "tiny_int8")
        page.wait_for_selector("text=This model gives no heatmap")
        assert f"{probability:.3f}" in page.locator(".osteo-answer").inner_text()
        assert page.locator(".osteo-opacity").count() == 0
        assert "states no sensitivity" in page.locator(".osteo-outcome").inner_text()
        page.get_by_label("Another threshold").fill("0.99")
        assert "At 0.99 the label is Normal." in page.locator(".osteo-outcome").inner_text()


def test_comparison_shows_all_models_with_differences(open_page: OpenPage, png: bytes, tiny_int8_model: Path) -> None:
    first, second = (FractureClassifier(path).predict(png).fracture_probability for path in (None, tiny_int8_model))
    with open_page() as page:
        page.get_by_role("button", name="Compare all models").click()
        page.wait_for_selector("text=there is no radiograph to compare")
        answer(page, png)
        page.get_by_role("button", name="Compare all models").click()
        page.wait_for_selector(".osteo-compared")
        cards = page.locator(".osteo-compared li")
        shown = [text.replace("\n", " ") for text in cards.all_inner_texts()]
        assert len(shown) == 3
        assert f"{first:.3f}" in shown[0]
        assert f"{second:.3f}" in shown[1]
        assert f"{second - first:+.3f}" in shown[1]
        assert f"{shipped_model().stat().st_size / 1e6:.2f} MB" in shown[0]
        assert all(re.search(r"time \d+\.\d ms", text) for text in shown)
        assert cards.locator("img").count() == 1  # only one model has a map
        answer(page, png)
        page.wait_for_selector(".osteo-compared", state="detached")  # it belonged to the previous image


def test_example_can_be_chosen_by_keyboard(open_page: OpenPage, encode: Any) -> None:
    expected = FractureClassifier().predict(encode(bone(3), "PNG"))
    with open_page() as page:
        chosen = page.locator(".osteo-examples button").nth(1)
        assert "bone3" in chosen.inner_text()
        page.locator(".osteo-examples button").first.focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector(".osteo-result")
        assert f"{expected.fracture_probability:.3f}" in page.locator(".osteo-answer").inner_text()


def test_bad_upload_is_reported_and_the_next_one_is_scored(
    open_page: OpenPage, png: bytes, hollow_png: Any, server: Any
) -> None:
    bad = {
        "not an image of a known format": b"PATIENT_NAME has no fracture\n",
        "damaged image": png[: len(png) // 2],
        "at most 64,000,000 pixels are read": hollow_png(9000, 9000),
        "the file is empty": b"",
    }
    with open_page() as page:
        answer(page, png)
        for message, content in bad.items():
            upload(page, content, "PATIENT_NAME.png")
            page.wait_for_selector(f"[role=alert]:has-text('{message}')")
            assert page.locator(".osteo-result").count() == 0  # the previous prediction is gone
        answer(page, png)
    assert "PATIENT_NAME" not in server.log.read_text()


def test_photograph_gets_a_warning(open_page: OpenPage, encode: Any) -> None:
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)).resize((400, 300))
    with open_page() as page:
        answer(page, encode(colours, "JPEG"))
        assert "has colours" in page.locator(".osteo-warnings[role=alert]").inner_text()


def test_model_card_is_shown_escaped(open_page: OpenPage) -> None:
    with open_page() as page:
        page.get_by_role("tab", name="About").click()
        page.wait_for_selector(".osteo-about")
        shown = page.locator(".osteo-about").inner_text()
        assert "FracAtlas. Abedeen" in shown
        assert f"{SHIPPED.details['evaluation']['auroc']['value']:.4g}" in shown
        choose(page, HOSTILE)
        page.wait_for_selector(".osteo-about h2:has-text('onerror')")
        assert page.locator(".osteo-about h2").inner_text() == HOSTILE
        assert page.locator(".osteo-about img").count() == 0


def test_page_fits_a_phone_and_scrolls_to_the_prediction(open_page: OpenPage, png: bytes) -> None:
    with open_page(PHONE) as page:
        assert widest(page) == PHONE[0]
        answer(page, png)
        page.wait_for_function("document.querySelector('.osteo-answer').getBoundingClientRect().top < 400")
        page.get_by_role("button", name="Compare all models").click()
        page.wait_for_selector(".osteo-compared")
        assert widest(page) == PHONE[0]
        page.get_by_role("tab", name="About").click()
        page.wait_for_selector(".osteo-about")
        assert widest(page) == PHONE[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_colour_schemes(open_page: OpenPage, png: bytes, scheme: str) -> None:
    with open_page(scheme=scheme) as page:
        answer(page, png)
        background = page.locator(".osteo-answer").evaluate("node => getComputedStyle(node).backgroundColor")
        assert (luminance(background) < 0.2) == (scheme == "dark")
        for part in (
            ".osteo-answer h2",
            ".osteo-answer .osteo-note",
            ".osteo-answer .osteo-kicker",
            ".osteo-outcome b",
        ):
            colour = page.locator(part).first.evaluate("node => getComputedStyle(node).color")
            lighter, darker = sorted((luminance(colour), luminance(background)), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, part


def luminance(colour: str) -> float:
    """Relative luminance of a computed colour. Source: WCAG 2.2."""
    numbers = [float(number) for number in re.findall(r"[\d.]+", colour)]
    channels = np.array(numbers[:3]) if colour.startswith("color(") else np.array(numbers[:3]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
