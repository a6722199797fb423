"""The delegate `auto`: what it measures, excludes and remembers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.edge.inference.auto_delegate import fastest, relative_difference
from osteolite.edge.inference.engine import nodes, parse_model
from osteolite.edge.inference.opening import open_session
from osteolite.edge.modelfile.shipped import shipped_model


def test_auto_applies_the_fastest_delegate_and_reports_all(cache: Path) -> None:
    delegation = open_session(shipped_model(), 1, "auto").delegation
    assert (delegation.requested, delegation.applied) == ("auto", "xnnpack")
    assert delegation.operators_taken == len(nodes(parse_model(shipped_model()))) - 1
    candidates = {candidate.delegate: candidate for candidate in delegation.candidates}
    assert set(candidates) == {"xnnpack", "cpu", "gpu", "edgetpu"}
    assert candidates["xnnpack"].milliseconds is not None
    assert candidates["cpu"].milliseconds is not None
    assert 0 < candidates["xnnpack"].milliseconds < candidates["cpu"].milliseconds
    assert candidates["edgetpu"].reason
    assert "candidates" in delegation.to_dict()


def test_auto_uses_the_stored_result(cache: Path, tiny_model: Path) -> None:
    first = open_session(tiny_model, 1, "auto").delegation
    (path,) = cache.iterdir()
    assert open_session(tiny_model, 1, "auto").delegation == first
    remembered = json.loads(path.read_text())
    other = {"xnnpack": "cpu", "cpu": "xnnpack"}[remembered["delegate"]]
    path.write_text(json.dumps({**remembered, "delegate": other}))
    assert open_session(tiny_model, 1, "auto").delegation.applied == {"cpu": "none", "xnnpack": "xnnpack"}[other]


def test_auto_measures_again_for_another_model_or_number_of_threads(
    cache: Path, tiny_model: Path, tiny_int8_model: Path
) -> None:
    for model, threads in ((tiny_model, 1), (tiny_model, 2), (tiny_int8_model, 1), (tiny_model.read_bytes(), 1)):
        open_session(model, threads, "auto")
    assert len(list(cache.iterdir())) == 3  # a model is identified by its content, not its path


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"delegate": "cuda", "candidates": []}', '{"delegate": "cpu", "candidates": [{}]}']
)
def test_auto_measures_again_if_the_stored_result_is_damaged(damage: str, cache: Path, tiny_model: Path) -> None:
    open_session(tiny_model, 1, "auto")
    (path,) = cache.iterdir()
    path.write_text(damage)
    assert len(open_session(tiny_model, 1, "auto").delegation.candidates) == 4
    assert len(json.loads(path.read_text())["candidates"]) == 4


def test_auto_measures_again_if_the_stored_delegate_is_unavailable(cache: Path, tiny_model: Path) -> None:
    open_session(tiny_model, 1, "auto")
    (path,) = cache.iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "delegate": "edgetpu"}))
    assert open_session(tiny_model, 1, "auto").delegation.applied in ("none", "xnnpack")
    assert json.loads(path.read_text())["delegate"] != "edgetpu"


def test_auto_works_without_a_writable_cache(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    session = open_session(tiny_model, 1, "auto")
    assert session.invoke(np.full(session.input_shape, 0.25, np.float32)) == pytest.approx(1.5)


@pytest.mark.parametrize(("claim", "reason"), [("all", "its logits differ"), ("none", "takes none")])
def test_fastest_excludes_a_delegate_with_wrong_outputs(
    claim: str, reason: str, library: Path, cache: Path, tiny_model: Path
) -> None:
    """The library computes nothing, so it would be the fastest."""
    wrong = f"{library}:claim={claim}"
    choice = fastest(tiny_model, 1, candidates=("cpu", wrong))
    assert choice.delegate == "cpu"
    excluded = {candidate.delegate: candidate for candidate in choice.candidates}[wrong]
    assert excluded.milliseconds is None
    assert reason in excluded.reason


def test_auto_falls_back_to_the_cpu_if_every_output_is_nan(cache: Path, tmp_path: Path, tiny: Any) -> None:
    path = tmp_path / "nan.tflite"
    path.write_bytes(tiny.mean(bias=float("nan")))
    assert open_session(path, 1, "auto").delegation.applied == "none"


def test_relative_difference_of_maps_and_features() -> None:
    reference = np.array([[1.0, -1.0]], np.float32)
    assert relative_difference(reference, reference) == 0
    assert relative_difference(np.zeros_like(reference), reference) == pytest.approx(1)
    assert relative_difference(None, None) == relative_difference(reference, np.zeros_like(reference)) == 0
