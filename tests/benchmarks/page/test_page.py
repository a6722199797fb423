"""The page of benchmarks and its plots."""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from osteolite.benchmarks.analysis.results_file import result_names
from osteolite.benchmarks.page import plots, side_by_side
from osteolite.benchmarks.page.drawing import Drawn
from osteolite.benchmarks.page.html import write_page
from osteolite.benchmarks.page.plots import Shown

from ..results_made import NASTY, Result, board, desktop, entry, hostile, phone, realistic, result

SECTIONS = [
    "Quality against latency",
    "Size",
    "Distribution of latency",
    "Threads",
    "Devices side by side",
    "Peers",
    "All results",
    "Scenarios",
    "Time by operator",
]


class Page(HTMLParser):
    """The visible text and the structure of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        content = path.read_text(encoding="utf-8")
        self.headings = re.findall("<h2>([^<]+)</h2>", content)
        self.feed(content)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def pictures(self) -> list[tuple[str, bytes]]:
        """Alternative text and SVG of each figure."""
        prefix = "data:image/svg+xml;base64,"
        images = [values for tag, values in self.tags if tag == "img"]
        assert all(str(values["src"]).startswith(prefix) for values in images)
        return [(str(one["alt"]), base64.b64decode(str(one["src"]).removeprefix(prefix))) for one in images]


def shown(found: Result, title: str = "a board") -> Shown:
    return Shown(title, found, result_names(found["results"]))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with three devices."""
    path = tmp_path_factory.mktemp("page") / "benchmark.html"
    write_page(realistic(), path)
    return path


@pytest.mark.slow
def test_the_page_is_self_contained(page: Path) -> None:
    found = Page(page)
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "link", "iframe", "object"})
    links = [value for _, values in found.tags for name, value in values.items() if name in ("src", "href", "srcset")]
    assert len(links) == 10
    assert all(str(link).startswith("data:") for link in links)
    assert "url(" not in page.read_text()
    for alt, picture in found.pictures:
        assert len(alt) > 20
        assert ElementTree.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"
        assert not re.findall(rb'href="(?!#)', picture)


def test_the_page_shows_everything_in_order(page: Path) -> None:
    found = Page(page)
    assert found.headings == SECTIONS
    assert found.text.index("Research use only") < found.text.index("Raspberry Pi 4 Model B Rev 1.5")
    assert (
        "Measured as ssh://pi@board; aarch64; 4 cores; Linux-6.12-aarch64-with-glibc2.41; governor ondemand; "
        "1500 to 1200 MHz; 51.1 to 82.1 °C; load 0.12, 0.2, 0.31 before the start; predictions on 580 labelled images; "
        "started 2026-11-20 09:30 UTC; took 412 seconds. python 3.11.7, osteolite 0.1.0, numpy 2.4.6, "
        "ai-edge-litert 2.3.0. The device reported: soft temperature limit (after). 37 of 39 results are valid. "
        "From pi4/benchmark.json." in found.text
    )
    assert "The device reported: on battery (after)" in found.text
    for one in (one for run in realistic().values() for one in run["results"]):
        invoke = one["milliseconds"]["invoke"]
        low, high = invoke["intervals"]["p50"]
        assert f"{invoke['p50']:,.2f} {low:,.2f} to {high:,.2f}" in found.text
    assert "openvino: not installed" in found.text
    assert "int8_int8, 1 thread, batch of 8: the network's operators hold the size of its input" in found.text
    assert "6.90 of 8" in found.text
    assert "DEPTHWISE_CONV_2D 17" in found.text
    assert "p90 ms queries" in found.text


def test_results_that_are_not_valid_have_reasons(page: Path) -> None:
    found = Page(page)
    assert sum(values.get("class") == "invalid" for tag, values in found.tags if tag == "tr") == 4
    why = "not quiet: other programs kept up to 0.92 cores busy; 0.1 is allowed; unsteady: invocations became 9% slower"
    assert found.text.count(f"pruned_int8, 2 threads: {why}") == 2


def test_sections_without_data_are_left_out(tmp_path: Path) -> None:
    bare = entry(auroc=None, accuracy=None)
    bare["milliseconds"]["invoke"]["distribution"] = []
    write_page({"benchmark.json": result([bare])}, tmp_path / "one.html")
    found = Page(tmp_path / "one.html")
    assert found.headings == ["Size", "All results"]
    assert "AUROC" not in found.text
    assert "Left out" not in found.text
    write_page({"benchmark.json": result([])}, tmp_path / "none.html")
    assert Page(tmp_path / "none.html").headings == ["All results"]
    assert "Nothing was measured" in Page(tmp_path / "none.html").text


def test_a_result_without_times_is_in_the_table(tmp_path: Path) -> None:
    untold = entry(launches=(), valid=False, reasons=["too short: 0 launches, 3 are needed"])
    untold["milliseconds"]["cold_start"] = {}
    write_page({"benchmark.json": result([untold], before=None, after=None, machine=None)}, tmp_path / "page.html")
    found = Page(tmp_path / "page.html")
    assert "int8, 1 thread: too short: 0 launches, 3 are needed" in found.text
    assert found.headings == ["Size", "All results"]


def test_text_of_a_result_is_never_markup(tmp_path: Path) -> None:
    write_page(hostile(), tmp_path / "page.html")
    found = Page(tmp_path / "page.html")
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "link", "iframe"})
    assert {name for _, values in found.tags for name in values if name.startswith("on")} == set()
    assert found.text.count(NASTY) > 100
    for alt, picture in found.pictures:
        assert NASTY.removesuffix(".tflite") in alt
        assert not [one for one in ElementTree.fromstring(picture).iter() if one.tag.endswith("script")]


