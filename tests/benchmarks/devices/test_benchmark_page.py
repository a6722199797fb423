"""The benchmark page and its server, with a stand-in for LiteRT.js."""

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from osteolite.benchmarks.analysis.phone_import import read_figures
from osteolite.benchmarks.devices.browser import chromium, page_task, read_model
from osteolite.benchmarks.devices.pageserver import Content, PageServer, serving

StandIn = Callable[..., Callable[[], dict[str, Content]]]

pytest.importorskip("playwright", reason="needs Playwright")


@pytest.fixture
def page_server(stand_in: StandIn, tiny_model: Path) -> Iterator[PageServer]:
    """Serve the page with the stand-in and a task of two launches on the CPU, as for a user."""
    contents = stand_in()() | {"/bench/models/0.tflite": tiny_model}
    with serving(contents) as server:
        task = page_task([read_model(str(tiny_model))], ("wasm",))
        server.contents["/bench/bench.json"] = json.dumps({**task, "launches": 2, "images": 0}).encode()
        yield server


def test_the_server_serves_only_listed_contents(page_server: PageServer) -> None:
    def get(path: str, method: str = "GET") -> tuple[int, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", page_server.server_port, timeout=10)
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status, response.headers

    assert page_server.server_address[0] == "127.0.0.1"
    status, headers = get("/bench/index.html")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert get("/third_party/litertjs/index.js?threaded")[1]["Content-Type"] == "text/javascript; charset=utf-8"
    assert get("/bench/models/0.tflite")[0] == 200
    outside = [
        "/",
        "/../cases.py",
        "/bench/../../__init__.py",
        "/%2e%2e/cases.py",
        "/bench/models/../../bench/index.html",
        "//etc/passwd",
    ]
    outside += [
        "/third_party/litertjs/../../../../../../etc/passwd",
        "/bench/models/1.tflite",
        "/third_party/litertjs",
        "/bench/index.html/",
    ]
    assert [get(path)[0] for path in outside] == [404] * len(outside)
    assert get("/bench/index.html", "POST")[0] == 501


@pytest.fixture
def open_page(page_server: PageServer) -> Iterator[Callable[..., Any]]:
    with chromium() as program:

        def open_it(**options: Any) -> Any:
            page = program.new_context(**options).new_page()
            page.goto(f"{page_server.address}/bench/index.html")
            page.wait_for_selector("#measure:enabled")
            return page

        yield open_it


def test_a_phone_measures_and_saves_its_results(open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, is_mobile=True, color_scheme="dark")
    fits = "document.documentElement.scrollWidth <= 390"
    assert page.evaluate(fits)
    assert "Research use only" in page.inner_text("footer")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#progress:not([hidden])")
    assert page.evaluate(fits)
    page.wait_for_selector("#save:not([hidden])", timeout=60_000)
    assert page.evaluate(fits)
    cells = page.locator("#rows tr").first.locator("th, td").all_inner_texts()
    assert cells[:2] == ["float32", "wasm"] and float(cells[2]) >= 50
    with page.expect_download() as download:
        page.focus("#save")
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "figures.json")
    found = read_figures(str(tmp_path / "figures.json"))
    assert found.to_dict() == json.loads((tmp_path / "figures.json").read_text())["measured"]
    (case,) = found.cases
    assert len(case.launches) == 2 and case.error == ""
    assert page.locator("iframe").count() == 0


def test_the_page_reaches_no_other_server(open_page: Callable[..., Any], page_server: PageServer) -> None:
    page = open_page()
    reach = "address => fetch(address).then(() => 'reached', () => 'refused')"
    assert page.evaluate(reach, f"{page_server.address}/bench/bench.json") == "reached"
    with serving({"/": b"elsewhere"}) as other:
        other.headers = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
        assert page.evaluate(reach, f"{other.address}/") == "refused"


def test_the_link_back_stays_on_the_server(page_server: PageServer) -> None:
    expected = {"": None, "?back=../": f"{page_server.address}/", "?back=https://example.org/": None}
    expected |= {"?back=javascript:alert(1)": None, "?back=//example.org/": None}
    with chromium() as program:
        page = program.new_page()
        for query, target in expected.items():
            page.goto(f"{page_server.address}/bench/index.html{query}")
            page.wait_for_selector("#measure:enabled")
            link = page.locator("#back")
            assert (link.evaluate("link => link.href") if link.is_visible() else None) == target, query


def test_a_page_without_a_task_says_so(page_server: PageServer) -> None:
    del page_server.contents["/bench/bench.json"]
    with chromium() as program:
        page = program.new_page()
        page.goto(f"{page_server.address}/bench/index.html")
        page.wait_for_selector("#state.failed")
        assert "no bench.json" in page.inner_text("#state")
        assert page.is_disabled("#measure")
