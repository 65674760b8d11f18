"""The pages' templates."""

from __future__ import annotations

from typing import Any


def template(name: str) -> Any:
    """The Jinja2 template of a page; everything that is put in is escaped, and a name that is not given is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("thalbids.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
