"""Files are written completely or not at all."""

import json
import stat
from pathlib import Path

import pytest

from osteolite.edge.atomic import atomic_path, write_json, write_text


@pytest.mark.parametrize("before", ["the old text", None])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_changes_nothing(before: str | None, error: type[BaseException], tmp_path: Path) -> None:
    target = tmp_path / "report.txt"
    if before is not None:
        target.write_text(before)
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == ({"report.txt": before} if before else {})


def test_success_replaces_the_target_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "report.txt"
    for text in ("first", "second"):
        with atomic_path(target) as temporary:
            temporary.write_text(text)
            assert temporary.parent == target.parent  # a rename is atomic only within a file system
            assert temporary != target
        assert target.read_text() == text
    assert [path.name for path in target.parent.iterdir()] == ["report.txt"]


def test_the_target_is_unchanged_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "report.txt"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_a_target_that_cannot_be_replaced_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "report.txt").mkdir()
    with pytest.raises(OSError, match=r"report\.txt"), atomic_path(tmp_path / "report.txt") as temporary:
        temporary.write_text("text")
    assert [path.name for path in tmp_path.iterdir()] == ["report.txt"]


def test_the_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    write_text(tmp_path / "atomic", "text")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ordinary", "atomic")}
    assert len(modes) == 1


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Röntgen\n")
    assert (tmp_path / "a.txt").read_bytes() == b"R\xc3\xb6ntgen\n"


def test_json_is_read_back(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, "é"], "b": {}}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": object()}], ids=["nan", "inf", "object"])
def test_values_that_json_does_not_have_write_nothing(value: object, tmp_path: Path) -> None:
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", value)
    assert not list(tmp_path.iterdir())
