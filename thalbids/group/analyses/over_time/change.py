"""Change of the thalamus between sessions (paper, 2.6.3 and 3.5): per participant, summarised, and between methods."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from thalbids.bids.results.names import mask_of, registered
from thalbids.bids.tabular.tables import PARTICIPANT, Column, Table, column, count, table
from thalbids.group import comparability
from thalbids.group.analysis import Analysis
from thalbids.group.cohort import Cohort, visit_pairs
from thalbids.group.columns import (
    COMPARABLE,
    DIAGNOSIS,
    EXACT,
    METHOD,
    METHOD2,
    PAIR,
    PAIR_STATUS,
    REASON,
    SESSIONS,
    SPREAD,
)
from thalbids.group.modelling.missing import ledger, missing_table
from thalbids.group.modelling.registered import (
    CHANGE_MEASURE,
    by_registration,
    measure_of,
    since,
    with_measure,
)
from thalbids.group.statistics.concordance.paired import signed_rank
from thalbids.group.statistics.testing.correction import benjamini_hochberg
from thalbids.qc.visits import balance_remark
from thalbids.reports.group.figures import clinical, descriptive, look
from thalbids.reports.group.group_data import Tables, mean_sd, number, rows_of
from thalbids.reports.group.section import PageTable, Section, by_measure, counted, matrix, per_group

MEASURES = (
    "delta_ml", "delta_percent", "delta_percent_per_year", "delta_left_ml", "delta_left_percent",
    "delta_left_percent_per_year", "delta_right_ml", "delta_right_percent", "delta_right_percent_per_year",
    "delta_asymmetry",
)  # fmt: skip
RANK = ("excluded", "failed", "missing")  # which status of two volumes is that of their change
_SIDES = ("volume_ml", "volume_left_ml", "volume_right_ml")


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
    **COMPARABLE,
    **PAIR_STATUS,
    **CHANGE_MEASURE,
}


CHANGE_SUMMARY: dict[str, Column] = {
    **METHOD,
    **DIAGNOSIS,
    "measure": column("Measure", "Column of group_change that is summarised; its units apply."),
    **SPREAD,
    **SESSIONS,
    **CHANGE_MEASURE,
}


CHANGE_TESTS: dict[str, Column] = {
    **METHOD,
    **METHOD2,
    "n": count("Number of pairs", "Pairs of sessions with both methods' change."),
    "n_zero": count("Number of zeros", "Differences of 0, which the test drops."),
    "statistic": column("Statistic", "Wilcoxon signed-rank statistic: the smaller sum of ranks."),
    "p": column("p value", "Two-sided."),
    "p_fdr": column(
        "Adjusted p value",
        "Benjamini-Hochberg over all pairs of the methods of the clinical models; pairs with a change by registration, "
        "of two such methods or of both measures of one method, are a family of their own.",
    ),
    "median_difference": column(
        "Median difference", "Median of the first method's change in percent minus the second's.", "percent"
    ),
    **SESSIONS,
    **REASON,
    **EXACT,
    **CHANGE_MEASURE,
}


def tables(cohort: Cohort) -> list[Table]:
    """``group_change``, its summary, tests between methods, and the ledger; changes by registration come last."""
    pairs = cohort.settings.group.pairs
    frames = {pair: change(cohort, pair) for pair in pairs}
    moved = {pair: change_by_registration(cohort, pair) for pair in pairs}
    rows = pd.concat([*frames.values(), *(frame for frame in moved.values() if len(frame))], ignore_index=True)
    names = tuple(registered(name) for name in cohort.compared)
    used = {pair: sampled(cohort, frame, cohort.compared) for pair, frame in frames.items()}
    samples = {pair: sampled(cohort, frame, names) for pair, frame in moved.items()}
    choices = {"pairs": list(pairs), "icv": cohort.settings.group.icv, "sample": cohort.settings.group.sample}
    methods, how = cohort.model_methods, cohort.settings.group.wilcoxon
    tests = {
        "test": f"Wilcoxon signed-rank, {how}, zeros dropped, no continuity correction",
        "on": "delta_percent",
        "sample": cohort.settings.group.sample,
        "methods_left_out": [name for name in cohort.methods if name not in methods],
    }
    notes = [] if len(rows) else ["change: no participant has two sessions with volumes."]
    summaries = [row for part in (used, samples) for pair in pairs for row in summary(part[pair], pair)]
    tested = [row for pair in pairs for row in between(used[pair], pair, methods, how)]
    tested += [row for pair in pairs for row in between_measures(used[pair], samples[pair], pair, methods, how)]
    return [
        Table("group_change", rows, CHANGE, choices, notes),
        table("group_change_summary", with_measure(summaries), CHANGE_SUMMARY, settings=choices),
        table("group_change_tests", with_measure(tested), CHANGE_TESTS, settings=tests),
        missing_table(ledgers(cohort)),
    ]


@functools.lru_cache(maxsize=8)
def change(cohort: Cohort, pair: str = "first:last") -> pd.DataFrame:
    """One row per pair of sessions and method: the columns of ``group_change``. Not to be changed.

    A method without a usable volume at one of the two sessions has a row with NaN and the reason; a pair that the
    participant level excluded has volumes, but no change.
    """
    visits = visit_pairs(cohort, pair)[
        ["participant_id", "session_id_baseline", "session_id_followup", "interval_years", "diagnosis"]
    ]
    frame = visits.merge(pd.DataFrame({"method": list(cohort.methods)}, dtype=object), how="cross")
    for when in ("baseline", "followup"):
        frame = frame.merge(_at(cohort, when), on=["participant_id", f"session_id_{when}", "method"], how="left")
    columns = {name: frame[name] for name in visits.columns} | {"method": frame["method"]}
    for side in ("", "_left", "_right"):
        columns |= _differences(frame, side)
    columns |= _asymmetry(frame)
    columns |= {"sessions": pair}
    columns |= _comparable(cohort, frame, columns, pair)
    columns |= {"change_measure": [measure_of(method) for method in frame["method"]]}
    out = comparability.excluded(cohort, frame).to_numpy()
    columns |= {"reason": _reasons(frame, out), "status": _statuses(frame, out)}
    changes = pd.DataFrame(columns).reindex(columns=list(CHANGE))
    changes.loc[out != "", list(MEASURES)] = np.nan
    return changes


@functools.lru_cache(maxsize=8)
def change_by_registration(cohort: Cohort, pair: str = "first:last") -> pd.DataFrame:
    """The rows of ``group_change`` by registration, with methods named ``METHOD_registration``. Not to be changed.

    ``comparable`` and ``remark`` hold what the change table of the person says too. Of ``consecutive`` pairs each has
    its own first session.
    """
    if pair != "consecutive":
        of_measure = by_registration(cohort, pair)
        return change(cohort, pair).iloc[:0] if of_measure is None else _flagged(cohort, change(of_measure, pair))
    visits = visit_pairs(cohort, pair)[comparability.KEYS]
    place = visits.groupby("participant_id").cumcount()
    parts = []
    for n in sorted(set(place)):
        part = visits[place == n]
        of_measure = since(cohort, part["participant_id"], part["session_id_baseline"])
        if of_measure is not None:
            every = change.__wrapped__(of_measure, pair)
            parts.append(every.merge(part, on=comparability.KEYS, how="inner"))
    if not parts:
        return change(cohort, pair).iloc[:0]
    return _flagged(cohort, pd.concat(parts, ignore_index=True))


def _flagged(cohort: Cohort, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with what the change tables of the people say against a pair."""
    known = cohort.changes
    if known is None:
        return frame
    keys = [*comparability.KEYS, "method"]
    told = known.assign(method=[registered(name) for name in known["method"]])
    swapped = {"session_id_baseline": "session_id_followup", "session_id_followup": "session_id_baseline"}
    told = pd.concat([told, told.rename(columns=swapped)]).drop_duplicates(keys)  # a pair in either order
    flagged = frame[keys].merge(told[[*keys, "comparable", "remark"]], on=keys, how="left").fillna("")
    remarks = [
        "; ".join(dict.fromkeys(filter(None, [*one.split("; "), *two.split("; ")])))
        for one, two in zip(frame["remark"], flagged["remark"], strict=True)
    ]
    comparable = [
        comparability.NO if comparability.NO in both else both[0] or both[1]
        for both in zip(frame["comparable"], flagged["comparable"], strict=True)
    ]
    return frame.assign(comparable=comparable, remark=remarks)


