"""The story of the group report: per section what is seen in a sentence, figures, a compact table, and the caveats.

Every number comes from a table of the folder. A section without data says why.
"""

from __future__ import annotations

from collections.abc import Callable

from thalbids.reports.group.group_data import Tables
from thalbids.reports.group.sections.base import MOST_ROWS, Section, Shown
from thalbids.reports.group.sections.beyond import beyond
from thalbids.reports.group.sections.change import change, pbvc, volumes
from thalbids.reports.group.sections.manual import agreement, containment, overlaps
from thalbids.reports.group.sections.models import cross_sectional, longitudinal, sensitivity
from thalbids.reports.group.sections.people import people

__all__ = ["MOST_ROWS", "Section", "Shown", "story"]


def story(tables: Tables) -> list[Section]:
    """All sections in the order of the paper."""
    makers: tuple[Callable[[Tables], Section], ...] = (
        people,
        volumes,
        overlaps,
        containment,
        agreement,
        cross_sectional,
        change,
        pbvc,
        longitudinal,
        sensitivity,
        beyond,
    )
    return [make(tables) for make in makers]
