"""True against measured change: a picture of the rows that ``known_change.py --rows`` wrote.

Run: ``python benchmarks/known_change_figure.py ROWS.tsv PICTURE.webp``.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

MEASURES = ("difference of volumes", "registration")
FIELDS = {  # kind -> words, colour, marker
    "none": ("no change", "0.35", "o"),
    "whole": ("whole", "#0072b2", "s"),
    "x": ("left-right only", "#d55e00", "^"),
}


def draw(rows: list[dict], path: Path) -> None:
    """One panel for each measure, with the line of identity; slopes through zero and errors in the legend."""
    figure = Figure(figsize=(9, 5.8), dpi=100, layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, measure in zip(panels, MEASURES, strict=True):
        _panel(ax, rows, measure)
    panels[0].set_ylabel("measured change (%)")
    with io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", bbox_inches="tight")
        Image.open(buffer).convert("RGB").save(path, quality=80, method=6)


def _panel(ax: Axes, rows: list[dict], measure: str) -> None:
    ax.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
    for kind, (words, colour, marker) in FIELDS.items():
        pairs = np.array([(float(row["true"]), float(row[measure])) for row in rows if row["kind"] == kind])
        if not len(pairs):
            continue
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        true, error = pairs[:, 0], pairs[:, 1] - pairs[:, 0]
        if kind == "none":
            numbers = f"mean {error.mean():+.2f}, SD {error.std(ddof=1):.2f}"
        else:
            numbers = f"slope {true @ pairs[:, 1] / (true @ true):.2f}, error {np.sqrt(np.mean(error**2)):.2f}"
        label = f"{words} ({len(pairs)}): {numbers}"
        ax.scatter(*pairs.T, s=20, color=colour, marker=marker, alpha=0.7, linewidth=0, label=label)
    ax.set(title=measure.capitalize(), xlabel="true change of both thalami (%)")
    ax.grid(alpha=0.3)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), frameon=False)


if __name__ == "__main__":
    with Path(sys.argv[1]).open(encoding="utf-8") as file:
        draw(list(csv.DictReader(file, delimiter="\t")), Path(sys.argv[2]))
