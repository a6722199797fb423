"""Inspect a model file without running it."""

from pathlib import Path
from typing import Any

from ..errors import UndescribedModel
from .archive import read_description, read_flatbuffer
from .compatibility import operator_support
from .graph import ModelGraph


def inspect_model(path: Path) -> dict[str, Any]:
    """Return the description of a .tflite file, its graph, and the operators that accelerators support.

    Args:
        path: a model file, or a .tflite file of another tool, which has no description.

    Returns:
        The fields of the description, "graph" from `ModelGraph.to_dict`, and "targets" from `operator_support`. For a
        router, both are those of its body-part network.

    Raises:
        ModelFileError: not a .tflite file, or a damaged one.
    """
    try:
        details = read_description(path).details
    except UndescribedModel:
        details = {}
    if limits := details.get("out_of_distribution"):
        summary = {"limit": limits["limit"], "features": len(limits["mean"]), "directions": len(limits["basis"])}
        details = {**details, "out_of_distribution": summary}  # the original holds thousands of numbers
    match details.get("evaluation"):
        case {"operating_points": list(points), **others}:
            details = {**details, "evaluation": {**others, "operating_points": len(points)}}
    graph = ModelGraph.from_flatbuffer(read_flatbuffer(path))
    return {**details, "graph": graph.to_dict(), "targets": operator_support(graph)}
