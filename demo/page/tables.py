"""Tables and progress bars as HTML. All text from files is escaped."""

from base64 import b64encode
from collections.abc import Iterable
from html import escape
from pathlib import Path

TABLE_CSS = Path(__file__).with_name("table.css").read_text(encoding="utf-8")
SORT_JS = Path(__file__).with_name("sort.js").read_text(encoding="utf-8")

Column = tuple[str, str]  # heading, and the kind: "number", "name", "text" or ""


def table(label: str, columns: list[Column], rows: Iterable[list[str]], sorts: bool = False) -> str:
    """A table that scrolls sideways on a narrow screen.

    Args:
        label: accessible name of the table.
        columns: heading and kind of each column.
        rows: the cells of each row, plain text.
        sorts: whether clicking a heading sorts the table; the component then needs `SORT_JS`.
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


def progress(done: float, total: float, text: str) -> str:
    """A progress bar filled to `done` of `total`, with a line of text."""
    return (
        f'<div class="osteo-progress"><progress max="{total:g}" value="{done:g}" aria-label="Progress"></progress>'
        f"<span>{escape(text)}</span></div>"
    )


def problem(message: str) -> str:
    """An error message in one line."""
    return f'<section class="osteo-card osteo-problem" role="alert"><p>{escape(message)}</p></section>'


def download(text: str, name: str, content: bytes, kind: str) -> str:
    """A link that saves `content`. The link carries the content as a data URI, so the server keeps nothing.

    Args:
        text: the text of the link.
        name: the suggested file name.
        content: the content of the file.
        kind: the MIME type.
    """
    data = b64encode(content).decode()
    return f'<a class="osteo-download" download="{escape(name)}" href="data:{kind};base64,{data}">{escape(text)}</a>'
