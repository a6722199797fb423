"""The table of metrics that `train` and `evaluate` print."""

from typing import Any


def print_metrics(title: str, found: dict[str, Any]) -> None:
    from ..console import print_table
    from ..metrics.metrics import METRICS

    rows = [
        [label, f"{found[name]['value']:.4f}", f"{found[name]['low']:.4f} to {found[name]['high']:.4f}"]
        for name, label in METRICS.items()
    ]
    rows += [[n, str(found["confusion"][n]), ""] for n in ("tp", "fp", "fn", "tn")]
    units = "studies" if found["unit"] == "study" else "images"
    print_table(
        f"{title}: {found['count']} {units}, {found['fractured']} fractured",
        ["metric", "value", "95 % interval"],
        rows,
    )
