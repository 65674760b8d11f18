"""What a run found and did, in words for the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thalbids.bids.tabular.tables import Table
from thalbids.errors import some
from thalbids.group.cohort import Cohort, baseline, visit_pairs
from thalbids.group.statistics.fits import fit

MOST_UNUSED = 100  # columns that are named
MANY_WITHOUT = 3  # tables of models without one that was fitted, beyond which they share a line


def describe(cohort: Cohort, ledgers: Sequence[Mapping[str, Any]]) -> str:
    """What was found where, and who would enter each model (``ledgers``), for reading."""
    lines = clinical_lines(cohort.columns_found, cohort.columns_unused)
    base, pairs = baseline(cohort), {pair: visit_pairs(cohort, pair) for pair in cohort.settings.group.pairs}
    lines.append(f"Methods: {', '.join(cohort.methods)}")
    lines.append(f"Participants with a usable volume: {len(base)}")
    for pair, frame in pairs.items():
        dated = int((frame["interval_years"] > 0).sum())
        lines.append(f"Pairs of sessions ({pair}): {len(frame)}, {dated} with both dates")
    lines.append("Rows per analysis, before anything is fitted:")
    lines += [f"  {line}" for line in ledger_lines(ledgers)]
    lines += shown(cohort.notes, "all of them in the notes of a real run")
    lines += verdict(len(base), ledgers)
    return "\n".join([*lines, *last_lines(cohort), "Nothing was written."])


def last_lines(cohort: Cohort) -> list[str]:
    """What whoever reads only the end of the output must know."""
    return [*cohort.pressing, *lost_lines(cohort.lost)]


def lost_lines(lost: Sequence[str], most: int = 5) -> list[str]:
    """Why a run ends with exit code 1 although its tables were written, for its last lines.

    Examples
    --------
    >>> lost_lines(["warning: sub-01 left out: its mask is not there."])
    ['exit code 1, people or sessions are lost: sub-01 left out: its mask is not there.']
    """
    more = [f"exit code 1, and {len(lost) - most} more of this kind"] if len(lost) > most else []
    named = [warning.removeprefix("warning: ") for warning in lost[:most]]
    return [*(f"exit code 1, people or sessions are lost: {text}" for text in named), *more]


def verdict(people: int, ledgers: Sequence[Mapping[str, Any]], few: int = 30) -> list[str]:
    """What a run would give, in the words of the last lines: models with people, with few, with none, and why."""
    if not people:
        return ["Verdict: nothing can be analysed: no participant has a usable volume."]
    empty = [row for row in ledgers if not row["n_used"]]
    small = [row for row in ledgers if 0 < row["n_used"] < few]
    full = len(ledgers) - len(empty) - len(small)
    counts = f"{full} of {counted(len(ledgers), 'analysis', 'analyses')} (outcome and method) have {few} and more rows"
    lines = [f"Verdict: {counts}, {len(small)} have fewer, {len(empty)} none."]
    reasons: dict[str, int] = {}
    for row in empty:
        lost = {key: value for key, value in row.items() if key.startswith("lost_") and value}
        most = max(lost, key=lambda key: lost[key]) if lost else ""
        why = most.removeprefix("lost_").replace("_", " ") or "no candidates"
        name = f"{row['analysis']}: {why}"
        reasons[name] = reasons.get(name, 0) + 1
    lines += [f"  without rows: {name} ({n})" for name, n in reasons.items()]
    return lines


def counted(n: int, one: str, many: str) -> str:
    """A number and its noun.

    Examples
    --------
    >>> counted(1, "analysis", "analyses"), counted(2, "analysis", "analyses")
    ('1 analysis', '2 analyses')
    """
    return f"{n} {one if n == 1 else many}"


def tables_line(n: int, empty: int) -> str:
    """How many tables were written, and how many have no row.

    Examples
    --------
    >>> tables_line(64, 0), tables_line(64, 1)
    ('64 tables', '64 tables (1 without rows)')
    """
    return counted(n, "table", "tables") + (f" ({empty} without rows)" if empty else "")


def clinical_lines(columns: Mapping[str, Sequence[str]], unused: Sequence[str]) -> list[str]:
    """Which columns of the clinical tables stand for what, for reading."""
    lines = ["Clinical columns:"]
    lines += [f"  {name}: {'; '.join(where)}" for name, where in sorted(columns.items())] or ["  none"]
    return lines + ([f"  not used: {some(unused, MOST_UNUSED)}"] if unused else [])


def shown(notes: Sequence[str], where: str = "see logs/group/notes.txt", most: int = 40) -> list[str]:
    """The notes for the terminal: warnings first, and not thousands of them."""
    ordered = sorted(folded(notes), key=lambda note: not note.startswith("warning:"))
    more = [f"and {len(ordered) - most} more, {where}"] if len(ordered) > most else []
    return [*ordered[:most], *more]


def folded(notes: Sequence[str]) -> list[str]:
    """Covariates that are left out of the same models for the same reason in one line.

    Examples
    --------
    >>> folded([f"warning: mixed: {name} is left out of 4 of 16 models: does not vary." for name in ("age", "sex")])
    ['warning: mixed: age, sex are left out of 4 of 16 models: does not vary.']
    """
    lines: dict[str, list[str]] = {}
    for note in notes:
        match = _LEFT_OUT.fullmatch(note)
        key = note if match is None else f"{match['start']}{{}} {match['rest']}"
        lines.setdefault(key, []).append("" if match is None else match["name"])
    return [
        key if not names[0] else key.format(f"{', '.join(names)} {'are' if len(names) > 1 else 'is'}")
        for key, names in lines.items()
    ]


_LEFT_OUT = re.compile(
    r"(?P<start>warning: [^:{}]+: )(?P<name>[^:{}]+) is (?P<rest>left out of \d+ of \d+ models: [^{}]*)"
)


def fitted_lines(tables: Iterable[Table], most: int = 3) -> list[str]:
    """Per table of models how many were fitted, and the most frequent reasons of the others, for the terminal."""
    lines: dict[str, str] = {}
    without: dict[str, str] = {}
    for table in tables:
        if not {"term", "estimate", "reason"} <= set(table.frame.columns) or table.frame.empty:
            continue
        keys = [name for name in _MODEL if name in table.frame.columns]
        models = table.frame.groupby(keys, dropna=False).agg(
            fitted=("estimate", lambda values: values.notna().any()), reason=("reason", "first")
        )
        fitted = models["fitted"].astype(bool)
        reasons = models.loc[~fitted, "reason"].fillna("").replace("", "no reason given").value_counts()
        told = [f"{reason} ({n})" for reason, n in reasons.items()]
        more = counted(len(told) - most, "more reason", "more reasons")
        told = [*told[:most], *([f"{more} in the table"] if len(told) > most else [])]
        name = table.name.removeprefix("group_")
        if not fitted.any():
            nobody = f" {fit.NOBODY}"  # as of methods that nobody has, which says nothing of those that people have
            telling = [reason for reason in reasons.index if not reason.endswith(nobody)] or list(reasons.index)
            without[name] = f"{name} ({len(models)}: {telling[0]})"
        line = f"{name}: {fitted.sum()} of {len(models)} models fitted"
        lines[name] = line + (f": {'; '.join(told)}" if told else "") + "."
    if len(without) <= MANY_WITHOUT:
        return list(lines.values())
    kept = [line for name, line in lines.items() if name not in without]
    return [*kept, f"no model could be fitted in: {'; '.join(without.values())}. The tables have every reason."]


_MODEL = ("analysis", "outcome", "method", "threshold", "subset", "sensitivity", "measure", "sessions", "random")


def ledger_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows of ledgers for reading: methods with the same numbers share a line."""
    methods: dict[str, list[str]] = {}
    for row in rows:
        name = " ".join(str(row[key]) for key in ("analysis", "outcome", "subset", "sessions") if row.get(key))
        lost = [f"{value} {key.removeprefix('lost_').replace('_', ' ')}" for key, value in row.items()
                if key.startswith("lost_") and value]  # fmt: skip
        counts = f"{row['n_used']} of {row['n_total']}" + (f" (lost: {', '.join(lost)})" if lost else "")
        methods.setdefault(f"{name}: {counts}", []).append(str(row.get("method") or ""))
    told = {line: f"{len(names)} methods" if len(names) > 3 else ", ".join(names) for line, names in methods.items()}
    return [line + (f", for {names}" if names else "") for line, names in told.items()]
