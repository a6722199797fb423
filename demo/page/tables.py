"""Tables and progress as HTML: whatever comes from a file is escaped."""

from base64 import b64encode
from collections.abc import Iterable
from html import escape
from pathlib import Path

TABLE_CSS = Path(__file__).with_name("table.css").read_text(encoding="utf-8")
SORT_JS = Path(__file__).with_name("sort.js").read_text(encoding="utf-8")

Column = tuple[str, str]  # heading, and "number", "name", "text" or nothing


def table(label: str, columns: list[Column], rows: Iterable[list[str]], sorts: bool = False) -> str:
    """A table that scrolls sideways where the screen is narrow.

    Args:
        label: what it shows, for those who do not see it.
        columns: of the table.
        rows: their cells, plain text.
        sorts: whether a press on a heading sorts; the component then needs `SORT_JS`.
    """
    kinds = [f' class="osteo-{kind}"' if kind else "" for _, kind in columns]
    headings = [f'<button type="button">{escape(name)}</button>' if sorts else escape(name) for name, _ in columns]
    head = "".join(f'<th scope="col"{kind}>{heading}</th>' for kind, heading in zip(kinds, headings, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="osteo-frame" role="region" tabindex="0" aria-label="{escape(label)}"><table class="osteo-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def progress(done: float, of: float, text: str) -> str:
    """A bar that is `done` of `of` long, and what goes on."""
    return (
        f'<div class="osteo-progress"><progress max="{of:g}" value="{done:g}" aria-label="Progress"></progress>'
        f"<span>{escape(text)}</span></div>"
    )


def problem(message: str) -> str:
    """One line that says what went wrong."""
    return f'<section class="osteo-card osteo-problem" role="alert"><p>{escape(message)}</p></section>'


def download(text: str, name: str, content: bytes, kind: str) -> str:
    """A link that saves `content`, which it carries itself: the server keeps nothing."""
    data = b64encode(content).decode()
    return f'<a class="osteo-download" download="{escape(name)}" href="data:{kind};base64,{data}">{escape(text)}</a>'
