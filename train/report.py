"""The HTML report of a run: one file that needs nothing beside it."""

from pathlib import Path
from typing import Any

import jinja2

from osteolite.edge.atomic import write_text

from .card import write_card
from .facts import facts, router_facts
from .figures import draw_all
from .runs import Run


def write_papers(run: Run) -> Path:
    """Write `report.html` and `card.md` from whatever the run folder holds by now, and return the report's path.

    A router's report leads to those of its fracture stages, which are written too; each of those has
    a card, as each is a model with figures of its own.
    """
    if run.is_router:
        for part in run.json("run.json")["parts"]:
            write_papers(Run(run.path(f"stages/{part}")))
        return _write(run, "router.html", router_facts(run))
    write_card(run)
    known = facts(run)
    drawn = draw_all(known["evaluation"], run.json("progress.json")["history"])
    return _write(run, "report.html", {**known, "figures": drawn})


def _write(run: Run, template: str, known: dict[str, Any]) -> Path:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("osteolite.train"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    path = run.path("report.html")
    write_text(path, environment.get_template(template).render(**known))
    return path
