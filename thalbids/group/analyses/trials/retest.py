"""How well a volume, or a change by registration, comes back: repeated scans of one visit (runs, or sessions marked as
rescans).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Column, Table, column, count, table
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD, REASON, STATUS
from thalbids.group.modelling.registered import CHANGE_MEASURE, REGISTRATION, by_registration, measure_of, with_measure
from thalbids.group.statistics.concordance import retest
from thalbids.reports.group.beyond import View
from thalbids.types import Estimate

MEASURES = {"total": "volume_ml", "left": "volume_left_ml", "right": "volume_right_ml"}
OF_VOLUMES = ("icc_a1", "icc_c1")  # they compare a scan with a measurement of its own
NO_ICC = "by registration the later volume is the earlier one times the change: not measured by itself"
RETEST: dict[str, Column] = {
    **METHOD,
    "measure": column("Measure", "Volume of both thalami, of the left or of the right."),
    "quantity": column(
        "Quantity",
        "What is estimated.",
        Levels={
            "sem": "Standard deviation within sessions, pooled (mL)",
            "cv_percent": "The same of volumes in percent of their session's mean",
            "sdc": "Smallest detectable change, 1.96 sqrt(2) sem (mL)",
            "sdc_percent": "The same in percent",
            "icc_a1": "Intraclass correlation, absolute agreement, of the first two scans",
            "icc_c1": "Intraclass correlation, consistency, of the first two scans",
            "bias": "Mean difference, second minus first scan (mL)",
            "loa_low": "Lower limit of agreement, bias - 1.96 SD (mL)",
            "loa_high": "Upper limit of agreement, bias + 1.96 SD (mL)",
        },
    ),
    "estimate": column("Estimate", "In the units of the quantity."),
    "ci_low": column("Lower bound", "Of the 95 % interval."),
    "ci_high": column("Upper bound", "Of the 95 % interval."),
    "n": count("Number of sessions", "With two and more usable scans."),
    "n_scans": count("Number of scans", "Of those sessions."),
    **REASON,
    **CHANGE_MEASURE,
}
SCANS: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    "scan": column("Scan", "Which of the session's scans: its run, or the label of the session that is a rescan."),
    **METHOD,
    "volume_ml": column("Thalamus volume", "Left and right.", "mL"),
    "volume_left_ml": column("Left thalamus volume", "Volume of the left thalamus.", "mL"),
    "volume_right_ml": column("Right thalamus volume", "Volume of the right thalamus.", "mL"),
    **STATUS,
    **REASON,
    **CHANGE_MEASURE,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_retest`` and the scans behind it, by registration last; no rows where nobody was scanned twice."""
    moved = by_registration(cohort)
    repeats = pd.concat([one.repeats for one in (cohort, moved) if one is not None], ignore_index=True)
    rows: list[dict[str, Any]] = []
    good = repeats[repeats["status"] == "ok"] if len(repeats) else repeats
    for method in dict.fromkeys(good["method"]):
        of_method = good[good["method"] == method]
        for measure, name in MEASURES.items():
            groups = of_method.groupby(["participant_id", "session_id"], sort=False)[name]
            sessions = [values.dropna().to_numpy(dtype=np.float64) for _, values in groups]
            several = [values for values in sessions if values.size > 1]
            sizes = {"n": len(several), "n_scans": sum(values.size for values in several)}
            for quantity, estimate in retest.retest(sessions).items():
                if quantity in OF_VOLUMES and measure_of(method) == REGISTRATION:
                    estimate = Estimate(reason=NO_ICC)
                numbers = {"estimate": estimate.estimate, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
                key = {"method": method, "measure": measure, "quantity": quantity}
                rows.append({**key, **numbers, **sizes, "reason": estimate.reason})
    measures = [measure_of(method) for method in repeats["method"]]
    scans = repeats.rename(columns={"entities": "scan"}).assign(change_measure=measures)[list(SCANS)]
    return [table("group_retest", with_measure(rows), RETEST), Table("group_retest_scans", scans, SCANS)]


VIEW = View(
    "Test-retest of repeated scans",
    {"measure": ("total",)},
    ("method", "quantity", "estimate", "ci_low", "ci_high", "n", "n_scans", "reason"),
)
ANALYSIS = Analysis("retest", tables, views={"retest": VIEW}, told=("retest_scans",))
