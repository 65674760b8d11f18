"""Which columns of the settings thalbids does not know by itself."""

from __future__ import annotations

from thalbids.bids.tabular.own import own_columns
from thalbids.settings import Group


def test_columns_that_only_the_settings_name() -> None:
    group = Group(
        outcomes=("edss", "fatigue"), outcomes_change=("fatigue", "sdmt"), covariates=("age", "icv_z"),
        covariates_change=("interval_years", "edss_baseline", "fatigue_baseline"), extra_covariates=("smoking",),
    )  # fmt: skip
    assert own_columns(group) == ("fatigue", "smoking")
