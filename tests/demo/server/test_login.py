"""Where the page's name and password come from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteolite.demo.server.login import VARIABLE, account_of, check
from osteolite.edge.errors import UsageError

TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


def test_it_is_given_or_in_a_file_or_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text("filed:secret\n", encoding="utf-8-sig")
    environment = {VARIABLE: "known:secret"}
    assert account_of(None, None, {}) is None
    assert account_of(None, None, environment) == ("known", "secret")
    assert account_of("given:se:cret ", None, environment) == ("given", "se:cret ")
    assert account_of(None, str(file), environment) == ("filed", "secret")


@pytest.mark.parametrize("text", ["", ":", "ada", "ada:", ":secret", " :secret", "ada:sec\nret", "ada:sec\x00ret"])
def test_another_form_is_an_error_that_repeats_no_password(text: str, tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text(text)
    for option, where, environment in ((text, None, {}), (None, str(file), {}), (None, None, {VARIABLE: text})):
        with pytest.raises(UsageError, match="give USER:PASSWORD") as caught:
            account_of(option, where, environment)
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff:\xfe", b"a:" + b"b" * 5000])
def test_a_file_that_is_none_says_so(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "auth"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match="give a file with USER:PASSWORD"):
        account_of(None, str(file), {})


def test_given_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both"):
        account_of("ada:secret", str(tmp_path / "auth"), {})


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_only_the_account_itself_is_let_in(user: str, password: str, other: str, another: str) -> None:
    matches = check((user, password))
    assert matches(user, password)
    assert matches(other, another) == ((other, another) == (user, password))
    assert matches(user, another) == (another == password)
    assert matches(other, password) == (other == user)
    assert not matches(user, "")
