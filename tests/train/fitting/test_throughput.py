"""Throughput of the input pipeline, with a network of a few thousand weights."""

from pathlib import Path

import pytest

from osteolite.train.fitting.throughput import measure
from osteolite.train.recipe import load_recipe


@pytest.mark.slow
def test_each_round_pairs_the_pipeline_with_the_ready_tensor() -> None:
    found = measure(load_recipe(str(Path(__file__).parents[2] / "short.toml")), rounds=3, steps=2)
    speeds, ratio = found["images_per_second"], found["ratio"]
    ratios = sorted(p / r for p, r in zip(speeds["pipeline"], speeds["ready_tensor"], strict=True))
    assert len(ratios) == 3
    assert ratios == pytest.approx([ratio["low"], ratio["median"], ratio["high"]], rel=1e-2)
