"""Sites of a cohort (column ``site``: centre, scanner or protocol): whether models have to know of them."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from thalbids.bids.tabular.counting import natural
from thalbids.errors import some
from thalbids.group.cohort import Cohort, baseline

UNKNOWN = "unknown"


def site_words(values: pd.Series) -> np.ndarray:
    """The site of every row; ``unknown`` where none is given, so that an added covariate costs nobody."""
    return np.array([value if isinstance(value, str) and value else UNKNOWN for value in values], dtype=object)


@functools.lru_cache(maxsize=8)
def people(cohort: Cohort) -> dict[str, int]:
    """Participants of each site by their baseline, in natural order; none where no site is given. Not to be changed."""
    sites = baseline(cohort)["site"]
    counts = sites[sites.map(lambda value: isinstance(value, str) and bool(value))].value_counts()
    return {str(site): int(counts[site]) for site in sorted(counts.index, key=natural)}


def enough(cohort: Cohort) -> list[str]:
    """The sites with as many people as a level of a covariate needs (setting ``group.smallest_level``)."""
    return [site for site, n in people(cohort).items() if n >= cohort.settings.group.smallest_level]


def modelled(cohort: Cohort) -> bool:
    """Whether the site is added to the models: two and more with enough people, and volumes not harmonised."""
    group = cohort.settings.group
    return group.site == "auto" and group.harmonise == "none" and len(enough(cohort)) > 1


def notes(cohort: Cohort) -> list[str]:
    """What to say about the sites."""
    sites = people(cohort)
    if len(sites) < 2:
        return []
    told = ", ".join(f"{site} ({n})" for site, n in sites.items())
    group = cohort.settings.group
    if group.harmonise != "none":
        done = "volumes are harmonised"
    elif modelled(cohort):
        done = (
            "the site is a covariate of the models of clinical scores, of the comparison of diagnosis groups and of "
            "the norms, where it can be told from the others, and a random effect of the mixed models"
        )
    elif group.site == "none":
        done = "no model knows of it (group.site)"
    else:
        done = f"fewer than two have {group.smallest_level} participants, so no model knows of it"
    lines = [f"warning: the data come from {len(sites)} sites, {told}: {done}."]
    scanned = cohort.visits[cohort.visits["has_mri"] & cohort.visits["site"].map(bool)]
    moved = scanned.groupby("participant_id")["site"].nunique()
    names = [str(person) for person in moved.index[moved > 1]]
    if names:
        who = "participant was" if len(names) == 1 else "participants were"
        lines.append(
            f"warning: {len(names)} {who} scanned at several sites ({some(names)}): the change holds the "
            "difference between the sites, which no covariate of the baseline takes out."
        )
    return lines
