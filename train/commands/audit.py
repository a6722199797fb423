"""`osteolite audit`."""

import json
import tempfile
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", metavar="FILE", help="Write an HTML page with the suspicious pairs of images.")
@click.option("--repair", "repaired", metavar="FILE", help="Write a CSV manifest with a clean split.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Seed for everything random.")
def audit(data: str, as_json: bool, html: str | None, repaired: str | None, seed: int) -> None:
    """Look for leaks, duplicates, conflicting labels and confounders in a data set.

    DATA is a folder of labelled radiographs, or a CSV manifest.
    """
    from ..audit.audit import audit as audit_data
    from ..audit.page import write_audit_page
    from ..audit.repair import repair
    from ..console import console

    with tempfile.TemporaryDirectory() as cache:
        found = audit_data(Path(data), Path(cache), seed)
        findings = dict(found.findings)
        if html:
            write_audit_page(found, Path(html))
        if repaired:
            findings["repair"] = repair(found, Path(data), Path(repaired), seed)
    if as_json:
        click.echo(json.dumps(findings, indent=2))
    else:
        _print(findings)
    if html:
        console.print(f"page: {html}")
    if repaired:
        console.print(_repair_line(findings["repair"]))


def _print(found: dict[str, Any]) -> None:
    from ..console import print_table

    counts, leaks = found["counts"], found["leaks"]
    click.echo(
        f"{found['data']} ({found['layout']} layout): {counts['images']} images, {len(found['unreadable'])} "
        f"unreadable, {counts['different_files']} different files, {counts['groups']} independent groups"
    )
    print_table(
        "Splits, and their overlap with the train split",
        ["split", "images", "fractured", "share", "identical", "share", "identical or near", "share"],
        [
            [name, *_class_balance(split), *(_leak(leaks[name]) if name in leaks else [""] * 4)]
            for name, split in found["parts"].items()
        ],
    )
    print_table(
        f"Duplicates; {found['conflicting_groups']} sets have both labels",
        ["", "pairs", "sets within one split", "sets across splits"],
        [
            [name.replace("_", " "), str(one["pairs"]), str(one["groups_inside"]), str(one["groups_across"])]
            for name, one in found["duplicates"].items()
        ],
    )
    print_table(
        "Confounders: properties that predict the label without the bone itself (0.5 is chance)",
        ["property", "AUROC", "meaning"],
        [
            [name, "" if one["auroc"] is None else f"{one['auroc']:.3f}", one["meaning"]]
            for name, one in found["confounders"].items()
        ],
    )


def _class_balance(split: dict[str, Any]) -> list[str]:
    return [str(split["images"]), str(split["fractured"]), f"{100 * split['fractured_share']:.1f} %"]


def _leak(leak: dict[str, Any]) -> list[str]:
    kinds = ("identical", "near_duplicate")
    return [text for kind in kinds for text in (str(leak[kind]), f"{100 * leak[f'{kind}_share']:.1f} %")]


def _repair_line(about: dict[str, Any]) -> str:
    splits = ", ".join(f"{count} {split}" for split, count in about["parts"].items())
    return (
        f"{about['file']}: {about['kept']} images kept ({splits}); left out: {about['copies_left_out']} copies, "
        f"{about['conflicting_left_out']} duplicates with both labels, {about['unreadable_left_out']} unreadable files"
    )
