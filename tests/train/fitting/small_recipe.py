"""A recipe that trains in seconds, as text that tests can change."""

from itertools import starmap


def small_recipe(*phases: tuple[str, int, float], name: str = "small", batch: int = 16, data: str = "") -> str:
    """The recipe with phases of (name, epochs, learning rate); `data` is the content of its [data] table."""
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
