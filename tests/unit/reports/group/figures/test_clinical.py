"""Figures of clinical models."""

from __future__ import annotations

from pathlib import Path

from thalbids.reports.group.figures import clinical, volumetric
from thalbids.reports.group.group_data import Tables


def test_words_hold_the_main_numbers(tables: Tables) -> None:
    scatter, forest = volumetric.scatter(tables), clinical.forest(tables, "crosssectional", "t", "f", subset="all")
    assert scatter is not None and forest is not None
    assert "CCC 0.61" in next(p.alt for p in scatter.panels if p.title == "MindGlide T1w")
    assert "FSL FIRST -0.19 (p 0.002)" in forest.panels[0].alt
    assert forest.panels[0].title == "EDSS  (n = 309)"


def test_an_outcome_without_any_model_has_no_panel(tmp_path: Path) -> None:
    keys = [
        "outcome",
        "method",
        "term",
        "subset",
        "sensitivity",
        "estimate",
        "ci_low",
        "ci_high",
        "p_fdr",
        "n",
        "reason",
    ]
    lost = "n/a\tn/a\tn/a\tn/a\t0\td_sdmt is missing for everybody"
    rows = [
        "d_edss\tfirst\tdelta_volume_ml\tall\tnone\t-0.2\t-0.4\t0.1\t0.2\t30\tn/a",
        f"d_edss\tsynthalT1w\tdelta_volume_ml\tall\tnone\t{lost}",
        f"d_sdmt\tfirst\tdelta_volume_ml\tall\tnone\t{lost}",
        f"d_edss\tfirst\tdelta_volume_ml\tRRMS\tnone\t{lost}",
    ]
    path = tmp_path / "group_longitudinal.tsv"
    path.write_text("\n".join(["\t".join(keys), *rows]) + "\n")
    which = {"subset": "all", "sensitivity": "none"}
    figure = clinical.forest(Tables(tmp_path), "longitudinal", "t", "f", **which)
    assert figure is not None
    assert [panel.title for panel in figure.panels] == ["Change of EDSS  (n = 30)"]
    assert figure.intro.endswith("no model could be fitted: Change of SDMT.")
    variants = clinical.sensitivity(Tables(tmp_path))
    assert variants is not None
    assert len(variants.panels) == 1
    path.write_text("\n".join(["\t".join(keys), *rows[1:]]) + "\n")
    assert clinical.forest(Tables(tmp_path), "longitudinal", "t", "f", **which) is None
    assert clinical.sensitivity(Tables(tmp_path)) is None
