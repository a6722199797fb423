"""Write the HTML report of a run as one self-contained file."""

from pathlib import Path

from ..html import write_page
from ..runs.run_folder import Run
from .facts import facts, router_facts
from .model_card import write_card
from .plots import draw_plots


def write_report(run: Run) -> Path:
    """Write `report.html` and `card.md` from the current content of the run folder, and return the report's path.

    A router's report links to the reports of its fracture stages, which are written too. Each stage has its
    own model card.
    """
    if run.is_router:
        for body_part in run.json("run.json")["parts"]:
            write_report(Run(run.path(f"stages/{body_part}")))
        return write_page(run.path("report.html"), "router.html", **router_facts(run))
    write_card(run)
    known = facts(run)
    plots = draw_plots(known["evaluation"], run.json("progress.json")["history"])
    return write_page(run.path("report.html"), "report.html", **known, plots=plots)
