"""Columns of clinical tables: those of a visit that thalbids knows, and those that only the settings name."""

from __future__ import annotations

from thalbids.settings import Group

VISIT_COLUMNS = (
    "participant_id", "session_id", "order", "years", "acq_time", "has_mri", "age", "sex", "female", "diagnosis",
    "diagnosis_given", "disease_duration", "edss", "t25fw", "t25fw_trials", "nhpt", "nhpt_trials", "sdmt", "steroid",
    "site", "icv_ml", "rescan_of", "attacks",
)  # fmt: skip
OUTCOMES = ("edss", "t25fw", "nhpt", "sdmt")  # clinical outcomes that can change between visits
MADE = ("icv_z", "interval_years")  # covariates that no clinical table has


def own_columns(group: Group) -> tuple[str, ...]:
    """The columns of clinical tables that settings name as covariate or outcome and thalbids does not know.

    The score at the first of two visits (``edss_baseline``) is none.
    """
    named = (
        *group.outcomes, *group.outcomes_change, *group.covariates, *group.covariates_change, *group.extra_covariates,
    )  # fmt: skip
    outcomes = (*OUTCOMES, *group.outcomes_change)
    known = {*VISIT_COLUMNS, *MADE, *(f"{name}_baseline" for name in outcomes)}
    return tuple(dict.fromkeys(name for name in named if name not in known))
