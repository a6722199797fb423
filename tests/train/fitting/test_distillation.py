"""Knowledge distillation: the teacher's effect on the targets, and which teachers are accepted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from osteolite.edge.errors import OsteoliteError, UsageError
from osteolite.edge.preprocess import PreprocessingSpec
from osteolite.train.fitting.distillation import Teacher
from osteolite.train.fitting.input_pipeline import Examples, training_batches
from osteolite.train.recipe import Augmentation, parse_recipe, to_toml
from osteolite.train.report.model_card import write_card
from osteolite.train.runs.run_folder import Run
from osteolite.train.workflows.train import train

from .small_recipe import small_recipe

RECIPE = small_recipe(("only", 1, 3e-3), name="taught", data="split_seed = 3")
COUNT = 120


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images from dark to bright, with labels that carry no information."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(5)
    for number in range(COUNT):
        pixels = random.integers(0, 60, (40, 40)) + random.integers(0, 190)
        path = folder / ("fractured", "normal")[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the same data without a teacher."""
    (run,) = train(data, str(recipe_file(tmp_path_factory.mktemp("r"))), tmp_path_factory.mktemp("o"), None, 1)
    return run


def recipe_file(folder: Path, teacher: str = "", weight: float = 1.0, epochs: int = 1, more: str = "") -> Path:
    path = folder / "taught.toml"
    lines = f'teacher = "{teacher}"\nteacher_weight = {weight}\n' if teacher else ""
    path.write_text(
        RECIPE.replace("batch = 16\n", f"batch = 16\n{lines}").replace("epochs = 1", f"epochs = {epochs}") + more
    )
    return path


def open_teacher(alone: Run, model: Path, weight: float) -> Teacher:
    recipe = alone.recipe
    training = replace(recipe.training, teacher=str(model), teacher_weight=weight)
    return Teacher(replace(recipe, training=training), alone, alone.catalogue)


@pytest.fixture
def known(alone: Run, tiny: Any, save_model: Callable[..., Path]) -> Path:
    """A teacher of the same split, whose logit is 4 * mean + 0.5 for an input of -1 to 1."""
    spec = {"width": 32, "height": 32, "channels": "grey", "mean": 127.5, "std": 127.5}
    return save_model(tiny.mean(), preprocessing=spec, training={"catalogue_sha256": alone.catalogue_sha256})


@pytest.mark.slow
def test_the_teacher_predicts_the_image_as_augmented_for_the_network(alone: Run, known: Path) -> None:
    teacher = open_teacher(alone, known, 0.75)
    spec = PreprocessingSpec(16, 16, channels="grey")  # differs from the teacher's
    pixels = np.arange(COUNT, dtype=np.uint8)[:, None, None] + np.zeros((1, 16, 16), np.uint8)
    labels = (np.arange(COUNT) % 2).astype(np.float32)[:, None]
    taught = np.broadcast_to(pixels[:, :1, :1], (COUNT, 32, 32))
    examples = Examples(pixels, labels, np.ones(COUNT, np.float32), None, taught)
    changes = Augmentation(brightness=0.3, flip=True)
    batches = training_batches(examples, spec, changes, 16, np.random.default_rng, teacher=teacher)
    seen = [(one[0].numpy().mean((1, 2, 3)), one[1].numpy()[:, 0], one[2].numpy()) for one in batches]
    means, targets, weights = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    assert (weights == 1).all()
    answers = 1 / (1 + np.exp(-(4 * means + 0.5)))
    given = (targets - 0.75 * answers) / 0.25
    np.testing.assert_allclose(given, np.round(given), atol=1e-3)
    assert sorted(np.round(given)) == sorted(labels[:, 0])


@pytest.mark.slow
def test_if_the_crop_removes_the_fracture_the_teacher_alone_sets_the_target(alone: Run, known: Path) -> None:
    teacher = open_teacher(alone, known, 0.5)
    random = np.random.default_rng(2)
    pixels = random.integers(0, 256, (COUNT, 32, 32), np.uint8)
    coverage = np.zeros((COUNT, 8, 8), np.uint8)
    coverage[:, 0, 0] = 255  # in a corner
    ones = np.ones((COUNT, 1), np.float32)
    examples = Examples(pixels, ones, ones[:, 0], coverage, pixels)
    spec, changes = teacher.spec, Augmentation(crop=0.6)
    ((tensors, (targets, _), (weights, _)),) = training_batches(
        examples, spec, changes, COUNT, lambda: np.random.default_rng(1), teacher=teacher
    )
    answers = 1 / (1 + np.exp(-(4 * tensors.numpy().mean((1, 2, 3)) + 0.5)))
    teacher_alone = np.isclose(targets.numpy()[:, 0], answers, atol=1e-3)
    mixed = np.isclose(targets.numpy()[:, 0], 0.5 + 0.5 * answers, atol=1e-3)
    assert (teacher_alone ^ mixed).all()
    assert teacher_alone.sum() > 20
    assert mixed.sum() > 5
    assert (weights.numpy() == 1).all()


@pytest.mark.slow
def test_a_network_learns_from_its_teacher_what_labels_do_not_contain(
    data: Path, alone: Run, known: Path, tmp_path: Path
) -> None:
    (run,) = train(data, str(recipe_file(tmp_path, str(known), epochs=8)), tmp_path / "run", None, 1)

    def agreement(found: Run) -> float:
        lines = found.predictions("test") + found.predictions("validation")
        brightness = [np.asarray(Image.open(data / line["file"])).mean() for line in lines]
        return float(spearmanr(brightness, [float(line["logit"]) for line in lines]).statistic)

    assert run.catalogue_sha256 == alone.catalogue_sha256
    assert agreement(run) > 0.9
    assert run.json("run.json")["teacher"]["name"] == "tiny_float32"
    assert "100.0 % of each target is the prediction of tiny_float32" in write_card(run).read_text()


@pytest.mark.slow
def test_a_teacher_of_another_split_is_refused(data: Path, known: Path, tmp_path: Path) -> None:
    other = recipe_file(tmp_path, str(known))
    other.write_text(other.read_text().replace("split_seed = 3", "split_seed = 4"))
    with pytest.raises(UsageError, match=r"other data or another split.*name a teacher trained on the same data"):
        train(data, str(other), tmp_path / "run", None, 1)


@pytest.mark.parametrize(
    ("teacher", "weight", "more", "message"),
    [
        ("", 0.5, "", "a weight needs a teacher"),
        ("base", 0.0, "", "a teacher needs a weight above 0"),
        ("base", 1.5, "", "at most 1"),
        ("nobody", 0.5, "", "nobody: cannot be opened"),
        ("base", 0.5, "outputs = 2", "a fracture model with one output"),
    ],
)
def test_an_unusable_teacher_is_refused_before_any_image_is_read(
    teacher: str, weight: float, more: str, message: str, data: Path, tmp_path: Path
) -> None:
    recipe = parse_recipe(RECIPE.replace('weights = "none"', f'weights = "none"\n{more}'), "here")
    recipe = replace(recipe, training=replace(recipe.training, teacher=teacher, teacher_weight=weight))
    file = tmp_path / "r.toml"
    file.write_text(to_toml(recipe))
    with pytest.raises(OsteoliteError, match=message):
        train(data, str(file), tmp_path / "run", None, 1)
    assert not (tmp_path / "run").exists()


def test_a_router_cannot_be_a_teacher(data: Path, tiny_router: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a fracture model"):
        train(data, str(recipe_file(tmp_path, str(tiny_router))), tmp_path / "run", None, 1)