def test_the_same_results_make_the_same_page(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_page({"benchmark.json": result([entry(threads=1), entry(threads=2)])}, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_machines_with_the_same_name_get_different_titles(tmp_path: Path) -> None:
    write_page({"monday.json": result([entry()]), "friday.json": result([entry()])}, tmp_path / "page.html")
    text = Page(tmp_path / "page.html").text
    assert "2.50GHz, monday.json" in text
    assert "2.50GHz, friday.json" in text


def test_the_front_has_the_valid_results_that_none_beats() -> None:
    entries = [
        entry("slow_and_good", launches=(9.0,), auroc=0.95),
        entry("beaten", launches=(9.5,), auroc=0.94),
        entry("middle", launches=(5.0,), auroc=0.90),
        entry("as_good_but_slower", launches=(6.0,), auroc=0.90),
        entry("fast", launches=(2.0,), auroc=0.80),
        entry("too_good", launches=(1.0,), auroc=0.99, valid=False),
        entry("untold", launches=(), auroc=1.0),
    ]
    drawn = plots.trade_off(shown(result(entries)))
    assert drawn is not None
    assert drawn.alt.endswith("On the Pareto front: fast, middle, slow_and_good.")
    invalid = plots.trade_off(shown(result([entry(valid=False)])))
    assert invalid is not None
    assert "On the Pareto front: nothing." in invalid.alt


def test_accuracy_replaces_a_missing_auroc() -> None:
    drawn = plots.trade_off(shown(result([entry(auroc=None)])))
    assert drawn is not None
    assert drawn.alt.startswith("accuracy against latency on a board")


def hatched(drawn: Drawn | None) -> bool:
    """Whether a bar is hatched; the legend's hatch is black."""
    assert drawn is not None
    patterns = re.findall(rb"<pattern.*?</pattern>", base64.b64decode(drawn.uri.partition(",")[2]), re.DOTALL)
    return any(b"#0072b2" in pattern for pattern in patterns)


def test_results_that_are_not_valid_are_hatched_or_hollow() -> None:
    valid, invalid = (shown(result([entry(valid=valid)])) for valid in (True, False))
    assert [hatched(plots.latencies(one)) for one in (valid, invalid)] == [False, True]
    assert [hatched(side_by_side.sizes([one])) for one in (valid, invalid)] == [False, True]
    assert [plots.mark(entry(valid=valid), 0)["markerfacecolor"] for valid in (True, False)] == ["#0072b2", "#fff"]


def test_plots_have_alternative_texts() -> None:
    lines = plots.scaling(shown(result([entry(threads=1, launches=(8.0,)), entry(threads=4, launches=(3.0,))])))
    assert lines is not None
    assert lines.alt == "Latency on a board with 1, 4 threads: int8 8.00 ms, 3.00 ms."
    beside = side_by_side.peers(shown(desktop()))
    assert beside is not None
    assert "float32 · mediapipe with 2 threads 1.31" in beside.alt
    runs = [shown(found, name) for name, found in (("a desk", desktop()), ("a phone", phone()))]
    devices = side_by_side.devices(runs)
    assert devices is not None
    assert devices.alt.startswith("Latency side by side of a desk, a phone: ")
    assert "onnxruntime" not in devices.alt  # only the desktop ran it
    assert side_by_side.devices(runs[:1]) is None
    assert plots.scaling(shown(result([entry(threads=2)]))) is None
    assert side_by_side.peers(shown(board())) is None


@pytest.mark.parametrize(
    "over",
    [
        {"auroc": 0.0},
        {"bytes": 0},
        {"bytes": 10**14},
        {"threads": 0},
        {"threads": -5},
        {"threads": 10**12},
        {"relative": {"to": "x", "ratio": -1.0, "low": None, "high": 0.0}, "engine": "peer"},
        {"variant": "$x^{$_" * 50, "file": "\u8108" * 300},
        {"launches": (1e-9, 2e-9)},
        {"launches": (1e14, 2e14)},
        {"launches": ()},
        {"launches": (5.0,), "runtime": None, "peak_mb": None, "steady_mb": None},
    ],
)
def test_odd_values_are_drawn_or_left_out(tmp_path: Path, over: Result) -> None:
    odd = entry(**{"launches": (5.0, 5.1), **over})
    if over.get("launches") == ():
        odd["milliseconds"]["invoke"] = {"p50": 0.0, "distribution": [0.0] * 41}  # of a clock that coarse
    write_page({"a.json": result([odd, entry("float32")]), "b.json": result([entry()])}, tmp_path / "page.html")
    assert "All results" in Page(tmp_path / "page.html").headings


def test_hundreds_of_results_are_drawn(tmp_path: Path) -> None:
    entries = [entry(f"v{i}", launches=(1 + i % 7 / 10, 1 + i % 5 / 10), auroc=0.5 + i / 1000) for i in range(300)]
    drawn = plots.trade_off(shown(result(entries)))
    assert drawn is not None


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_the_width_of_a_screen(page: Path, tmp_path: Path, width: int) -> None:
    """Only the tables scroll, each in its own box."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    asked = "document.title = [document.documentElement.scrollWidth, innerWidth,"
    asked += " ...[...document.images].map(image => image.naturalWidth && image.clientWidth)]"
    copied = tmp_path / "page.html"
    copied.write_text(page.read_text().replace("<body>", f"<body onload='{asked}'>"))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},900"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [chromium, *flags, profile, "--dump-dom", copied.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r"<title>([\d,]+)</title>", done.stdout)
    assert found is not None
    needed, inner, *images = map(int, found[1].split(","))
    assert needed <= inner
    assert len(images) == 10
    assert all(0 < image <= inner for image in images)
