"""The model card of a run: Markdown under a YAML head, as model hubs read it (Mitchell et al., 2019)."""

import re
import shlex
from pathlib import Path
from typing import Any

import jinja2

from osteolite.edge.atomic import write_text

from ..runs.run_folder import Run
from .facts import facts

# Figures by the names that model hubs list results under.
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
    """Write `card.md` from whatever the run folder holds by now, and return its path."""
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
    """A name for the data that a model hub takes: the layout where it belongs to one data set, else the folder's."""
    if about["layout"] in ("fracatlas", "mura"):
        return str(about["layout"])
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(about["data"]).stem).strip("-.") or "radiographs"


def _command(about: dict[str, Any], audit: dict[str, Any] | None) -> str:
    """What trains the same again, from the recipe that lies beside the card."""
    start = about["weights"]["start"]
    weights = "none" if start.startswith("none") else start
    words = ["osteolite", "train", "DATA", "--recipe", "recipe.toml", "--out", "NEW", "--seed", str(about["seed"])]
    words += ["--weights", "RUN" if " " in weights else weights]
    return shlex.join(words + (["--allow-leaks"] if audit and audit.get("allow_leaks") else []))
