"""Columns of the tables of clinical models and of what goes beyond the paper, in order, and what they mean."""

from __future__ import annotations

from thalbids.bids.tables import PARTICIPANT, SESSION, Column, column, count
from thalbids.group.columns import DIAGNOSIS, METHOD, METHOD2, REASON, SESSIONS

_OUTCOME = {
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
_SUBSET = {"subset": column("Subset", 'Diagnosis group that the model is limited to; "all" is everybody.')}
_MEASURE = {
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
_SENSITIVITY = {
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
_TERM = {
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
            "intercept": "Intercept",
        },
    )
}
_ESTIMATE = {
    "estimate": column(
        "Coefficient", "Change of the outcome (of its logarithm where transform is log) per unit of the term."
    ),
    "se": column("Standard error", "By the covariance of cov_type."),
    "ci_low": column("Lower bound", "Of the 95 % confidence interval."),
    "ci_high": column("Upper bound", "Of the 95 % confidence interval."),
    "statistic": column("Statistic", "Coefficient / standard error, of the distribution in reference."),
    "p": column("p value", "Two-sided."),
}
_FITTED: dict[str, Column] = {
    "transform": column("Transformation", "log: the natural logarithm of the outcome is modelled."),
    "cov_type": column("Covariance", "nonrobust (classical) or HC3 (robust against unequal variances)."),
    "reference": column("Reference distribution", "t with the residual degrees of freedom, or z (normal, with HC3)."),
    **_TERM,
    **_ESTIMATE,
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
    "warning": column("Warning", "Caveat where the sign is opposite and the interval leaves out zero."),
    **REASON,
}
CROSSSECTIONAL: dict[str, Column] = {**_OUTCOME, **METHOD, **_SUBSET, **_SENSITIVITY, **_MEASURE, **_FITTED}
LONGITUDINAL: dict[str, Column] = {**_OUTCOME, **METHOD, **_SUBSET, **_SENSITIVITY, **_MEASURE, **SESSIONS, **_FITTED}
ANNUALISED: dict[str, Column] = LONGITUDINAL
SIDES: dict[str, Column] = {
    "analysis": column("Analysis", "crosssectional or longitudinal: the model that the measure enters."),
    **LONGITUDINAL,
}
ORDINAL: dict[str, Column] = {
    **METHOD,
    "threshold": column(
        "Threshold",
        "Which change of EDSS counts as improved or worse.",
        Levels={"any": "Any change", "ge1": "At least one point"},
    ),
    **_SUBSET,
    **SESSIONS,
    "term": column(
        "Term",
        "Coefficient of the model, as in group_longitudinal, or a threshold between two categories.",
        Levels={**_TERM["term"]["Levels"], "threshold_A_B": "Log odds between two categories when every term is 0"},  # type: ignore[dict-item]
    ),
    **_ESTIMATE,
    "estimate": column(
        "Coefficient",
        "Change of the log odds of a worse category per unit of the term (statsmodels' sign: positive is worse).",
    ),
    "p_fdr": column(
        "Adjusted p value", "Benjamini-Hochberg over the methods of a threshold and subset; volume term only."
    ),
    "odds_ratio": column("Odds ratio", "exp(coefficient): odds of a worse category per unit of the term."),
    "n": count("Number of rows", "Pairs of visits with every value of the model."),
    "n_improved": count("Improved", "Rows with a lower EDSS at follow-up."),
    "n_stable": count("Stable", "Rows without such a change."),
    "n_worse": count("Worse", "Rows with a higher EDSS at follow-up."),
    "sign": _FITTED["sign"],
    "warning": _FITTED["warning"],
    **REASON,
}
PBVC: dict[str, Column] = {
    **METHOD,
    **SESSIONS,
    "r": column("Correlation", "Pearson's r between the change of the thalamus and PBVC, both in percent."),
    "ci_low": column("Lower bound", "Of the 95 % interval, by Fisher's z."),
    "ci_high": column("Upper bound", "Of the 95 % interval, by Fisher's z."),
    "p": column("p value", "Two-sided, t distribution."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over the methods."),
    "n": count("Number of pairs", "Participants with both."),
    **REASON,
}
PBVC_TESTS: dict[str, Column] = {
    **METHOD,
    **METHOD2,
    **SESSIONS,
    "test": column(
        "Test",
        "Test of equal correlations with PBVC.",
        Levels={"williams": "Williams' t, n - 3 degrees of freedom", "steiger": "Steiger's z with pooled correlation"},
    ),
    "difference": column("Difference", "Correlation of the first method minus that of the second."),
    "ci_low": column("Lower bound", "Of the 95 % interval of the difference (Zou 2007)."),
    "ci_high": column("Upper bound", "Of the 95 % interval of the difference (Zou 2007)."),
    "statistic": column("Statistic", "t or z."),
    "p": column("p value", "Two-sided."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over the pairs of methods, per test."),
    "n": count("Number of participants", "With PBVC and both methods' change."),
    "r": column("Correlation of the first method", "With PBVC, over the same people."),
    "r2": column("Correlation of the second method", "With PBVC, over the same people."),
    "r_methods": column("Correlation between the methods", "Of their changes, over the same people."),
    **REASON,
}
MIXED: dict[str, Column] = {
    **METHOD,
    **_SUBSET,
    "random": column(
        "Random effects",
        "What differs between people.",
        Levels={"intercept": "The volume at the first visit", "intercept_slope": "That and the change per year"},
    ),
    "term": column(
        "Term",
        "Coefficient of the model.",
        Levels={
            "years": "Change per year since the first session (mL per year)",
            "age": "Age at the first session (years)",
            "sex": "1 for male, 0 for female",
            "icv_z": "Intracranial volume at the first session, standardised over everybody",
            "intercept": "Volume at the first session, at the mean age, sex and intracranial volume of the rows",
        },
    ),
    "estimate": column("Coefficient", "Change of the volume per unit of the term.", "mL"),
    "se": column("Standard error", "From the restricted likelihood.", "mL"),
    "ci_low": column("Lower bound", "Of the 95 % interval (normal).", "mL"),
    "ci_high": column("Upper bound", "Of the 95 % interval (normal).", "mL"),
    "statistic": column("Statistic", "z."),
    "p": column("p value", "Two-sided, normal."),
    "p_fdr": column("Adjusted p value", "Benjamini-Hochberg over the methods of a subset; on the term years only."),
    "percent": column("Change per year in percent", "100 x coefficient / mean volume of the rows; term years only."),
    "sd_intercept": column("SD between people", "Standard deviation of the random intercept.", "mL"),
    "sd_slope": column("SD of the change", "Standard deviation of the random slope.", "mL per year"),
    "sd_residual": column("Residual SD", "Standard deviation around a person's line.", "mL"),
    "n_participants": count("Number of participants", "In the model, those with one or two visits too."),
    "n_three": count("Three and more visits", "Participants with three and more visits in the model."),
    "n": count("Number of sessions", "In the model."),
    **REASON,
}
DETECTABLE: dict[str, Column] = {
    **METHOD,
    "unit": column("Unit", "ml, or percent of baseline."),
    **SESSIONS,
    **DIAGNOSIS,
    "source": column(
        "Source",
        "Where the noise was measured.",
        Levels={
            "repeated scans": "Several scans of a session (run-): 1.96 sqrt(2) x standard deviation within sessions",
            "controls": "Healthy controls: 1.96 x standard deviation of their change, true changes included",
        },
    ),
    "n_source": count("Size of the source", "Sessions with repeated scans, or controls with a change."),
    "noise_sd": column(
        "Noise", "Standard deviation within sessions, or of the controls' change; in the unit of the row."
    ),
    "smallest_change": column("Smallest detectable change", "Of one person, at 95 %; in the unit of the row."),
    "ci_low": column("Lower bound", "Of its 95 % interval (chi-square)."),
    "ci_high": column("Upper bound", "Of its 95 % interval (chi-square)."),
    "n": count("Number of participants", "With a change."),
    "n_loss": count("Lost more", "Participants who lost more than the smallest detectable change."),
    "share_loss": column("Share that lost more", "n_loss / n."),
    "share_loss_ci_low": column("Lower bound", "Of the 95 % interval of share_loss (Wilson)."),
    "share_loss_ci_high": column("Upper bound", "Of the 95 % interval of share_loss (Wilson)."),
    "n_gain": count("Gained more", "Participants who gained more than the smallest detectable change."),
    "share_gain": column("Share that gained more", "n_gain / n; 2.5 % are expected without any change."),
    "share_gain_ci_low": column("Lower bound", "Of the 95 % interval of share_gain (Wilson)."),
    "share_gain_ci_high": column("Upper bound", "Of the 95 % interval of share_gain (Wilson)."),
    **REASON,
}
POWER: dict[str, Column] = {
    **METHOD,
    "population": column("Population", 'Who is treated: a diagnosis group, or "patients", everybody but the controls.'),
    **SESSIONS,
    "effect": column("Effect", "Share of the loss that the treatment stops."),
    "power": column("Power", "Probability of a significant result, two-sided 5 %."),
    "n_per_arm": count("Participants per arm", "Rounded up; without dropout."),
    "ci_low": count("Lower bound", "Of the 95 % percentile interval of the bootstrap."),
    "ci_high": count("Upper bound", "Of the 95 % percentile interval of the bootstrap; n/a when there is none."),
    "relative_to": column("Relative to", "controls: their mean change is no target of the treatment; or no change."),
    "mean": column("Mean change", "Of the patients.", "percent per year"),
    "sd": column("SD of the change", "Of the patients.", "percent per year"),
    "mean_controls": column("Mean change of the controls", "Of the healthy controls.", "percent per year"),
    "n_patients": count("Number of patients", "With an annual change."),
    "n_controls": count("Number of controls", "With an annual change."),
    **REASON,
}
NORMATIVE: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    **METHOD,
    "diagnosis": column("Diagnosis", "Diagnosis group; n/a when unknown."),
    "volume_ml": column("Thalamus volume", "Left and right.", "mL"),
    "expected_ml": column("Expected volume", "Of a control of this age, sex and intracranial volume.", "mL"),
    "prediction_sd_ml": column("SD of the prediction", "Of a single control's volume around the expected one.", "mL"),
    "z": column("z", "(volume - expected) / SD of the prediction; a control's own is made without that person."),
    "percentile": column(
        "Percentile", "Of the t distribution with the degrees of freedom of the controls' model.", "percent"
    ),
    "n_controls": count("Number of controls", "Healthy controls in the model, first sessions."),
    "adjusted_for": column("Covariates", "What the expected volume depends on."),
    **REASON,
}
HARMONISED: dict[str, Column] = {
    **PARTICIPANT,
    **SESSION,
    **METHOD,
    "site": column("Site", "Site of the session, from the clinical tables."),
    "volume_ml": column("Volume as measured", "Left and right.", "mL"),
    "volume_harmonised_ml": column("Harmonised volume", "Left and right, after ComBat; what the analyses use.", "mL"),
    "volume_left_harmonised_ml": column("Harmonised left volume", "After ComBat; n/a where sides are not given.", "mL"),
    "volume_right_harmonised_ml": column(
        "Harmonised right volume", "After ComBat; n/a where sides are not given.", "mL"
    ),
    **REASON,
}
