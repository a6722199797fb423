import pytest

from osteolite.edge.errors import UsageError
from osteolite.train.recipe import load_recipe, parse_recipe, recipe_names

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
def test_every_recipe_that_ships_loads_under_its_own_name(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.training.phases


def test_defaults_and_whole_numbers_for_fractions() -> None:
    recipe = parse_recipe(GOOD, "here")
    assert recipe.training.phases[0].learning_rate == 1.0
    assert recipe.gate.agreement == 0.97


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[model]", "[model]\ncolour = 1"), "recipe.model has no field colour; known are backbone"),
        (('backbone = "mobilenetv2"', ""), "recipe.model lacks backbone"),
        (("epochs = 1", "epochs = 1.5"), r"recipe.training.phases\[0\].epochs is 1.5; a int is needed"),
        (("width = 32", "width = 0"), "width is 0"),
        (("width = 32", "wide = 1"), "preprocessing must be"),
        (("[[training.phases]]", "[training.phases]"), "must be a list"),
        (('name = "x"', "name ="), "Invalid value"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(change: tuple[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=f"^here: .*{message}"):
        parse_recipe(GOOD.replace(*change), "here")


@pytest.mark.parametrize("name", ["nothing", "../phantoms", "/etc/passwd.toml"])
def test_unknown_recipe_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match=r"known are .*fracatlas_mobilenetv2"):
        load_recipe(name)
