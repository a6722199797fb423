"""Layout, accessibility and texts of the page in a real browser."""

from pathlib import Path
from typing import TYPE_CHECKING

from osteolite.edge import ModelDescription
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.shipped import shipped_model
from tests.demo.phone.phone_page import expect, score

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_page_fits_narrow_screens(page: "Page", noise_png: Path) -> None:
    score(page, noise_png)
    page.locator("summary").click()
    for width in (390, 360, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#capture").is_visible()  # only on touch screens
    small = page.evaluate(
        "[...document.querySelectorAll('button, select, a.button')].filter((control) => control.offsetHeight && "
        "control.offsetHeight < 44).map((control) => control.id)"
    )
    assert small == []


def test_page_works_by_keyboard(page: "Page", noise_png: Path) -> None:
    page.on("filechooser", lambda chooser: chooser.set_files(noise_png))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "choose"
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Scored bar.png")
    reached = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        if reached[-1] == "opacity":
            page.keyboard.press("Home")
    assert reached[:6] == ["capture", "SUMMARY", "opacity", "model", "accelerator", "A"]
    assert page.locator("#heat").evaluate("(canvas) => canvas.style.opacity") == "0"


def test_page_has_accessible_names_and_roles(page: "Page", noise_png: Path) -> None:
    score(page, noise_png)
    assert page.get_by_role("status").first.inner_text() == "Scored bar.png"
    assert page.get_by_role("img", name="The radiograph as it was read").is_visible()
    for name in ("Model", "Runs on"):
        assert page.get_by_role("combobox", name=name).is_visible()
    assert page.get_by_role("slider", name="Heatmap").is_visible()
    assert page.locator("#card").get_attribute("aria-live") == "polite"
    assert page.get_by_text("Research use only: no diagnosis.").first.is_visible()


def test_text_has_enough_contrast_in_both_colour_schemes(page: "Page", noise_png: Path) -> None:
    score(page, noise_png)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for part in ("#label", "#card p", ".quiet", "#choose", "#probability", "dt", "footer"):
            contrast = page.locator(part).first.evaluate(CONTRAST)
            assert contrast >= (3 if part == "#label" else 4.5), (scheme, part)


# Contrast of an element's text with its background. Source: WCAG 2.2.
CONTRAST = """(element) => {
    const parts = (text) => text.match(/[\\d.]+/g).map(Number);
    const level = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * level(r / 255) + 0.7152 * level(g / 255) + 0.0722 * level(b / 255);
    let behind = element;
    while (behind && parts(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const background = getComputedStyle(behind ?? document.documentElement).backgroundColor;
    const [low, high] = [getComputedStyle(element).color, background].map(parts).map(light).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
}"""


def test_about_shows_the_description_of_the_model(page: "Page") -> None:
    about, description = page.locator("#about"), read_description(shipped_model())
    assert isinstance(description, ModelDescription)
    evaluation, gate = description.details["evaluation"], description.details["gate"]
    for text in (
        "FracAtlas. Abedeen I.",
        "CC BY 4.0",
        "training 2375, validation 319, test 580",
        "{value:.3f} (95 %: {low:.3f} to {high:.3f})".format(**evaluation["sensitivity"]),
        f"{description.threshold:.3f}, by the rule youden, on the validation split",
        f"{100 * gate['agreement']:.1f} % of 319 images",
    ):
        expect(about).to_contain_text(text)
