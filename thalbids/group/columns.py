"""Columns that tables of the group level share, and what they mean (the JSON beside each table)."""

from __future__ import annotations

import re

from thalbids.bids.results import names
from thalbids.bids.tabular.tables import Column, column, count


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
EXACT = {
    "p_exact": column(
        "Exact p", "Two-sided, over all signs of the ranks, ties included; for up to 25 differences, or all on request."
    ),
}
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
PAIR_STATUS = {
    "status": column(
        "Status",
        "Whether a change between the two visits may be taken.",
        Levels={
            "ok": "It may",
            "missing": "A visit has no volume",
            "failed": "The method gave no usable volume of a visit",
            "excluded": "A volume, or the pair of visits, did not pass the quality control of the participant level, "
            "or was excluded by a rater",
        },
    )
}
PAIR = {
    "session_id_baseline": column("Baseline session", "Label of the earlier session with ses-."),
    "session_id_followup": column("Follow-up session", "Label of the later session with ses-."),
}
COMPARABLE = {
    "comparable": column(
        "Comparable",
        "Whether the two visits were acquired alike, by their QC documents.",
        Levels={"yes": "Nothing was flagged", "no": "See remark", "n/a": "Not known of both sessions"},
    ),
    "remark": column("Remark", "Why a change between the two may be none of the thalamus; n/a when there is nothing."),
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
OUTCOME = {
    "outcome": column(
        "Outcome",
        "Clinical score that is explained; d_ stands for its change, follow-up minus baseline.",
        Levels={
            "edss": "Expanded Disability Status Scale",
            "t25fw": "Timed 25-foot walk, mean of the trials (s)",
            "nhpt": "Nine-hole peg test, mean of the trials (s)",
            "sdmt": "Symbol digit modalities test, correct answers",
            "disease_duration": "Years since the first symptoms",
        },
    )
}
SUBSET = {"subset": column("Subset", 'Diagnosis group that the model is limited to; "all" is everybody.')}
MEASURE = {
    "measure": column(
        "Measure",
        "Volume that is the predictor.",
        Levels={
            "total": "Left and right thalamus",
            "left": "Left thalamus",
            "right": "Right thalamus",
            "asymmetry": "2 (left - right) / (left + right)",
        },
    )
}
SENSITIVITY = {
    "sensitivity": column(
        "Sensitivity analysis",
        "What was done to the change of volume before the fit.",
        Levels={
            "none": "Nothing",
            "winsor_1_99": "Clipped at its 1 % and 99 % quantiles (linear) over all changes, before deletion",
            "winsor_5_95": "Clipped at its 5 % and 95 % quantiles (linear) over all changes, before deletion",
        },
    )
}
TERM = {
    "term": column(
        "Term",
        "Coefficient of the model.",
        Levels={
            "volume_ml": "Thalamus volume (mL)",
            "delta_volume_ml": "Change of the volume, follow-up minus baseline (mL); positive is less loss",
            "delta_volume_ml_per_year": "The same per year",
            "asymmetry": "Asymmetry of the volumes",
            "delta_asymmetry": "Change of the asymmetry",
            "age": "Age at the baseline visit (years)",
            "sex": "1 for male, 0 for female",
            "icv_z": "Intracranial volume at the baseline session, standardised with the mean and SD (n - 1) of "
            "everybody in the analysis, before any subset or deletion",
            "steroid": "1 when treated with corticosteroids after the baseline visit up to the follow-up, else 0",
            "interval_years": "Years between the visits",
            "NAME[LEVEL]": "Level of a categorical covariate (site, diagnosis ...) against the reference, see levels",
            "intercept": "Intercept",
        },
    )
}
ESTIMATE = {
    "estimate": column(
        "Coefficient", "Change of the outcome (of its logarithm where transform is log) per unit of the term."
    ),
    "se": column("Standard error", "By the covariance of cov_type."),
    "ci_low": column("Lower bound", "Of the 95 % confidence interval."),
    "ci_high": column("Upper bound", "Of the 95 % confidence interval."),
    "statistic": column("Statistic", "Coefficient / standard error, of the distribution in reference."),
    "p": column("p value", "Two-sided."),
}
FORMULA = {
    "formula": column("Formula", "The model that was fitted: outcome ~ volume + covariates; an intercept is in it."),
    "left_out": column(
        "Left out", "Covariates that were asked for and are not in the model, with the reason; n/a when there are none."
    ),
    "levels": column(
        "Levels",
        "Levels of the categorical covariates; the term NAME[LEVEL] is 1 for its level, 0 for others. Small levels are "
        "put together as other, or with the reference.",
    ),
}
FITTED: dict[str, Column] = {
    "transform": column(
        "Transformation",
        "log: the natural logarithm of the outcome is modelled; ordinal: proportional odds, coefficients are log odds "
        "of a higher value.",
    ),
    "cov_type": column(
        "Covariance", "nonrobust (classical), HC3 (robust against unequal variances), or ML (proportional odds)."
    ),
    "reference": column("Reference distribution", "t with the residual degrees of freedom, or z (normal)."),
    **TERM,
    **ESTIMATE,
    "p_fdr": column(
        "Adjusted p value",
        "Benjamini-Hochberg over all methods x outcomes of the subset; on the term of the volume only.",
    ),
    "p_fdr_outcome": column(
        "Adjusted p value within the outcome", "Benjamini-Hochberg over the methods; on the term of the volume only."
    ),
    "partial_r2": column(
        "Partial R2", "Share of the variance left by the other terms that this term explains; from the classical t."
    ),
    "beta_std": column("Standardised coefficient", "Coefficient x SD(term) / SD(outcome), over the rows used."),
    "n": count("Number of rows", "Participants (pairs of visits) with every value of the model."),
    "r2": column("R2", "Share of the variance of the outcome that the model explains."),
    "sign": column(
        "Sign",
        "expected: a larger volume (less loss) goes with less disability; opposite: with more. Volume term only.",
    ),
    "warning": column("Warning", "Caveat where the sign is opposite and p_fdr below 0.05."),
    **REASON,
    **FORMULA,
}
