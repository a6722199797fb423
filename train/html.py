"""HTML pages from templates; each page is one self-contained file."""

from pathlib import Path
from typing import Any

import jinja2

from osteolite.edge.atomic import write_text


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Render a template of `train/templates/` and write the page.

    All values are escaped. A name that the template uses and `values` lacks is an error.

    Args:
        path: the file to write.
        template: file name of the template.
        values: variables of the template.

    Returns:
        `path`.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("osteolite.train"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    write_text(path, environment.get_template(template).render(**values))
    return path
