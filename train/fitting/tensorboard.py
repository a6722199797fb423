"""TensorBoard logs of a fit; `tensorboard --logdir RUN` shows them."""

from pathlib import Path
from typing import Any

from ..keras import tf
from ..recipe import Recipe, to_toml


def open_writer(folder: Path) -> Any:
    """A writer of a new event file in `folder`; call its `close` at the end."""
    return tf.summary.create_file_writer(str(folder))


def log_recipe(writer: Any, recipe: Recipe) -> None:
    """Log the recipe as text, indented because TensorBoard reads text as Markdown."""
    with writer.as_default(step=0):
        tf.summary.text("recipe", "\n".join(f"    {line}" for line in to_toml(recipe).splitlines()))


def log_epoch(writer: Any, epoch: int, scalars: dict[str, float]) -> None:
    """Log scalars after an epoch, counted from 1 over all phases, and flush them to disk."""
    with writer.as_default(step=epoch):
        for name, value in scalars.items():
            tf.summary.scalar(name, value)
    writer.flush()
