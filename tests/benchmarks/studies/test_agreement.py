"""`osteolite bench` beside LiteRT's own program, which is really run; how near they are is no test's business."""

from pathlib import Path

import pytest

from osteolite.benchmarks.studies import agreement
from osteolite.edge.errors import MissingExtra
from osteolite.edge.modelfile.shipped import shipped_model


@pytest.mark.slow
def test_both_are_run_in_every_round() -> None:
    found = agreement.compare(str(shipped_model()), 2, 6)
    assert len(found["bench_ms"]) == len(found["litert_ms"]) == 6
    assert min(found["bench_ms"]) > 0
    assert found["ratio"]["low"] <= found["ratio"]["median"] <= found["ratio"]["high"]


def test_a_runtime_without_that_program_is_told(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement.sys, "executable", "/nowhere/python")
    with pytest.raises(MissingExtra, match="litert-benchmark is not installed"):
        agreement._litert(str(tiny_model), 1)
