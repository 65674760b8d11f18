"""Volumes against the manual masks' (the paper's Fig. 3)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from thalbids.reports.group.figures import look, marks
from thalbids.reports.group.figures.canvas import Figure, Panel
from thalbids.reports.group.figures.overlap import _named
from thalbids.reports.group.group_data import Tables, interval, methods_in, number, rows_of

if TYPE_CHECKING:
    import pandas as pd

NEEDS = ("participant_id", "method", "volume_ml", "volume_rater_ml")
SIZE = {"width": 3.4, "height": 3.3}
Estimates = dict[str, dict[str, float]]


def estimates(tables: Tables, method: str, rater: str | None = None) -> Estimates:
    """The agreement table of a method: quantity -> estimate, ci_low, ci_high, n."""
    table = rows_of(tables.get("agreement", ("method", "quantity", "estimate")), method=method)
    table = table if rater is None else rows_of(table, rater=rater)
    return {str(row["quantity"]): row for row in table.to_dict("records")}


def scatter(tables: Tables, rater: str | None = None) -> Figure | None:
    """Fig. 3a: volumes of the method over those of the rater, with the identity and the fitted line."""
    return _figure(
        tables, rater, "volume_agreement", "Volumes against the manual masks", _scatter, _both,
        "Dashed: equality. Solid: least-squares line. Lin's concordance correlation (CCC) counts scatter and offset; "
        "the slope tells how much of the range of volumes is kept; SDe is the scatter around the line.",
    )  # fmt: skip


def bland_altman(tables: Tables, rater: str | None = None) -> Figure | None:
    """Fig. 3b: difference over mean, with bias, limits of agreement and both slopes."""
    return _figure(
        tables, rater, "bland_altman", "Bland-Altman plots", _bland_altman, _means,
        "Solid: mean difference (bias). Dashed: limits of agreement, bias ± 1.96 SD. Sloping: the difference "
        "regressed on the mean. A slope on the mean is biased when the two variances differ, so the slope on the "
        "manual volume stands beside it. The vertical axes differ.",
    )  # fmt: skip


def _figure(
    tables: Tables, rater: str | None, name: str, title: str, make: Any, ends: Any, intro: str
) -> Figure | None:
    table = rows_of(tables.get("overlap", NEEDS), status="ok")
    table = (table if rater is None else rows_of(table, rater=rater)).dropna(subset=["volume_ml", "volume_rater_ml"])
    table = table[(table["volume_ml"] > 0) & (table["volume_rater_ml"] > 0)]  # as in the agreement: no empty masks
    panels = []
    for method in methods_in(table):
        of_method = table[table["method"] == method]
        if len(of_method):
            panels.append(make(method, of_method, estimates(tables, method, rater), ends(table)))
    if not panels:
        return None
    return Figure(_named(name, rater), title, intro, panels, tables.file("agreement"), 3)


def _both(table: pd.DataFrame) -> tuple[float, float]:
    """Both volumes of every method, so that panels can be compared."""
    return _range(np.concatenate([table["volume_ml"].to_numpy(), table["volume_rater_ml"].to_numpy()]))


def _means(table: pd.DataFrame) -> tuple[float, float]:
    """The means of both volumes, of every method."""
    return _range((table["volume_ml"].to_numpy() + table["volume_rater_ml"].to_numpy()) / 2)


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return low - 0.05 * (high - low) - 0.1, high + 0.05 * (high - low) + 0.1


def _said(values: Estimates, quantity: str, name: str, digits: int = 2) -> str:
    row = values.get(quantity)
    if row is None or not np.isfinite(row["estimate"]):
        return ""
    ci = interval(row.get("ci_low", np.nan), row.get("ci_high", np.nan), digits)
    return f"{name} {number(row['estimate'], digits)}" + ("" if ci == "–" else f" {ci}")


def _scatter(method: str, rows: pd.DataFrame, told: Estimates, ends: tuple[float, float]) -> Panel:
    words = [_said(told, "ccc", "CCC"), _said(told, "slope", "slope"), _said(told, "sd_e", "SDe"),
             _said(told, "icc_c1", "ICC(C,1)")]  # fmt: skip
    words = [word for word in words if word]

    draw = partial(_cloud, method=method, rows=rows, words=words, ends=ends)
    alt = f"{look.label(method)} against manual volume, n = {len(rows)}. {'; '.join(words) or 'No estimates'}."
    return Panel(look.short(look.label(method)), alt, draw, **SIZE)


def _cloud(axes: Any, method: str, rows: pd.DataFrame, words: list[str], ends: tuple[float, float]) -> None:
    x, y = rows["volume_rater_ml"].to_numpy(), rows["volume_ml"].to_numpy()
    axes.plot(ends, ends, color=look.QUIET, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
    marks.cloud(axes, x, y, method)
    marks.fitted(axes, x, y)
    axes.set(xlim=ends, ylim=ends, xlabel="Manual volume (mL)", ylabel="Volume (mL)")
    if words:
        marks.note(axes, "\n".join(words), low=float(np.mean(y - x)) > 0)  # where there are no points


def _bland_altman(method: str, rows: pd.DataFrame, told: Estimates, ends: tuple[float, float]) -> Panel:
    words = [_said(told, "bias", "bias"), _said(told, "proportional_slope", "slope on mean"),
             _said(told, "proportional_slope_on_reference", "slope on manual")]  # fmt: skip
    lines: dict[str, float] = {name: told[name]["estimate"] for name in ("bias", "loa_low", "loa_high") if name in told}
    if "loa_low" in lines and "loa_high" in lines:
        words.insert(1, f"limits {interval(lines['loa_low'], lines['loa_high'])}")
    words = [word for word in words if word]
    if "bias_sd" in told and np.isfinite(told["bias_sd"]["estimate"]):
        words.insert(1, f"SD {number(told['bias_sd']['estimate'])}")

    draw = partial(_differences, method=method, rows=rows, words=words, lines=lines, ends=ends)
    alt = f"{look.label(method)} minus manual volume over their mean, n = {len(rows)}. {'; '.join(words)}."
    return Panel(look.short(look.label(method)), alt, draw, **SIZE)


def _differences(
    axes: Any, method: str, rows: pd.DataFrame, words: list[str], lines: dict[str, float], ends: tuple[float, float]
) -> None:
    x, y = rows["volume_rater_ml"].to_numpy(), rows["volume_ml"].to_numpy()
    axes.axhline(0, color=look.GRID, linewidth=1)
    for name, value in lines.items():
        dashes = "-" if name == "bias" else (0, (5, 3))
        axes.axhline(value, color=look.INK, linewidth=1.4 if name == "bias" else 1, linestyle=dashes, zorder=1)
    marks.cloud(axes, (x + y) / 2, y - x, method)
    marks.fitted(axes, (x + y) / 2, y - x, linewidth=1.2, linestyle=(0, (1, 1)))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.35 * (high - low))  # room for the numbers
    axes.set(xlim=ends, xlabel="Mean of both (mL)", ylabel="Method − manual (mL)")
    if words:
        marks.note(axes, "\n".join(words))
