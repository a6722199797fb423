"""The values shown in a run's report and model card."""

from typing import Any

from ..data.catalogue import SPLITS
from ..metrics.metrics import BINS, METRICS
from ..runs.run_folder import Run

_METHODS = {"platt": "Platt scaling", "temperature": "temperature scaling", "none": "none"}


def facts(run: Run) -> dict[str, Any]:
    """The names used in the templates of the report and the model card."""
    evaluation, about = run.json("evaluation.json"), run.json("run.json")
    audit = about.get("audit")
    return {
        "recipe": run.recipe,
        "about": about,
        "audit": audit,
        "leaks": _accepted_leaks(audit),
        "splits": _splits(run),
        "names": METRICS,
        "split_names": {"val": "validation", "validation": "validation", "test": "test"},
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
    """The names used in the template of a router's report."""
    about, evaluation = run.json("run.json"), run.json("evaluation.json")
    return {
        "recipe": run.recipe,
        "about": about,
        "leaks": _accepted_leaks(about.get("audit")),
        "names": METRICS,
        "body_part": evaluation["body_part"],
        "test": evaluation["test"],
        "stages": {name: Run(run.path(f"stages/{name}")).json("evaluation.json") for name in about["parts"]},
        "conversion": run.json_or_none("models/conversion.json"),
    }


def _formula(calibration: dict[str, Any]) -> str:
    sign = "-" if calibration["intercept"] < 0 else "+"
    return f"sigmoid({calibration['slope']:.4f} x logit {sign} {abs(calibration['intercept']):.4f})"


def _accepted_leaks(audit: dict[str, Any] | None) -> dict[str, float]:
    """The leaks accepted with `--allow-leaks`: by split, the share of images that are also in the training split."""
    if not audit or not audit.get("allow_leaks"):
        return {}
    shares = {split: leak["near_duplicate_share"] for split, leak in audit["leaks"].items()}  # includes identical files
    return {split: share for split, share in shares.items() if share > 0}


def _splits(run: Run) -> list[dict[str, Any]]:
    catalogue = run.catalogue
    return [
        {
            "name": split,
            "images": len(rows),
            "fractured": sum(row.label for row in rows),
            "studies": len({row.study for row in rows} - {""}),
            "groups": len({row.group for row in rows}),
        }
        for split in SPLITS
        for rows in [catalogue.in_split(split)]
    ]
