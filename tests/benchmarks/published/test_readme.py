"""The tables of the README and of the results' pages match the published results."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from osteolite.benchmarks.published.readme import TABLES, filled
from osteolite.edge.errors import UsageError

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
PAGES = (README, ROOT / "edge/models/README.md", ROOT / "benchmarks/results/shipped/README.md")


def readme(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "osteolite.benchmarks.published.readme", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_table_is_on_a_page_and_matches_the_results() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    assert [filled(text) for text in texts] == texts
    assert all(f"<!-- table: {name} -->" in "".join(texts) for name in TABLES)


def test_a_changed_number_is_found_and_rewritten(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    copy = tmp_path / "README.md"
    before, table = text.split("<!-- table: family -->", 1)
    typed = re.sub(r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", "0.999 (0.998 to 1.000)", table, count=1)
    copy.write_text(f"{before}<!-- table: family -->{typed}", encoding="utf-8")
    checked = readme("--check", copy)
    assert checked.returncode == 1
    assert "a table differs from the results" in checked.stderr
    assert "0.999 (0.998" in copy.read_text(encoding="utf-8")
    assert readme(copy).returncode == 0
    assert copy.read_text(encoding="utf-8") == text
    assert readme("--check", copy).returncode == 0


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown table wishes; allowed are family"):
        filled("<!-- table: wishes -->\n\n<!-- end of table -->")


def test_an_empty_table_is_filled_and_the_rest_is_kept() -> None:
    end = "<!-- end of table -->"
    text = filled(f"<!-- table: seeds -->\n{end}\n\nwords\n\n<!-- table: files -->\n\n{end}\n")
    assert text.count("| seed |") == text.count("| model | file |") == text.count("\n\nwords\n\n") == 1
    assert filled(text) == text


def test_a_missing_readme_is_reported(tmp_path: Path) -> None:
    result = readme(tmp_path / "none.md")
    assert result.returncode == 2
    assert "cannot be read" in result.stderr
