"""The HTML report of a run: one file that needs nothing beside it."""

from pathlib import Path

import jinja2

from osteolite.edge.atomic import write_text

from .card import write_card
from .facts import facts
from .figures import draw_all
from .runs import Run


def write_papers(run: Run) -> Path:
    """Write `report.html` and `card.md` from whatever the run folder holds by now, and return the report's path."""
    write_card(run)
    return write_report(run)


def write_report(run: Run) -> Path:
    """Write `report.html` and return its path."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("osteolite.train"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    known = facts(run)
    drawn = draw_all(known["evaluation"], run.json("progress.json")["history"])
    path = run.path("report.html")
    write_text(path, environment.get_template("report.html").render(**known, figures=drawn))
    return path
