"""The account of the page: sources, errors, comparison."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.demo.server.login import VARIABLE, account_check, read_account
from osteolite.edge.errors import UsageError

TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


def test_account_comes_from_option_file_or_environment(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text("file:secret\n", encoding="utf-8-sig")
    environment = {VARIABLE: "variable:secret"}
    assert read_account(None, None, {}) is None
    assert read_account(None, None, environment) == ("variable", "secret")
    assert read_account("option:se:cret ", None, environment) == ("option", "se:cret ")
    assert read_account(None, str(file), environment) == ("file", "secret")


@pytest.mark.parametrize("text", ["", ":", "ada", "ada:", ":secret", " :secret", "ada:sec\nret", "ada:sec\x00ret"])
def test_malformed_account_is_an_error_without_the_password(text: str, tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text(text)
    for option, where, environment in ((text, None, {}), (None, str(file), {}), (None, None, {VARIABLE: text})):
        with pytest.raises(UsageError, match="give USER:PASSWORD") as caught:
            read_account(option, where, environment)
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff:\xfe", b"a:" + b"b" * 5000])
def test_unreadable_account_file_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "auth"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match="give a file with USER:PASSWORD"):
        read_account(None, str(file), {})


def test_option_and_file_together_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both"):
        read_account("ada:secret", str(tmp_path / "auth"), {})


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_only_the_account_matches(user: str, password: str, other: str, another: str) -> None:
    matches = account_check((user, password))
    assert matches(user, password)
    assert matches(other, another) == ((other, another) == (user, password))
    assert matches(user, another) == (another == password)
    assert matches(other, password) == (other == user)
    assert not matches(user, "")
