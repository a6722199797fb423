"""The model card for any content of a model file."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteolite.demo.page.model_card import model_card
from osteolite.edge import ModelDescription
from osteolite.edge.modelfile.archive import read_description
from osteolite.edge.modelfile.shipped import shipped_model

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just("<b>&"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "<b>", "value"]), inner),
    max_leaves=12,
)
SECTIONS = [
    "intended_use",
    "attribution",
    "training",
    "evaluation",
    "versions",
    "audit",
    "probability_calibration",
    "quantisation_calibration",
    "out_of_distribution",
    "gate",
]
LARGE = 10**400
DEEP: list[Any] = []
for _ in range(900):
    DEEP = [DEEP, {"deep": DEEP}]


def described(values: dict[str, Any]) -> ModelDescription:
    base = read_description(shipped_model())
    assert isinstance(base, ModelDescription)
    return ModelDescription(base.name, base.variant, base.preprocessing, base.threshold, details=values)


def test_card_of_the_shipped_model_has_its_facts() -> None:
    path = shipped_model()
    details = read_description(path).details
    html = model_card(path, read_description(path))
    for text in (
        hashlib.sha256(path.read_bytes()).hexdigest(),
        "research only; no medical device",
        "doi:10.1038/s41597-023-02432-4",
        "float32 Keras model before conversion",
        "<dt>width</dt><dd>320</dd>",
        "<dt>rule</dt><dd>youden</dd>",
        "<dt>features</dt><dd>192</dd>",
        f"<dt>agreement</dt><dd>{details['gate']['agreement']:.4g}</dd>",
        "<dt>tensorflow</dt>",
    ):
        assert text in html
    auroc = details["evaluation"]["auroc"]
    row = f"<td>{auroc['value']:.4g}</td><td>{auroc['low']:.4g} to {auroc['high']:.4g}</td>"
    assert f'<th scope="row">AUROC</th>{row}' in html
    assert "operating points" not in html
    assert len(html) < 30_000


def test_file_without_details_has_a_card(tiny_model: Path) -> None:
    html = model_card(tiny_model, read_description(tiny_model))
    assert "tiny_float32" in html
    assert "not stated; use it for research only" in html
    assert html.count("The file does not say.") >= 5


def test_card_reports_a_missing_file(tmp_path: Path) -> None:
    assert "no longer there" in model_card(tmp_path / "gone.tflite", described({}))


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(SECTIONS), JSON))
def test_any_content_is_escaped(values: dict[str, Any]) -> None:
    html = model_card(Path("none.tflite"), described(values))
    assert "<b>" not in html


@pytest.mark.parametrize(
    "value",
    [
        ["x" * 1000] * 100,
        {str(n): n for n in range(100_000)},
        "x" * 10**6,
        LARGE,
        {"figure": {"value": LARGE, "low": -LARGE, "high": 0.5}},
        DEEP,
    ],
    ids=["long list", "many names", "long text", "large", "large interval", "deep"],
)
def test_card_size_is_limited(value: Any) -> None:
    html = model_card(Path("none.tflite"), described(dict.fromkeys(SECTIONS, value)))
    assert len(html) < 200_000
