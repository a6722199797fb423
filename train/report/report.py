"""The HTML report of a run: one file that needs nothing beside it."""

from pathlib import Path

from ..html import write_page
from ..runs.run_folder import Run
from .facts import facts, router_facts
from .model_card import write_card
from .plots import draw_all


def write_report(run: Run) -> Path:
    """Write `report.html` and `card.md` from whatever the run folder holds by now, and return the report's path.

    A router's report leads to those of its fracture stages, which are written too; each of those has
    a card, as each is a model with figures of its own.
    """
    if run.is_router:
        for part in run.json("run.json")["parts"]:
            write_report(Run(run.path(f"stages/{part}")))
        return write_page(run.path("report.html"), "router.html", **router_facts(run))
    write_card(run)
    known = facts(run)
    drawn = draw_all(known["evaluation"], run.json("progress.json")["history"])
    return write_page(run.path("report.html"), "report.html", **known, figures=drawn)