def sampled(cohort: Cohort, frame: pd.DataFrame, compared: Collection[str]) -> pd.DataFrame:
    """The rows of ``group_change`` of the sample of the settings: all, or the pairs that all of ``compared`` have."""
    if cohort.settings.group.sample != "common":
        return frame
    pair = ["participant_id", "session_id_baseline", "session_id_followup"]
    wanted = set(compared) & set(frame["method"])
    there = frame[frame["method"].isin(wanted) & frame["delta_ml"].notna()]
    n = there.groupby(pair)["method"].nunique()
    every = pd.MultiIndex.from_frame(frame[pair]).isin(n.index[n == len(wanted)])
    return frame[every].reset_index(drop=True)


def summary(frame: pd.DataFrame, pair: str) -> list[dict[str, Any]]:
    """Rows of ``group_change_summary``: every method, diagnosis (and all) and measure."""
    rows = []
    for method, changes in frame.groupby("method", sort=False):
        for diagnosis, part in by_diagnosis(changes):
            for measure in MEASURES:
                start = {"method": method, "diagnosis": diagnosis, "measure": measure, "sessions": pair}
                rows.append(start | spread(part[measure]))
    return rows


def between(
    frame: pd.DataFrame, pair: str, methods: Sequence[str] | None = None, how: str = "asymptotic"
) -> list[dict[str, Any]]:
    """Rows of ``group_change_tests``: paired Wilcoxon of the percent change, all pairs of ``methods`` (None: all)."""
    frame = frame if methods is None else frame[frame["method"].isin(methods)]
    return _tested(frame, pair, list(itertools.combinations(dict.fromkeys(frame["method"]), 2)), how)


