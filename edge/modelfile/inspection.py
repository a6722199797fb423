"""All that can be said of a model file without running it."""

from pathlib import Path
from typing import Any

from ..errors import UndescribedModel
from .archive import read_description, read_flatbuffer
from .compatibility import operator_support
from .graph import ModelGraph


def inspect_model(path: Path) -> dict[str, Any]:
    """What a .tflite file says of itself, what it is made of, and what would run it.

    Args:
        path: a model file; also one that another tool wrote, which then has no description.

    Returns:
        The description's fields, and "graph" and "targets", as `ModelGraph.to_dict` and `operator_support`
        give them; of a router both are of its body-part network.

    Raises:
        ModelFileError: no .tflite file, or a damaged one.
    """
    try:
        details = read_description(path).details
    except UndescribedModel:
        details = {}
    if limits := details.get("out_of_distribution"):
        of_whole = {"limit": limits["limit"], "features": len(limits["mean"]), "directions": len(limits["basis"])}
        details = {**details, "out_of_distribution": of_whole}  # without the thousands of numbers
    match details.get("evaluation"):
        case {"operating_points": list(points), **others}:
            details = {**details, "evaluation": {**others, "operating_points": len(points)}}
    graph = ModelGraph.of(read_flatbuffer(path))
    return {**details, "graph": graph.to_dict(), "targets": operator_support(graph)}
