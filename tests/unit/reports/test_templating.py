"""Templates escape what is put in, and a name that is not given is an error."""

from __future__ import annotations

import jinja2
import pytest

from thalbids.reports.templating import template


def test_a_page_needs_all_its_names() -> None:
    with pytest.raises(jinja2.UndefinedError):
        template("rating.html").render()


def test_text_is_escaped() -> None:
    environment = template("rating.html").environment
    assert environment.from_string("{{ x }}").render(x="<b>&") == "&lt;b&gt;&amp;"


def test_a_template_is_compiled_once() -> None:
    assert template("rating.html") is template("rating.html")
