"""Recipes: the settings of an experiment as data, one TOML file each under `train/recipes/`.

A file with `extends = "NAME"` contains only what it changes. Its `[[alternatives]]` are variations of the recipe
that are trained one after another on the same data and compared; each contains only what it changes.
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
    """Selection of the images, and their split if the data has none."""

    validation: float = 0.1  # share of all images
    test: float = 0.2  # share of all images
    body_part: str = ""  # use only images of this body part; empty: all
    split_seed: int = 0  # seed of the split, for runs of several seeds with one test split; 0: the run's seed


@dataclass(frozen=True)
class Model:
    """The network."""

    backbone: str  # a name of `backbones.BACKBONES`
    alpha: float = 1.0  # width multiplier of the backbone
    last_layer: str = ""  # name of the layer that the backbone ends with; empty: the whole backbone
    weights: str = "imagenet"  # starting weights: imagenet, none, or the path of a weights file
    pooling: str = "average"  # "average" over the positions of the features, or "flatten"
    hidden: tuple[int, ...] = ()  # units of the dense ReLU layers before the last layer
    dropout: float = 0.2  # rate before the last layer
    outputs: int = 1  # 1: the logit of `fractured`; 2: one sigmoid per class, as in some publications
    fracture_map: bool = False  # second output that learns from boxes where the fracture is
    map_weight: float = 0.0  # factor of the map's maximum, added to the logit after training


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images; 0 or false switches a change off."""

    flip: bool = False  # mirror half of the images left to right
    rotation: float = 0.0  # up to this many degrees in either direction
    turns: float = 0.0  # share of the images turned by 90, 180 or 270 degrees
    zoom: float = 0.0  # scale up or down by up to this share
    crop: float = 0.0  # cut away up to this share of width and height, then enlarge
    brightness: float = 0.0  # up to this share of the full range, in either direction
    contrast: float = 0.0  # factor between 1 - contrast and 1 + contrast
    saturation: float = 0.0  # like contrast; no effect on grey images
    hue: float = 0.0  # up to this share of the colour circle; no effect on grey images


@dataclass(frozen=True)
class Phase:
    """A phase of training with its own learning rate."""

    name: str
    epochs: int
    learning_rate: float  # initial; it decays to a hundredth along a cosine
    unfrozen: float  # trainable share of the backbone's layers, counted from the output: 0 none, 1 all
    patience: int = 1000  # epochs without a better validation AUROC before the phase ends


@dataclass(frozen=True)
class Training:
    """Settings of the training."""

    phases: tuple[Phase, ...]
    batch: int = 32  # images per batch
    class_weights: bool = True  # weight the classes so that both count equally
    batch_norm: bool = False  # train the batch normalisation of a pretrained backbone, with its statistics
    weight_decay: float = 0.0
    box_weight: float = 0.0  # weight of the fracture map's loss relative to the label's
    pointing_weight: float = 0.0  # weight of the pointing term in the map's loss, which treats all box sizes equally
    teacher: str = ""  # shipped model or model file whose predictions are learnt with the labels
    teacher_weight: float = 0.0  # weight of the teacher's prediction in the target, 0 to 1; the rest is the label's
    averaging: float = 0.0  # momentum of the moving average of the weights that is kept; 0: no average
    keep_last: bool = False  # keep the last epoch's weights instead of the best on the validation split


@dataclass(frozen=True)
class Threshold:
    """How the decision threshold is chosen on the validation split."""

    rule: str = "youden"  # "youden" or "sensitivity": see `threshold.choose_threshold`
    value: float = 0.9  # sensitivity to reach, for the rule "sensitivity"


@dataclass(frozen=True)
class Gate:
    """Limits of what a converted variant may lose against the Keras model on the validation split."""

    auroc_loss: float = 0.01  # largest loss of AUROC
    sensitivity_loss: float = 0.02  # largest loss of sensitivity at the threshold
    agreement: float = 0.97  # smallest share of equal decisions


@dataclass(frozen=True)
class Conversion:
    """Conversion of the trained model."""

    variants: tuple[str, ...] = ("float32", "float16", "dynamic", "int8")
    calibration_images: int = 200  # training images used as calibration data of the quantisation
    float_operators: int = 0  # number of first operators that int8 keeps in float32, for accuracy and speed
    retraining_epochs: int = 2  # epochs of fine-tuning: quantisation-aware, pruned and clustered variants
    retraining_rate: float = 1e-5  # initial learning rate of the fine-tuning
    sparsity: float = 0.5  # share of the weights that pruning sets to zero
    clusters: int = 32  # distinct weights per layer after clustering


