"""The model card: what a model file says of itself, as HTML. Every field may be missing or odd; all text is escaped."""

import hashlib
from collections.abc import Iterator
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

from osteolite.edge.modelfile.description import Description, PartDescription

_MOST_ROWS = 60  # of a section; a file may list anything
_MOST_CHARACTERS = 600  # of a value
_DEEPEST = 5  # tables and lists within one another
_LARGEST = 1e15  # of a number that is written out
_NAMES = {
    "auroc": "AUROC",
    "f1": "F1",
    "ece": "expected calibration error",
    "brier": "Brier score",
    "kappa": "Cohen's kappa",
    "promise": "promised",
    "own_auroc": "the variant's own AUROC",
    "tp": "found fractures",
    "fn": "missed fractures",
    "fp": "false alarms",
    "tn": "normal, rightly",
    "sha256": "SHA-256",
    "catalogue_sha256": "catalogue's SHA-256",
    "p": "p (McNemar)",
}
_OF_GATE = (
    "What conversion changed, image by image: of each figure the variant's value less that of the model before it."
)
_OF_LIMITS = (
    "An image is called unfamiliar when the network's features of it lie further from those of its training data than "
    "this limit. An image that stays below it may still be none that the model was made for."
)


def model_card(path: Path, description: Description) -> str:
    """What the model is, where it comes from, and how well it did.

    Args:
        path: of the model file, for its size and checksum.
        description: what the file says of itself.
    """
    details = description.details
    use = details.get("intended_use")
    sections = (
        _section("The file", _file(path, description)),
        _section("Preprocessing", _flat(description.preprocessing.to_dict())),
        _section("Probability calibration", _flat(details.get("probability_calibration"))),
        _section("Threshold and how it was chosen", _flat(details.get("threshold"))),
        _training(details),
        _evaluation(details.get("evaluation")),
        _section("What the gate compared", _flat(details.get("gate")), _OF_GATE),
        _section("Quantisation", _flat(details.get("quantisation_calibration"))),
        _section("Out-of-distribution limit", _limits(details.get("out_of_distribution")), _OF_LIMITS),
        _section("Audit of the data", _flat(details.get("audit"))),
        _section("Made with", _flat(details.get("versions"))),
    )
    return (
        f'<article class="osteo-about"><h2>{escape(description.name)}</h2>'
        f'<p class="osteo-note">Intended use: {escape(_text(use) if use else "not stated; take it as research only")}.'
        f"</p><div class='osteo-columns'>{''.join(sections)}</div></article>"
    )


def _file(path: Path, description: Description) -> Iterator[tuple[str, str]]:
    kind = "one fracture model"
    if isinstance(description, PartDescription):
        kind = "a network that finds the body part, and a fracture model for each"
    yield "kind", kind
    yield "variant", description.variant
    if isinstance(description, PartDescription):
        yield "body parts", ", ".join(description.parts)
        for part, stage in description.stages.items():
            yield f"fracture model, {part}", f"{stage.bytes / 1e6:.2f} MB, SHA-256 {stage.sha256}"
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        yield "size", f"{path.stat().st_size / 1e6:.2f} MB"
        yield "SHA-256", digest
    except OSError:
        yield "size", "the file is no longer there"


def _training(details: dict[str, Any]) -> str:
    credit = details.get("attribution")
    note = f"Attribution: {_text(credit)}" if credit else ""
    return _section("Training data", _flat(details.get("training")), note)


def _evaluation(evaluation: Any) -> str:
    if not isinstance(evaluation, dict):
        return _section("Evaluation", iter(()))
    about = {key: evaluation[key] for key in ("part", "unit", "count", "images", "fractured") if key in evaluation}
    figures = {key: value for key, value in evaluation.items() if _is_interval(value)}
    left_out = {"model", "operating_points", *about, *figures}
    rest = {key: value for key, value in evaluation.items() if key not in left_out}
    rows = "".join(
        f'<tr><th scope="row">{escape(_name(key))}</th><td>{_number(value["value"])}</td>'
        f"<td>{_number(value['low'])} to {_number(value['high'])}</td></tr>"
        for key, value in list(figures.items())[:_MOST_ROWS]
    )
    table = (
        '<div class="osteo-scroll" tabindex="0" role="region" aria-label="Figures with intervals"><table><thead><tr>'
        '<th scope="col">Figure</th><th scope="col">Value</th><th scope="col">95 % interval</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    model = evaluation.get("model")
    note = f"These are figures of another model than this file: of the {_text(model)}." if model else ""
    return _section("Evaluation", _flat(about), note, (table if rows else "") + _list(_flat(rest)))


def _limits(limits: Any) -> Iterator[tuple[str, str]]:
    if isinstance(limits, dict):
        yield "limit", _text(limits.get("limit"))
        yield "features", _count(limits.get("mean"))
        yield "directions", _count(limits.get("basis"))


def _section(title: str, rows: Iterator[tuple[str, str]], note: str = "", more: str = "") -> str:
    listed = _list(rows)
    if not listed and not more:
        return f"<section><h3>{title}</h3><p>{escape(note)}</p><p>The file does not say.</p></section>"
    return f"<section><h3>{title}</h3>{f'<p>{escape(note)}</p>' if note else ''}{listed}{more}</section>"


def _list(rows: Iterator[tuple[str, str]]) -> str:
    inner, shown = "", 0
    for shown, (name, value) in enumerate(rows, 1):
        if shown > _MOST_ROWS:
            inner += "<dt>...</dt><dd>and more; see osteolite inspect</dd>"
            break
        inner += f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    return f"<dl>{inner}</dl>" if shown else ""


def _flat(value: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Names and texts of whatever JSON holds, inner ones with those around them before."""
    if isinstance(value, dict) and not _is_interval(value) and depth < _DEEPEST:
        for key, inner in value.items():
            name = _name(str(key))
            yield from _flat(inner, f"{prefix}, {name}" if prefix else name, depth + 1)
    elif value is not None:
        yield prefix or "value", _text(value, depth)


def _name(key: str) -> str:
    return _NAMES.get(key, key.replace("_", " "))[:_MOST_CHARACTERS]


def _text(value: Any, depth: int = 0) -> str:
    match value:
        case bool():
            text = "yes" if value else "no"
        case float():
            text = _number(value)
        case int():
            text = f"{value:,}" if abs(value) < _LARGEST else _number(value)
        case dict() if _is_interval(value):
            text = f"{_number(value['value'])} ({_number(value['low'])} to {_number(value['high'])})"
        case list() | dict() if depth >= _DEEPEST:
            text = "..."
        case list():
            text = ", ".join(_text(one, depth + 1) for one in value[:_MOST_ROWS]) or "none"
        case dict():
            text = "; ".join(f"{name} {inner}" for name, inner in islice(_flat(value, "", depth + 1), _MOST_ROWS))
        case _:
            text = str(value)
    return text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + " ..."


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < _LARGEST else "a very large number"


def _count(value: Any) -> str:
    return f"{len(value):,}" if isinstance(value, list) else "not stated"


def _is_interval(value: Any) -> bool:
    """Whether it is a figure with its interval."""
    return (
        isinstance(value, dict)
        and {"value", "low", "high"} == set(value)
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value.values())
    )
