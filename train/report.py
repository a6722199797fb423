"""The HTML report of a run: one file that needs nothing beside it."""

from pathlib import Path

import jinja2

from osteolite.edge.atomic import write_text

from .catalogue import PARTS
from .figures import draw_all
from .runs import Run

FIGURES = ("auroc", "accuracy", "precision", "recall", "specificity", "f1")


def write_report(run: Run) -> Path:
    """Write `report.html` from whatever the run folder holds by now, and return its path."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("osteolite.train"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    evaluation, catalogue = run.json("evaluation.json"), run.catalogue
    page = environment.get_template("report.html").render(
        recipe=run.recipe,
        about=run.json("run.json"),
        parts=[
            {
                "name": part,
                "images": len(catalogue.part(part)),
                "fractured": sum(row.label for row in catalogue.part(part)),
                "groups": len({row.group for row in catalogue.part(part)}),
            }
            for part in PARTS
        ],
        names=FIGURES,
        validation=evaluation["validation"],
        test=evaluation["test"],
        threshold=evaluation["threshold"],
        unreadable=evaluation["unreadable"],
        figures=draw_all(evaluation, run.json("progress.json")["history"]),
        conversion=run.json_or_none("models/conversion.json"),
        benchmark=run.json_or_none("benchmark.json"),
    )
    path = run.path("report.html")
    write_text(path, page)
    return path
