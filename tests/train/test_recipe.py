import json

import pytest
from click.testing import CliRunner

from osteolite.edge.cli import cli
from osteolite.edge.errors import UsageError
from osteolite.train.recipe import load_recipe, parse_recipe, recipe_names, to_toml

GOOD = """
name = "x"
description = "y"
[preprocessing]
width = 32
[model]
backbone = "mobilenetv2"
[[training.phases]]
name = "only"
epochs = 1
learning_rate = 1
unfrozen = 1.0
"""


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_under_its_own_name(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.training.phases


def test_defaults_apply_and_integers_become_floats() -> None:
    recipe = parse_recipe(GOOD, "here")
    assert recipe.training.phases[0].learning_rate == 1.0
    assert recipe.gate.agreement == 0.97


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[model]", "[model]\ncolour = 1"), "recipe.model has no field colour; its fields are backbone"),
        (('backbone = "mobilenetv2"', ""), "recipe.model lacks the field backbone"),
        (("epochs = 1", "epochs = 1.5"), r"recipe.training.phases\[0\].epochs is 1.5; it must be of type int"),
        (("width = 32", "width = 0"), "width is 0"),
        (("width = 32", "wide = 1"), "preprocessing must be"),
        (("[[training.phases]]", "[training.phases]"), "must be a list"),
        (('name = "x"', "name ="), "Invalid value"),
    ],
)
def test_a_mistake_is_refused_with_the_allowed_values(change: tuple[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=f"^here: .*{message}"):
        parse_recipe(GOOD.replace(*change), "here")


@pytest.mark.parametrize("name", ["nothing", "../phantoms", "/etc/passwd.toml"])
def test_an_unknown_recipe_lists_the_choices(name: str) -> None:
    with pytest.raises(UsageError, match=r"choose one of .*fracatlas_mobilenetv2"):
        load_recipe(name)


@pytest.mark.parametrize("names", [("a", "a"), ("x", "b"), ("../a", "b"), ("", "b")])
def test_alternatives_need_unique_names_that_are_valid_folder_names(names: tuple[str, str]) -> None:
    alternatives = "".join(f'[[alternatives]]\nname = "{name}"\n' for name in names)
    with pytest.raises(UsageError, match="unique name"):
        parse_recipe(GOOD + alternatives, "here")


def test_an_alternative_changes_its_own_fields_and_keeps_the_rest() -> None:
    text = GOOD + '[[alternatives]]\nname = "small"\n[alternatives.model]\nalpha = 0.35\n'
    one = parse_recipe(text, "here").alternatives[0]
    assert (one.name, one.model.alpha, one.model.backbone) == ("small", 0.35, "mobilenetv2")
    assert one.preprocessing.width == 32
    assert parse_recipe(to_toml(parse_recipe(text, "here")), "here").alternatives == (one,)


def test_an_alternative_cannot_change_the_data() -> None:
    text = GOOD + '[[alternatives]]\nname = "small"\n[alternatives.data]\nbody_part = "hand"\n'
    with pytest.raises(UsageError, match="remove data from them"):
        parse_recipe(text, "here")


def test_extending_a_recipe_changes_its_alternatives() -> None:
    text = 'extends = "small_data_kfold"\nname = "mine"\n[preprocessing]\nwidth = 96\nheight = 96\n'
    recipe = parse_recipe(text, "here")
    assert recipe.name == "mine"
    assert [(one.name, one.preprocessing.width) for one in recipe.alternatives] == [
        ("plain_cnn", 96),
        ("densenet121", 96),
    ]


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_listed_and_its_printed_toml_loads(name: str) -> None:
    listed = json.loads(CliRunner().invoke(cli, ["recipes", "--json"]).stdout)
    entry = next(one for one in listed if one["name"] == name)
    assert entry["published"] == load_recipe(name).published.strip()
    printed = CliRunner().invoke(cli, ["recipes", name]).stdout
    assert parse_recipe(printed, "printed") == load_recipe(name)


def test_published_results_are_marked_as_not_measured() -> None:
    table = CliRunner().invoke(cli, ["recipes"]).stdout
    published = [name for name in recipe_names() if load_recipe(name).published]
    assert published
    assert table.count("Published elsewhere, not measured here:") == len(published)
