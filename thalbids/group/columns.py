"""Columns of the group tables, in order, and what they mean (the JSON beside each table)."""

from __future__ import annotations

import re

from thalbids.bids import names
from thalbids.bids.tables import Column, column, count


def lost_column(reason: str) -> str:
    """The column of ``group_missing`` for a reason in words.

    Examples
    --------
    >>> lost_column("no age")
    'lost_no_age'
    """
    return "lost_" + re.sub(r"[^0-9a-z]+", "_", reason.lower()).strip("_")


METHOD = {
    "method": column(
        "Segmentation method",
        "Name of the method, the same as in the desc- entity of its mask.",
        Levels={item.desc: item.description for item in names.methods()},
    )
}
METHOD2 = {"method2": column("Second method", "The method that is compared with the first.")}
DIAGNOSIS = {
    "diagnosis": column(
        "Diagnosis", 'Diagnosis group at the baseline; "all" is everybody, "unknown" those without a diagnosis.'
    )
}
REASON = {"reason": column("Reason", "Why there is no number, or what to know; n/a when there is nothing to say.")}
STATUS = {
    "status": column(
        "Status",
        "Whether the volume exists and may be used.",
        Levels={
            "ok": "Usable",
            "missing": "Something that the method needs was not there",
            "failed": "The method gave no usable volume",
            "excluded": "Did not pass the quality control, or was excluded by a rater",
        },
    )
}
PAIR = {
    "session_id_baseline": column("Baseline session", "Label of the earlier session with ses-."),
    "session_id_followup": column("Follow-up session", "Label of the later session with ses-."),
}
SESSIONS = {
    "sessions": column(
        "Pair of sessions",
        "Which sessions are compared: first:last (of each participant), consecutive, or two labels.",
    )
}
SPREAD = {
    "n": count("Number of values", "Number of participants (pairs of sessions) with a value."),
    "mean": column("Mean", "Arithmetic mean, in the units of the measure."),
    "sd": column("Standard deviation", "Sample standard deviation (n - 1), in the units of the measure."),
    "median": column("Median", "Median, in the units of the measure."),
    "q1": column("First quartile", "25 % quantile, linear interpolation."),
    "q3": column("Third quartile", "75 % quantile, linear interpolation."),
}
MISSING_KEYS: dict[str, Column] = {
    "analysis": column("Analysis", "Family of models or tables."),
    "outcome": column("Outcome", "Outcome of the model; n/a where there is none."),
    **METHOD,
    "subset": column("Subset", 'Diagnosis group that the analysis is limited to; "all" or n/a for everybody.'),
    **SESSIONS,
    "n_total": count("Candidates", "Participants or pairs of sessions that could enter."),
    "n_used": count("Used", "Those that entered; 0 when the model could not be fitted."),
    "reason": column("Reason", "Why the model could not be fitted; n/a when it was, and where there is no model."),
}
