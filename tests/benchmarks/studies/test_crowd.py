"""Several users on a real page."""

import json
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from PIL import Image

from osteolite.benchmarks.studies import crowd

pytestmark = pytest.mark.slow

pytest.importorskip("gradio", reason="needs the extra demo")


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    found = []
    for grey in range(0, 250, 25):
        found.append(str(tmp_path / f"{grey}.png"))
        Image.new("L", (40, 40), grey).save(found[-1])
    return found


def test_all_users_get_their_own_predictions(tiny_model: Path, images: list[str], tmp_path: Path) -> None:
    options = ["--people", "3", "--seconds", "2", "--think", "0.1", "--model", str(tiny_model), "--out", str(tmp_path)]
    result = CliRunner().invoke(crowd.main, [*images, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "crowd.json").read_text())
    assert (found["wrong"], found["failed"], found["images"]) == (0, {}, 10)
    assert found["answers"] > 3
    assert 0 < found["milliseconds"]["p50"] <= found["milliseconds"]["p95"] <= found["milliseconds"]["max"]


def test_wrong_predictions_and_a_stopped_server_are_counted(tiny_model: Path, images: list[str]) -> None:
    expected = dict.fromkeys(map(Path, images), "0.123")
    with crowd._page(str(tiny_model)) as (address, _, _):
        assert crowd.crowd(address, expected, 1, 0.5, 0).wrong > 0
        person = crowd.Person(address, "late")
    with pytest.raises(httpx.HTTPError):
        person.ask(Path(images[0]))
