"""Preparation of a data set for training."""

from pathlib import Path

from osteolite.train.data.phantoms import write_phantoms
from osteolite.train.workflows.job import claim, open_job
from osteolite.train.workflows.prepare import prepare


def test_runs_of_several_seeds_may_share_a_split(tmp_path: Path) -> None:
    data = write_phantoms(tmp_path / "data", 60, 1)

    def files(seed: int, split_seed: int) -> set[str]:
        recipe = tmp_path / f"split{split_seed}.toml"
        recipe.write_text(f'extends = "phantoms"\n[data]\nsplit_seed = {split_seed}\n')
        job = open_job(data, str(recipe), tmp_path / f"run{seed}{split_seed}", None, seed, False)
        return {row.file for row in prepare(job, claim(job, None), None).catalogue.in_split("test")}

    assert files(1, 5) == files(2, 5) == files(5, 0)
    assert files(1, 0) != files(2, 0)
