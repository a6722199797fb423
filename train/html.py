"""HTML pages from the templates; each is one file that needs nothing beside it."""

from pathlib import Path
from typing import Any

import jinja2

from osteolite.edge.atomic import write_text


def write_page(path: Path, template: str, **known: Any) -> Path:
    """Render a template of `train/templates/` with what is `known`, write it, and return its path.

    Whatever comes from the data is escaped; a name that the template uses and nobody gave is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("osteolite.train"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    write_text(path, environment.get_template(template).render(**known))
    return path
