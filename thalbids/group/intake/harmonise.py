"""ComBat: differences between sites taken out of the volumes, beyond the paper.

By the package ``neuroCombat`` of the method's authors (Fortin et al. 2018; extra ``harmonise``). Sites are learned
from each person's first session, so that a person counts once, and applied to every session with the covariates of the
first: the change of a person is scaled by the site's ratio of variances and otherwise kept. What age, sex, diagnosis
and intracranial volume explain is preserved; where sites differ in them completely, that cannot be told from a
difference of sites.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from thalbids.bids.tabular.tables import PARTICIPANT, SESSION, Column, Table, column
from thalbids.errors import MissingToolError, UsageError
from thalbids.group.cohort import Cohort
from thalbids.group.columns import METHOD, REASON
from thalbids.group.statistics.fits.fit import z_score

PACKAGE = "neuroCombat"
CONTINUOUS = ("age", "icv_ml")
DISCRETE = ("female", "diagnosis")
MIN_PEOPLE = 3  # per site
MIN_SHARE = 0.8  # of the sessions: a method that fewer have is not harmonised, or it would cost the others too many
_KEYS = ["participant_id", "session_id"]
_SIDES = ["volume_left_ml", "volume_right_ml"]
_NAMES = ("volume_ml", *_SIDES)


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


@dataclass(frozen=True)
class Data:
    """Complete sessions: ``features`` (sessions x volumes), and per session the site, the person and covariates."""

    features: pd.DataFrame
    sessions: pd.DataFrame
    continuous: tuple[str, ...]
    discrete: tuple[str, ...]
    left_out: tuple[str, ...]


def prepared(cohort: Cohort) -> tuple[Cohort, list[Table]]:
    """The cohort to work on, and ``group_harmonised``; the same cohort and no table unless ComBat is asked for.

    A volume that cannot be harmonised (no site, a covariate or a method missing) gets the status ``excluded``.

    Raises
    ------
    MissingToolError
        The package is not installed.
    UsageError
        There is one site or a single feature, a site is too small, or the sites cannot be told from the covariates.
    """
    if cohort.settings.group.harmonise == "none":
        return cohort, []
    if importlib.util.find_spec(PACKAGE) is None:
        problem = f"harmonisation needs the package {PACKAGE}, which is not installed."
        raise MissingToolError(problem, 'Install it with: pip install "thalbids[harmonise]"')
    data = collect(cohort)
    check(data)
    learned = learn(data)
    volumes, table = _merged(cohort, data, learned.applied(data.features, data.sessions))
    choices = {
        "method": "ComBat, parametric empirical Bayes, learned from first sessions",
        "package": PACKAGE,
        "preserved": [*data.continuous, *data.discrete],
        "sites": {str(site): int(n) for site, n in data.sessions["site"].value_counts().sort_index().items()},
        "methods_left_out": list(data.left_out),
    }
    lost = int((table["volume_harmonised_ml"].isna()).sum())
    notes = [f"volumes are harmonised over {len(choices['sites'])} sites; {lost} of {len(table)} could not be."]
    repeats = _repeats(cohort.repeats, data, learned)
    return replace(cohort, volumes=volumes, repeats=repeats), [
        Table("group_harmonised", table, HARMONISED, choices, notes)
    ]


def collect(cohort: Cohort) -> Data:
    """Sessions with a site, every covariate that anybody has, and every method that most sessions have.

    Left and right are features of their own where a method has both; the total is their sum.
    """
    good = cohort.usable
    sessions = good.drop_duplicates(_KEYS)[[*_KEYS, "icv_ml"]].merge(
        cohort.visits[[*_KEYS, "order", "site", "age", *DISCRETE]], on=_KEYS, how="left", validate="one_to_one"
    )
    sessions = sessions.sort_values(["participant_id", "order"], kind="stable", ignore_index=True)
    index = pd.MultiIndex.from_frame(sessions[_KEYS])
    features, left_out = [], []
    for method in cohort.methods:
        of_method = good[good["method"] == method].set_index(_KEYS)[["volume_ml", *_SIDES]].reindex(index)
        if of_method["volume_ml"].notna().mean() < MIN_SHARE:
            left_out.append(method)
            continue
        sides = of_method[_SIDES].notna().all(axis=1)[of_method["volume_ml"].notna()].all()
        names = _SIDES if sides else ["volume_ml"]
        features.append(of_method[names].set_axis(pd.MultiIndex.from_product([[method], names]), axis=1))
    wide = pd.concat(features, axis=1) if features else pd.DataFrame(index=index)
    continuous = tuple(name for name in CONTINUOUS if sessions[name].notna().any())
    discrete = tuple(name for name in DISCRETE if _known(sessions[name]).any())
    complete = _known(sessions["site"]) & wide.notna().all(axis=1).to_numpy()
    for name in (*continuous, *discrete):
        complete &= _known(sessions[name])
    kept = complete.to_numpy()
    return Data(
        wide[kept].reset_index(drop=True), sessions[kept].reset_index(drop=True), continuous, discrete, tuple(left_out)
    )


def check(data: Data) -> None:
    """Refuse what ComBat cannot do.

    Raises
    ------
    UsageError
        With the reason.
    """
    mend = "Leave out group.harmonise, or correct the column site of the clinical tables."
    first = data.sessions.drop_duplicates("participant_id")
    people = first["site"].value_counts().sort_index()
    if len(people) < 2:
        named = f"there is one site ({people.index[0]})" if len(people) else "no session has a site and every covariate"
        raise UsageError(f"harmonisation: {named}, so there is nothing to harmonise.", mend)
    if data.features.shape[1] < 2:
        problem = f"harmonisation: there is {data.features.shape[1]} volume, and ComBat learns from several."
        raise UsageError(problem, "Add methods, or volumes of left and right.")
    small = people[people < MIN_PEOPLE]
    if len(small):
        problem = (
            f"harmonisation: site {small.index[0]} has {small.iloc[0]} participants, at least {MIN_PEOPLE} are needed."
        )
        raise UsageError(problem, "Leave the site out, or join it with another of the same scanner.")
    design = _design(data, first)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        problem = "harmonisation: the sites cannot be told from age, sex, diagnosis and intracranial volume."
        raise UsageError(problem, "A diagnosis or sex that one site alone has makes this so; harmonise without it.")


@dataclass(frozen=True)
class Learned:
    """What ComBat knows of these people and sites.

    ``kept`` (people x features) is the mean and what the covariates of the first session explain, ``sd`` (features) the
    pooled SD, ``gamma`` and ``delta`` (sites x features) the site's shift and ratio of variances after shrinkage over
    the features.
    """

    people: pd.Index
    sites: pd.Index
    kept: np.ndarray
    sd: np.ndarray
    gamma: np.ndarray
    delta: np.ndarray

    def applied(self, features: pd.DataFrame, scans: pd.DataFrame) -> pd.DataFrame:
        """The harmonised features: y* = s (z - gamma) / sqrt(delta) + kept, with z = (y - kept) / s.

        ``scans`` has participant_id and site of each row. NaN for those of a site where nobody had the first session.
        """
        row = self.people.get_indexer(scans["participant_id"])
        site = self.sites.get_indexer(scans["site"].astype(str))
        z = (features.to_numpy(dtype=np.float64) - self.kept[row]) / self.sd
        adjusted = self.sd * (z - self.gamma[site]) / np.sqrt(self.delta[site]) + self.kept[row]
        adjusted[site < 0] = np.nan
        return pd.DataFrame(adjusted, columns=features.columns)


def learn(data: Data) -> Learned:
    """ComBat's estimates from each person's first session, by the package."""
    from neuroCombat import neuroCombat

    first = ~data.sessions["participant_id"].duplicated().to_numpy()
    learned = data.sessions[first].reset_index(drop=True)
    covariates = pd.DataFrame({"site": learned["site"].astype(str)})
    for name in data.continuous:  # standardised: the package computes with single precision
        covariates[name] = z_score(learned[name].to_numpy(dtype=np.float64))
    discrete = [name for name in data.discrete if learned[name].nunique() > 1]
    for name in discrete:
        covariates[name] = learned[name].astype(str)
    Y = data.features.to_numpy(dtype=np.float64)
    continuous = [name for name in data.continuous if covariates[name].notna().all()]
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of every step
        estimates = neuroCombat(Y[first].T, covariates[["site", *continuous, *discrete]], "site", discrete, continuous)[
            "estimates"
        ]
    kept = (estimates["stand.mean"] + estimates["mod.mean"]).T
    sd = np.sqrt(np.asarray(estimates["var.pooled"], dtype=np.float64)).ravel()
    people, sites = pd.Index(learned["participant_id"]), pd.Index(np.unique(covariates["site"]))
    return Learned(people, sites, kept, sd, estimates["gamma.star"], estimates["delta.star"])


def _repeats(repeats: pd.DataFrame, data: Data, learned: Learned) -> pd.DataFrame:
    """Repeated scans, harmonised like the volumes of their session, so that their noise is on the scale of the change.

    Those that cannot be get the status ``excluded``.
    """
    if repeats.empty:
        return repeats
    keys = [*_KEYS, "entities"]
    good = repeats[repeats["status"] == "ok"]
    scans = good.drop_duplicates(keys)[keys].merge(data.sessions[[*_KEYS, "site"]], on=_KEYS)
    wide = pd.DataFrame(index=pd.MultiIndex.from_frame(scans[keys]), columns=data.features.columns, dtype=np.float64)
    for method, name in data.features.columns:
        wide[method, name] = good[good["method"] == method].set_index(keys)[name].reindex(wide.index)
    new = _long(learned.applied(wide, scans), scans[keys])
    both = repeats.drop(columns=list(_NAMES)).merge(new, on=[*keys, "method"], how="left", validate="one_to_one")
    ok = both["status"] == "ok"
    result = repeats.reset_index(drop=True).copy()
    for name in _NAMES:
        result[name] = both[name].where(ok, result[name])
    without = ok & both["volume_ml"].isna()
    result.loc[without, ["status", "reason"]] = ["excluded", f"not harmonised: {_LACKING}"]
    return result


def _long(adjusted: pd.DataFrame, ids: pd.DataFrame) -> pd.DataFrame:
    """Harmonised features as rows of ``ids``, method, volume and sides; the total is the sum of the sides."""
    parts = []
    for method in dict.fromkeys(adjusted.columns.get_level_values(0)):
        of_method = adjusted[method].copy()
        if "volume_ml" not in of_method:
            of_method["volume_ml"] = of_method[_SIDES[0]] + of_method[_SIDES[1]]
        parts.append(ids.assign(method=method).join(of_method))
    return pd.concat(parts, ignore_index=True).reindex(columns=[*ids.columns, "method", *_NAMES])


def _merged(cohort: Cohort, data: Data, adjusted: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The volumes with the harmonised ones in place, and the table of both."""
    names = {name: name.replace("_ml", "_harmonised_ml") for name in _NAMES}
    new = _long(adjusted, data.sessions[_KEYS]).rename(columns=names)
    both = cohort.volumes.merge(new, on=[*_KEYS, "method"], how="left", validate="one_to_one")
    both = both.merge(cohort.visits[[*_KEYS, "site"]], on=_KEYS, how="left", validate="many_to_one")
    ok = both["status"] == "ok"
    without = ok & both["volume_harmonised_ml"].isna()
    reason = np.where(both["method"].isin(data.left_out), "the method lacks in too many sessions", _LACKING)
    both["reason"] = both["reason"].where(~without, "not harmonised: " + pd.Series(reason, index=both.index))
    volumes = cohort.volumes.copy()
    for old, harmonised in names.items():
        volumes[old] = both[harmonised].where(ok, both[old]).to_numpy()
    volumes["status"] = both["status"].where(~without, "excluded").to_numpy()
    volumes["reason"] = both["reason"].to_numpy()
    return volumes, both.loc[ok, [name for name in HARMONISED if name in both]].reset_index(drop=True)


_LACKING = "no site, a site without first sessions, a covariate or a method is missing"


def _known(values: pd.Series) -> pd.Series:
    return values.notna() & (values.astype(str) != "")


def _design(data: Data, sessions: pd.DataFrame) -> np.ndarray:
    """Columns of sites and covariates, standardised, whose rank says whether they can be told apart."""
    blocks: list[np.ndarray] = [pd.get_dummies(sessions["site"]).to_numpy(dtype=np.float64)]
    blocks += [z_score(sessions[name].to_numpy(dtype=np.float64))[:, None] for name in data.continuous]
    blocks += [pd.get_dummies(sessions[name], drop_first=True).to_numpy(dtype=np.float64) for name in data.discrete]
    design = np.hstack(blocks)
    return design[:, np.isfinite(design).all(axis=0)]  # a covariate that does not vary says nothing
