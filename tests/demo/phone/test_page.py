"""The page in a real browser, with the real runtime and models: what it answers, and what it never does."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from osteolite.demo.phone.folder import page_contents, write_folder
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.shipped import shipped_model
from osteolite.edge.prediction.classifier import FractureClassifier

pytest.importorskip("playwright", reason="needs Playwright")

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

MOST_OFF = 1e-4
A_STEP = 0.08 / 4  # in probability, of the shipped model's int8 logit: its float operators round otherwise on threads
PATIENCE = 60_000  # ms, for a machine that is busy with something else
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def context(chromium: "Browser") -> Iterator["BrowserContext"]:
    """A phone that keeps the page for later."""
    with chromium.new_context(**PHONE) as found:
        found.set_default_timeout(PATIENCE)
        yield found


@pytest.fixture
def problems(context: "BrowserContext") -> list[str]:
    """What the browser complains of."""
    found: list[str] = []
    context.on("weberror", lambda error: found.append(str(error.error)))
    context.on("console", lambda said: found.append(said.text) if is_error(said) else None)
    return found


def is_error(said: "ConsoleMessage") -> bool:
    """The runtime also writes there what it merely informs of."""
    return said.type == "error" and not said.text.startswith(("INFO: ", "WARNING: "))


@pytest.fixture
def page(chromium: "Browser", host: Any) -> Iterator["Page"]:
    """The page on a phone that keeps nothing of it."""
    with chromium.new_context(**PHONE, service_workers="block") as context:
        context.set_default_timeout(PATIENCE)
        yield opened(context, host.url)


def opened(context: "BrowserContext", address: str) -> "Page":
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#state")).to_have_text("Ready")
    return page


def score(page: "Page", path: Path) -> float:
    """Give the page an image; the probability that it shows, in full."""
    page.set_input_files("#file", path)
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#state")).to_have_text(f"Scored {path.name}")
    return shown(page)


def shown(page: "Page") -> float:
    return float(page.locator("#probability").get_attribute("data-value") or "nan")


def choose(page: "Page", model: str) -> None:
    page.select_option("#model", index=[shipped_model().name, "tiny_float32.tflite", "tiny_router.tflite"].index(model))
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")


def wait_for_offline(page: "Page") -> None:
    page.evaluate(
        "new Promise((resolve) => navigator.serviceWorker.controller ? resolve(null) : "
        "navigator.serviceWorker.addEventListener('controllerchange', () => resolve(null)))"
    )


def answer_of(path: Path, image: Path) -> float:
    return FractureClassifier(path).predict(image).fracture_probability


@pytest.fixture(scope="module")
def radiograph(shared_data: Path) -> Path:
    return min((shared_data / "fracatlas" / "images" / "Fractured").glob("*.jpg"))


def test_it_answers_as_python_does_and_with_every_variant(
    context: "BrowserContext", problems: list[str], radiograph: Path, tiny_model: Path, host: Any
) -> None:
    asked: list[tuple[str, str]] = []
    context.on("request", lambda request: asked.append((request.method, request.url)))
    page = opened(context, host.url)
    expected = FractureClassifier(shipped_model()).predict(radiograph, heatmap=True)
    assert score(page, radiograph) == pytest.approx(expected.fracture_probability, abs=A_STEP)
    expect(page.locator("#label")).to_have_text(expected.label.capitalize())
    assert page.locator("#threshold").text_content() == f"{expected.threshold:.3f}"
    assert page.locator("#heat").is_visible()
    assert page.locator("#radiograph").evaluate("(one) => one.width / one.height") == pytest.approx(
        expected.heatmap.width / expected.heatmap.height if expected.heatmap else 0, rel=0.01
    )
    choose(page, "tiny_float32.tflite")  # the same image is scored again
    expect(page.locator("#facts")).to_contain_text("float32")
    assert shown(page) == pytest.approx(answer_of(tiny_model, radiograph), abs=MOST_OFF)
    expect(page.locator("#no-heat")).to_have_text("This model gives no heatmap.")
    page.select_option("#accelerator", "webgpu")
    expect(page.locator("#facts")).to_contain_text("Graphics card (WebGPU)")
    assert shown(page) == pytest.approx(answer_of(tiny_model, radiograph), abs=MOST_OFF)
    page.select_option("#accelerator", "wasm")
    choose(page, "tiny_router.tflite")
    expect(page.locator("#facts")).to_contain_text("hand, probability 0.500")
    assert shown(page) == pytest.approx(answer_of(tiny_model, radiograph), abs=MOST_OFF)
    assert len(asked) > 20
    assert {method for method, _ in asked} == {"GET"}
    assert all(address.startswith((host.url, "blob:", "data:")) for _, address in asked)
    assert {method for method, _ in host.asked} == {"GET"}
    assert problems == []


def test_bad_files_are_told_in_one_line_and_the_next_good_one_is_scored(
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
    told = {}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#file", tmp_path / name)
        expect(page.locator("#problem")).to_be_visible()
        told[name] = page.locator("#problem").inner_text()
        assert "\n" not in told[name]
        assert len(told[name]) < 300
        assert not page.locator("#answer").is_visible()
        score(page, noise_png)
        assert not page.locator("#problem").is_visible()
    assert "DICOM" in told["knee.dcm"]
    assert "TIFF" in told["knee.tif"]
    assert "pixels" in told["bomb.png"]


def test_two_files_at_once_are_not_one_answer(page: "Page", noise_png: Path) -> None:
    with page.expect_file_chooser() as opened:
        page.locator("#choose").click()
    assert not opened.value.is_multiple()
    page.evaluate(
        """() => {
            const given = new DataTransfer();
            for (const name of ["a.png", "b.png"]) given.items.add(new File(["x"], name, {type: "image/png"}));
            document.dispatchEvent(new DragEvent("drop", {dataTransfer: given, cancelable: true}));
        }"""
    )
    expect(page.locator("#problem")).to_have_text("these are 2 files; give one radiograph at a time")


def test_an_image_can_be_dropped_and_pasted(page: "Page", noise_png: Path) -> None:
    for way in ("drop", "paste"):
        page.evaluate(
            """([way, bytes]) => {
                const given = new DataTransfer();
                const content = Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0));
                given.items.add(new File([content], `${way}.png`, {type: "image/png"}));
                const event = way === "drop" ? new DragEvent("drop", {dataTransfer: given, cancelable: true})
                    : new ClipboardEvent("paste", {clipboardData: given});
                document.dispatchEvent(event);
            }""",
            [way, base64.b64encode(noise_png.read_bytes()).decode()],
        )
        expect(page.locator("#state")).to_have_text(f"Scored {way}.png")
        assert shown(page) == pytest.approx(answer_of(shipped_model(), noise_png), abs=A_STEP)


def test_it_fits_a_phone_and_a_narrow_one(page: "Page", noise_png: Path) -> None:
    score(page, noise_png)
    page.locator("summary").click()
    for width in (390, 360, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#capture").is_visible()  # a camera is a phone's
    small = page.evaluate(
        "[...document.querySelectorAll('button, select, a.button')].filter((one) => one.offsetHeight && "
        "one.offsetHeight < 44).map((one) => one.id)"
    )
    assert small == []


def test_it_is_used_by_keyboard_alone(page: "Page", noise_png: Path) -> None:
    page.on("filechooser", lambda opened: opened.set_files(noise_png))
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
    assert page.locator("#heat").evaluate("(one) => one.style.opacity") == "0"


def test_a_screen_reader_is_told(page: "Page", noise_png: Path) -> None:
    score(page, noise_png)
    assert page.get_by_role("status").first.inner_text() == "Scored bar.png"
    assert page.get_by_role("img", name="The radiograph as it was read").is_visible()
    for name in ("Model", "Runs on"):
        assert page.get_by_role("combobox", name=name).is_visible()
    assert page.get_by_role("slider", name="Heatmap").is_visible()
    assert page.locator("#card").get_attribute("aria-live") == "polite"
    assert page.get_by_text("Research use only: no diagnosis.").first.is_visible()


def test_it_can_be_read_by_day_and_in_the_dark(page: "Page", noise_png: Path) -> None:
    score(page, noise_png)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for part in ("#label", "#card p", ".quiet", "#choose", "#probability", "dt", "footer"):
            contrast = page.locator(part).first.evaluate(CONTRAST)
            assert contrast >= (3 if part == "#label" else 4.5), (scheme, part)


# WCAG's contrast of an element's text and what is painted behind it.
CONTRAST = """(one) => {
    const parts = (text) => text.match(/[\\d.]+/g).map(Number);
    const level = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * level(r / 255) + 0.7152 * level(g / 255) + 0.0722 * level(b / 255);
    let behind = one;
    while (behind && parts(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const found = [getComputedStyle(one).color, getComputedStyle(behind ?? document.documentElement).backgroundColor];
    const [low, high] = found.map(parts).map(light).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
}"""


def test_about_says_what_the_file_says(page: "Page") -> None:
    about, told = page.locator("#about"), read_description(shipped_model())
    evaluation, gate = told.details["evaluation"], told.details["gate"]
    for text in (
        "FracAtlas. Abedeen I.",
        "CC BY 4.0",
        "2375 to learn from, 319 to choose by, 580 to test on",
        "{value:.3f} (95 %: {low:.3f} to {high:.3f})".format(**evaluation["sensitivity"]),
        f"{told.threshold:.3f}, by the rule youden, on the validation part",
        f"{100 * gate['agreement']:.1f} % of 319 images",
    ):
        expect(about).to_contain_text(text)


def test_the_policy_lets_nothing_out(page: "Page") -> None:
    refused = page.evaluate(
        """async () => {
            const refused = [];
            document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
            const tried = [
                () => fetch("https://example.org/", {method: "POST", body: "x"}),
                () => navigator.sendBeacon("https://example.org/", "x"),
                () => new WebSocket("wss://example.org/"),
                () => new EventSource("https://example.org/"),
                () => { new Image().src = "https://example.org/x.png"; },
                () => {
                    const form = document.createElement("form");
                    Object.assign(form, {action: "https://example.org/", method: "post"});
                    document.body.append(form);
                    form.submit();
                },
                () => {
                    const script = document.createElement("script");
                    script.textContent = "globalThis.inline = 1";
                    document.body.append(script);
                },
            ];
            for (const one of tried) try { await one(); } catch {}
            await new Promise((resolve) => setTimeout(resolve, 300));
            return {refused, inline: globalThis.inline ?? 0};
        }"""
    )
    assert refused["refused"].count("connect-src") == 4
    assert {"img-src", "form-action"} <= set(refused["refused"])
    assert refused["inline"] == 0
    with pytest.raises(Exception, match="Failed to fetch"):
        page.evaluate("fetch('https://example.org')")


@pytest.mark.slow
def test_it_works_with_the_network_off_after_the_first_visit(
    context: "BrowserContext", problems: list[str], host: Any, noise_png: Path
) -> None:
    page = opened(context, host.url)
    wait_for_offline(page)
    page.reload()
    expect(page.locator("#state")).to_have_text("Ready")
    assert page.evaluate("crossOriginIsolated")  # by the headers that the service worker adds
    host.stop()
    context.set_offline(True)
    try:
        for address in (host.url, f"{host.url}index.html?from=icon"):
            page.goto(address)
            expect(page.locator("#state")).to_have_text("Ready")
            assert score(page, noise_png) == pytest.approx(answer_of(shipped_model(), noise_png), abs=A_STEP)
        page.get_by_role("link", name="Benchmark").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("enchmark")
    finally:
        context.set_offline(False)
        host.start()
    assert problems == []


@pytest.mark.slow
def test_a_new_version_waits_until_a_person_takes_it(
    context: "BrowserContext", host: Any, tiny_model: Path, save_model: Callable[..., Path], tiny: Any
) -> None:
    folder, page = host.root / "updated", context.new_page()
    write_folder(page_contents([str(tiny_model)]), str(folder))
    address = f"http://localhost:{host.port}/updated/"
    page.goto(address)
    wait_for_offline(page)
    other = save_model(tiny.mean(bias=1.0), name="tiny_other")
    write_folder(page_contents([str(other)]), str(folder))
    page.reload()
    expect(page.locator("#about")).to_contain_text("tiny_float32")
    expect(page.locator("#update")).to_be_visible()
    with page.expect_navigation():
        page.locator("#take-over").click()
    expect(page.locator("#about")).to_contain_text("tiny_other")
    assert not page.locator("#update").is_visible()
    names = page.evaluate("caches.keys()")
    assert len([name for name in names if "/updated/" in name]) == 1
    # A version of which one file is wrong is not taken.
    contents = page_contents([str(tiny_model)])
    write_folder({**contents, "app.js": contents["app.js"] + b"// cut off"}, str(folder))
    page.evaluate(
        """async () => {
            const registration = await navigator.serviceWorker.getRegistration();
            await registration.update().catch(() => null);
            const worker = registration.installing;
            while (worker?.state === "installing") await new Promise((resolve) => setTimeout(resolve, 20));
        }"""
    )
    page.reload()
    expect(page.locator("#about")).to_contain_text("tiny_other")
    assert not page.locator("#update").is_visible()
    # The reload has the browser try that version once more, and its cache is there until it fails.
    page.wait_for_function("async (names) => `${await caches.keys()}` === `${names}`", arg=names)


def test_over_plain_http_it_says_what_is_missing(
    context: "BrowserContext", serve_phone: Callable[..., Any], tiny_model: Path, noise_png: Path, tmp_path: Path
) -> None:
    with serve_phone(tmp_path, "--model", tiny_model) as serving:
        (address,) = re.findall(r"The page for phones: (\S+)", serving.log.read_text("utf-8"))
        if "127.0.0.1" in address:
            pytest.skip("needs a local network: this machine's own address is a secure one to a browser")
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#state")).to_have_text("Ready")
        assert score(page, noise_png) == pytest.approx(answer_of(tiny_model, noise_png), abs=MOST_OFF)
        expect(page.locator("#accelerator-note")).to_contain_text("https or localhost alone")
        expect(page.locator("#offline")).to_contain_text("it needs the network each time")
        page.goto(f"http://localhost:{serving.port}/")
        expect(page.locator("#state")).to_have_text("Ready")
        assert page.evaluate("crossOriginIsolated")
        assert score(page, noise_png) == pytest.approx(answer_of(tiny_model, noise_png), abs=MOST_OFF)


@pytest.mark.slow
def test_what_the_benchmark_saves_is_imported(
    context: "BrowserContext", host: Any, tiny_model: Path, tmp_path: Path
) -> None:
    from click.testing import CliRunner

    from osteolite.edge.cli import cli

    folder, page = host.root / "bench-only", context.new_page()
    write_folder(page_contents([str(tiny_model)]), str(folder))
    page.goto(f"http://localhost:{host.port}/bench-only/")
    wait_for_offline(page)  # from then on the page is isolated, and its clock fine enough for so small a model
    page.get_by_role("link", name="Benchmark").click()
    page.get_by_role("button", name="Measure").click()
    link = page.get_by_role("link", name="Save figures")
    link.wait_for(timeout=180_000)
    with page.expect_download() as saved:
        link.click()
    saved.value.save_as(tmp_path / "figures.json")
    answer = CliRunner().invoke(cli, ["bench", "import", str(tmp_path / "figures.json"), "--json"])
    assert answer.exit_code == 0, answer.output
    (result,) = [one for one in json.loads(answer.output)["results"] if one["delegate"]["asked"] == "wasm"]
    assert (result["file"], result["bytes"]) == (tiny_model.name, tiny_model.stat().st_size)
    assert result["milliseconds"]["invoke"]["p50"] > 0