def between_measures(
    frame: pd.DataFrame, moved: pd.DataFrame, pair: str, methods: Sequence[str], how: str = "asymptotic"
) -> list[dict[str, Any]]:
    """Rows of ``group_change_tests`` with a change by registration (``moved``): pairs of such methods, and each with
    the difference of volumes of the same method.
    """
    names = [name for name in dict.fromkeys(moved["method"]) if mask_of(name) in methods]
    couples = [*itertools.combinations(names, 2), *((name, mask_of(name)) for name in names)]
    if not couples:
        return []
    return _tested(pd.concat([frame, moved], ignore_index=True), pair, couples, how)


def _tested(frame: pd.DataFrame, pair: str, couples: Sequence[tuple[str, str]], how: str) -> list[dict[str, Any]]:
    """A row for each of these pairs of methods, which are one family."""
    wide = frame.pivot(
        index=["participant_id", "session_id_baseline", "session_id_followup"], columns="method", values="delta_percent"
    )
    wide = wide.reindex(columns=list(dict.fromkeys([*wide.columns, *itertools.chain(*couples)])))
    repeated = wide.index.get_level_values("participant_id").has_duplicates
    rows = []
    for first, second in couples:
        a, b = wide[first].to_numpy(dtype=float), wide[second].to_numpy(dtype=float)
        difference = (a - b)[np.isfinite(a - b)]
        test = signed_rank(a, b, how)
        if repeated and not test["reason"]:
            test["reason"] = "a person has several pairs, which are not independent: p is too small"
        median = float(np.median(difference)) if difference.size else float("nan")
        rows.append({"method": first, "method2": second, "sessions": pair, "median_difference": median, **test})
    adjusted = benjamini_hochberg([row["p"] for row in rows])
    return [row | {"p_fdr": p} for row, p in zip(rows, adjusted, strict=True)]


