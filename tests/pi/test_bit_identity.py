"""The bit comparison of two machines, with this machine as both."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from osteolite.benchmarks.studies.bit_identity import compare, main, score, spread


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_images_are_taken_at_even_distances() -> None:
    names = [f"{index:04}" for index in range(1000)]
    assert spread(names, 4) == ["0000", "0250", "0500", "0750"]
    assert spread(names[:3], 200) == names[:3]


def test_two_runs_on_a_machine_are_identical(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    first = call("--model", tiny_model, "--images", pictures, "--out", tmp_path / "first.json")
    assert first.exit_code == 0, first.output
    arguments = ("--against", tmp_path / "first.json", "--out", tmp_path / "second.json")
    assert call("--model", tiny_model, "--images", pictures, *arguments).exit_code == 0
    found = json.loads((tmp_path / "second.json").read_text())
    assert (found["against"]["identical"], found["against"]["different"]) == (8, 0)
    assert found["probabilities_sha256"] == json.loads((tmp_path / "first.json").read_text())["probabilities_sha256"]


def test_a_change_in_the_last_bit_is_a_difference(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    there = score(tiny_model, pictures, 3)
    name = next(iter(there["probabilities"]))
    there["probabilities"][name] *= 1 + 2**-52
    found = compare(score(tiny_model, pictures, 3), there)
    assert (found["identical"], found["different"]) == (2, 1)
    assert 0 < found["largest_difference"] < 1e-15
    (tmp_path / "there.json").write_text(json.dumps(there))
    result = call("--model", tiny_model, "--images", pictures, "--count", "3", "--against", tmp_path / "there.json")
    assert result.exit_code == 1
    assert "2 identical, 1 different" in result.output


def test_other_images_or_models_are_not_compared(
    tiny_model: Path, tiny_int8_model: Path, pictures: Path, tmp_path: Path
) -> None:
    call("--model", tiny_model, "--images", pictures, "--out", tmp_path / "there.json")
    for arguments, named in (
        (("--model", tiny_int8_model, "--images", pictures), "model"),
        (("--model", tiny_model, "--images", pictures, "--count", "5"), "images_sha256"),
    ):
        result = call(*arguments, "--against", tmp_path / "there.json")
        assert result.exit_code == 1
        assert f"not comparable: {named}" in result.output


@pytest.mark.parametrize("content", ["", "{}"])
def test_a_file_that_is_not_a_result_is_refused_in_one_line(
    content: str, tiny_model: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.json").write_text(content)
    result = call("--model", tiny_model, "--images", pictures, "--against", tmp_path / "there.json")
    assert result.exit_code == 1
    assert "there.json" in result.output
    assert "Traceback" not in result.output
