"""Build routers of tiny models, whose outputs a test can compute by hand."""

from pathlib import Path
from typing import Any

import numpy as np

from osteolite.edge.modelfile.archive import write_model

TEMPERATURE = 2.0
WEIGHTS = {"hand": (3.0, 0.2), "leg": (-1.0, 0.1)}  # outputs of the body-part network: weight, bias
FRACTURES = {"hand": (4.0, 0.5), "leg": (-2.0, 0.25)}


def body_part_flatbuffer(tiny: Any, weights: dict[str, tuple[float, float]] = WEIGHTS, side: int = 32) -> bytes:
    """A network with one logit per body part: weight * mean of the input + bias."""
    graph, code = tiny.graph(), tiny.operators
    picture = graph.tensor((1, side, side, 1), np.float32)
    flat = graph.operator(
        code.RESHAPE, [picture, graph.constant([1, side * side], np.int32)], graph.tensor((1, side * side), np.float32)
    )
    kernel = graph.constant([[w / side**2] * side**2 for w, _ in weights.values()], np.float32)
    bias = graph.constant([b for _, b in weights.values()], np.float32)
    logits = graph.operator(code.FULLY_CONNECTED, [flat, kernel, bias], graph.tensor((1, len(weights)), np.float32))
    return bytes(graph.to_bytes([picture], [logits]))


def stage_file(tiny: Any, folder: Path, part: str, side: int = 32) -> bytes:
    weight, bias = FRACTURES[part]
    changes = {"preprocessing": {"width": side, "height": side, "channels": "grey"}, "name": f"tiny_{part}"}
    write_model(folder / "stage", tiny.mean((1, side, side, 1), weight, bias), tiny.description(**changes))
    return (folder / "stage").read_bytes()


def router_description(tiny: Any, **changes: Any) -> dict[str, Any]:
    described = tiny.description(
        name="tiny_router", kind="router", labels=list(WEIGHTS), probability_calibration={"temperature": TEMPERATURE}
    )
    del described["threshold"]
    return {**described, **changes}
