"""Who was measured where and when: sites, and baselines that are not the first session."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from thalbids.bids.tabular.tables import PARTICIPANT, Column, Table, column, count, table
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort, baseline, visit_pairs
from thalbids.group.columns import REASON
from thalbids.group.modelling import sites
from thalbids.reports.group.beyond import View

SITES: dict[str, Column] = {
    "site": column("Site", "Centre, scanner or protocol, from the clinical tables."),
    "n_participants": count("Participants", "With this site at their baseline."),
    "n_sessions": count("Sessions", "With a usable volume at this site."),
    "role": column(
        "Role",
        "What the clinical models make of the site.",
        Levels={
            "level": "A level of the covariate site",
            "pooled": "Too few people: put together with other small sites, or with the most frequent",
            "none": "No model knows of it",
        },
    ),
}
BASELINES: dict[str, Column] = {
    **PARTICIPANT,
    "session_id_first": column("First session", "First session of the derivatives, which has no usable volume."),
    "session_id": column("Baseline", "Session that is the baseline instead; n/a where the person has none."),
    "years_later": column("Years later", "Between both sessions; n/a without both dates.", "year"),
    **REASON,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_sites`` and ``group_baselines``."""
    moved = baselines(cohort)
    notes = [*_moved(moved), *_outside(cohort)]
    group = cohort.settings.group
    choices = {"baseline": group.baseline, "followup_from": group.followup_from, "followup_to": group.followup_to}
    return [
        table("group_sites", places(cohort), SITES, settings={"smallest_level": group.smallest_level}),
        table("group_baselines", moved, BASELINES, settings=choices, notes=notes),
    ]


def places(cohort: Cohort) -> list[dict[str, Any]]:
    """Rows of ``group_sites``."""
    scanned = cohort.visits[cohort.visits["has_mri"]]
    sessions = scanned["site"].value_counts()
    enough, modelled = sites.enough(cohort), sites.modelled(cohort)
    return [
        {
            "site": site,
            "n_participants": n,
            "n_sessions": int(sessions[site]),
            "role": "none" if not modelled else "level" if site in enough else "pooled",
        }
        for site, n in sites.people(cohort).items()
    ]


def baselines(cohort: Cohort) -> list[dict[str, Any]]:
    """Rows of ``group_baselines``: people whose first session in the derivatives is not their baseline."""
    keys = ["participant_id", "session_id"]
    known = cohort.volumes.drop_duplicates(keys)[keys].merge(cohort.visits[[*keys, "order", "years"]], on=keys)
    first = known.sort_values(["participant_id", "order"], kind="stable").drop_duplicates("participant_id")
    base = baseline(cohort)[[*keys, "years"]]
    both = first.merge(base, on="participant_id", how="left", suffixes=("_first", ""))
    failed = cohort.volumes[cohort.volumes["status"] != "ok"]
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for person, session, status, reason in failed[[*keys, "status", "reason"]].itertuples(index=False, name=None):
        reasons.setdefault((person, session), {})[f"{status} ({reason})" if reason else status] = None
    rows = []
    chosen = "ses-" + cohort.settings.group.baseline.removeprefix("ses-")
    for row in both[both["session_id_first"] != both["session_id"]].to_dict("records"):
        if row["session_id"] == chosen:
            continue  # as the settings ask for
        told = (
            "; ".join(reasons.get((row["participant_id"], row["session_id_first"]), ()))
            or "not the session that the settings ask for"
        )
        rows.append(
            {
                "participant_id": row["participant_id"],
                "session_id_first": row["session_id_first"],
                "session_id": row["session_id"] if isinstance(row["session_id"], str) else "",
                "years_later": row["years"] - row["years_first"],
                "reason": told,
            }
        )
    return rows


def _moved(rows: Iterable[dict[str, Any]]) -> list[str]:
    later = [row for row in rows if row["session_id"]]
    without = [row for row in rows if not row["session_id"]]
    lines = []
    for people, what in ((later, "is not their first session"), (without, "is missing")):
        if people:
            names = [f"{row['participant_id']} {row['session_id']}".strip() for row in people[:5]]
            shown = ", ".join(names) + (" ..." if len(people) > 5 else "")
            lines.append(f"warning: the baseline of {len(people)} participants {what}: {shown} (group_baselines).")
    return lines


def _outside(cohort: Cohort) -> list[str]:
    """How many pairs of sessions the window of the settings costs."""
    group = cohort.settings.group
    if group.followup_from == 0 and group.followup_to is None:
        return []
    every = replace(
        cohort, settings=replace(cohort.settings, group=replace(group, followup_from=0.0, followup_to=None))
    )
    lines = []
    for pair in group.pairs:
        n, total = len(visit_pairs(cohort, pair)), len(visit_pairs(every, pair))
        if n < total:
            high = "any" if group.followup_to is None else f"{group.followup_to:g}"
            window = f"{group.followup_from:g} to {high} years"
            lines.append(f"warning: {total - n} of {total} pairs ({pair}) have no follow-up after {window}.")
    return lines


VIEWS = {
    "sites": View("Sites"),
    "baselines": View("People whose baseline is not their first session, or who have none"),
}
ANALYSIS = Analysis("who", tables, views=VIEWS)
