"""The model card of a run (Mitchell et al., 2019): Markdown with YAML metadata for model hubs."""

import re
import shlex
from pathlib import Path
from typing import Any

import jinja2

from osteolite.edge.atomic import write_text

from ..runs.run_folder import Run
from .facts import facts

# The names that model hubs use for these metrics.
_METRICS = {
    "auroc": "roc_auc",
    "average_precision": "average_precision",
    "sensitivity": "recall",
    "specificity": "specificity",
    "accuracy": "accuracy",
    "precision": "precision",
    "f1": "f1",
}


def write_card(run: Run) -> Path:
    """Write `card.md` from the current content of the run folder, and return its path."""
    environment = jinja2.Environment(  # noqa: S701 - Markdown, in which nothing is escaped
        loader=jinja2.PackageLoader("osteolite.train"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    known = facts(run)
    page = environment.get_template("card.md").render(
        **known, metrics=_METRICS, dataset=_dataset(known["about"]), command=_command(known["about"], known["audit"])
    )
    path = run.path("card.md")
    write_text(path, page)
    return path


def _dataset(about: dict[str, Any]) -> str:
    """A data set name for model hubs: the layout if it belongs to one data set, else the name of the folder."""
    if about["layout"] in ("fracatlas", "mura"):
        return str(about["layout"])
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(about["data"]).stem).strip("-.") or "radiographs"


def _command(about: dict[str, Any], audit: dict[str, Any] | None) -> str:
    """The command that repeats the training from the recipe in the run folder."""
    described = about["weights"]["start"]
    weights = "none" if described.startswith("none") else described
    words = ["osteolite", "train", "DATA", "--recipe", "recipe.toml", "--out", "NEW", "--seed", str(about["seed"])]
    words += ["--weights", "RUN" if " " in weights else weights]
    return shlex.join(words + (["--allow-leaks"] if audit and audit.get("allow_leaks") else []))
