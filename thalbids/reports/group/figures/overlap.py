"""Overlap with the manual masks, and of the methods with each other (the paper's Fig. 2)."""

from __future__ import annotations

from functools import partial

import numpy as np

from thalbids.bids.results.names import ordered
from thalbids.reports.group.figures import look, marks
from thalbids.reports.group.figures.canvas import Figure, Panel
from thalbids.reports.group.group_data import Tables, listed, methods_in, number, rows_of, values

METRICS = {"dice": "Dice", "precision": "Precision", "sensitivity": "Sensitivity"}


def raters(tables: Tables) -> list[str | None]:
    """The raters of the overlap table; one None where it names none."""
    table = tables.get("overlap", ("method", "dice"))
    if table.empty:
        return []
    return sorted(table["rater"].dropna().unique()) if "rater" in table.columns else [None]


def of_rater(tables: Tables, name: str, rater: str | None, needs: tuple[str, ...]) -> object:
    """The rows of one rater."""
    table = tables.get(name, needs)
    return table if rater is None else rows_of(table, rater=rater)


def boxes(tables: Tables, rater: str | None = None) -> Figure | None:
    """Fig. 2a: Tukey's box plots of Dice, precision and sensitivity per method."""
    table = rows_of(tables.get("overlap", ("method", *METRICS)), status="ok")
    table = table if rater is None else rows_of(table, rater=rater)
    methods = methods_in(table)
    panels = []
    for metric, title in METRICS.items():
        rows = [
            marks.BoxPlotRow(look.label(m), values(table[table["method"] == m], metric), look.colour(m))
            for m in methods
        ]
        rows = [row for row in rows if row.values.size]
        if rows:
            said = listed([f"{r.name} {number(float(np.median(r.values)), 3)}" for r in rows], 12)
            panels.append(
                Panel(title, f"{title} per method, medians: {said}.",
                      partial(marks.boxes, rows=rows, xlabel=f"{title} with the manual masks"),
                      height=marks.height(len(rows)))
            )  # fmt: skip
    if not panels:
        return None
    people = table.groupby("method", observed=True)["participant_id"].nunique() if "participant_id" in table else [0]
    n = " to ".join(dict.fromkeys(str(int(size)) for size in (min(people), max(people))))
    intro = (
        f"n = {n} per method. Box: quartiles, thick line: median, whiskers: last values within 1.5 IQR of the "
        "box, circles: beyond."
    )
    return Figure(_named("overlap", rater), "Overlap with the manual masks", intro, panels, tables.file("overlap"), 3)


def containment(tables: Tables) -> Figure | None:
    """Fig. 2b: the share of the inner mask that lies in the outer one, for every ordered pair of methods."""
    table = tables.get("containment", ("method_inner", "method_outer", "mean"))
    names = ordered([*methods_in(table, "method_inner"), *methods_in(table, "method_outer")])
    if len(names) < 2:
        return None
    place = {name: number_ for number_, name in enumerate(names)}
    matrix = np.full((len(names), len(names)), np.nan)
    drawn = np.zeros(matrix.shape, dtype=bool)
    for row in table.to_dict("records"):
        inner, outer = place[row["method_inner"]], place[row["method_outer"]]
        matrix[inner, outer] = row["mean"]
        drawn[inner, outer] = constructed(row)
    np.fill_diagonal(matrix, np.nan)
    np.fill_diagonal(drawn, False)
    free = np.where(drawn, np.nan, matrix)
    alt = f"Containment of {len(names)} methods in each other."
    if np.isfinite(free).any():
        low, high = np.unravel_index(np.nanargmin(free), free.shape), np.unravel_index(np.nanargmax(free), free.shape)
        alt += "".join(
            f" {word}: {look.label(names[i])} in {look.label(names[j])}, {number(free[i, j])}."
            for word, (i, j) in (("Highest", high), ("Lowest", low))
        )
    side = 1.9 + 0.42 * len(names)
    draw = partial(
        marks.heat, values=matrix, names=[look.label(name) for name in names], marks=drawn,
        xlabel="… in this mask (outer)", ylabel="Share of this mask (inner) …",
    )  # fmt: skip
    sizes = dict.fromkeys(str(int(size)) for size in (table["n"].min(), table["n"].max()) if size == size)
    n = f"n = {' to '.join(sizes)}. " if "n" in table.columns and table["n"].notna().any() else ""
    intro = (
        f"{n}Mean share of the row's mask that lies inside the column's mask. Light rows and dark columns: smaller "
        "masks; dark rows and light columns: larger masks. Without a manual mask this says nothing about who is right."
    )
    if drawn.any():
        intro += " Starred and hatched: fixed by how the masks are made, not a finding."
    panel = Panel("Containment", alt, draw, width=side, height=side - 0.1)
    return Figure("containment", "Containment between methods", intro, [panel], tables.file("containment"), 1)


def constructed(row: dict[str, object]) -> bool:
    """Whether the making of the masks fixes this containment: by the table's own word, else by the names.

    A MindGlide mask lies inside the envelope that cut it (of FIRST, in the paper); a member lies inside a union.
    """
    said = row.get("constructed")
    if said is not None and said == said:  # not NaN
        return str(said).lower() in ("true", "1", "1.0", "yes")
    inner, outer = str(row["method_inner"]), str(row["method_outer"])
    return look.envelope(inner) == outer or (look.is_union(outer) and look.member(inner, outer))


def _named(name: str, rater: str | None) -> str:
    """The name of a figure, with the rater where there is one of several."""
    return name if rater is None else f"{name}_{''.join(c for c in rater if c.isascii() and c.isalnum()) or 'rater'}"
