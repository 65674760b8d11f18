"""Change over three and more visits: a linear mixed model of the volume, beyond the paper.

Volume ~ years since the first visit + age at the first visit + sex + z(ICV), with a random intercept per person, and
with a random slope of time beside it. Fitted by restricted maximum likelihood on sums per person, which for 10 000
sessions takes a fraction of a second where statsmodels' MixedLM takes minutes and may not converge; the tests hold one
against the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from thalbids.group.statistics import fit

PREDICTORS = ("years", "age", "sex", "icv_z")
RANDOM = ("intercept", "intercept_slope")
MIN_PEOPLE = 5  # with three and more visits
_SINGULAR = 1e-4  # a relative standard deviation, or 1 - |correlation|, below this is at the boundary
_GRADIENT = 1e-2


@dataclass(frozen=True)
class Mixed:
    """A fitted mixed model. ``covariance`` is that of the random effects; the terms follow :data:`PREDICTORS`."""

    terms: tuple[fit.Term, ...]
    covariance: np.ndarray
    residual_variance: float = math.nan
    reason: str = ""
    singular: bool = False


def reml(y: np.ndarray, X: np.ndarray, Z: np.ndarray, person: np.ndarray, names: Sequence[str]) -> Mixed:
    """Restricted maximum likelihood of y = X b + Z u + e, with u ~ N(0, s^2 L L') per person and e ~ N(0, s^2).

    The likelihood depends on the data through sums per person only (Bates et al. 2015, J Stat Softw 67(1), section 3,
    for one grouping factor).

    Parameters
    ----------
    y : (n,) outcome
    X : (n, p) fixed effects, the intercept last, of full rank
    Z : (n, q) random effects, q 1 or 2
    person : (n,) label of the person
    names : of the columns of X
    """
    sums = _Sums(y, X, Z, person)
    q = Z.shape[1]
    bounds = [(0.0, None)] if q == 1 else [(0.0, None), (None, None), (0.0, None)]
    starts = [[1.0], [10.0]] if q == 1 else [[1.0, 0.0, 1.0], [10.0, 0.0, 0.5]]
    options = {"ftol": 1e-14, "gtol": 1e-8, "maxiter": 500, "maxls": 50}
    empty = Mixed(tuple(fit.Term(name) for name in names), np.full((q, q), np.nan))
    theta = np.empty(0)
    for start in starts:  # the second only where the first does not lead to a maximum
        run = optimize.minimize(sums.criterion, start, jac="3-point", bounds=bounds, method="L-BFGS-B", options=options)
        theta = np.asarray(run.x)
        if sums.stationary(theta):
            break
    else:
        return replace(empty, reason="the likelihood did not converge")
    beta, inverse, variance = sums.solve(theta)
    se = np.sqrt(variance * np.diag(inverse))
    z = beta / se
    half = stats.norm.ppf((1 + fit.CONFIDENCE) / 2) * se
    terms = tuple(
        fit.Term(
            name,
            *map(float, (beta[i], se[i], beta[i] - half[i], beta[i] + half[i], z[i], 2 * stats.norm.sf(abs(z[i])))),
        )
        for i, name in enumerate(names)
    )
    L = _lower(theta)
    singular = bool(np.any(np.diag(L) < _SINGULAR) or (q == 2 and L[1, 1] < _SINGULAR * math.hypot(L[1, 0], L[1, 1])))
    reason = "singular: a variance of the random effects is 0, or their correlation is 1" if singular else ""
    return Mixed(terms, variance * L @ L.T, variance, reason, singular)


class _Sums:
    """What the likelihood needs: per person Z'Z, Z'X and Z'y, and over everybody X'X, X'y and y'y."""

    def __init__(self, y: np.ndarray, X: np.ndarray, Z: np.ndarray, person: np.ndarray):
        order = np.argsort(person, kind="stable")
        starts = np.flatnonzero(np.r_[True, person[order][1:] != person[order][:-1]])
        A = np.column_stack([X, y])[order]
        Z = Z[order]
        self.n, self.p = X.shape
        self.zz = np.add.reduceat(Z[:, :, None] * Z[:, None, :], starts)
        self.za = np.add.reduceat(Z[:, :, None] * A[:, None, :], starts)
        self.aa = A.T @ A

    def _reduced(self, theta: np.ndarray) -> tuple[np.ndarray, float]:
        """A' V^-1 A for A = [X, y], and the sum of log |V_i|, with V = I + Z L L' Z'."""
        L = _lower(theta)
        M = np.eye(L.shape[0]) + L.T @ self.zz @ L
        B = L.T @ self.za
        # Cholesky factors of the 1 x 1 or 2 x 2 blocks, written out: ten times faster than numpy's for stacks
        c11 = np.sqrt(M[:, 0, 0])
        W = [B[:, 0] / c11[:, None]]
        log_v = 2 * float(np.log(c11).sum())
        if L.shape[0] == 2:
            c21 = M[:, 1, 0] / c11
            c22 = np.sqrt(M[:, 1, 1] - c21**2)
            W.append((B[:, 1] - c21[:, None] * W[0]) / c22[:, None])
            log_v += 2 * float(np.log(c22).sum())
        return self.aa - sum(w.T @ w for w in W), log_v

    def criterion(self, theta: np.ndarray) -> float:
        """Minus twice the restricted log-likelihood, up to a constant, profiled over b and s^2."""
        S, log_v = self._reduced(theta)
        XX = S[: self.p, : self.p]
        rss = S[-1, -1] - S[-1, : self.p] @ np.linalg.solve(XX, S[: self.p, -1])
        if rss <= 0:
            return math.inf
        df = self.n - self.p
        return float(df * math.log(rss / df) + log_v + np.linalg.slogdet(XX)[1])

    def solve(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """b, (X' V^-1 X)^-1 and s^2."""
        S, _ = self._reduced(theta)
        inverse = np.linalg.inv(S[: self.p, : self.p])
        beta = inverse @ S[: self.p, -1]
        return beta, inverse, float((S[-1, -1] - S[-1, : self.p] @ beta) / (self.n - self.p))

    def stationary(self, theta: np.ndarray) -> bool:
        """Whether the criterion is flat here, but for parameters at their bound of 0."""
        slopes = []
        for i, value in enumerate(theta):
            step = 1e-5 * max(1.0, abs(value))
            up, down = theta.copy(), theta.copy()
            up[i], down[i] = value + step, value - step
            at_bound = i != 1 and value < step
            slope = (self.criterion(up) - self.criterion(theta if at_bound else down)) / (
                step if at_bound else 2 * step
            )
            slopes.append(min(slope, 0.0) if at_bound else slope)
        return bool(np.all(np.isfinite(slopes)) and np.max(np.abs(slopes)) < _GRADIENT)


def _lower(theta: np.ndarray) -> np.ndarray:
    if len(theta) == 1:
        return np.array([[theta[0]]])
    return np.array([[theta[0], 0.0], [theta[1], theta[2]]])


def terms(own: pd.DataFrame, random: str) -> list[dict[str, Any]]:
    """The terms of the model of one method, as rows of ``group_mixed``; ``random`` is one of :data:`RANDOM`."""
    names = (*PREDICTORS, fit.INTERCEPT)
    columns = {name: own[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("volume_ml", *PREDICTORS)}
    used = fit.listwise(columns) if len(own) else np.zeros(0, dtype=bool)
    rows = {name: values[used] for name, values in columns.items()}
    people, visits = np.unique(own["participant_id"].to_numpy(dtype=str)[used], return_counts=True)
    many = int(np.sum(visits >= 3))
    reason = fit.missing(columns, used)
    if not reason and many < MIN_PEOPLE:
        reason = f"{many} people with three and more visits, at least {MIN_PEOPLE} are needed"
    if not reason:
        reason = fit.unfit("volume_ml", PREDICTORS, rows)
    found = Mixed(tuple(fit.Term(name) for name in names), np.full((2, 2), np.nan), reason=reason)
    if not reason:
        found = _fitted(rows, own["participant_id"].to_numpy(dtype=str)[used], random, names)
    mean = float(rows["volume_ml"].mean()) if used.any() else math.nan
    q = found.covariance.shape[0]
    shared = {
        "random": random,
        "sd_intercept": math.sqrt(found.covariance[0, 0]),
        "sd_slope": math.sqrt(found.covariance[1, 1]) if q == 2 and random == RANDOM[1] else math.nan,
        "sd_residual": math.sqrt(found.residual_variance),
        "n_participants": people.size,
        "n_three": many,
        "n": int(used.sum()),
        "reason": found.reason,
    }
    return [
        {
            "term": term.name,
            "estimate": term.estimate,
            "se": term.se,
            "ci_low": term.ci_low,
            "ci_high": term.ci_high,
            "statistic": term.statistic,
            "p": term.p,
            "percent": 100 * term.estimate / mean if term.name == "years" else math.nan,
            **shared,
        }
        for term in found.terms
    ]


def _fitted(rows: dict[str, np.ndarray], person: np.ndarray, random: str, names: Sequence[str]) -> Mixed:
    """On centred values, which keeps the sums well conditioned; the intercept is moved back."""
    y = rows["volume_ml"]
    means = np.array([rows[name].mean() for name in PREDICTORS])
    means[0] = 0.0  # time keeps its origin, on which the random intercept depends
    X = np.column_stack([*(rows[name] - mean for name, mean in zip(PREDICTORS, means, strict=True)), np.ones_like(y)])
    Z = np.ones((y.size, 1)) if random == RANDOM[0] else np.column_stack([np.ones_like(y), rows["years"]])
    found = reml(y - y.mean(), X, Z, person, names)
    return replace(found, terms=(*found.terms[:-1], _moved(found, means, float(y.mean()))))


def _moved(found: Mixed, means: np.ndarray, mean: float) -> fit.Term:
    """The intercept at the means of the covariates, as it is estimated; said so in the dictionary."""
    last = found.terms[-1]
    return replace(
        last,
        estimate=last.estimate + mean,
        ci_low=last.ci_low + mean,
        ci_high=last.ci_high + mean,
        statistic=(last.estimate + mean) / last.se,
        p=float(2 * stats.norm.sf(abs((last.estimate + mean) / last.se))),
    )
