"""TensorBoard logs of a fit: `tensorboard --logdir RUN` shows them."""

from pathlib import Path
from typing import Any

from ..keras import tf
from ..recipe import Recipe, to_toml


def open_board(folder: Path) -> Any:
    """A writer of one more event file in `folder`; `close` ends it."""
    return tf.summary.create_file_writer(str(folder))


def log_recipe(board: Any, recipe: Recipe) -> None:
    """The recipe as text, which TensorBoard reads as Markdown: indented, so that it stays as it is."""
    with board.as_default(step=0):
        tf.summary.text("recipe", "\n".join(f"    {line}" for line in to_toml(recipe).splitlines()))


def log_epoch(board: Any, epoch: int, figures: dict[str, float]) -> None:
    """Scalars after an epoch, counted from 1 over all phases; on disk at once."""
    with board.as_default(step=epoch):
        for name, value in figures.items():
            tf.summary.scalar(name, value)
    board.flush()
