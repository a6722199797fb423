"""The comparison with LiteRT's own program runs both; their agreement is not tested."""

import sys
from pathlib import Path

import pytest

from osteolite.benchmarks.studies import agreement
from osteolite.edge.errors import MissingExtra
from osteolite.edge.modelfile.shipped import shipped_model


@pytest.mark.slow
def test_both_programs_run_in_every_round() -> None:
    found = agreement.compare(str(shipped_model("tiny")), 2, 6)
    assert len(found["bench_ms"]) == len(found["litert_ms"]) == 6
    assert min(found["bench_ms"]) > 0
    assert found["ratio"]["low"] <= found["ratio"]["median"] <= found["ratio"]["high"]


def test_a_missing_program_is_reported(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(MissingExtra, match="litert-benchmark is not installed"):
        agreement._litert(str(tiny_model), 1)
