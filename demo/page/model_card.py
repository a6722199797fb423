"""The model card of a file as HTML. Any field may be missing or malformed; all text is escaped."""

import hashlib
from collections.abc import Iterator
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

from osteolite.edge.modelfile.description import Description, MultiClassDescription

_MAX_ROWS = 60  # rows of a section; a file may list any number
_MAX_CHARACTERS = 600  # length of a value
_MAX_DEPTH = 5  # nesting of objects and lists
_MAX_NUMBER = 1e15  # larger numbers are not written out
_NAMES = {
    "auroc": "AUROC",
    "f1": "F1",
    "ece": "expected calibration error",
    "brier": "Brier score",
    "kappa": "Cohen's kappa",
    "part": "split",
    "promise": "expected",
    "own_auroc": "the variant's own AUROC",
    "tp": "found fractures",
    "fn": "missed fractures",
    "fp": "false alarms",
    "tn": "correct normals",
    "sha256": "SHA-256",
    "catalogue_sha256": "catalogue's SHA-256",
    "p": "p (McNemar)",
}
_GATE_NOTE = (
    "What conversion changed on the same images: each difference is the variant's value minus the original model's."
)
_LIMIT_NOTE = (
    "The model warns of an unfamiliar image when the image's features lie further from those of the training data than "
    "this limit. An image below the limit may still be one that the model was not made for."
)


def model_card(path: Path, description: Description) -> str:
    """The model's origin, settings and evaluation.

    Args:
        path: the model file, for its size and checksum.
        description: the description in the file.
    """
    details = description.details
    use = details.get("intended_use")
    sections = (
        _section("The file", _file(path, description)),
        _section("Preprocessing", _flatten(description.preprocessing.to_dict())),
        _section("Probability calibration", _flatten(details.get("probability_calibration"))),
        _section("Threshold and how it was chosen", _flatten(details.get("threshold"))),
        _training(details),
        _evaluation(details.get("evaluation")),
        _section("What the gate compared", _flatten(details.get("gate")), _GATE_NOTE),
        _section("Quantisation", _flatten(details.get("quantisation_calibration"))),
        _section("Out-of-distribution limit", _limits(details.get("out_of_distribution")), _LIMIT_NOTE),
        _section("Audit of the data", _flatten(details.get("audit"))),
        _section("Made with", _flatten(details.get("versions"))),
    )
    return (
        f'<article class="osteo-about"><h2>{escape(description.name)}</h2>'
        f'<p class="osteo-note">Intended use: {escape(_text(use) if use else "not stated; use it for research only")}.'
        f"</p><div class='osteo-columns'>{''.join(sections)}</div></article>"
    )


def _file(path: Path, description: Description) -> Iterator[tuple[str, str]]:
    kind = "one fracture model"
    if isinstance(description, MultiClassDescription):
        kind = "a network that finds the body part, and a fracture model for each"
    yield "kind", kind
    yield "variant", description.variant
    if isinstance(description, MultiClassDescription):
        yield "body parts", ", ".join(description.labels)
        for body_part, stage in description.stages.items():
            yield f"fracture model, {body_part}", f"{stage.bytes / 1e6:.2f} MB, SHA-256 {stage.sha256}"
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
    return _section("Training data", _flatten(details.get("training")), note)


def _evaluation(evaluation: Any) -> str:
    if not isinstance(evaluation, dict):
        return _section("Evaluation", iter(()))
    about = {key: evaluation[key] for key in ("part", "unit", "count", "images", "fractured") if key in evaluation}
    metrics = {key: value for key, value in evaluation.items() if _is_interval(value)}
    left_out = {"model", "operating_points", *about, *metrics}
    rest = {key: value for key, value in evaluation.items() if key not in left_out}
    rows = "".join(
        f'<tr><th scope="row">{escape(_name(key))}</th><td>{_number(value["value"])}</td>'
        f"<td>{_number(value['low'])} to {_number(value['high'])}</td></tr>"
        for key, value in list(metrics.items())[:_MAX_ROWS]
    )
    table = (
        '<div class="osteo-scroll" tabindex="0" role="region" aria-label="Metrics with intervals"><table><thead><tr>'
        '<th scope="col">Metric</th><th scope="col">Value</th><th scope="col">95 % interval</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
    model = evaluation.get("model")
    note = f"These metrics are those of another model than this file: the {_text(model)}." if model else ""
    return _section("Evaluation", _flatten(about), note, (table if rows else "") + _list(_flatten(rest)))


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
        if shown > _MAX_ROWS:
            inner += "<dt>...</dt><dd>and more; `osteolite inspect` shows all</dd>"
            break
        inner += f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    return f"<dl>{inner}</dl>" if shown else ""


def _flatten(value: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The name and text of each value in any JSON; a nested value's name starts with the names around it."""
    if isinstance(value, dict) and not _is_interval(value) and depth < _MAX_DEPTH:
        for key, inner in value.items():
            name = _name(str(key))
            yield from _flatten(inner, f"{prefix}, {name}" if prefix else name, depth + 1)
    elif value is not None:
        yield prefix or "value", _text(value, depth)


def _name(key: str) -> str:
    return _NAMES.get(key, key.replace("_", " "))[:_MAX_CHARACTERS]


def _text(value: Any, depth: int = 0) -> str:
    match value:
        case bool():
            text = "yes" if value else "no"
        case float():
            text = _number(value)
        case int():
            text = f"{value:,}" if abs(value) < _MAX_NUMBER else _number(value)
        case dict() if _is_interval(value):
            text = f"{_number(value['value'])} ({_number(value['low'])} to {_number(value['high'])})"
        case list() | dict() if depth >= _MAX_DEPTH:
            text = "..."
        case list():
            text = ", ".join(_text(item, depth + 1) for item in value[:_MAX_ROWS]) or "none"
        case dict():
            text = "; ".join(f"{name} {inner}" for name, inner in islice(_flatten(value, "", depth + 1), _MAX_ROWS))
        case _:
            text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else text[:_MAX_CHARACTERS] + " ..."


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < _MAX_NUMBER else "a very large number"


def _count(value: Any) -> str:
    return f"{len(value):,}" if isinstance(value, list) else "not stated"


def _is_interval(value: Any) -> bool:
    """Whether a value is a metric with its interval."""
    return (
        isinstance(value, dict)
        and {"value", "low", "high"} == set(value)
        and all(isinstance(number, int | float) and not isinstance(number, bool) for number in value.values())
    )
