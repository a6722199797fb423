"""Confounders: properties that predict the label without showing the bone."""

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from osteolite.edge.preprocess import PreprocessingSpec

from ..data.catalogue import Catalogue
from ..data.pixel_cache import Images

_FOLDS, _DEPTH = 5, 4  # cross-validation folds; depth of the decision tree
_JUMP = 64  # grey levels between neighbours: typical of letters and markers, rare in tissue
_CORNER = (0.2, 0.25)  # size of a corner as a share of the image's height and width
_MEANINGS = (  # AUROC below which the text applies
    (0.6, "says little about the label"),
    (0.7, "a weak hint at the label"),
    (0.8, "predicts the label: a network may use it instead of the bone"),
    (1.1, "predicts the label well: metrics on this data may measure it, not fractures"),
)

Array = np.ndarray[Any, Any]


def find_confounders(
    images: Images, catalogue: Catalogue, chosen: Array, spec: PreprocessingSpec, seed: int
) -> dict[str, dict[str, Any]]:
    """Measure how well each property, and all together, predict the label.

    The AUROC is that of a small decision tree on held-out rows, in a cross-validation by group; 0.5 is chance. It is
    None if a class has too few groups.

    Args:
        images: file facts and fitted pixels.
        catalogue: the same rows, near-duplicates in one group.
        chosen: indices of the rows to use, one per different file.
        spec: the spec that the pixels were fitted to.
        seed: seed of the folds.

    Returns:
        For each property that the data has: "auroc" and its "meaning" as text.
    """
    found = {
        name: _auroc(values, catalogue, chosen, seed) for name, values in _properties(images, chosen, spec).items()
    }
    return {name: {"auroc": auroc, "meaning": _meaning(auroc)} for name, auroc in found.items()}


def _properties(images: Images, chosen: Array, spec: PreprocessingSpec) -> dict[str, Array]:
    """Return each property as an array of shape (rows, values)."""
    facts = [images.facts[index] for index in chosen]
    rows = [images.catalogue.rows[index] for index in chosen]
    width, height = (np.array([[getattr(fact, name)] for fact in facts], float) for name in ("width", "height"))
    named = {
        "mode": [fact.mode for fact in facts],
        "body part": [row.body_part for row in rows],
        "view": [row.view for row in rows],
        "hardware": [row.hardware for row in rows],
    }
    found = {
        "file size": np.array([[fact.bytes] for fact in facts], float),
        "width": width,
        "height": height,
        "aspect ratio": width / height,
        "corner text": np.array([_corner_jumps(images, index, spec) for index in chosen]),
    }
    encoder = OneHotEncoder(sparse_output=False)
    for name, values in named.items():
        if any(values):
            found[name] = encoder.fit_transform(np.array(values)[:, None])
    return {**found, "all of these": np.hstack(list(found.values()))}


def _corner_jumps(images: Images, index: int, spec: PreprocessingSpec) -> list[float]:
    """Return for each corner of the image the share of horizontal neighbours with a jump between them."""
    fact = images.facts[index]
    width, height = spec.fitted_size(fact.width, fact.height)
    left, top = (spec.width - width) // 2, (spec.height - height) // 2
    image = images.pixels[index, top : top + height, left : left + width].astype(np.int16)
    rows, columns = max(1, round(_CORNER[0] * height)), max(2, round(_CORNER[1] * width))
    corners = (image[y, x] for y in (slice(rows), slice(-rows, None)) for x in (slice(columns), slice(-columns, None)))
    return [float((np.abs(np.diff(corner)) >= _JUMP).mean()) if corner.shape[1] > 1 else 0.0 for corner in corners]


def _auroc(values: Array, catalogue: Catalogue, chosen: Array, seed: int) -> float | None:
    rows = [catalogue.rows[index] for index in chosen]
    labels, groups = np.array([row.label for row in rows]), np.array([row.group for row in rows])
    fewest = min((len(set(groups[labels == label])) for label in (0, 1)), default=0)
    if fewest < 2:
        return None
    tree = DecisionTreeClassifier(max_depth=_DEPTH, min_samples_leaf=max(5, len(rows) // 100), random_state=seed)
    folds = StratifiedGroupKFold(min(_FOLDS, fewest), shuffle=True, random_state=seed)
    scores = cross_val_predict(tree, values, labels, groups=groups, cv=folds, method="predict_proba")
    return float(roc_auc_score(labels, scores[:, 1]))


def _meaning(auroc: float | None) -> str:
    if auroc is None:
        return "too few groups to tell"
    return next(meaning for limit, meaning in _MEANINGS if auroc < limit)
