"""Fixtures: emulated boards with Osteolite installed, images, and an int8 network with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from osteolite.edge.modelfile.archive import write_model
from osteolite.train.data.phantoms import draw_phantom

from . import board
from .cache import Unavailable
from .random_network import SIDE, RandomNetwork


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with this version of Osteolite installed."""
    site = tmp_path_factory.mktemp("project")
    try:
        board.install_project(site)
    except Unavailable as error:
        pytest.skip(str(error))
    return site


def _board(make: Callable[[], board.Board], request: pytest.FixtureRequest) -> board.Board:
    try:
        made = make()
    except Unavailable as error:
        pytest.skip(f"no emulated Raspberry Pi: {error}")
    return made.with_package(request.getfixturevalue("project"))


@pytest.fixture(scope="session")
def pi(request: pytest.FixtureRequest) -> board.Board:
    return _board(board.arm64, request)


@pytest.fixture(scope="session")
def pi32(request: pytest.FixtureRequest) -> board.Board:
    return _board(board.armhf, request)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight phantoms, JPEG and PNG, rotated so that their probabilities differ widely."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(7)
    for index in range(8):
        turned = draw_phantom(index % 2 == 1, random, 600, 720).rotate(35, Image.Resampling.BILINEAR)
        turned.save(folder / f"phantom{index}.{'jpg' if index % 2 else 'png'}")
    return folder


@pytest.fixture(scope="session")
def int8_network(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a random int8 network."""
    path = tmp_path_factory.mktemp("network") / "int8.tflite"
    spec = {"width": SIDE, "height": SIDE, "channels": "grey"}
    described = tiny.description(name="random_int8", variant="int8", preprocessing=spec)
    write_model(path, RandomNetwork().to_bytes(), described)
    return path
