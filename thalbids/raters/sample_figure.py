"""The sample against the cohort: histograms of the three criteria over their groups (the paper's figure S1)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from thalbids.raters.sample import CRITERIA, SAMPLED, SamplingDesign, Selection

TITLES = {"age": "Age (years)", "disease_duration": "Disease duration (years)", "edss": "EDSS"}
COHORT, SAMPLE = "#0072B2", "#E69F00"  # Okabe and Ito: told apart by colour-blind people


def draw(selection: Selection, design: SamplingDesign, svg: Path, png: Path) -> None:
    """Write the figure as SVG and PNG; the same selection always gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "thalbids", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        sample = [row for row in selection.people if row["selected_as"] == SAMPLED]
        axes = figure.subplots(1, 3)
        for axis, criterion in zip(axes, CRITERIA, strict=True):
            borders = np.asarray(design.borders[criterion], dtype=np.float64)
            cohort_share = _shares(selection.frame[criterion].to_numpy(dtype=np.float64), borders)
            sample_share = _shares(np.array([row[criterion] for row in sample], dtype=np.float64), borders)
            place = np.arange(len(borders) - 1)
            axis.bar(place - 0.2, cohort_share, 0.4, color=COHORT, label=f"cohort (n = {len(selection.frame)})")
            axis.bar(place + 0.2, sample_share, 0.4, color=SAMPLE, hatch="//", edgecolor="white", linewidth=0,
                     label=f"sample (n = {len(sample)})")  # fmt: skip
            axis.set_xticks(place, [f"{a:g}\u2013{b:g}" for a, b in itertools.pairwise(borders)])
            axis.set_xlabel(TITLES[criterion])
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].set_ylabel("% of people")
        axes[-1].legend(frameon=False)
        for path, kind in ((svg, {"Date": None, "Creator": None}), (png, {"Software": None})):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".tmp-{path.name}")
            figure.savefig(temporary, format=path.suffix[1:], dpi=200, metadata=kind)
            temporary.replace(path)


def _shares(values: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """Percent of the values in each group (lower border in, upper out, the last holds both: numpy's histogram)."""
    counted, _ = np.histogram(values, borders)
    return 100 * counted / max(1, values.size)
