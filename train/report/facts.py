"""What the papers of a run, its report and its model card, say of it; gathered once for both."""

from typing import Any

from ..data.catalogue import SPLITS
from ..metrics.metrics import BINS, METRICS
from ..runs.run_folder import Run

_METHODS = {"platt": "Platt scaling", "temperature": "temperature scaling", "none": "none"}


def facts(run: Run) -> dict[str, Any]:
    """The names that the templates of the report and the model card use."""
    evaluation, about = run.json("evaluation.json"), run.json("run.json")
    audit = about.get("audit")
    return {
        "recipe": run.recipe,
        "about": about,
        "audit": audit,
        "leaks": _tolerated(audit),
        "parts": _parts(run),
        "names": METRICS,
        "part_names": {"val": "validation", "validation": "validation", "test": "test"},
        "trait_names": {"body_part": "body part", "view": "view", "hardware": "hardware"},
        "percent": lambda share: f"{100 * share:.1f} %",
        "bins": BINS,
        "evaluation": evaluation,
        "method": _METHODS[evaluation["probability_calibration"]["method"]],
        "formula": _formula(evaluation["probability_calibration"]),
        "test": evaluation["test"],
        "units": {"image": "images", "study": "studies"}[evaluation["test"]["unit"]],
        "threshold": evaluation["threshold"],
        "conversion": run.json_or_none("models/conversion.json"),
        "benchmark": run.json_or_none("benchmark.json"),
    }


def router_facts(run: Run) -> dict[str, Any]:
    """The names that the template of a router's report uses."""
    about, evaluation = run.json("run.json"), run.json("evaluation.json")
    return {
        "recipe": run.recipe,
        "about": about,
        "leaks": _tolerated(about.get("audit")),
        "names": METRICS,
        "body_part": evaluation["body_part"],
        "test": evaluation["test"],
        "stages": {part: Run(run.path(f"stages/{part}")).json("evaluation.json") for part in about["parts"]},
        "conversion": run.json_or_none("models/conversion.json"),
    }


def _formula(calibration: dict[str, Any]) -> str:
    sign = "-" if calibration["intercept"] < 0 else "+"
    return f"sigmoid({calibration['slope']:.4f} x logit {sign} {abs(calibration['intercept']):.4f})"


def _tolerated(audit: dict[str, Any] | None) -> dict[str, float]:
    """The leaks that `--allow-leaks` let pass: the share of a part that is known from the training part."""
    if not audit or not audit.get("allow_leaks"):
        return {}
    shares = {part: leak["near_duplicate_share"] for part, leak in audit["leaks"].items()}  # identical ones included
    return {part: share for part, share in shares.items() if share > 0}


def _parts(run: Run) -> list[dict[str, Any]]:
    catalogue = run.catalogue
    return [
        {
            "name": part,
            "images": len(rows),
            "fractured": sum(row.label for row in rows),
            "studies": len({row.study for row in rows} - {""}),
            "groups": len({row.group for row in rows}),
        }
        for part in SPLITS
        for rows in [catalogue.in_split(part)]
    ]
