"""Every rule that is switched off says why, on its own line."""

import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("edge", "train", "convert", "benchmarks", "demo", "tests")
WITH_A_REASON = re.compile(r"# (noqa: [A-Z]+\d+(, [A-Z]+\d+)* - |type: ignore\[[a-z-]+(, [a-z-]+)*\]  # )\w")


def comments(path: Path) -> Iterator[tuple[int, str]]:
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def test_every_ignored_rule_in_the_code_has_a_reason() -> None:
    without = [
        f"{path.relative_to(ROOT)}:{line}: {comment}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, comment in comments(path)
        if re.match(r"#\s*(noqa|type:\s*ignore)", comment) and not WITH_A_REASON.match(comment)
    ]
    assert without == []


def test_every_ignored_rule_of_the_project_has_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(text)["tool"]["ruff"]["lint"]
    ignored = [*settings["ignore"], *(rule for rules in settings["per-file-ignores"].values() for rule in rules)]
    assert ignored
    assert [rule for rule in ignored if not re.search(rf'^    "{rule}",  # \w', text, re.MULTILINE)] == []
