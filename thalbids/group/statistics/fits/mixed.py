"""Change over three and more visits: a linear mixed model of the volume, beyond the paper.

Volume ~ years since the first visit + age at the first visit + sex + z(ICV), with a random intercept per person, with a
random slope of time beside it, and with a random intercept per site where there are several. Fitted by restricted
maximum likelihood on sums per person, which for 10 000 sessions takes a fraction of a second where statsmodels' MixedLM
takes minutes and may not converge; the tests hold one against the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from thalbids.group.statistics.fits import fit
from thalbids.group.statistics.fits.reml import maximise

RANDOM = ("intercept", "intercept_slope")
MIN_PEOPLE = 5  # with three and more visits


@dataclass(frozen=True)
class Mixed:
    """A fitted mixed model. ``covariance`` is that of the random effects; the intercept is the last term.
    ``site_variance`` is that of the sites' random intercept, NaN without one.
    """

    terms: tuple[fit.Term, ...]
    covariance: np.ndarray
    residual_variance: float = math.nan
    reason: str = ""
    singular: bool = False
    site_variance: float = math.nan


def reml(
    y: np.ndarray,
    X: np.ndarray,
    Z: np.ndarray,
    person: np.ndarray,
    names: Sequence[str],
    site: np.ndarray | None = None,
) -> Mixed:
    """Restricted maximum likelihood of y = X b + Z u + e, with u ~ N(0, s^2 L L') per person and e ~ N(0, s^2); with
    ``site`` (n,) also a random intercept per site.

    Parameters
    ----------
    y : (n,) outcome
    X : (n, p) fixed effects, the intercept last, of full rank
    Z : (n, q) random effects, q 1 or 2
    person : (n,) label of the person
    names : of the columns of X
    """
    q = Z.shape[1]
    best = maximise(y, X, Z, person, site)
    if isinstance(best, str):
        return Mixed(tuple(fit.Term(name) for name in names), np.full((q, q), np.nan), reason=best)
    beta, se = best.b, np.sqrt(np.diag(best.covariance))
    z = beta / se
    half = stats.norm.ppf((1 + fit.CONFIDENCE) / 2) * se
    terms = tuple(
        fit.Term(
            name,
            *map(float, (beta[i], se[i], beta[i] - half[i], beta[i] + half[i], z[i], 2 * stats.norm.sf(abs(z[i])))),
        )
        for i, name in enumerate(names)
    )
    singular = best.rank < q
    reason = "singular: a variance of the random effects is 0, or their correlation is 1" if singular else ""
    return Mixed(terms, best.random, best.variance, reason, singular, best.site_variance)


def terms(
    columns: Mapping[str, np.ndarray],
    predictors: Sequence[str],
    people: np.ndarray,
    random: str,
    site: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """The terms of the model of one method, as rows of ``group_mixed``.

    Parameters
    ----------
    columns : (n,) arrays of ``volume_ml`` and the predictors, NaN for missing
    predictors : ``years`` first
    people : (n,) labels
    random : one of :data:`RANDOM`
    site : (n,) labels of sites, which get a random intercept
    """
    names = (*predictors, fit.INTERCEPT)
    used = fit.listwise({name: columns[name] for name in ("volume_ml", *predictors)})
    rows = {name: columns[name][used] for name in ("volume_ml", *predictors)}
    counted, visits = np.unique(people[used], return_counts=True)
    many = int(np.sum(visits >= 3))
    reason = fit.missing({name: columns[name] for name in rows}, used)
    if not reason and many < MIN_PEOPLE:
        reason = f"people with three and more visits: {many}, at least {MIN_PEOPLE} are needed"
    if not reason:
        reason = fit.unfit("volume_ml", predictors, rows)
    model = Mixed(tuple(fit.Term(name) for name in names), np.full((2, 2), np.nan), reason=reason)
    if not reason:
        model = _fitted(rows, predictors, people[used], random, None if site is None else site[used])
    mean = float(rows["volume_ml"].mean()) if used.any() else math.nan
    q = model.covariance.shape[0]
    shared = {
        "random": random,
        "sd_intercept": math.sqrt(model.covariance[0, 0]),
        "sd_slope": math.sqrt(model.covariance[1, 1]) if q == 2 and random == RANDOM[1] else math.nan,
        "sd_residual": math.sqrt(model.residual_variance),
        "sd_site": math.sqrt(model.site_variance),
        "n_participants": counted.size,
        "n_three": many,
        "n": int(used.sum()),
        "reason": model.reason,
    }
    return [
        {
            **term.cells(),
            "percent": 100 * term.estimate / mean if term.name == "years" else math.nan,
            **shared,
        }
        for term in model.terms
    ]


def _fitted(
    rows: Mapping[str, np.ndarray],
    predictors: Sequence[str],
    person: np.ndarray,
    random: str,
    site: np.ndarray | None,
) -> Mixed:
    """On centred values, which keeps the sums well conditioned; the intercept is moved back."""
    y = rows["volume_ml"]
    means = np.array([rows[name].mean() for name in predictors])
    means[0] = 0.0  # time keeps its origin, on which the random intercept depends
    X = np.column_stack([*(rows[name] - mean for name, mean in zip(predictors, means, strict=True)), np.ones_like(y)])
    Z = np.ones((y.size, 1)) if random == RANDOM[0] else np.column_stack([np.ones_like(y), rows["years"]])
    fitted = reml(y - y.mean(), X, Z, person, (*predictors, fit.INTERCEPT), site)
    return replace(fitted, terms=(*fitted.terms[:-1], _moved(fitted, means, float(y.mean()))))


def _moved(model: Mixed, means: np.ndarray, mean: float) -> fit.Term:
    """The intercept at the means of the covariates, as it is estimated; said so in the dictionary."""
    last = model.terms[-1]
    return replace(
        last,
        estimate=last.estimate + mean,
        ci_low=last.ci_low + mean,
        ci_high=last.ci_high + mean,
        statistic=(last.estimate + mean) / last.se,
        p=float(2 * stats.norm.sf(abs((last.estimate + mean) / last.se))),
    )
