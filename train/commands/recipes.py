"""`osteolite recipes`."""

import json
from typing import Any

import click


@click.command()
@click.argument("name", metavar="[NAME|FILE]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def recipes(name: str | None, as_json: bool) -> None:
    """List the recipes, or print one as TOML with every field.

    Your own TOML file may start with `extends = "NAME"` and contain only its changes.
    """
    from ..recipe import load_recipe, recipe_names, to_toml

    if name is not None:
        found = load_recipe(name)
        click.echo(json.dumps(_entry(found), indent=2) if as_json else to_toml(found), nl=as_json)
        return
    entries = [_entry(load_recipe(known)) for known in recipe_names()]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
        return
    _print(entries)


def _print(entries: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Recipes", title_justify="left", title_style="bold", show_lines=True)
    for column in ("recipe", "backbones", "input"):
        table.add_column(column, no_wrap=True)
    table.add_column("description, and published results")
    for one in entries:
        about = [one["description"], one["published"] and f"Published elsewhere, not measured here: {one['published']}"]
        table.add_row(one["name"], "\n".join(one["backbones"]), one["input"], "\n".join(filter(None, about)))
    output = Console(highlight=False)
    if not output.is_terminal:
        output.width = max(output.width, 160)
    output.print(table)


def _entry(recipe: Any) -> dict[str, Any]:
    spec = recipe.preprocessing
    return {
        "name": recipe.name,
        "description": recipe.description,
        "published": recipe.published.strip(),
        "backbones": list(dict.fromkeys(one.model.backbone for one in recipe.alternatives or (recipe,))),
        "input": f"{spec.width} x {spec.height} {spec.channels}",
        "stages": recipe.stages,
        "alternatives": [one.name for one in recipe.alternatives],
    }
