import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from osteolite.benchmarks.studies.family import REFERENCE, main, measure_family, reference
from osteolite.edge.modelfile.archive import read_flatbuffer
from osteolite.edge.modelfile.graph import ModelGraph


def test_models_take_turns_with_the_reference(tiny_model: Path, tiny_int8_model: Path) -> None:
    files = {"one": str(tiny_model), "other": str(tiny_int8_model)}
    found = measure_family(files, read_flatbuffer(tiny_model), rounds=3)
    assert list(found) == [REFERENCE, "one", "other"]
    assert found[REFERENCE]["times_as_fast"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    for name, path in files.items():
        assert (found[name]["file"], found[name]["bytes"]) == (Path(path).name, Path(path).stat().st_size)
        ratio = found[name]["times_as_fast"]
        assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
        assert 0 < found[name]["p50"] <= found[name]["p90"]


@pytest.mark.slow
def test_the_reference_is_mobilenet_in_int8(tiny_model: Path, tmp_path: Path) -> None:
    graph = ModelGraph.from_flatbuffer(reference())
    # 300.8 million with ImageNet's head of 1,280,000 (Sandler et al., 2018), here of one output.
    assert sum(one.multiply_adds for one in graph.operators) == pytest.approx(300.8e6 - 1.28e6, rel=0.001)
    done = CliRunner().invoke(main, ["--model", str(tiny_model), "--rounds", "2", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "family.json").read_text())
    assert found["models"][REFERENCE]["input"] == [224, 224, 3]
    assert 2_400_000 < found["models"][REFERENCE]["bytes"] < 3_000_000
    assert found["models"][tiny_model.stem]["times_as_fast"]["median"] > 10
