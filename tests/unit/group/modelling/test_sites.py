"""Sites: who was scanned where."""

from __future__ import annotations

from tests.people import make_cohort
from thalbids.group.analyses.description import who


def test_sites_are_counted_and_a_change_of_site_is_named() -> None:
    visits, volumes = [], []
    for i in range(14):
        for order in (0, 1):
            key = {"participant_id": f"sub-{i:02d}", "session_id": f"ses-{order + 1}"}
            site = "A" if i < 7 else "B" if i < 12 else "C"
            visits.append({**key, "order": order, "site": "B" if (i, order) == (0, 1) else site})
            volumes.append({**key, "method": "first", "volume_ml": 10.0 + i})
    cohort = make_cohort(visits, volumes)
    rows = {row["site"]: row for row in who.tables(cohort)[0].frame.to_dict("records")}
    assert {site: (row["n_participants"], row["n_sessions"], row["role"]) for site, row in rows.items()} == {
        "A": (7, 13, "level"), "B": (5, 11, "level"), "C": (2, 4, "pooled"),
    }  # fmt: skip
    from thalbids.group.modelling import sites

    first, second = sites.notes(cohort)
    assert first.startswith("warning: the data come from 3 sites, A (7), B (5), C (2): the site is a covariate")
    assert "1 participant was scanned at several sites (sub-00)" in second
