from osteolite.demo import card
from osteolite.edge import Prediction
from osteolite.edge.delegates import Delegation


def prediction(warnings: dict[str, str]) -> Prediction:
    return Prediction("normal", 0.1, 0.4, "m", {"read": 1.0}, Delegation(None, "none", 0, 9), warnings)


def test_every_warning_is_on_the_card_as_text() -> None:
    shown = card.answer(prediction({"coloured": "it has <b>colours</b>", "unfamiliar": "it is strange"}), "int8")
    assert "it has &lt;b&gt;colours&lt;/b&gt;" in shown
    assert "it is strange" in shown
    assert 'role="alert"' in shown


def test_without_a_warning_there_is_no_alert() -> None:
    assert "alert" not in card.answer(prediction({}), "int8")