def ledgers(cohort: Cohort) -> list[dict[str, Any]]:
    """How many pairs of sessions each method has, and why others are lost; changes by registration last."""
    pairs, rows = cohort.settings.group.pairs, []
    frames = [(pair, change(cohort, pair)) for pair in pairs]
    for pair, frame in [*frames, *((pair, change_by_registration(cohort, pair)) for pair in pairs)]:
        for method, changes in frame.groupby("method", sort=False):
            lost = {
                "no volume at baseline": changes["volume_baseline_ml"].isna(),
                "no volume at follow up": changes["volume_followup_ml"].isna(),
                "pair excluded": changes["status"] == "excluded",
            }
            rows.append(ledger("change", "delta_ml", str(method), lost, sessions=pair))
            lost |= {"no interval": ~(changes["interval_years"] > 0)}
            rows.append(ledger("change", "delta_percent_per_year", str(method), lost, sessions=pair))
    return rows


def by_diagnosis(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """The rows of everybody (``all``), then of each diagnosis, ``unknown`` last."""
    yield "all", frame
    names = sorted(set(frame["diagnosis"]) - {""})
    for name in names:
        yield name, frame[frame["diagnosis"] == name]
    if (frame["diagnosis"] == "").any():
        yield "unknown", frame[frame["diagnosis"] == ""]


def spread(values: Any) -> dict[str, Any]:
    """n, mean, sd (n - 1), median and quartiles (numpy's linear) of the values that are there; NaN without any."""
    there = np.asarray(values, dtype=np.float64)
    there = there[np.isfinite(there)]
    nan = float("nan")
    if not there.size:
        return {"n": 0, "mean": nan, "sd": nan, "median": nan, "q1": nan, "q3": nan}
    q1, median, q3 = np.quantile(there, [0.25, 0.5, 0.75])
    sd = float(there.std(ddof=1)) if there.size > 1 else nan
    numbers = {"mean": float(there.mean()), "sd": sd, "median": float(median), "q1": float(q1), "q3": float(q3)}
    return {"n": int(there.size), **numbers}


def _at(cohort: Cohort, when: str) -> pd.DataFrame:
    """The volumes of a session under the names of one end of a pair; NaN where the status is not ok."""
    of_session = cohort.volumes[["participant_id", "session_id", "method", *_SIDES, "status", "reason"]].copy()
    of_session.loc[of_session["status"] != "ok", list(_SIDES)] = np.nan
    names = {name: f"{name}_{when}" for name in (*_SIDES, "status", "reason", "session_id")}
    return of_session.rename(columns=names)


def _differences(frame: pd.DataFrame, side: str) -> dict[str, pd.Series]:
    before, after = frame[f"volume{side}_ml_baseline"], frame[f"volume{side}_ml_followup"]
    difference = after - before
    percent = 100 * difference / before.where(before > 0)
    years = frame["interval_years"].where(frame["interval_years"] > 0)
    volumes = {} if side else {"volume_baseline_ml": before, "volume_followup_ml": after}
    return volumes | {
        f"delta{side}_ml": difference,
        f"delta{side}_percent": percent,
        f"delta{side}_percent_per_year": percent / years,
    }


def _asymmetry(frame: pd.DataFrame) -> dict[str, pd.Series]:
    columns = {}
    for when in ("baseline", "followup"):
        left, right = frame[f"volume_left_ml_{when}"], frame[f"volume_right_ml_{when}"]
        columns[f"asymmetry_{when}"] = 2 * (left - right) / (left + right).where(left + right > 0)
    return columns | {"delta_asymmetry": columns["asymmetry_followup"] - columns["asymmetry_baseline"]}


def _comparable(
    cohort: Cohort, frame: pd.DataFrame, columns: Mapping[str, pd.Series | str | list[str]], pair: str
) -> dict[str, list[str]]:
    """Whether the visits were acquired alike, and that left and right of a mask did not part."""
    told = frame[comparability.KEYS].merge(comparability.pairs(cohort, pair), on=comparability.KEYS, how="left")
    balance = [
        balance_remark(*(None if value != value else float(value) for value in both))
        for both in zip(columns["asymmetry_baseline"], columns["asymmetry_followup"], strict=True)
    ]
    remarks = ["; ".join(filter(None, both)) for both in zip(told["remark"], balance, strict=True)]
    known = zip(told["comparable"], balance, strict=True)
    return {"comparable": [comparability.NO if parted else alike for alike, parted in known], "remark": remarks}


def _statuses(frame: pd.DataFrame, out: np.ndarray) -> list[str]:
    """Whether there is a change that may be taken; of two statuses of volumes the first of ``RANK``."""
    ends = zip(frame["status_baseline"].fillna("missing"), frame["status_followup"].fillna("missing"), strict=True)
    statuses = (next((name for name in RANK if name in both), "ok") for both in ends)
    return ["excluded" if why else status for why, status in zip(out, statuses, strict=True)]


def _reasons(frame: pd.DataFrame, out: np.ndarray) -> list[str]:
    """Why a row has no change, in words; ``out``: why the pair is excluded."""
    reasons = []
    columns = ["status_baseline", "reason_baseline", "status_followup", "reason_followup", "interval_years"]
    rows = zip(out, frame[columns].itertuples(index=False), strict=True)
    for why, (status1, reason1, status2, reason2, years) in rows:
        parts = [
            f"{when}: {_words(status, reason)}"
            for when, status, reason in (("baseline", status1, reason1), ("follow-up", status2, reason2))
            if status != "ok"
        ]
        if why:
            parts = [_words("excluded", why), *parts]
        elif not parts and not years > 0:
            parts = ["no interval: a session without a date" if years != years else "no interval: not after baseline"]
        reasons.append("; ".join(parts))
    return reasons


def _words(status: object, reason: object) -> str:
    if not isinstance(status, str):
        return "not in the derivatives"
    return f"{status} ({reason})" if isinstance(reason, str) and reason else status


EVERY_PAIR = "; every pair, those that cannot be compared too: not the number to cite"
LEAST_PAIRS = 6  # the smallest exact two-sided p of a signed-rank test is 2 / 2^n


def section(tables: Tables) -> Section:
    """Change between visits."""
    section = Section("change", "Change of thalamic volume")
    section.add(descriptive.change(tables))
    if not section.figures:
        section.nothing = "No participant has volumes of the same method at two sessions."
        if comparability.EXCLUDED in set(tables.get("comparability", ("status",))["status"]):
            section.nothing = "No participant has two sessions with volumes of the same method that can be compared."
        return section
    summary = tables.get("change_summary", ("method", "diagnosis", "measure", "mean", "sd", "n"))
    text, doubtful = mean_change(tables)
    section.says += text
    section.tables += without_doubtful(tables) if doubtful else []
    for measure, digits, unit in (("delta_percent", 2, "% of baseline"), ("delta_ml", 3, "mL")):
        summaries = rows_of(summary, measure=measure)
        if len(summaries):
            header, rows = per_group(summaries, functools.partial(_spread_cell, digits=digits))
            title = f"Mean ± SD in {unit}; n{EVERY_PAIR if doubtful else ''}"
            section.tables.append(PageTable(title, header, rows, tables.file("change_summary")))
    tests = tables.get("change_tests", ("method", "method2", "p_fdr")).dropna(subset=["p_fdr"])
    for words, part in by_measure(tests):
        title = f"Change in percent, pairs of methods{words}: corrected p"
        section.tables += matrix(title, part, tables.file("change_tests"))
        below = int((part["p_fdr"] < clinical.ALPHA).sum())
        which = "with a change by registration" if words else "of methods"
        section.says.append(
            f"{below} of {counted(len(part), 'pair')} {which} differ (paired Wilcoxon, corrected over the pairs)."
        )
    if len(tests) and "n" in tests.columns and tests["n"].max() < LEAST_PAIRS:
        section.caveats.append(
            f"With {number(tests['n'].max(), 0)} people the exact p of this test is never below "
            f"{number(2 / 2 ** tests['n'].max(), 2)}: that no pair differs says nothing."
        )
    section.says += detecting_most(tables)
    section.caveats += [
        "Groups are described, not compared by a test: they differ in size, and some are small.",
        "Manual masks exist at one time point in most studies: more measured loss is not a proof of a better method.",
    ]
    return section


def mean_change(tables: Tables) -> tuple[list[str], bool]:
    """The methods with the lowest and the highest mean change in percent, in a sentence, and whether some pairs of
    visits cannot be compared: the means are then those of the others.
    """
    needed = ("method", "measure", "mean", "sd", "n")
    summary = rows_of(tables.get("change_comparable", (*needed, "pairs")), measure="delta_percent")
    alike, every = (rows_of(summary, pairs=which) for which in ("comparable", "all"))
    doubtful = bool(every["n"].sum() > alike["n"].sum())
    if not doubtful:
        alike = rows_of(tables.get("change_summary", (*needed, "diagnosis")), measure="delta_percent", diagnosis="all")
    alike = alike[alike["n"] > 1].dropna(subset=["mean"]).sort_values("mean")  # one person has no mean
    if alike.empty:
        none = "Fewer than two pairs of visits can be compared by any method: no mean change is told here."
        return [none] if doubtful else [], doubtful
    text = "Over the pairs of visits that can be compared, the" if doubtful else "The"
    text += f" mean change is {_mean_of(alike.iloc[0])}"
    if len(alike) > 1:
        text += f" and, at the other end, {_mean_of(alike.iloc[-1])}"
    return [f"{text}."], doubtful


def without_doubtful(tables: Tables) -> list[PageTable]:
    """The table of change that people should cite where some pairs of visits cannot be compared."""
    summary = tables.get("change_comparable", ("method", "measure", "mean", "sd", "n", "pairs"))
    rows = [
        [look.label(str(row["method"])), _spread_cell(row, 2)]
        for _, row in rows_of(summary, measure="delta_percent", pairs="comparable").iterrows()
        if row["n"] > 0
    ]
    title = "Mean ± SD in % of baseline; n: pairs of visits that can be compared, the number to cite"
    return [PageTable(title, ["Method", "Change"], rows, tables.file("change_comparable"))] if rows else []


def detecting_most(tables: Tables) -> list[str]:
    """Which measure detects most on the same people, and how many others cannot be told from it; of several pairs of
    sessions the first, as in all of the page.
    """
    needed = ("method", "measure", "population", "rank", "n", "srm", "n_per_arm", "behind_ci_low", "sessions")
    ranks = rows_of(tables.get("detection", needed), population="patients").dropna(subset=["rank"])
    if ranks.empty:
        return []
    ranks = ranks.sort_values("rank")
    first, others = ranks.iloc[0], ranks.iloc[1:]
    by = " by registration" if first["measure"] == "registration" else ""
    text = f"On the same {counted(int(first['n']), 'patient')} {look.label(first['method'])}{by} detects most: "
    text += f"standardised response mean {number(first['srm'])}"
    text += f", {number(first['n_per_arm'], 0)} people per arm of a trial" if first["n_per_arm"] > 0 else ""
    alike = int((others["behind_ci_low"] <= 0).sum())
    text += f"; {alike} of {counted(len(others), 'other measure')} cannot be told from it" if len(others) else ""
    return [f"{text} ({first['sessions']}; {tables.file('detection')})."]


def _spread_cell(row: pd.Series, digits: int) -> str:
    return f"{mean_sd(row, digits)}; {number(row['n'], 0)}"


def _mean_of(row: pd.Series) -> str:
    size = number(row["n"], 0)
    return f"{mean_sd(row)} % by {look.label(row['method'])} (n = {size})"


ANALYSIS = Analysis(
    "change", tables, ledgers, sections={"change": section}, told=("change", "change_summary", "change_tests")
)
