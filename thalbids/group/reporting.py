"""The page, the figures and the methods paragraph of a group run, from the tables that it wrote."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from thalbids.files import read_json
from thalbids.group.analysis import Analysis
from thalbids.group.registry import ANALYSES
from thalbids.methods.registry import methods
from thalbids.reports import boilerplate, boilerplate_facts
from thalbids.reports.group.beyond import beyond
from thalbids.reports.group.group_data import Tables
from thalbids.reports.group.group_page import write_group_report
from thalbids.reports.group.section import Section

PAPER = (
    "people", "volumes", "groups", "overlap", "containment", "agreement", "crosssectional", "change", "comparability",
    "pbvc", "longitudinal", "sensitivity", "influence",
)  # fmt: skip


def write(
    out_dir: Path, settings: str, notes: Iterable[str] = (), nprocs: int = 1, pressing: Iterable[str] = ()
) -> list[Path]:
    """Write ``group.html``, ``group_figures/`` and ``logs/CITATION.*``.

    Parameters
    ----------
    out_dir : the derivatives, with their ``group_*.tsv``
    settings : TOML text of the run's settings
    notes : what was found, repaired or left out
    nprocs : processes that draw the figures
    pressing : those of the notes that stand at the top of the page

    Returns
    -------
    The files written, the page first.
    """
    tables = Tables(out_dir)
    paragraphs = boilerplate_facts.both(out_dir, methods().values(), tables)
    notes = list(notes)
    first = [note.removeprefix("warning: ") for note in pressing]
    provenance: dict[str, Mapping[str, object] | str] = {"Versions": boilerplate_facts.programs(), "Settings": settings}
    provenance |= {"Notes of the run": "\n".join(notes)} if notes else {}
    versions = {str(tool["Name"]): tool.get("Version", "") for tool in _generated_by(out_dir)}
    provenance |= {"Programs that made the masks": versions} if versions else {}
    pages = write_group_report(
        tables, story(ANALYSES), provenance, paragraphs, nprocs, simulated=_simulated(out_dir), pressing=first
    )
    return [*pages, *boilerplate.write(paragraphs, out_dir / "logs")]


def story(analyses: Iterable[Analysis]) -> list[Callable[[Tables], Section]]:
    """What makes the sections of the page: those of the paper in its order, others, what the paper does not have."""
    analyses = list(analyses)
    makers = {key: make for analysis in analyses for key, make in analysis.sections.items()}
    order = sorted(makers, key=lambda key: PAPER.index(key) if key in PAPER else len(PAPER))
    told = [name for analysis in analyses for name in analysis.told]
    views = {name: view for analysis in analyses for name, view in analysis.views.items()}
    return [*(makers[key] for key in order), functools.partial(beyond, told=told, views=views)]


def _simulated(out_dir: Path) -> str:
    """What the dataset says of itself where it calls itself simulated; else nothing."""
    path = out_dir / "dataset_description.json"
    name = str(read_json(path).get("Name", "")) if path.is_file() else ""
    return name if "simulated" in name.lower() else ""


def _generated_by(out_dir: Path) -> list[Mapping[str, object]]:
    path = out_dir / "dataset_description.json"
    listed = read_json(path).get("GeneratedBy", []) if path.is_file() else []
    return [tool for tool in listed if isinstance(tool, Mapping) and tool.get("Name")]
