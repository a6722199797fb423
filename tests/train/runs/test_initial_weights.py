"""Starting weights of a training."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from osteolite.edge.errors import UsageError
from osteolite.train.networks.model import build_model
from osteolite.train.recipe import Recipe, load_recipe, to_toml
from osteolite.train.runs.initial_weights import describe_weights, find_weights


def recipe(**model: Any) -> Recipe:
    base = load_recipe("phantoms")
    spec = replace(base.preprocessing, width=48, height=48)
    changed = replace(base.model, **{"backbone": "plain_cnn", "alpha": 1.0, **model})
    return replace(base, name="first", preprocessing=spec, model=changed)


def finished_run(folder: Path, of: Recipe) -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(to_toml(of))
    (folder / "run.json").write_text(json.dumps({"recipe": of.name, "layout": "classes"}))
    (folder / "evaluation.json").write_text("{}")
    (folder / "seen.txt").write_text("")
    build_model(of, None, of.model.outputs).save_weights(folder / "weights.h5")
    return folder


def test_imagenet_weights_are_found_beside_the_data_and_described_by_file_name(shared_data: Path) -> None:
    found = find_weights(load_recipe("fracatlas_mobilenetv2"), None, shared_data / "fracatlas")
    assert found == str(shared_data.resolve() / "weights" / "mobilenet_v2_1.0_224_no_top.h5")
    assert describe_weights(found)["start"] == "mobilenet_v2_1.0_224_no_top.h5"
    assert describe_weights(None) == {"start": "none (random)"}


@pytest.mark.parametrize(
    ("backbone", "alpha", "name"),
    [
        ("mobilenetv2", 0.35, "mobilenet_v2_0.35_224_no_top.h5"),
        ("mobilenet", 1.0, "mobilenet_1_0_224_tf_no_top.h5"),
        ("mobilenet", 0.25, "mobilenet_2_5_224_tf_no_top.h5"),
        ("resnet50", 1.0, "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("efficientnetb1", 1.0, "efficientnetb1_notop.h5"),
    ],
)
def test_imagenet_weights_are_found_under_the_file_names_of_keras(
    backbone: str, alpha: float, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTEOLITE_WEIGHTS", str(tmp_path))
    one = recipe(backbone=backbone, alpha=alpha)
    assert find_weights(one, "imagenet", None) == "imagenet"
    (tmp_path / name).touch()
    assert find_weights(one, "imagenet", None) == str(tmp_path / name)


def test_an_earlier_run_gives_all_weights_and_is_described_without_its_path(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "large", recipe(hidden=(4,)))
    second = replace(recipe(hidden=(4,)), name="second")
    found = find_weights(second, str(run), None)
    model, expected = build_model(second, found), build_model(second, None)
    expected.load_weights(run / "weights.h5")
    for values, others in zip(model.get_weights(), expected.get_weights(), strict=True):
        assert (values == others).all()
    described = describe_weights(found)
    assert described["recipe"] == "first"
    assert described["layout"] == "classes"
    assert len(described["sha256"]) == 64
    assert str(tmp_path) not in json.dumps(described)


def test_a_run_with_alternatives_gives_the_weights_of_the_alternative_with_the_recipes_name(tmp_path: Path) -> None:
    finished_run(tmp_path / "large" / "first", recipe())
    assert find_weights(recipe(), str(tmp_path / "large"), None) == str(tmp_path / "large" / "first")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": (8,)}, r"hidden \(4,\) in the run, \(8,\) in the recipe"),
        ({"backbone": "squeezenet"}, "backbone plain_cnn in the run, squeezenet in the recipe"),
        ({"outputs": 2}, "outputs 1 in the run, 2 in the recipe"),
    ],
)
def test_a_run_of_another_network_is_refused_and_the_difference_named(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    run = finished_run(tmp_path / "large", recipe(hidden=(4,)))
    with pytest.raises(UsageError, match=message):
        find_weights(recipe(**{"hidden": (4,), **changes}), str(run), None)


@pytest.mark.parametrize("missing", ["weights.h5", "seen.txt"])
def test_an_incomplete_run_is_refused(tmp_path: Path, missing: str) -> None:
    run = finished_run(tmp_path / "large", recipe())
    (run / missing).unlink()
    with pytest.raises(UsageError, match=f"the run has no {missing}"):
        find_weights(recipe(), str(run), None)


def test_a_flattened_head_needs_the_same_input(tmp_path: Path) -> None:
    flat = recipe(pooling="flatten")
    run = finished_run(tmp_path / "large", flat)
    wider = replace(flat, preprocessing=replace(flat.preprocessing, width=64))
    with pytest.raises(UsageError, match=r"input \(48, 48, 1\) in the run, \(48, 64, 1\) in the recipe"):
        find_weights(wider, str(run), None)


def test_unusable_weights_are_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no published ImageNet weights of plain_cnn"):
        find_weights(recipe(), "imagenet", None)
    with pytest.raises(UsageError, match="no such file or run"):
        find_weights(recipe(), str(tmp_path / "missing"), None)
    with pytest.raises(UsageError, match="is not a run folder"):
        find_weights(recipe(), str(tmp_path), None)
    (tmp_path / "wrong.h5").write_bytes(b"no weights")
    with pytest.raises(UsageError, match="do not fit plain_cnn"):
        build_model(recipe(), find_weights(recipe(), str(tmp_path / "wrong.h5"), None))
