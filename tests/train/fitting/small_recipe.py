"""The text of a recipe that trains in seconds, for tests to change."""

from itertools import starmap


def small_recipe(*phases: tuple[str, int, float], name: str = "small", batch: int = 16, data: str = "") -> str:
    """Phases as name, epochs and learning rate; `data` is what stands in the table of that name."""
    return f"""
name = "{name}"
description = "A small network for tests"

[data]
{data}

[preprocessing]
width = 32
height = 32
channels = "grey"

[model]
backbone = "plain_cnn"
weights = "none"
dropout = 0.0

[training]
batch = {batch}
{"".join(starmap(_phase, phases))}"""


def _phase(name: str, epochs: int, learning_rate: float) -> str:
    return f"""
[[training.phases]]
name = "{name}"
epochs = {epochs}
learning_rate = {learning_rate}
unfrozen = 1.0
"""
