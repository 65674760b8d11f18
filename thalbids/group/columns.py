"""Columns of the group tables, in order, and what they mean (the JSON beside each table)."""

from __future__ import annotations

import re

from thalbids.bids import names
from thalbids.bids.tables import PARTICIPANT, SESSION, Column, column, count


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
VOLUMES: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    **METHOD,
    "image": column("Image segmented", "T1w, FLAIR, R1map, or ensemble of several."),
    "volume_ml": column("Thalamus volume", "Volume of the mask, left and right.", "mL"),
    "volume_left_ml": column("Left thalamus volume", "Volume of the left thalamus.", "mL"),
    "volume_right_ml": column("Right thalamus volume", "Volume of the right thalamus.", "mL"),
    "icv_ml": column("Intracranial volume", "Intracranial volume of the session.", "mL"),
    "icv_source": column("Source of the intracranial volume", "The same for every session of the table."),
    "diagnosis": column("Diagnosis", "Diagnosis group at this session; n/a when unknown."),
    "baseline": column(
        "Baseline",
        "Whether this is the participant's first session (by date, else by label) with a usable volume of any method.",
        Levels={"true": "It is: the session of the cross-sectional analyses", "false": "It is not"},
    ),
    **STATUS,
    **REASON,
}
_ASYMMETRY = "2 (left - right) / (left + right): positive when the left is larger."
CHANGE: dict[str, Column] = {
    **PARTICIPANT,
    **PAIR,
    "interval_years": column(
        "Interval", "Days between the acquisitions / 365.25; n/a where a session has no date.", "year"
    ),
    **METHOD,
    "volume_baseline_ml": column("Volume at baseline", "Thalamus volume at the baseline session.", "mL"),
    "volume_followup_ml": column("Volume at follow-up", "Thalamus volume at the follow-up session.", "mL"),
    "delta_ml": column("Change", "Follow-up minus baseline; negative is loss.", "mL"),
    "delta_percent": column("Change in percent", "100 (follow-up - baseline) / baseline.", "percent"),
    "delta_percent_per_year": column(
        "Annualised change", "Change in percent divided by the interval.", "percent per year"
    ),
    "delta_left_ml": column("Change of the left", "Left thalamus, follow-up minus baseline.", "mL"),
    "delta_left_percent": column("Change of the left in percent", "As delta_percent, left thalamus.", "percent"),
    "delta_left_percent_per_year": column(
        "Annualised change of the left", "As delta_percent_per_year, left thalamus.", "percent per year"
    ),
    "delta_right_ml": column("Change of the right", "Right thalamus, follow-up minus baseline.", "mL"),
    "delta_right_percent": column("Change of the right in percent", "As delta_percent, right thalamus.", "percent"),
    "delta_right_percent_per_year": column(
        "Annualised change of the right", "As delta_percent_per_year, right thalamus.", "percent per year"
    ),
    "asymmetry_baseline": column("Asymmetry at baseline", _ASYMMETRY),
    "asymmetry_followup": column("Asymmetry at follow-up", _ASYMMETRY),
    "delta_asymmetry": column("Change of the asymmetry", "Asymmetry at follow-up minus that at baseline."),
    "diagnosis": column("Diagnosis", "Diagnosis group at the baseline; n/a when unknown."),
    **SESSIONS,
    **REASON,
}
CHANGE_SUMMARY: dict[str, Column] = {
    **METHOD,
    **DIAGNOSIS,
    "measure": column("Measure", "Column of group_change that is summarised; its units apply."),
    **SPREAD,
    **SESSIONS,
}
CHANGE_TESTS: dict[str, Column] = {
    **METHOD,
    **METHOD2,
    "n": count("Number of pairs", "Pairs of sessions with both methods' change."),
    "n_zero": count("Number of zeros", "Differences of 0, which the test drops."),
    "statistic": column("Statistic", "Wilcoxon signed-rank statistic: the smaller sum of ranks."),
    "p": column("p value", "Two-sided."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over all pairs of methods."),
    "median_difference": column(
        "Median difference", "Median of the first method's change in percent minus the second's.", "percent"
    ),
    **SESSIONS,
    **REASON,
}
DESCRIPTIVES: dict[str, Column] = {
    "variable": column(
        "Variable",
        "What is described: a clinical variable, the change of one (d_), a share (female, steroid: 1 is yes), the "
        "interval, the number of trials behind the mean of a timed test, or volume_ml of a method.",
    ),
    **METHOD,
    **DIAGNOSIS,
    **SPREAD,
    "sample": column(
        "Sample",
        "Whose values.",
        Levels={
            "baseline": "First session with a usable volume of each participant",
            "followed": "The same of participants with a later session, and their change to it",
        },
    ),
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
CONFLICTS: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    "variable": column("Variable", "Clinical variable."),
    "value": column("Value used", "That of the table that comes first: scans, sessions, phenotype, participants."),
    "source": column("Its table", "File, row and column."),
    "other_value": column("Other value", "What another table says."),
    "other_source": column("Its table", "File, row and column."),
}
