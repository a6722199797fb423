"""Fixtures: all variants of the phantoms' model, made once for all tests, and a network of another program."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osteolite.convert.sources.subject import Subject, subject_of
from osteolite.convert.variants.variants import VARIANTS, Source
from osteolite.train.data.catalogue import write_catalogue
from osteolite.train.keras import keras
from osteolite.train.runs.run_folder import Run


def small_network(outputs: int = 1, activation: str | None = "sigmoid", library: Any = keras, sign: int = 1) -> Any:
    """A small network whose last output rises with the brightness of the image; with a `sign` of -1 it falls."""
    library.utils.set_random_seed(0)
    layers = library.layers
    picture = layers.Input((32, 32, 1))
    seen = layers.Conv2D(8, 5, strides=2, kernel_initializer="random_uniform", bias_initializer="ones")(picture)
    seen = layers.GlobalAveragePooling2D()(layers.ReLU()(seen))
    model = library.Model(picture, layers.Dense(outputs, activation=activation)(seen))
    conv, bias, *_ = model.get_weights()
    kernel = np.outer(np.ones(8), np.linspace(-1, 1, outputs) if outputs > 1 else np.ones(1)) * sign
    model.set_weights([np.abs(conv), bias, kernel, np.full(outputs, -8.0 * sign if outputs == 1 else 0.0)])
    return model


@pytest.fixture(scope="session")
def network() -> Callable[..., Any]:
    return small_network


@pytest.fixture(scope="session")
def subject(phantom_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The phantoms' model with a quarter of its training images, so that fine-tuning is quick."""
    folder = tmp_path_factory.mktemp("subject") / "run"
    run = Run(Path(shutil.copytree(phantom_run, folder, ignore=shutil.ignore_patterns("checkpoints", "models"))))
    rows = [
        replace(row, split="") if row.split == "train" and number % 4 else row
        for number, row in enumerate(run.catalogue.rows)
    ]
    write_catalogue(run.catalogue.with_rows(rows), folder / "catalogue.csv")
    found = subject_of(run, None)
    return replace(found, calibration=replace(found.calibration, tensors=found.calibration.tensors[::5]))


@pytest.fixture(scope="session")
def source(subject: Subject) -> Source:
    return Source(subject.float32(), subject.calibration.tensors, 0, subject.finetune)


@pytest.fixture(scope="session")
def files(request: pytest.FixtureRequest, made_once: Callable[[str, Callable[[Path], None]], Path]) -> dict[str, bytes]:
    """The flatbuffer of each variant, as the gate receives it."""

    def make(folder: Path) -> None:
        source = request.getfixturevalue("source")
        for name, variant in VARIANTS.items():
            (folder / name).write_bytes(variant.write(source))

    folder = made_once("variants", make)
    return {name: (folder / name).read_bytes() for name in VARIANTS}
