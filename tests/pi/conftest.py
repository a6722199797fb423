"""Emulated boards with this tree's wheel in them, images, and an int8 network for which no training is needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from PIL import Image

from osteolite.edge.modelfile.archive import write_model
from osteolite.train.data.phantoms import draw_phantom

from . import board
from .cache import Unavailable

SIDE, WIDTH = 96, 24


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This tree's wheel, unpacked."""
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
    """Eight phantoms, JPEG and PNG; turned, as their probabilities then differ widely."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(7)
    for index in range(8):
        turned = draw_phantom(index % 2 == 1, random, 600, 720).rotate(35, Image.Resampling.BILINEAR)
        turned.save(folder / f"phantom{index}.{'jpg' if index % 2 else 'png'}")
    return folder


@pytest.fixture(scope="session")
def int8_network(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of all that MobileNetV2 computes in int8, with random weights and int8 at both ends.

    Its pool is AVERAGE_POOL_2D: of MEAN the kernels for x86 and for ARM round ties otherwise.
    """
    graph, codes, random = tiny.graph(), tiny.operators, np.random.default_rng(2)
    options, hidden, relu6 = schema.BuiltinOptions, (6 / 255, -128), schema.ActivationFunctionType.RELU6

    def weigh(shape: tuple[int, ...], inputs: int, scale: float) -> list[int]:
        """Random weights and biases whose sums stay within what int8 holds."""
        unit = 1 / (127 * inputs**0.5)
        outputs = shape[3] if shape[0] == 1 and len(shape) == 4 else shape[0]
        weights = graph.constant(random.integers(-127, 128, shape), np.int8, (4 * unit, 0))
        biases = graph.constant(random.integers(-3000, 9000, outputs), np.int32, (4 * unit * scale, 0))
        return [weights, biases]

    picture = graph.tensor((1, SIDE, SIDE, 1), np.int8, (2 / 255, -1))
    convolve = schema.Conv2DOptionsT()
    convolve.strideH = convolve.strideW = 2
    convolve.fusedActivationFunction = relu6
    small = (1, SIDE // 2, SIDE // 2, WIDTH)
    first = graph.tensor(small, np.int8, hidden)
    parts = [picture, *weigh((WIDTH, 3, 3, 1), 9, 2 / 255)]
    graph.operator(codes.CONV_2D, parts, first, (options.Conv2DOptions, convolve))

    each = schema.DepthwiseConv2DOptionsT()
    each.strideH = each.strideW = each.depthMultiplier = 1
    each.fusedActivationFunction = relu6
    second = graph.tensor(small, np.int8, hidden)
    parts = [first, *weigh((1, 3, 3, WIDTH), 9, hidden[0])]
    graph.operator(codes.DEPTHWISE_CONV_2D, parts, second, (options.DepthwiseConv2DOptions, each))

    project = schema.Conv2DOptionsT()
    project.strideH = project.strideW = 1
    third = graph.tensor(small, np.int8, (0.05, 3))
    parts = [second, *weigh((WIDTH, 1, 1, WIDTH), WIDTH, hidden[0])]
    graph.operator(codes.CONV_2D, parts, third, (options.Conv2DOptions, project))

    total = graph.tensor(small, np.int8, (0.06, -7))
    graph.operator(codes.ADD, [first, third], total, (options.AddOptions, schema.AddOptionsT()))

    pool = schema.Pool2DOptionsT()
    pool.filterHeight = pool.filterWidth = pool.strideH = pool.strideW = SIDE // 2
    pool.padding = schema.Padding.VALID
    mean = graph.tensor((1, 1, 1, WIDTH), np.int8, (0.06, -7))
    graph.operator(codes.AVERAGE_POOL_2D, [total], mean, (options.Pool2DOptions, pool))

    dense = (options.FullyConnectedOptions, schema.FullyConnectedOptionsT())
    logit = graph.tensor((1, 1), np.int8, (0.01, 0))
    graph.operator(codes.FULLY_CONNECTED, [mean, *weigh((1, WIDTH), WIDTH, 0.06)], logit, dense)

    path = tmp_path_factory.mktemp("network") / "int8.tflite"
    spec = {"width": SIDE, "height": SIDE, "channels": "grey"}
    described = tiny.description(name="random_int8", variant="int8", preprocessing=spec)
    write_model(path, graph.to_bytes([picture], [logit]), described)
    return path
