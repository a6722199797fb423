"""The page and the network in a real browser: policy, offline use, updates, plain http, saved results."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from osteolite.demo.phone.folder import page_contents, write_folder
from osteolite.edge.cli import cli
from osteolite.edge.modelfile.shipped import shipped_model
from tests.demo.phone.conftest import Host
from tests.demo.phone.phone_page import (
    INT8_STEP,
    TOLERANCE,
    expect,
    open_page,
    probability_in_python,
    score,
    wait_until_stored,
)

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page


def test_policy_blocks_every_other_address(page: "Page") -> None:
    result = page.evaluate(
        """async () => {
            const refused = [];
            document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
            const attempts = [
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
            for (const attempt of attempts) try { await attempt(); } catch {}
            await new Promise((resolve) => setTimeout(resolve, 300));
            return {refused, inline: globalThis.inline ?? 0};
        }"""
    )
    assert result["refused"].count("connect-src") == 4
    assert {"img-src", "form-action"} <= set(result["refused"])
    assert result["inline"] == 0
    with pytest.raises(Exception, match="Failed to fetch"):
        page.evaluate("fetch('https://example.org')")


@pytest.mark.slow
def test_page_works_offline_after_the_first_visit(
    context: "BrowserContext", problems: list[str], host: Host, noise_png: Path
) -> None:
    page = open_page(context, host.url)
    wait_until_stored(page)
    page.reload()
    expect(page.locator("#state")).to_have_text("Ready")
    assert page.evaluate("crossOriginIsolated")  # by headers that the service worker adds
    host.stop()
    context.set_offline(True)
    try:
        for address in (host.url, f"{host.url}index.html?from=icon"):
            page.goto(address)
            expect(page.locator("#state")).to_have_text("Ready")
            assert score(page, noise_png) == pytest.approx(
                probability_in_python(shipped_model(), noise_png), abs=INT8_STEP
            )
        page.get_by_role("link", name="Benchmark").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("enchmark")
    finally:
        context.set_offline(False)
        host.start()
    assert problems == []


@pytest.mark.slow
def test_new_version_waits_until_it_is_accepted(
    context: "BrowserContext", host: Host, tiny_model: Path, save_model: Callable[..., Path], tiny: Any
) -> None:
    folder, page = host.root / "updated", context.new_page()
    write_folder(page_contents([str(tiny_model)]), str(folder))
    page.goto(f"http://localhost:{host.port}/updated/")
    wait_until_stored(page)
    other = save_model(tiny.mean(bias=1.0), name="tiny_other")
    write_folder(page_contents([str(other)]), str(folder))
    page.reload()
    expect(page.locator("#about")).to_contain_text("tiny_float32")
    expect(page.locator("#update")).to_be_visible()
    with page.expect_navigation():
        page.locator("#take-over").click()
    expect(page.locator("#about")).to_contain_text("tiny_other")
    assert not page.locator("#update").is_visible()
    assert len([name for name in page.evaluate("caches.keys()") if "/updated/" in name]) == 1


@pytest.mark.slow
def test_damaged_new_version_is_ignored(context: "BrowserContext", host: Host, tiny_model: Path) -> None:
    folder, page = host.root / "damaged", context.new_page()
    contents = page_contents([str(tiny_model)])
    write_folder(contents, str(folder))
    page.goto(f"http://localhost:{host.port}/damaged/")
    wait_until_stored(page)
    names = page.evaluate("caches.keys()")
    newer = page_contents([str(shipped_model())])
    write_folder({**newer, "app.js": newer["app.js"] + b"// cut off"}, str(folder))
    page.evaluate(
        """async () => {
            const registration = await navigator.serviceWorker.getRegistration();
            await registration.update().catch(() => null);
            const worker = registration.installing;
            while (worker?.state === "installing") await new Promise((resolve) => setTimeout(resolve, 20));
        }"""
    )
    page.reload()
    expect(page.locator("#about")).to_contain_text("tiny_float32")
    assert not page.locator("#update").is_visible()
    # On reload the browser tries the version once more, and its cache exists until that fails.
    page.wait_for_function("async (names) => `${await caches.keys()}` === `${names}`", arg=names)


def test_plain_http_page_works_and_says_what_is_missing(
    context: "BrowserContext", serve_phone: Callable[..., Any], tiny_model: Path, noise_png: Path, tmp_path: Path
) -> None:
    with serve_phone(tmp_path, "--model", tiny_model) as serving:
        (address,) = re.findall(r"The page for phones: (\S+)", serving.log.read_text("utf-8"))
        if "127.0.0.1" in address:
            pytest.skip("needs a local network: a browser treats the loopback address as secure")
        page = context.new_page()
        page.goto(address)
        expect(page.locator("#state")).to_have_text("Ready")
        assert score(page, noise_png) == pytest.approx(probability_in_python(tiny_model, noise_png), abs=TOLERANCE)
        expect(page.locator("#accelerator-note")).to_contain_text("only on pages from https or localhost")
        expect(page.locator("#offline")).to_contain_text("needs the network on each visit")
        page.goto(f"http://localhost:{serving.port}/")
        expect(page.locator("#state")).to_have_text("Ready")
        assert page.evaluate("crossOriginIsolated")
        assert score(page, noise_png) == pytest.approx(probability_in_python(tiny_model, noise_png), abs=TOLERANCE)


@pytest.mark.slow
def test_saved_benchmark_results_are_imported(
    context: "BrowserContext", host: Host, tiny_model: Path, tmp_path: Path
) -> None:
    folder, page = host.root / "bench-only", context.new_page()
    write_folder(page_contents([str(tiny_model)]), str(folder))
    page.goto(f"http://localhost:{host.port}/bench-only/")
    wait_until_stored(page)  # afterwards the page is isolated and its clock precise enough for a tiny model
    page.get_by_role("link", name="Benchmark").click()
    page.get_by_role("button", name="Measure").click()
    link = page.get_by_role("link", name="Save results")
    link.wait_for(timeout=180_000)
    with page.expect_download() as saved:
        link.click()
    saved.value.save_as(tmp_path / "results.json")
    answer = CliRunner().invoke(cli, ["bench", "import", str(tmp_path / "results.json"), "--json"])
    assert answer.exit_code == 0, answer.output
    results = json.loads(answer.output)["results"]
    (result,) = [found for found in results if found["delegate"]["asked"] == "wasm"]
    assert (result["file"], result["bytes"]) == (tiny_model.name, tiny_model.stat().st_size)
    assert result["milliseconds"]["invoke"]["p50"] > 0
