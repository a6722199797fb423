"""`osteolite convert`."""

import json
from pathlib import Path

import click

from osteolite.edge.errors import GateRefusal


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--variants", metavar="A,B,...", default="", help="Default: the recipe's own list.")
@click.option("--out", metavar="DIR", help="Default: RUN/models.")
@click.option("--json", "as_json", is_flag=True, help="Print conversion.json instead of a table.")
def convert(run: str, variants: str, out: str | None, as_json: bool) -> None:
    """Turn a run into quantised files that pass the gate.

    Each variant is compared with the trained model on every validation image; one that loses more
    than the recipe allows is not written, the reason is printed, and the exit code is 3.
    """
    from osteolite.train.console import print_table
    from osteolite.train.runs import Run

    from .convert import convert as convert_run

    opened = Run.open(run)
    folder = Path(out) if out else opened.path("models")
    results = convert_run(opened, tuple(name for name in variants.split(",") if name), folder)
    if as_json:
        click.echo(json.dumps(json.loads((folder / "conversion.json").read_text()), indent=2))
    else:
        print_table(
            "The gate, on the validation part",
            ["variant", "MB", "AUROC change", "95 % interval", "sensitivity change", "agreement", "verdict"],
            (
                [
                    r.variant,
                    f"{r.size / 1e6:.2f}",
                    f"{r.verdict.auroc.value:+.4f}",
                    f"{r.verdict.auroc.low:+.4f} to {r.verdict.auroc.high:+.4f}",
                    f"{r.verdict.sensitivity.value:+.4f}",
                    f"{r.verdict.agreement:.1%}",
                    "passed" if r.verdict.passed else "refused",
                ]
                for r in results
            ),
        )
    refused = [f"{r.variant} ({'; '.join(r.verdict.reasons)})" for r in results if not r.verdict.passed]
    if refused:
        raise GateRefusal(
            f"refused and not written: {', '.join(refused)}; try more calibration images or another variant"
        )
