"""Restricted maximum likelihood of a linear mixed model with one grouping factor, to the last digits.

y = X b + Z u + e with u ~ N(0, s^2 G) per person and e ~ N(0, s^2). b and s^2 are profiled out, as in lme4 (Bates et
al. 2015, J Stat Softw 67(1), section 3); what is left is a function of G = L L', which is minimised over L by Newton's
method with the exact gradient and Hessian. That ends at the minimum itself, and not where a tolerance was met on the
way, so that the processor on which it is computed shows in the last digits only.

A second random intercept (of sites) enters as columns W with the penalty |w|^2 / t^2 on their coefficients: V is then
the same with t^2 W W' added, and everything else stays (Bates et al. 2015, equation 13). t is found by a search in one
dimension, for each t the rest by Newton's method.

A variance of 0 and a correlation of 1 are models of their own: G of every rank is fitted, and the smallest rank holds
whose likelihood is that of the best, but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SCALES = (1.0, 8.0)  # standard deviations of the random effects, relative to the residual, where the search starts
SMALL = 0.2  # and that of an effect that is added to those of a smaller model
_SAME = 1e-8  # twice a difference of log-likelihoods that is rounding noise
_DONE = 1e-22  # by how much a Newton step would lower the criterion: 1e-11 standard errors of the parameters, squared
_NEAR = 1e-10  # the same where rounding may keep it from being done
_STEPS = 200
SIZES = (-4, -2, 0, 2, 4)  # logarithms of the SD of sites relative to the residual where the search begins
_EXACT = 1e-12  # a sum of squares below this share of the total is rounding noise
_ALIKE = 1e-18  # a second random effect that differs by less of itself from the first, squared, is none


@dataclass(frozen=True)
class Maximum:
    """Where the restricted likelihood is largest.

    ``b`` (p,) has the covariance ``covariance`` (p, p); ``random`` (q, q) is s^2 G and ``rank`` its rank: below q the
    maximum is at the boundary. ``criterion`` is minus twice the log-likelihood, up to a constant of the data.
    """

    b: np.ndarray
    covariance: np.ndarray
    random: np.ndarray
    variance: float
    rank: int
    criterion: float
    site_variance: float = math.nan


def maximise(
    y: np.ndarray, X: np.ndarray, Z: np.ndarray, person: np.ndarray, site: np.ndarray | None = None
) -> Maximum | str:
    """The maximum, or in words why there is none.

    Parameters
    ----------
    y : (n,) outcome
    X : (n, p) fixed effects, of full rank
    Z : (n, q) random effects, q 1 or 2, of full rank
    person : (n,) label of the person
    site : (n,) label of the site, which gets a random intercept of its own; None for none
    """
    Q, R = np.linalg.qr(X)
    T = np.linalg.inv(np.linalg.qr(Z, mode="r")) * math.sqrt(y.size)  # columns of Z T are of one size, and orthogonal
    start = Q.T @ y
    data = _Reduced(Q, y - Q @ start, Z @ T, person)
    if data.left() <= _EXACT * float(np.sum((y - y.mean()) ** 2)):
        return "the model fits without error: there is no standard error"
    (L, point, converged), t = _best(data), 0.0
    if site is not None:
        W = (site[:, None] == np.unique(site)).astype(np.float64)
        with_sites = _Reduced(Q, y - Q @ start, Z @ T, person, W)
        (L, point, converged), t = _with_sites(with_sites, (L, point, converged))
    if not converged:
        return "the likelihood did not converge"
    back = np.linalg.inv(R)
    root = T @ L
    p = X.shape[1]
    return Maximum(
        back @ (start + point.b[:p]),
        point.variance * back @ point.inverse[:p, :p] @ back.T,
        point.variance * root @ root.T,
        point.variance,
        L.shape[1],
        point.value,
        math.nan if site is None else point.variance * t**2,
    )


def _with_sites(data: _Reduced, none: tuple[np.ndarray, _Point, bool]) -> tuple[tuple[np.ndarray, _Point, bool], float]:
    """The best of every size t of the sites' intercept relative to the residual; ``none`` and 0 where that is no worse.

    The logarithm of t is searched on a grid and then in one dimension; the random effects of people start from where
    they ended before.
    """
    from scipy.optimize import minimize_scalar

    start = np.hstack([none[0], np.eye(data.q)[:, none[0].shape[1] :] * SMALL])
    ends = {}

    def value(log_t: float) -> float:
        data.t = math.exp(log_t)
        ends[log_t] = _minimum(data, start)
        return ends[log_t][1].value

    grid = {step: value(step) for step in SIZES}
    best = min(grid, key=lambda step: grid[step])
    start, width = ends[best][0], SIZES[1] - SIZES[0]
    options = {"xatol": 1e-9}
    ended = minimize_scalar(value, bounds=(best - width, best + width), method="bounded", options=options)
    data.t = math.exp(float(ended.x))
    first = _best(data)
    if none[1].value <= first[1].value + _SAME:
        return none, 0.0
    return first, data.t


@dataclass(frozen=True)
class _Point:
    """The criterion at some L, its derivatives by the elements of G, and b, (X' V^-1 X)^-1 and s^2."""

    value: float
    first: np.ndarray
    second: np.ndarray
    b: np.ndarray
    inverse: np.ndarray
    variance: float


class _Reduced:
    """What the likelihood needs of the data: per person Z = Q R and Q'A with A = [X, y], and the rest of A'A.

    A' V^-1 A is that rest plus c' (I + R G R')^-1 c with c = Q'A of everybody: sums without differences, so that digits
    are kept however much larger the differences between people are than those within.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, Z: np.ndarray, person: np.ndarray, W: np.ndarray | None = None):
        W = np.zeros((y.size, 0)) if W is None else W
        order = np.argsort(person, kind="stable")
        sorted_ = person[order]
        starts = np.flatnonzero(np.r_[True, sorted_[1:] != sorted_[:-1]])
        counts = np.diff(np.r_[starts, person.size])
        A = np.column_stack([X, W, y])[order].T
        Q, self.R = _orthogonal(Z[order].T, starts, counts)
        self.c = np.add.reduceat(Q[:, None] * A, starts, axis=2)
        left = (A - (Q[:, None] * np.repeat(self.c, counts, axis=2)).sum(axis=0)).T
        self.rest = left.T @ left
        self.df = X.shape[0] - X.shape[1]
        self.q = Z.shape[1]
        self.sites = np.r_[np.zeros(X.shape[1]), np.ones(W.shape[1]), 0.0]  # which columns of A are those of sites
        self.t = 1.0  # SD of the sites relative to the residual

    def left(self) -> float:
        """The residual sum of squares when everybody has random effects without bounds."""
        XX, Xy = self.rest[:-1, :-1], self.rest[:-1, -1]
        return float(self.rest[-1, -1] - Xy @ np.linalg.lstsq(XX, Xy, rcond=_EXACT)[0])

    def at(self, L: np.ndarray) -> _Point:
        """The criterion df log s^2 + sum log |V_i| + log |X' V^-1 X| at G = L L' and its derivatives by G.

        With sites, [X, W] takes the place of X, 1 / t^2 is added on the diagonal of W, and 2 J log t to the criterion.
        """
        H, log_v = _inverse(_times(self.R, L[:, :, None]))
        Hc, turned = _times(H, self.c), self.R.swapaxes(0, 1)
        U, W = _times(turned, Hc), _times(turned, _times(H, self.R))  # Z' V^-1 A and Z' V^-1 Z
        S = self.rest + np.diag(self.sites / self.t**2)
        S = S + sum(left @ right.T for left, right in zip(self.c, Hc, strict=True))
        C = np.linalg.inv(S[:-1, :-1])
        b = C @ S[:-1, -1]
        e = np.r_[-b, 1.0]
        rss = float(e @ S @ e)
        weight = self.df / rss * np.outer(e, e)
        weight[:-1, :-1] += C
        UU = U[:, None] @ U.swapaxes(1, 2)  # (q, q, m, m), summed over people
        by_b = (UU @ e)[:, :, :-1]
        by_rss = UU @ e @ e / rss
        inner = UU[:, :, :-1, :-1] @ C
        first = W.sum(axis=2) - np.einsum("abmn,mn->ab", UU, weight)
        weighted = _times(U, (weight @ U).swapaxes(0, 1))
        second = (
            2 * np.einsum("bci,adi->abcd", W, weighted)
            - np.einsum("dai,bci->abcd", W, W)
            - np.einsum("abmn,cdnm->abcd", inner, inner)
            - 2 * self.df / rss * np.einsum("abm,mn,cdn->abcd", by_b, C, by_b)
            - self.df * np.einsum("ab,cd->abcd", by_rss, by_rss)
        )
        value = self.df * math.log(rss / self.df) + log_v + float(np.linalg.slogdet(S[:-1, :-1])[1])
        value += 2 * float(self.sites.sum()) * math.log(self.t)
        return _Point(value, first, second, b, C, rss / self.df)


def _orthogonal(Z: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Z = Q R of every person by Gram and Schmidt; Q (q, n), R (q, q, people) with 0 for a column that adds nothing."""
    Q, R = np.empty_like(Z), np.zeros((len(Z), len(Z), starts.size))
    for j, column in enumerate(Z):
        v = column.copy()
        for k in range(j):
            R[k, j] = np.add.reduceat(Q[k] * v, starts)
            v -= Q[k] * np.repeat(R[k, j], counts)
        squares = np.add.reduceat(v**2, starts)
        R[j, j] = np.sqrt(np.where(squares > _ALIKE * np.add.reduceat(column**2, starts), squares, 0.0))
        length = np.repeat(R[j, j], counts)
        Q[j] = np.where(length > 0, v / np.where(length > 0, length, 1.0), 0.0)
    return Q, R


def _times(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """A B of every person, who are along the last axis."""
    return (A[:, :, None] * B).sum(axis=1)


def _inverse(B: np.ndarray) -> tuple[np.ndarray, float]:
    """(I + B B')^-1 of every person, and the sum of the logarithms of the determinants; by the formulas for 1 and 2."""
    M = _times(B, B.swapaxes(0, 1))
    if len(B) == 1:
        return 1 / (1 + M), float(np.log1p(M).sum())
    minor = (B[0, 0] * B[1, 1] - B[0, 1] * B[1, 0]) ** 2 if B.shape[1] == 2 else 0.0
    more = M[0, 0] + M[1, 1] + minor  # the determinant is 1 more
    return np.array([[1 + M[1, 1], -M[0, 1]], [-M[0, 1], 1 + M[0, 0]]]) / (1 + more), float(np.log1p(more).sum())


def _best(data: _Reduced) -> tuple[np.ndarray, _Point, bool]:
    """The best L of every rank; of these the smallest rank that is as good as the best. Whether that one converged."""
    L = np.zeros((data.q, 0))
    candidates = [(L, data.at(L), True)]
    for rank in range(1, data.q + 1):
        runs = [_minimum(data, start) for start in _starts(data.q, rank, candidates[-1][0])]
        candidates.append(min(runs, key=lambda run: run[1].value))
    least = min(point.value for _, point, _ in candidates)
    return next(run for run in candidates if run[1].value <= least + _SAME)


def _starts(q: int, rank: int, smaller: np.ndarray) -> Iterator[np.ndarray]:
    """Independent effects of several sizes, or for a rank below q one effect; and the best of the smaller rank."""
    for scale in SCALES:
        yield scale * np.eye(q)[:, :rank]
    yield np.hstack([smaller, np.eye(q)[:, -1:] * SMALL])


def _minimum(data: _Reduced, L: np.ndarray) -> tuple[np.ndarray, _Point, bool]:
    """Newton's method from L, downhill also where the criterion is not convex."""
    point, before = data.at(L), math.inf
    for _ in range(_STEPS):
        gradient, hessian = _chained(point, L)
        values, vectors = np.linalg.eigh(hessian)
        sizes = np.maximum(np.abs(values), 1e-12 * np.abs(values).max() + 1e-300)
        along = vectors.T @ gradient
        gain = float(along @ (along / sizes))
        step = -vectors @ (along / sizes)
        if gain < _DONE or before / 4 < gain < _NEAR:
            if values[0] >= -1e-6 * sizes.max():
                return L, point, True
            step, gain = vectors[:, 0], 0.0  # a saddle: either way is down
        longest = 0.9 * max(float(np.linalg.norm(L)), SMALL)  # the criterion is a parabola near by only
        step *= min(1.0, longest / float(np.linalg.norm(step)))
        L, point, moved = _moved(data, L, point, step, gain)
        if not moved:
            return L, point, gain < _NEAR
        before = gain or math.inf
    return L, point, False


def _moved(
    data: _Reduced, L: np.ndarray, point: _Point, step: np.ndarray, gain: float
) -> tuple[np.ndarray, _Point, bool]:
    """A step, halved until the criterion falls."""
    noise = 1e-13 * (1 + abs(point.value)) if gain else 0.0
    for halvings in range(40):
        new = L.copy()
        new[_free(L)] += step / 2**halvings
        there = data.at(new)
        if there.value < point.value + noise - 1e-4 * gain / 2**halvings:
            return new, there, True
    return L, point, False


def _free(L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The elements on and below the diagonal."""
    return np.tril_indices(L.shape[0], 0, L.shape[1])


def _chained(point: _Point, L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian by the free elements of L: dG = e_i l_j' + l_j e_i' for the element i, j."""
    rows, columns = _free(L)
    D = np.eye(L.shape[0])[rows][:, :, None] * L.T[columns][:, None, :]
    D = D + D.swapaxes(1, 2)
    flat = D.reshape(rows.size, -1)
    hessian = flat @ point.second.reshape(flat.shape[1], -1) @ flat.T
    hessian += np.where(columns[:, None] == columns, 2 * point.first[rows[:, None], rows], 0.0)
    return flat @ point.first.ravel(), (hessian + hessian.T) / 2
