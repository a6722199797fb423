"""A router: two stages, from the data set to one model file."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, confusion_matrix

from osteolite.convert.router import convert_router
from osteolite.edge import Router, open_classifier
from osteolite.edge.errors import DatasetError, Refusal, UsageError
from osteolite.train.data.catalogue import Catalogue, Row
from osteolite.train.fitting.fit import Progress
from osteolite.train.fitting.tasks import Task
from osteolite.train.networks.model import build_model
from osteolite.train.recipe import Recipe, load_recipe, parse_recipe, to_toml
from osteolite.train.runs.prepared import Prepared
from osteolite.train.runs.run_folder import Run
from osteolite.train.workflows.body_part import body_part_metrics, fit_temperature
from osteolite.train.workflows.job import Job
from osteolite.train.workflows.router import train_router
from osteolite.train.workflows.train import train

TINY = Path(__file__).parents[2] / "tiny.toml"
SCRIPT = Path(sys.executable).with_name("osteolite")
CHANGES = """
stages = "body_part"
[data]
validation = 0.25
test = 0.25
[preprocessing]
width = 32
height = 32
[model]
backbone = "plain_cnn"
alpha = 1.0
[training]
batch = 8
[[training.phases]]
name = "all"
epochs = 12
learning_rate = 3e-3
unfrozen = 1.0
[conversion]
variants = ["float32"]
"""


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return parse_recipe(f'extends = "{TINY}"\nname = "tworouter"\n{CHANGES}', "here")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """Striped images: upright stripes are an arm, level ones a leg, bright ones fractured."""
    root, rows = tmp_path_factory.mktemp("stripes"), []
    for index in range(96):
        random, label, part = np.random.default_rng(index), index % 2, ("arm", "leg")[index // 2 % 2]
        stripes = 40 * np.sin(np.arange(48) * random.uniform(0.5, 0.9) + random.uniform(0, 6))
        pixels = 80 + 90 * label + stripes[None, :] + random.normal(0, 12, (48, 48))
        pixels = pixels if part == "arm" else pixels.T
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(root / f"{index}.png")
        rows.append(Row(f"{index}.png", label, f"group{index // 4 % 24 * 4 + index % 4}", part))
    several = [replace(rows[0], body_part="arm+leg", group="several"), replace(rows[1], body_part="", group="none")]
    few = [replace(rows[i], body_part="hip", group=f"hip{i}") for i in range(4)]
    return Catalogue(root, "manifest", (*rows[6:], *several, *few))


def job_of(recipe: Recipe, found: Catalogue, out: Path) -> Job:
    return Job(recipe, found, found.root, out, None, seed=1, allow_leaks=False)


class UntrainedFit:
    """A stand-in for `train.fit` that returns a random network and records its calls."""

    def __init__(self, fail_at: str = "") -> None:
        self.fail_at = fail_at
        self.calls: list[tuple[str, tuple[str, ...], set[str]]] = []

    def __call__(
        self, run: Run, recipe: Recipe, task: Task, prepared: Prepared, start: str | None, seed: int
    ) -> tuple[Any, Progress]:
        if self.fail_at and self.fail_at in recipe.name:
            raise KeyboardInterrupt
        self.calls.append((run.folder.name, task.classes, {row.body_part for row in prepared.catalogue.rows}))
        assert len(prepared.images.pixels) == len(prepared.images.facts) == len(prepared.catalogue.rows)
        model = build_model(recipe, None, task.outputs)
        model.save_weights(run.path("weights.h5"), save_format="h5")
        return model, Progress()


@dataclass(frozen=True)
class Resumed:
    """A router whose training was interrupted at its last stage and then resumed."""

    run: Run
    before: UntrainedFit
    after: UntrainedFit
    finished_before: bool  # whether the interrupted training had written evaluation.json


@pytest.fixture(scope="module")
def resumed(recipe: Recipe, found: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    job, before, after = (
        job_of(recipe, found, tmp_path_factory.mktemp("runs") / "router"),
        UntrainedFit("_leg"),
        UntrainedFit(),
    )
    with pytest.raises(KeyboardInterrupt):
        train_router(job, before)
    finished = (job.out / "evaluation.json").exists()
    return Resumed(train_router(job, after), before, after, finished)


@pytest.fixture(scope="module")
def untrained_run(resumed: Resumed) -> Run:
    return resumed.run


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_stage_gets_its_own_images_and_finished_stages_are_skipped(resumed: Resumed) -> None:
    labels = ("normal", "fractured")
    assert resumed.before.calls == [("body_part", ("arm", "leg"), {"arm", "leg"}), ("arm", labels, {"arm"})]
    assert resumed.after.calls == [("leg", labels, {"leg"})]
    assert not resumed.finished_before


def test_a_finished_router_is_not_trained_again(resumed: Resumed, recipe: Recipe, found: Catalogue) -> None:
    fit = UntrainedFit()
    assert train_router(job_of(recipe, found, resumed.run.folder), fit) == resumed.run
    assert fit.calls == []
    assert resumed.run.json("run.json")["kind"] == "router"
    assert resumed.run.json("run.json")["parts"] == ["arm", "leg"]
    assert not list(resumed.run.path("stages").glob("*/cache"))  # the images are read once


def test_left_out_images_are_reported(
    recipe: Recipe, found: Catalogue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_router(job_of(recipe, found, tmp_path / "run"), UntrainedFit("_body_part"))
    printed = capsys.readouterr().err
    assert "1 images without a body part, 1 with several" in printed
    assert "body part hip" in printed


def test_the_stages_share_one_split(untrained_run: Run) -> None:
    splits = {row.file: row.split for row in untrained_run.catalogue.rows}
    for stage in ("body_part", "arm", "leg"):
        rows = Run.open(untrained_run.path(f"stages/{stage}")).catalogue.rows
        assert {row.file: row.split for row in rows}.items() <= splits.items()
    assert set(splits.values()) == {"train", "validation", "test"}


def test_the_metrics_agree_with_the_predictions(untrained_run: Run) -> None:
    evaluation, lines = untrained_run.json("evaluation.json"), lines_of(untrained_run.path("predictions.csv"))
    correct = [line["body_part"] == line["body_part_answer"] for line in lines]
    assert evaluation["body_part"]["accuracy"]["value"] == pytest.approx(np.mean(correct), abs=1e-5)
    answers = [float(line["fracture_probability"]) >= float(line["threshold"]) for line in lines]
    truth = [line["label"] == "1" for line in lines]
    hits = sum(a and b for a, b in zip(answers, truth, strict=True))
    assert evaluation["test"]["confusion"]["tp"] == hits
    assert {line["threshold"] for line in lines} <= {f"{t:.8f}" for t in evaluation["thresholds"].values()}
    assert len(lines) == evaluation["test"]["images"] == len(untrained_run.catalogue.in_split("test"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: replace(row, body_part=""), "names no body parts"),
        (lambda row: replace(row, body_part="arm" if row.body_part else ""), "1 of the body parts"),
        (lambda row: replace(row, body_part=row.body_part.replace("arm", "../arm")), "cannot name a stage's folder"),
        (lambda row: replace(row, body_part=row.body_part.replace("arm", "body_part")), "cannot name a stage's folder"),
    ],
)
def test_unsuitable_data_is_refused(
    change: Callable[[Row], Row], message: str, recipe: Recipe, found: Catalogue, tmp_path: Path
) -> None:
    changed = found.with_rows(change(row) for row in found.rows)
    with pytest.raises(DatasetError, match=message):
        train_router(job_of(recipe, changed, tmp_path / "run"), UntrainedFit())
    assert not (tmp_path / "arm").exists()


def test_unknown_stages_are_refused(recipe: Recipe, found: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'view'"):
        train_router(job_of(replace(recipe, stages="view"), found, tmp_path / "run"), UntrainedFit())


def test_a_leaking_split_is_refused_unless_allowed_and_then_recorded(
    recipe: Recipe, found: Catalogue, tmp_path: Path
) -> None:
    named = [replace(row, split=("train", "validation", "test")[i // 4 % 3]) for i, row in enumerate(found.rows[:90])]
    copies = [replace(row, split="test") for row in named if row.split == "train"]
    leaking = job_of(recipe, found.with_rows([*named, *copies]), tmp_path / "run")
    with pytest.raises(Refusal):
        train_router(leaking, UntrainedFit())
    with pytest.raises(KeyboardInterrupt):
        train_router(replace(leaking, allow_leaks=True), UntrainedFit("_arm"))
    for run in (Run(leaking.out), Run(leaking.out / "stages" / "body_part")):
        assert run.json("run.json")["audit"]["allow_leaks"] is True


# Metrics


def test_body_part_metrics_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 3, 200)
    answers = np.where(random.random(200) < 0.7, targets, random.integers(0, 3, 200))
    found = body_part_metrics(targets, answers, np.arange(200) // 2, ("a", "b", "c"))
    assert found["confusion"] == confusion_matrix(targets, answers).tolist()
    assert found["accuracy"]["value"] == pytest.approx((targets == answers).mean(), abs=1e-5)
    assert found["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(targets, answers), abs=1e-5)
    assert found["kappa"]["value"] == pytest.approx(cohen_kappa_score(targets, answers), abs=1e-5)
    for figure in (found["accuracy"], found["kappa"], *found["recall"].values()):
        assert figure["low"] < figure["value"] < figure["high"]


def test_the_temperature_reverses_a_scaling_of_the_logits() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 3))
    targets = np.array([random.choice(3, p=share) for share in softmax(logits, axis=1)])
    assert fit_temperature(targets, logits) == pytest.approx(1.0, rel=0.1)
    assert fit_temperature(targets, 4 * logits) == pytest.approx(4.0, rel=0.1)


def test_the_edge_recipe_differs_in_backbone_and_normalisation() -> None:
    published, edge = load_recipe("router_resnet50"), load_recipe("router_mobilenetv2")
    assert published.stages == edge.stages == "body_part"
    assert (published.data.validation, published.data.test) == (edge.data.validation, edge.data.test) == (0.18, 0.1)
    assert (published.model.backbone, edge.model.backbone) == ("resnet50", "mobilenetv2")
    assert (published.preprocessing.mean, edge.preprocessing.mean) == (114.8, 127.5)


# From training to the device


@pytest.mark.slow
def test_a_trained_router_converts_to_one_file_with_the_same_predictions(
    recipe: Recipe, found: Catalogue, tmp_path: Path
) -> None:
    (tmp_path / "recipe.toml").write_text(to_toml(recipe))
    lines = [f"{row.file},{row.label},{row.group},{row.body_part}" for row in found.rows]
    (found.root / "manifest.csv").write_text("\n".join(["file,label,group,body_part", *lines]))
    (run,) = train(found.root / "manifest.csv", str(tmp_path / "recipe.toml"), tmp_path / "run", None, 1)
    assert run.json("evaluation.json")["body_part"]["accuracy"]["value"] >= 0.9
    results = convert_router(run, (), run.path("models"))
    assert [(one.stage, one.verdict.passed) for one in results] == [(s, True) for s in ("body_part", "arm", "leg")]
    file = run.path("models/tworouter_float32.tflite")
    router = open_classifier(file)
    assert isinstance(router, Router)
    scored = lines_of(run.path("predictions.csv"))
    for line in scored:
        prediction = router.predict(found.root / line["file"])
        assert prediction.body_part == line["body_part_answer"]
        assert prediction.body_part_probability == pytest.approx(float(line["body_part_probability"]), abs=1e-3)
        assert prediction.fracture_probability == pytest.approx(float(line["fracture_probability"]), abs=1e-3)
    assert {line["body_part_answer"] for line in scored} == {"arm", "leg"}
    command: list[str | Path] = [
        SCRIPT,
        "predict",
        found.root / scored[0]["file"],
        "--model",
        file,
        "--format",
        "jsonl",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    printed = json.loads(done.stdout)
    assert (printed["body_part"], printed["model"]) == (scored[0]["body_part_answer"], "tworouter_float32")
    assert printed["label"] in ("fractured", "normal")
