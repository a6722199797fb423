"""The installed runtime."""

import sys

import pytest

from osteolite.edge.errors import MissingExtra
from osteolite.edge.inference.engine import runtime_module, runtime_name


def test_runtime_name_is_package_and_version() -> None:
    name, _, number = runtime_name().partition(" ")
    assert name in ("ai-edge-litert", "tflite-runtime")
    assert number[0].isdigit()


def test_without_a_runtime_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.setitem(sys.modules, f"{module}.interpreter", None)
    with pytest.raises(MissingExtra, match="pip install ai-edge-litert"):
        runtime_module()
