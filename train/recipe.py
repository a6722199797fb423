"""Recipes: what differs between experiments, as data. One TOML file each under `train/recipes/`.

A file may say `extends = "NAME"` and then needs to name only what it changes. Its `[[alternatives]]`
are variations of the recipe that are trained one after another on the same data and compared; each
names what it changes likewise.
"""

import re
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import tomli_w

from osteolite.edge.errors import ModelFileError, UsageError
from osteolite.edge.preprocess import PreprocessingSpec


@dataclass(frozen=True)
class Data:
    """Which images are used, and how they are split where the data does not say."""

    validation: float = 0.1  # share of all images
    test: float = 0.2  # share of all images
    body_part: str = ""  # only the images of this one; empty: all
    split_seed: int = 0  # of the split, so that runs of several seeds share one test part; 0: the run's own seed


@dataclass(frozen=True)
class Model:
    """The network."""

    backbone: str  # a name of `backbones.BACKBONES`
    alpha: float = 1.0  # width of the backbone
    last_layer: str = ""  # of the backbone, where what comes after it is left out; empty: the whole of it
    weights: str = "imagenet"  # the start: imagenet, none, or the path of a weights file
    pooling: str = "average"  # of the features: "average" over the positions, or "flatten" them all
    hidden: tuple[int, ...] = ()  # units of the dense ReLU layers between the features and the last layer
    dropout: float = 0.2  # before the last layer
    outputs: int = 1  # 1: the logit of `fractured`; 2: one sigmoid for each class, as some publications have it
    fracture_map: bool = False  # a second output says where the fracture is, taught by boxes where the data has them
    map_weight: float = 0.0  # what the logit gains for each unit of the map's strongest place, once it is trained


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images; 0 or false leaves one out."""

    flip: bool = False  # left to right, half of the images
    rotation: float = 0.0  # up to this many degrees either way
    turns: float = 0.0  # this share of the images is laid on its left, on its right or on its head
    zoom: float = 0.0  # up to this share larger or smaller
    crop: float = 0.0  # up to this share of the width and the height is cut away, wherever, and the rest enlarged
    brightness: float = 0.0  # up to this share of the full range, either way
    contrast: float = 0.0  # factor from 1 - this to 1 + this
    saturation: float = 0.0  # as contrast; grey images have none, so it only matters for colour
    hue: float = 0.0  # up to this share of the colour circle; likewise


@dataclass(frozen=True)
class Phase:
    """One stretch of training with one learning rate."""

    name: str
    epochs: int
    learning_rate: float  # at the start; it falls to a hundredth along a cosine
    unfrozen: float  # share of the backbone's layers that learn, counted from the output: 0 none, 1 all
    patience: int = 1000  # epochs without a better validation AUROC after which the phase ends


@dataclass(frozen=True)
class Training:
    """How the network is fitted."""

    phases: tuple[Phase, ...]
    batch: int = 32  # images
    class_weights: bool = True  # weigh the classes so that both count the same
    batch_norm: bool = False  # that of a pretrained backbone learns too, its statistics with it
    weight_decay: float = 0.0
    box_weight: float = 0.0  # of the fracture map's loss beside that of the label
    pointing_weight: float = 0.0  # in the map's loss: of its strongest place lying in a box, however small
    teacher: str = ""  # a shipped model's name or a model file, whose answers are learnt beside the labels
    teacher_weight: float = 0.0  # of the teacher's answer in the target, 0 to 1; the rest is the label's
    averaging: float = 0.0  # momentum of the weights' running average, which is evaluated and kept; 0: none
    keep_last: bool = False  # the last epoch's weights stay, not those that do best on the validation part


@dataclass(frozen=True)
class Threshold:
    """How the decision threshold is chosen on the validation part."""

    rule: str = "youden"  # "youden" or "sensitivity": see `threshold.choose_threshold`
    value: float = 0.9  # sensitivity to reach


@dataclass(frozen=True)
class Gate:
    """What a converted variant may lose against the Keras model on the validation part."""

    auroc_loss: float = 0.01
    sensitivity_loss: float = 0.02  # at the threshold
    agreement: float = 0.97  # share of equal decisions, at least


@dataclass(frozen=True)
class Conversion:
    """What is made of the trained model."""

    variants: tuple[str, ...] = ("float32", "float16", "dynamic", "int8")
    calibration_images: int = 200  # training images that quantisation sees
    float_operators: int = 0  # the first operators that int8 leaves in float32: there it can cost accuracy and time
    retraining_epochs: int = 2  # of the variants that are fine-tuned: quantisation-aware, pruned, clustered
    retraining_rate: float = 1e-5  # their learning rate at the start
    sparsity: float = 0.5  # share of the weights that pruning sets to zero
    clusters: int = 32  # different values that clustering leaves to the weights of a layer


@dataclass(frozen=True)
class Recipe:
    """One experiment, whole."""

    name: str
    description: str
    preprocessing: PreprocessingSpec
    model: Model
    training: Training
    data: Data = field(default_factory=Data)
    augmentation: Augmentation = field(default_factory=Augmentation)
    threshold: Threshold = field(default_factory=Threshold)
    gate: Gate = field(default_factory=Gate)
    conversion: Conversion = field(default_factory=Conversion)
    stages: str = ""  # "body_part": first the body part, then one fracture model for each; empty: one model
    published: str = ""  # what the recipe reproduces and the figure published for it, which nobody measured here
    attribution: str = ""  # what whoever publishes the model must say of the data
    alternatives: tuple["Recipe", ...] = ()  # variations that are trained and compared on the same data


def recipe_names() -> list[str]:
    """The recipes that ship with the package."""
    return sorted(path.name[:-5] for path in _folder().iterdir() if path.name.endswith(".toml"))


def load_recipe(name: str) -> Recipe:
    """Read a recipe by its name, or from the path of a TOML file.

    Raises:
        UsageError: no such recipe, or a field that is unknown, missing or of the wrong type.

    >>> load_recipe("fracatlas_mobilenetv2").model.backbone
    'mobilenetv2'
    """
    path = Path(name) if name.endswith(".toml") else Path(str(_folder() / f"{name}.toml"))
    if not path.is_file():
        raise UsageError(f"no recipe {name!r}; known are {', '.join(recipe_names())}, or give the path of a .toml file")
    return parse_recipe(path.read_text(encoding="utf-8"), str(path))


def parse_recipe(text: str, where: str) -> Recipe:
    """Read a recipe from the text of its TOML; `where` is named in errors.

    Raises:
        UsageError: a field that is unknown, missing or of the wrong type, or an unknown recipe to extend.
    """
    try:
        table = tomllib.loads(text)
        if "extends" in table:
            table = _extend(_as_table(load_recipe(str(table["extends"]))), _without(table, "extends"))
        recipe = _build(Recipe, _spread(table), "recipe")
    except (tomllib.TOMLDecodeError, ModelFileError) as error:
        raise UsageError(f"{where}: {error}") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    assert isinstance(recipe, Recipe)
    return recipe


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML with every field, the defaults too; `parse_recipe` reads it again.

    >>> recipe = load_recipe("phantoms")
    >>> parse_recipe(to_toml(recipe), "here") == recipe
    True
    """
    return tomli_w.dumps(_as_table(recipe), multiline_strings=True)


