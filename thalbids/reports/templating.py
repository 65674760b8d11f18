"""The pages' templates."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def template(name: str) -> jinja2.Template:
    """The Jinja2 template of a page; everything that is put in is escaped, and a name that is not given is an error."""
    return _environment().get_template(name)


@cache
def _environment() -> jinja2.Environment:
    """One for all pages, as it keeps the templates that it has compiled."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("thalbids.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
