"""`auto`: what it measures, what it leaves out, and what it remembers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.edge.inference import auto_delegate
from osteolite.edge.inference.engine import nodes, parse_model
from osteolite.edge.inference.opening import open_session
from osteolite.edge.modelfile.shipped import shipped_model


def test_auto_takes_the_fastest_and_reports_all(cache: Path) -> None:
    delegation = open_session(shipped_model(), 1, "auto").delegation
    assert (delegation.requested, delegation.applied) == ("auto", "xnnpack")
    assert delegation.operators_taken == len(nodes(parse_model(shipped_model()))) - 1
    about = {one.delegate: one for one in delegation.candidates}
    assert set(about) == {"xnnpack", "cpu", "gpu", "edgetpu"}
    assert about["xnnpack"].milliseconds is not None
    assert about["cpu"].milliseconds is not None
    assert 0 < about["xnnpack"].milliseconds < about["cpu"].milliseconds
    assert about["edgetpu"].reason
    assert "candidates" in delegation.to_dict()


def test_auto_remembers(cache: Path, tiny_model: Path) -> None:
    first = open_session(tiny_model, 1, "auto").delegation
    (path,) = cache.iterdir()
    assert open_session(tiny_model, 1, "auto").delegation == first
    remembered = json.loads(path.read_text())
    other = {"xnnpack": "cpu", "cpu": "xnnpack"}[remembered["delegate"]]
    path.write_text(json.dumps({**remembered, "delegate": other}))
    assert open_session(tiny_model, 1, "auto").delegation.applied == {"cpu": "none", "xnnpack": "xnnpack"}[other]


def test_auto_asks_again_for_another_model_or_other_threads(
    cache: Path, tiny_model: Path, tiny_int8_model: Path
) -> None:
    for model, threads in ((tiny_model, 1), (tiny_model, 2), (tiny_int8_model, 1), (tiny_model.read_bytes(), 1)):
        open_session(model, threads, "auto")
    assert len(list(cache.iterdir())) == 3  # the content counts, not where it came from


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"delegate": "cuda", "candidates": []}', '{"delegate": "cpu", "candidates": [{}]}']
)
def test_a_damaged_memory_is_measured_again(damage: str, cache: Path, tiny_model: Path) -> None:
    open_session(tiny_model, 1, "auto")
    (path,) = cache.iterdir()
    path.write_text(damage)
    assert len(open_session(tiny_model, 1, "auto").delegation.candidates) == 4
    assert len(json.loads(path.read_text())["candidates"]) == 4


def test_what_was_fastest_and_is_gone_is_measured_again(cache: Path, tiny_model: Path) -> None:
    open_session(tiny_model, 1, "auto")
    (path,) = cache.iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "delegate": "edgetpu"}))
    assert open_session(tiny_model, 1, "auto").delegation.applied in ("none", "xnnpack")
    assert json.loads(path.read_text())["delegate"] != "edgetpu"


def test_a_memory_that_cannot_be_written_harms_nothing(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    session = open_session(tiny_model, 1, "auto")
    assert session.invoke(np.full(session.input_shape, 0.25, np.float32)) == pytest.approx(1.5)


@pytest.mark.parametrize(("claim", "reason"), [("all", "its answers differ"), ("none", "takes none")])
def test_auto_leaves_out_what_answers_otherwise(
    claim: str, reason: str, library: Path, cache: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library computes nothing, and would be the fastest of all."""
    wrong = f"{library}:claim={claim}"
    monkeypatch.setattr(auto_delegate, "_CANDIDATES", ("cpu", wrong))
    delegation = open_session(tiny_model, 1, "auto").delegation
    assert delegation.applied == "none"
    left_out = {one.delegate: one for one in delegation.candidates}[wrong]
    assert left_out.milliseconds is None
    assert reason in left_out.reason


def test_auto_on_a_model_that_answers_nothing(cache: Path, tmp_path: Path, tiny: Any) -> None:
    path = tmp_path / "nan.tflite"
    path.write_bytes(tiny.mean(bias=float("nan")))
    assert open_session(path, 1, "auto").delegation.applied == "none"


def test_maps_and_features_count_as_well_as_answers() -> None:
    right = np.array([[1.0, -1.0]], np.float32)
    assert auto_delegate._share(right, right) == 0
    assert auto_delegate._share(np.zeros_like(right), right) == pytest.approx(1)
    assert auto_delegate._share(None, None) == auto_delegate._share(right, np.zeros_like(right)) == 0