def _as_table(recipe: Recipe) -> dict[str, Any]:
    table: dict[str, Any] = asdict(recipe)
    return table


def _extend(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """What `changes` names replaces the base's, in its alternatives too, which keep their names."""
    alternatives = [_merge(one, _without(_without(changes, "name"), "alternatives")) for one in base["alternatives"]]
    return _merge({**base, "alternatives": alternatives}, changes)


def _spread(table: dict[str, Any]) -> dict[str, Any]:
    """Make each alternative whole: the recipe's own fields with what the alternative changes."""
    alternatives = table.get("alternatives", ())
    if not isinstance(alternatives, list | tuple) or not all(isinstance(one, dict) for one in alternatives):
        raise UsageError("recipe.alternatives must be a list of tables")
    if not alternatives:
        return table
    names = [str(one.get("name", "")) for one in alternatives]
    if len({table.get("name"), *names}) <= len(names) or not all(re.fullmatch(r"\w[\w.-]*", name) for name in names):
        raise UsageError("recipe.alternatives must each have a name of its own, of letters, digits, '_', '-' and '.'")
    common = _without(table, "alternatives")
    whole = [_merge(common, one) for one in alternatives]
    if any(one.get("data") != common.get("data") for one in whole):
        raise UsageError("recipe.alternatives are compared on the same images, so none may change data")
    return {**common, "alternatives": whole}


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The tables joined, level by level; what `changes` names wins, lists as a whole."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _without(table: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name != key}


def _folder() -> Any:
    return files("osteolite.train") / "recipes"


def _build(kind: Any, table: Any, where: str) -> Any:
    """Build a dataclass from a TOML table, strictly: names and types must fit."""
    if kind is PreprocessingSpec:
        return PreprocessingSpec.from_dict(table)
    if not isinstance(table, dict):
        raise UsageError(f"{where} must be a table")
    known = {f.name: f for f in fields(kind)}
    hints = get_type_hints(kind)
    if unknown := sorted(set(table) - set(known)):
        raise UsageError(f"{where} has no field {', '.join(unknown)}; known are {', '.join(known)}")
    required = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in required if name not in table]:
        raise UsageError(f"{where} lacks {', '.join(missing)}")
    return kind(**{name: _value(hints[name], value, f"{where}.{name}") for name, value in table.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return _build(hint, value, where)
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise UsageError(f"{where} must be a list")
        return tuple(_value(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise UsageError(f"{where} is {value!r}; a {hint.__name__} is needed")
    return value
