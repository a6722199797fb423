"""Tables of the models that ship: their performance, by subgroup and on other data, and their files.

The metrics come from `osteolite evaluate --json` on the test split (`test.json`) and on another data set
(`outside.json`; `outside_turned.json` includes the copies that its compiler rotated), and from
`osteolite.benchmarks.studies.family`, `altered` and `warned` (`strange.json`, `negatives.json`), all in
`results/shipped/`.
"""

import hashlib
from statistics import fmean, stdev
from typing import Any

from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.shipped import DEFAULT, SHIPPED, shipped_model

from .results import RESULTS, Lines, interval_text, percent_text, published

_FOLDER = "shipped"


def family() -> Lines:
    """Compare the models on images that no choice was based on."""
    speed = published(_FOLDER, "family.json")["models"]
    lines = [
        [
            *("model", "input", "MB", "times as fast as int8 MobileNetV2 1.0/224", "AUROC"),
            *("sensitivity at specificity 0.70", "calibration error", "hottest point in a box"),
            *("decisions other than float32's", "AUROC on another data set, upright; with rotated copies"),
        ]
    ]
    for name in SHIPPED:
        test = published(_FOLDER, name, "test.json")
        outside, turned = (published(_FOLDER, name, f"{file}.json") for file in ("outside", "outside_turned"))
        height, width, _ = speed[name]["input"]
        detected, against = test["pointing"]["detected"], test["against_run"]
        lines.append(
            [
                f"**{name}** (default)" if name == DEFAULT else name,
                f"{width} x {height}",
                f"{speed[name]['bytes'] / 1e6:.2f}",
                "{median:.2g} ({low:.2g} to {high:.2g})".format(**speed[name]["times_as_fast"]),
                interval_text(test["auroc"]),
                interval_text(test["at_specificity"]["sensitivity"]),
                interval_text(test["ece"]),
                percent_text(detected["share"]),
                f"{against['flips']} of {against['images']}",
                f"{interval_text(outside['auroc'])}; {turned['auroc']['value']:.3f}",
            ]
        )
    return lines


def seeds() -> Lines:
    """Several trainings with the default model's recipe, tested on the same images."""
    others = sorted((RESULTS / _FOLDER / "seeds").glob("*.json"))
    found = {"1 (ships)": published(_FOLDER, DEFAULT, "test.json")}
    found |= {path.stem: published(_FOLDER, "seeds", path.name) for path in others}
    titles = ["AUROC", "sensitivity at specificity 0.70", "calibration error", "hottest point in a box"]
    lines = [["seed", *titles, "AUROC less that of float32"]]
    for name, one in found.items():
        cells = [interval_text(value) for value in _metrics(one)]
        lines.append([name, *cells, f"{one['against_run']['auroc_difference']['value']:+.4f}"])
    if len(found) > 1:
        columns = [[one["value"] for one in column] for column in zip(*map(_metrics, found.values()), strict=True)]
        means = [f"{fmean(values):.3f} ({stdev(values):.3f})" for values in columns]
        lines.append(["mean (standard deviation)", *means, ""])
    return lines


def _metrics(one: dict[str, Any]) -> list[dict[str, float]]:
    return [one["auroc"], one["at_specificity"]["sensitivity"], one["ece"], one["pointing"]["detected"]["share"]]


def subgroups() -> Lines:
    """The performance of the default model by subgroup."""
    found = published(_FOLDER, DEFAULT, "test.json")
    lines = [["by", "images", "fractured", "AUROC", "sensitivity", "specificity", "calibration error"]]
    lines.append(_subgroup("all", found))
    return [*lines, *(_subgroup(f"{one['by']}: {one['value']}", one) for one in found["subgroups"])]


def _subgroup(title: str, one: dict[str, Any]) -> list[str]:
    cells = [interval_text(one[key]) if key in one else "" for key in ("auroc", "sensitivity", "specificity", "ece")]
    return [title, str(one["count"]), str(one["fractured"]), *cells]


def warnings() -> Lines:
    """The number of images with a warning; each model should warn on the first and third set, not on the second."""
    titles = ["images without bones", "test split", "negatives of the test split"]
    lines = [["model", *titles]]
    for name in SHIPPED:
        found = {kind: published(_FOLDER, name, f"{kind}.json") for kind in ("strange", "test", "negatives")}
        counts = [
            (found["strange"]["warned"], found["strange"]["images"]),
            (found["test"]["warnings"]["images"], found["test"]["images"]),
            (found["negatives"]["warned"], found["negatives"]["images"]),
        ]
        lines.append([name, *(f"{warned} of {images}" for warned, images in counts)])
    return lines


def elsewhere() -> Lines:
    """The performance on another data set, with and without the copies that its compiler rotated."""
    lines = [
        ["model", "rotated copies", "clusters", "fractured", "AUROC", "sensitivity", "specificity", "with a warning"]
    ]
    for name in SHIPPED:
        for title, file in (("excluded", "outside.json"), ("included", "outside_turned.json")):
            found = published(_FOLDER, name, file)
            cells = [interval_text(found[key]) for key in ("auroc", "sensitivity", "specificity")]
            warned = f"{found['warnings']['images']} of {found['images']} images"
            lines.append([name, title, str(found["count"]), str(found["fractured"]), *cells, warned])
    return lines


def alterations() -> Lines:
    """The performance on the test split with every image altered in the same way."""
    found = {name: published(_FOLDER, name, "altered.json")["alterations"] for name in SHIPPED}
    lines = [
        [
            "alteration of the test split",
            *(f"AUROC of {name}" for name in SHIPPED),
            f"sensitivity, specificity of {DEFAULT}",
        ]
    ]
    for title, ours in found[DEFAULT].items():
        aurocs = [f"{one[title]['auroc']:.3f}" for one in found.values()]
        lines.append([title, *aurocs, f"{ours['sensitivity']:.2f}, {ours['specificity']:.2f}"])
    return lines


def files() -> Lines:
    """The files and their hashes, so that anybody can check a copy."""
    lines = [["model", "file", "bytes", "SHA-256 of the file", "SHA-256 of the network in it"]]
    for name in SHIPPED:
        path = shipped_model(name)
        content, network = path.read_bytes(), read_description(path).details["flatbuffer"]
        lines.append(
            [
                name,
                f"`{path.name}`",
                f"{len(content):,}",
                f"`{hashlib.sha256(content).hexdigest()}`",
                f"`{network['sha256']}`",
            ]
        )
    return lines