@dataclass(frozen=True)
class Recipe:
    """A complete experiment."""

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
    stages: str = ""  # "body_part": a body-part model, then one fracture model per body part; empty: one model
    published: str = ""  # the publication that the recipe reproduces, with its results, which were not measured here
    attribution: str = ""  # notice about the data that a published model must carry
    alternatives: tuple["Recipe", ...] = ()  # variations to train and compare on the same data


def recipe_names() -> list[str]:
    """Return the names of the recipes in the package."""
    return sorted(path.name[:-5] for path in _folder().iterdir() if path.name.endswith(".toml"))


def load_recipe(name: str) -> Recipe:
    """Read a recipe by its name or from the path of a TOML file.

    Raises:
        UsageError: the recipe does not exist, or a field is unknown, missing or of the wrong type.

    >>> load_recipe("fracatlas_mobilenetv2").model.backbone
    'mobilenetv2'
    """
    path = Path(name) if name.endswith(".toml") else Path(str(_folder() / f"{name}.toml"))
    if not path.is_file():
        raise UsageError(
            f"no recipe {name!r}; choose one of {', '.join(recipe_names())}, or give the path of a .toml file"
        )
    return parse_recipe(path.read_text(encoding="utf-8"), str(path))


def parse_recipe(text: str, where: str) -> Recipe:
    """Read a recipe from TOML text.

    Args:
        text: the TOML.
        where: name of the source in error messages.

    Raises:
        UsageError: a field is unknown, missing or of the wrong type, or the recipe to extend is unknown.
    """
    try:
        table = tomllib.loads(text)
        if "extends" in table:
            table = _extend(_as_table(load_recipe(str(table["extends"]))), _without(table, "extends"))
        recipe = _build(Recipe, _complete(table), "recipe")
    except (tomllib.TOMLDecodeError, ModelFileError) as error:
        raise UsageError(f"{where}: {error}") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    assert isinstance(recipe, Recipe)
    return recipe


def to_toml(recipe: Recipe) -> str:
    """Return the recipe as TOML with every field, including defaults; `parse_recipe` reads it.

    >>> recipe = load_recipe("phantoms")
    >>> parse_recipe(to_toml(recipe), "here") == recipe
    True
    """
    return tomli_w.dumps(_as_table(recipe), multiline_strings=True)


def _as_table(recipe: Recipe) -> dict[str, Any]:
    table: dict[str, Any] = asdict(recipe)
    return table


def _extend(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge `changes` into the base recipe and into its alternatives, which keep their names."""
    alternatives = [_merge(one, _without(_without(changes, "name"), "alternatives")) for one in base["alternatives"]]
    return _merge({**base, "alternatives": alternatives}, changes)


def _complete(table: dict[str, Any]) -> dict[str, Any]:
    """Complete each alternative with the recipe's own fields."""
    alternatives = table.get("alternatives", ())
    if not isinstance(alternatives, list | tuple) or not all(isinstance(one, dict) for one in alternatives):
        raise UsageError("recipe.alternatives must be a list of tables")
    if not alternatives:
        return table
    names = [str(one.get("name", "")) for one in alternatives]
    if len({table.get("name"), *names}) <= len(names) or not all(re.fullmatch(r"\w[\w.-]*", name) for name in names):
        raise UsageError("recipe.alternatives must each have a unique name of letters, digits, '_', '-' and '.'")
    common = _without(table, "alternatives")
    whole = [_merge(common, one) for one in alternatives]
    if any(one.get("data") != common.get("data") for one in whole):
        raise UsageError("recipe.alternatives are compared on the same images; remove data from them")
    return {**common, "alternatives": whole}


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge two tables recursively; values of `changes` win, and lists are replaced as a whole."""
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
    """Build a dataclass from a TOML table and check the names and types of its fields."""
    if kind is PreprocessingSpec:
        return PreprocessingSpec.from_dict(table)
    if not isinstance(table, dict):
        raise UsageError(f"{where} must be a table")
    known = {f.name: f for f in fields(kind)}
    hints = get_type_hints(kind)
    if unknown := sorted(set(table) - set(known)):
        raise UsageError(f"{where} has no field {', '.join(unknown)}; its fields are {', '.join(known)}")
    required = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in required if name not in table]:
        raise UsageError(f"{where} lacks the field {', '.join(missing)}")
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
        raise UsageError(f"{where} is {value!r}; it must be of type {hint.__name__}")
    return value
